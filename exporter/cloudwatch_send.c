/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sends requests of cloudwatch.c: signed by libcurl (SigV4), gzip, credentials.h. What answers mean is the API
 * reference's list of errors; the error's name is in the body or in a header, with or without a namespace before '#'.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "compress.h"
#include "credentials.h"
#include "push_http.h"

struct cloudwatch {
    const struct tb_push_output_config *config;
    struct tb_push_http *http;
    struct tb_credential_source credentials;
    char *region, *url, *sigv4; /* NULL: no region is known */
};

static char *first_of(const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const char *value = getenv(names[i]);
        if (value && *value)
            return tb_strndup(value, strlen(value));
    }
    return NULL;
}

static char *find_region(const struct tb_push_output_config *c)
{
    static const char *const names[] = {"AWS_REGION", "AWS_DEFAULT_REGION"};
    if (c->texts[TB_PUSH_REGION])
        return tb_strndup(c->texts[TB_PUSH_REGION], strlen(c->texts[TB_PUSH_REGION]));
    char *region = first_of(names, 2);
    return region ? region : tb_aws_profile(c->texts[TB_PUSH_PROFILE], "region");
}

static char *find_url(const struct tb_push_output_config *c, const char *region)
{
    static const char *const names[] = {"AWS_ENDPOINT_URL_CLOUDWATCH", "AWS_ENDPOINT_URL"};
    if (c->texts[TB_PUSH_ENDPOINT])
        return tb_strndup(c->texts[TB_PUSH_ENDPOINT], strlen(c->texts[TB_PUSH_ENDPOINT]));
    char *url = first_of(names, 2);
    return url ? url
               : tb_format("https://monitoring.%s.amazonaws.com%s/", region,
                           strncmp(region, "cn-", 3) == 0 ? ".cn" : "");
}

static void *cloudwatch_open(const struct tb_push_output_config *c, const struct tb_push_stop *stop)
{
    struct cloudwatch *w = tb_alloc(sizeof *w);
    w->config = c;
    w->http = tb_push_http_new(stop);
    w->region = find_region(c);
    if (w->region) {
        w->url = find_url(c, w->region);
        w->sigv4 = tb_format("aws:amz:%s:monitoring", w->region);
    }
    w->credentials =
        (struct tb_credential_source){.http = w->http, .profile = c->texts[TB_PUSH_PROFILE], .region = w->region};
    return w;
}

static void cloudwatch_close(void *state)
{
    struct cloudwatch *w = state;
    tb_push_http_free(w->http);
    tb_credentials_free(&w->credentials.now);
    free(w->region);
    free(w->url);
    free(w->sigv4);
    free(w);
}

/* The name of the error that an answer tells, without its namespace; "" = none. */
static void error_name(const struct tb_push_http_answer *a, char *ret, size_t space)
{
    json_t *o = json_loadb(a->body, a->len, 0, NULL);
    const char *type = json_string_value(json_object_get(o, "__type"));
    const char *hash = type ? strrchr(type, '#') : NULL;
    snprintf(ret, space, "%s", hash ? hash + 1 : type ? type : "");
    ret[strcspn(ret, ":")] = 0;
    json_decref(o);
}

/* 400 has many meanings: some pass by. Credentials that are no longer good are fetched anew. */
static void judge(struct cloudwatch *w, const struct tb_push_http_answer *a, struct tb_push_verdict *ret)
{
    static const char *const passing[] = {
        "Throttling",    "ThrottlingException", "RequestThrottled", "RequestLimitExceeded", "TooManyRequestsException",
        "LimitExceeded", "ServiceUnavailable",  "InternalFailure",  "RequestExpired",       "RequestTimeTooSkewed"};
    static const char *const rights[] = {
        "ExpiredToken",          "ExpiredTokenException",       "InvalidClientTokenId",
        "AccessDenied",          "AccessDeniedException",       "UnrecognizedClientException",
        "SignatureDoesNotMatch", "InvalidSignatureException",   "MissingAuthenticationToken",
        "OptInRequired",         "IncompleteSignatureException"};
    char name[64] = "";
    tb_push_http_judge(a, ret);
    if (ret->outcome != TB_PUSH_REFUSED)
        return;
    error_name(a, name, sizeof name);
    if (*name) /* no more of it: the text may repeat what was signed, the session token among it */
        snprintf(ret->why, sizeof ret->why, "HTTP %ld %s", a->status, name);
    for (size_t i = 0; i < sizeof passing / sizeof *passing; i++)
        if (strcmp(name, passing[i]) == 0)
            ret->outcome = TB_PUSH_AGAIN;
    bool is_about_rights = a->status == 401 || a->status == 403;
    for (size_t i = 0; i < sizeof rights / sizeof *rights; i++)
        is_about_rights |= strcmp(name, rights[i]) == 0;
    if (is_about_rights) { /* somebody will put it right: nothing is lost until then */
        ret->outcome = TB_PUSH_AGAIN;
        w->credentials.is_asked_anew = true;
    }
}

static void post(struct cloudwatch *w, const struct tb_push_request *r, const struct tb_credentials *c,
                 struct tb_push_verdict *ret)
{
    struct tb_buffer packed = {0};
    struct curl_slist *headers = tb_push_header(NULL, "Content-Type", "application/x-amz-json-1.0");
    headers = tb_push_header(headers, "X-Amz-Target", "GraniteServiceVersion20100801.PutMetricData");
    if (c->token)
        headers = tb_push_header(headers, "X-Amz-Security-Token", c->token);
    if (!w->config->has_no_gzip) {
        headers = tb_push_header(headers, "Content-Encoding", "gzip");
        tb_gzip(r->body, r->len, &packed);
    }
    struct tb_push_http_request request = {
        .url = w->url,
        .body = w->config->has_no_gzip ? r->body : packed.data,
        .len = w->config->has_no_gzip ? r->len : packed.len,
        .headers = headers,
        .ca_file = w->config->texts[TB_PUSH_CA_FILE],
        .timeout_ns = w->config->timeout_ns,
        .sigv4 = w->sigv4,
        .user = c->key,
        .secret = c->secret,
        .is_sent_once = true,
    };
    struct tb_push_http_answer answer;
    tb_push_http_do(w->http, &request, &answer);
    judge(w, &answer, ret);
    free(answer.body);
    curl_slist_free_all(headers);
    tb_buffer_free(&packed);
}

static void cloudwatch_send(void *state, const struct tb_push_request *r, struct tb_push_verdict *ret)
{
    struct cloudwatch *w = state;
    if (!w->region) {
        snprintf(ret->why, sizeof ret->why, "no region: set AWS_REGION, or write region: NAME");
        return;
    }
    const struct tb_credentials *c = tb_credentials_get(&w->credentials, ret->why, sizeof ret->why);
    if (c)
        post(w, r, c, ret);
}

const struct tb_push_transport tb_push_cloudwatch_transport = {
    .type = "cloudwatch",
    .open = cloudwatch_open,
    .send = cloudwatch_send,
    .close = cloudwatch_close,
};

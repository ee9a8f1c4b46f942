/* SPDX-License-Identifier: Apache-2.0 */
/* Credentials over HTTP (credentials_fetch.h). Variables and addresses are those of the AWS SDKs' documentation. */
#include "credentials_fetch.h"

#include <stdio.h>
#include <stdlib.h>

#include "secret.h"

#define SECOND UINT64_C(1000000000)

static const char *variable(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

/* An answer of 200, its body the caller's; NULL: told. */
static char *fetch(struct tb_credential_source *s, const struct tb_push_http_request *r, size_t *ret_len, char *why,
                   size_t why_size)
{
    struct tb_push_http_answer a;
    tb_push_http_do(s->http, r, &a);
    if (a.status == 200) {
        *ret_len = a.len;
        return a.body;
    }
    if (a.status)
        snprintf(why, why_size, "credentials from %.100s: HTTP %ld", r->url, a.status);
    else
        snprintf(why, why_size, "credentials from %.100s: %.80s", r->url, a.why);
    free(a.body);
    return NULL;
}

static bool fetch_json(struct tb_credential_source *s, const struct tb_push_http_request *r, struct tb_credentials *ret,
                       char *why, size_t why_size)
{
    size_t len = 0;
    char *body = fetch(s, r, &len, why, why_size);
    bool is_good = body && tb_credentials_from_json(body, len, ret);
    if (body && !is_good)
        snprintf(why, why_size, "credentials from %.100s: the answer has none", r->url);
    free(body);
    return is_good;
}

/* --- web identity ----------------------------------------------------------------------------------------------------
 */

static void put_parameter(struct tb_buffer *b, const char *name, const char *value)
{
    char *escaped = curl_easy_escape(NULL, value, 0);
    tb_puts(b, b->len ? "&" : "");
    tb_puts(b, name);
    tb_puts(b, "=");
    tb_puts(b, escaped ? escaped : "");
    curl_free(escaped);
}

static char *sts_url(const struct tb_credential_source *s)
{
    const char *given =
        variable("AWS_ENDPOINT_URL_STS") ? variable("AWS_ENDPOINT_URL_STS") : variable("AWS_ENDPOINT_URL");
    if (given)
        return tb_strndup(given, strlen(given));
    return tb_format("https://sts.%s.amazonaws.com%s/", s->region, strncmp(s->region, "cn-", 3) == 0 ? ".cn" : "");
}

bool tb_credentials_from_web_identity(struct tb_credential_source *s, struct tb_credentials *ret, char *why,
                                      size_t why_size)
{
    const char *file = variable("AWS_WEB_IDENTITY_TOKEN_FILE"), *role = variable("AWS_ROLE_ARN");
    const char *session = variable("AWS_ROLE_SESSION_NAME");
    char *token = file && role ? tb_secret_read(file, why, why_size) : NULL;
    if (!token)
        return false;
    struct tb_buffer form = {0};
    put_parameter(&form, "Action", "AssumeRoleWithWebIdentity");
    put_parameter(&form, "Version", "2011-06-15");
    put_parameter(&form, "RoleArn", role);
    put_parameter(&form, "RoleSessionName", session ? session : "tickbird-exporter");
    put_parameter(&form, "WebIdentityToken", token);
    char *url = sts_url(s);
    struct tb_push_http_request r = {.url = url, .body = form.data, .len = form.len, .timeout_ns = 10 * SECOND};
    size_t len = 0;
    char *body = fetch(s, &r, &len, why, why_size);
    bool is_good = body && tb_credentials_from_sts(body, ret);
    if (body && !is_good)
        snprintf(why, why_size, "credentials from %.100s: the answer has none", url);
    tb_buffer_free(&form);
    free(body);
    free(url);
    free(token);
    return is_good;
}

/* --- container -------------------------------------------------------------------------------------------------------
 */

/* Whom a token may be sent to without encryption: this machine, and the addresses that ECS and EKS have for it. */
static bool may_be_asked(const char *url)
{
    static const char *const hosts[] = {"http://127.0.0.1",     "http://localhost",      "http://[::1]",
                                        "http://169.254.170.2", "http://169.254.170.23", "http://[fd00:ec2::23]"};
    for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++) {
        size_t len = strlen(hosts[i]);
        if (strncmp(url, hosts[i], len) == 0 && (!url[len] || url[len] == '/' || url[len] == ':'))
            return true;
    }
    return strncmp(url, "https://", 8) == 0;
}

bool tb_credentials_from_container(struct tb_credential_source *s, struct tb_credentials *ret, char *why,
                                   size_t why_size)
{
    const char *relative = variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
    const char *full = variable("AWS_CONTAINER_CREDENTIALS_FULL_URI");
    const char *file = variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
    const char *given = variable("AWS_CONTAINER_AUTHORIZATION_TOKEN");
    struct curl_slist *headers = NULL;
    if (!relative && !full)
        return false;
    char *url = relative ? tb_format("http://169.254.170.2%s", relative) : tb_strndup(full, strlen(full));
    if (!may_be_asked(url)) {
        snprintf(why, why_size, "AWS_CONTAINER_CREDENTIALS_FULL_URI: %.80s: give https, or an address of this machine",
                 url);
        free(url);
        return false;
    }
    char *token = file ? tb_secret_read(file, why, why_size) : given ? tb_strndup(given, strlen(given)) : NULL;
    if (token)
        headers = tb_push_header(headers, "Authorization", token);
    struct tb_push_http_request r = {.url = url, .headers = headers, .timeout_ns = 2 * SECOND, .has_no_proxy = true};
    bool is_good = (!file || token) && fetch_json(s, &r, ret, why, why_size);
    curl_slist_free_all(headers);
    free(token);
    free(url);
    return is_good;
}

/* --- instance --------------------------------------------------------------------------------------------------------
 */

/* One step of IMDSv2: PUT gives a token, GET with it the rest. */
static struct tb_push_http_request step(const char *url, const char *token)
{
    struct curl_slist *headers = token ? tb_push_header(NULL, "X-aws-ec2-metadata-token", token)
                                       : tb_push_header(NULL, "X-aws-ec2-metadata-token-ttl-seconds", "21600");
    return (struct tb_push_http_request){
        .url = url, .method = token ? NULL : "PUT", .headers = headers, .timeout_ns = SECOND, .has_no_proxy = true};
}

static char *metadata(struct tb_credential_source *s, const char *url, const char *token, char *why, size_t why_size)
{
    struct tb_push_http_request r = step(url, token);
    size_t len = 0;
    char *body = fetch(s, &r, &len, why, why_size);
    curl_slist_free_all(r.headers);
    return body;
}

bool tb_credentials_from_instance(struct tb_credential_source *s, struct tb_credentials *ret, char *why,
                                  size_t why_size)
{
    const char *given = variable("AWS_EC2_METADATA_SERVICE_ENDPOINT"), *off = variable("AWS_EC2_METADATA_DISABLED");
    const char *host = given ? given : "http://169.254.169.254";
    size_t host_len = strlen(host);
    bool is_good = false;
    if (off && strcmp(off, "true") == 0)
        return false;
    host_len -= host_len && host[host_len - 1] == '/';
    char *token_url = tb_format("%.*s/latest/api/token", (int)host_len, host);
    char *list_url = tb_format("%.*s/latest/meta-data/iam/security-credentials/", (int)host_len, host);
    char *token = metadata(s, token_url, NULL, why, why_size);
    char *role = token ? metadata(s, list_url, token, why, why_size) : NULL;
    if (role) {
        role[strcspn(role, "\r\n")] = 0;
        char *url = tb_format("%s%s", list_url, role);
        struct tb_push_http_request r = step(url, token);
        is_good = fetch_json(s, &r, ret, why, why_size);
        curl_slist_free_all(r.headers);
        free(url);
    }
    free(role);
    free(token);
    free(list_url);
    free(token_url);
    return is_good;
}

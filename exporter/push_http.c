/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP by libcurl (push_http.h): its multi interface, so that a request can be ended from another thread. */
#include "push_http.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "curl.h"

/* Of headers that are older than the option; a library that does not know it says so. */
#if LIBCURL_VERSION_NUM < 0x074b00
#define CURLOPT_AWS_SIGV4 ((CURLoption)(CURLOPTTYPE_OBJECTPOINT + 305))
#endif

#define STOP_LOOK_MS 100 /* how often it is looked whether to stop */

struct tb_push_http {
    CURLM *multi;
    CURL *easy;
    const struct tb_push_stop *stop;
};

struct tb_push_http *tb_push_http_new(const struct tb_push_stop *stop)
{
    struct tb_push_http *h = tb_alloc(sizeof *h);
    h->multi = tb_curl_multi();
    h->easy = tb_curl_easy();
    h->stop = stop;
    return h;
}

void tb_push_http_free(struct tb_push_http *h)
{
    if (!h)
        return;
    curl_easy_cleanup(h->easy);
    curl_multi_cleanup(h->multi);
    free(h);
}

struct curl_slist *tb_push_header(struct curl_slist *list, const char *name, const char *value)
{
    char *line = tb_format("%s: %s", name, value);
    struct curl_slist *longer = curl_slist_append(list, line);
    free(line);
    if (!longer)
        tb_out_of_memory(1);
    return longer;
}

static size_t take_body(char *data, size_t size, size_t count, void *arg)
{
    struct tb_buffer *b = arg;
    size_t len = size * count, room = TB_PUSH_ANSWER_MAX - b->len;
    tb_put(b, data, len < room ? len : room);
    return len <= room ? len : 0; /* 0 ends it: more is not wanted */
}

struct wanted {
    const char *const *names; /* TB_PUSH_WANTED_MAX of them, some NULL */
    char (*values)[160];
};

static size_t take_header(char *data, size_t size, size_t count, void *arg)
{
    const struct wanted *w = arg;
    const size_t len = size * count;
    for (unsigned i = 0; i < TB_PUSH_WANTED_MAX; i++) {
        size_t at = w->names[i] ? strlen(w->names[i]) : len;
        if (len <= at || data[at] != ':' || strncasecmp(data, w->names[i], at) != 0)
            continue;
        for (at++; at < len && (data[at] == ' ' || data[at] == '\t'); at++)
            ;
        size_t end = at;
        while (end < len && data[end] != '\r' && data[end] != '\n')
            end++;
        snprintf(w->values[i], sizeof w->values[i], "%.*s", (int)(end - at), data + at);
    }
    return len;
}

/* Returns CURLE_OK, or why the request cannot be made: this libcurl does not sign. */
static CURLcode set_up(struct tb_push_http *h, const struct tb_push_http_request *r, struct tb_buffer *body,
                       char *error)
{
    CURLcode result = CURLE_OK;
    CURL *c = h->easy;
    curl_easy_reset(c);
    tb_curl_basics(c, r->url, error);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, body);
    curl_easy_setopt(c, CURLOPT_HTTPHEADER, r->headers);
    curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)(r->timeout_ns / 1000000));
    curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, (long)(r->timeout_ns / 2000000));
    if (r->ca_file)
        curl_easy_setopt(c, CURLOPT_CAINFO, r->ca_file);
    if (r->is_sent_once) {
        curl_easy_setopt(c, CURLOPT_FRESH_CONNECT, 1L);
        curl_easy_setopt(c, CURLOPT_FORBID_REUSE, 1L);
    }
    if (r->has_no_proxy)
        curl_easy_setopt(c, CURLOPT_NOPROXY, "*");
    if (r->body) { /* as a whole: what is read in pieces is not signed rightly */
        curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->len);
        curl_easy_setopt(c, CURLOPT_POSTFIELDS, r->body);
    }
    if (r->method)
        curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, r->method);
    if (r->sigv4) {
        result = curl_easy_setopt(c, CURLOPT_AWS_SIGV4, r->sigv4);
        curl_easy_setopt(c, CURLOPT_USERNAME, r->user);
        curl_easy_setopt(c, CURLOPT_PASSWORD, r->secret);
    }
    return result;
}

/* Runs until it is over. Returns what libcurl says; CURLE_ABORTED_BY_CALLBACK when told to stop. */
static CURLcode run(struct tb_push_http *h)
{
    int running = 1, left;
    CURLcode result = CURLE_ABORTED_BY_CALLBACK;
    curl_multi_add_handle(h->multi, h->easy);
    while (running && !(h->stop && tb_push_must_stop(h->stop))) {
        if (curl_multi_perform(h->multi, &running) != CURLM_OK)
            break;
        if (running)
            curl_multi_poll(h->multi, NULL, 0, STOP_LOOK_MS, NULL);
    }
    for (CURLMsg *m; (m = curl_multi_info_read(h->multi, &left));)
        if (m->msg == CURLMSG_DONE)
            result = m->data.result;
    curl_multi_remove_handle(h->multi, h->easy);
    return result;
}

/* Without a status: the body was not sent whole, hence nobody can have accepted it. */
static bool is_unsent(CURL *c, const struct tb_push_http_request *r)
{
    curl_off_t sent = 0;
    curl_easy_getinfo(c, CURLINFO_SIZE_UPLOAD_T, &sent);
    return (uint64_t)sent < r->len || !r->len;
}

void tb_push_http_do(struct tb_push_http *h, const struct tb_push_http_request *r, struct tb_push_http_answer *ret)
{
    char error[CURL_ERROR_SIZE] = "";
    struct tb_buffer body = {0};
    curl_off_t wait = 0;
    *ret = (struct tb_push_http_answer){0};
    struct wanted wanted = {r->wanted_headers, ret->headers};
    CURLcode result = set_up(h, r, &body, error);
    if (r->wanted_headers[0]) {
        curl_easy_setopt(h->easy, CURLOPT_HEADERFUNCTION, take_header);
        curl_easy_setopt(h->easy, CURLOPT_HEADERDATA, &wanted);
    }
    if (result == CURLE_OK)
        result = run(h);
    curl_easy_getinfo(h->easy, CURLINFO_RESPONSE_CODE, &ret->status);
    curl_easy_getinfo(h->easy, CURLINFO_RETRY_AFTER, &wait);
    if (result != CURLE_OK && result != CURLE_WRITE_ERROR && ret->status / 100 <= 2)
        ret->status = 0; /* it broke off before its end: a success that was not said whole is none */
    if (!ret->status) {
        ret->is_unsent = is_unsent(h->easy, r);
        snprintf(ret->why, sizeof ret->why, "%.150s", *error ? error : curl_easy_strerror(result));
    }
    ret->wait_ns = wait > 0 && wait < 86400 ? (uint64_t)wait * UINT64_C(1000000000) : 0;
    ret->len = body.len;
    ret->body = tb_buffer_text(&body);
}

void tb_push_http_judge(const struct tb_push_http_answer *a, struct tb_push_verdict *ret)
{
    const long s = a->status;
    ret->wait_ns = a->wait_ns;
    if (!s) {
        ret->outcome = a->is_unsent ? TB_PUSH_AGAIN : TB_PUSH_UNCERTAIN;
        snprintf(ret->why, sizeof ret->why, "%s", a->why);
        return;
    }
    ret->outcome = s / 100 == 2                                       ? TB_PUSH_ACCEPTED
                   : s == 502 || s == 504                             ? TB_PUSH_UNCERTAIN
                   : s == 408 || s == 425 || s == 429 || s / 100 == 5 ? TB_PUSH_AGAIN
                                                                      : TB_PUSH_REFUSED;
    snprintf(ret->why, sizeof ret->why, "HTTP %ld %.150s", s, a->body ? a->body : "");
    for (char *c = ret->why; *c; c++) /* a stranger's text goes into the log */
        if ((unsigned char)*c < 0x20 || (unsigned char)*c > 0x7e)
            *c = '?';
}

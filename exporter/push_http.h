/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP of those who push: one request at a time on a connection that is kept, by libcurl. Bounded in time and in what
 * is read of an answer; ends at once when it is told to. Proxies, from the environment, as libcurl has it.
 */
#ifndef TB_PUSH_HTTP_H
#define TB_PUSH_HTTP_H

#include <curl/curl.h>

#include "push_transport.h"

#define TB_PUSH_ANSWER_MAX ((size_t)64 << 10)
#define TB_PUSH_WANTED_MAX 2u

struct tb_push_http;

struct tb_push_http_request {
    const char *url, *method; /* NULL method: POST with a body, else GET */
    const char *body;         /* NULL: none */
    size_t len;
    struct curl_slist *headers;                     /* borrowed */
    const char *ca_file;                            /* NULL: the system's */
    uint64_t timeout_ns;                            /* 0: none */
    const char *sigv4;                              /* "aws:amz:REGION:SERVICE"; NULL: not signed */
    const char *user, *secret;                      /* of the signature */
    const char *wanted_headers[TB_PUSH_WANTED_MAX]; /* of the answer; NULL: none is kept */
    bool has_no_proxy;
    /* On a connection of its own: where one that was kept turns out to be closed, libcurl sends the request a second
     * time, and nobody knows whether the first one was taken. */
    bool is_sent_once;
};

struct tb_push_http_answer {
    long status;    /* 0: none came */
    bool is_unsent; /* without a status: the request surely did not arrive whole */
    char *body;     /* owned, terminated; what is beyond TB_PUSH_ANSWER_MAX is cut */
    size_t len;
    uint64_t wait_ns;                      /* Retry-After, in seconds only */
    char headers[TB_PUSH_WANTED_MAX][160]; /* values of the wanted ones, cut; "": none came */
    char why[160];                         /* without a status */
};

struct tb_push_http *tb_push_http_new(const struct tb_push_stop *stop); /* borrowed; NULL: never */
void tb_push_http_free(struct tb_push_http *h);

/* tb_push_http_do - @ret is filled in any case; its body is to be freed. */
void tb_push_http_do(struct tb_push_http *h, const struct tb_push_http_request *r, struct tb_push_http_answer *ret);

/*
 * tb_push_http_judge - what an answer means wherever nothing else is agreed: 2xx is accepted; 408, 425, 429 and 5xx are
 * for later, but 502 and 504 of somebody between leave it open; anything else is refused.
 */
void tb_push_http_judge(const struct tb_push_http_answer *a, struct tb_push_verdict *ret);

/* tb_push_header - appends "NAME: VALUE". */
struct curl_slist *tb_push_header(struct curl_slist *list, const char *name, const char *value);

#endif

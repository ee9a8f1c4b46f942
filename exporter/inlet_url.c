/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inlets that read a JSON URL (inlet_source.h), by libcurl. Redirections are not followed: a password or token would go
 * wherever the answer says. What is read of an answer is bounded, its head too.
 */
#include "inlet_source.h"

#include <stdlib.h>

#include "curl.h"
#include "inlet_json.h"
#include "inlet_transfer.h"
#include "push_http.h"

#define BODY_MAX ((size_t)1 << 20)
#define BODIES_MAX ((size_t)4 << 20) /* of all inlets that are being read */
#define HEAD_MAX ((size_t)64 << 10)

static size_t bodies_len; /* of one thread: inlet_pull.c */

struct url {
    const struct tb_pull_config *config;
    CURL *easy;
    struct curl_slist *headers;
    struct tb_buffer body;
    size_t head;
    bool is_too_large;
    char error[CURL_ERROR_SIZE];
};

static void *url_open(const struct tb_pull_config *c, struct tb_helper *h)
{
    struct url *u = tb_alloc(sizeof *u);
    u->config = c;
    u->easy = tb_curl_easy();
    (void)h;
    return u;
}

static void url_end(void *source)
{
    struct url *u = source;
    curl_slist_free_all(u->headers);
    u->headers = NULL;
    bodies_len -= u->body.len;
    tb_buffer_free(&u->body);
}

static void url_close(void *source)
{
    struct url *u = source;
    url_end(u);
    curl_easy_cleanup(u->easy);
    free(u);
}

static size_t take_body(char *data, size_t size, size_t count, void *arg)
{
    struct url *u = arg;
    const size_t len = size * count;
    u->is_too_large |= len > BODY_MAX - u->body.len || len > BODIES_MAX - bodies_len;
    if (u->is_too_large)
        return 0; /* ends it */
    tb_put(&u->body, data, len);
    bodies_len += len;
    return len;
}

static size_t take_head(char *data, size_t size, size_t count, void *arg)
{
    struct url *u = arg;
    const size_t len = size * count;
    (void)data;
    u->is_too_large |= len > HEAD_MAX - u->head;
    u->head += len;
    return u->is_too_large ? 0 : len;
}

static bool add_user(struct url *u, struct tb_pull_answer *a)
{
    const struct tb_pull_config *c = u->config;
    if (!c->user)
        return true;
    char *password = tb_pull_secret(&c->password, a);
    curl_easy_setopt(u->easy, CURLOPT_USERNAME, c->user);
    curl_easy_setopt(u->easy, CURLOPT_PASSWORD, password);
    curl_easy_setopt(u->easy, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
    const bool is_there = password != NULL;
    free(password);
    return is_there;
}

static bool add_headers(struct url *u, struct tb_pull_answer *a)
{
    const struct tb_pull_config *c = u->config;
    for (size_t i = 0; i < c->header_count; i++) {
        char *value = tb_pull_secret(&c->headers[i].value, a);
        if (!value)
            return false;
        u->headers = tb_push_header(u->headers, c->headers[i].name, value);
        free(value);
    }
    curl_easy_setopt(u->easy, CURLOPT_HTTPHEADER, u->headers);
    return true;
}

static bool url_begin(void *source, struct tb_pull_read *r)
{
    struct url *u = source;
    const struct tb_pull_config *c = u->config;
    u->head = 0;
    u->is_too_large = false;
    curl_easy_reset(u->easy);
    tb_pull_set_up(u->easy, c, c->url, u->error);
    if (!add_user(u, &r->answer) || !add_headers(u, &r->answer))
        return false;
    curl_easy_setopt(u->easy, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(u->easy, CURLOPT_WRITEDATA, u);
    curl_easy_setopt(u->easy, CURLOPT_HEADERFUNCTION, take_head);
    curl_easy_setopt(u->easy, CURLOPT_HEADERDATA, u);
    r->transfer = u->easy;
    return true;
}

static bool url_step(void *source, struct tb_pull_read *r, CURLcode result)
{
    struct url *u = source;
    long status = 0;
    curl_easy_getinfo(u->easy, CURLINFO_RESPONSE_CODE, &status);
    if (u->is_too_large)
        tb_pull_fail(&r->answer, TB_INLET_LIMIT, "the answer is too large");
    else if (result != CURLE_OK)
        tb_pull_fail_transfer(&r->answer, result, u->error);
    else if (status / 100 == 3)
        tb_pull_fail(&r->answer, TB_INLET_UNREADABLE, "HTTP %ld: redirections are not followed", status);
    else if (status / 100 != 2)
        tb_pull_fail(&r->answer, TB_INLET_UNREADABLE, "HTTP %ld", status);
    else
        tb_inlet_json(u->body.data ? u->body.data : "", u->body.len, u->config, &r->answer);
    return false;
}

const struct tb_pull_source tb_pull_json = {url_open, url_close, url_begin, url_step, url_end};

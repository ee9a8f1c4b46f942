/* SPDX-License-Identifier: Apache-2.0 */
/* Sends requests of OTLP and remote write: one POST each (push_transport.h). What answers mean is each protocol's. */
#include <snappy-c.h>
#include <stdio.h>
#include <stdlib.h>

#include "compress.h"
#include "push_http.h"
#include "remote_write2.h"

/* Header fields of an answer to version 2 of remote write; exemplars are no points. */
#define WRITTEN(what) "X-Prometheus-Remote-Write-" what "-Written"

struct post {
    const struct tb_push_output_config *config;
    struct tb_push_http *http;
};

static void *post_open(const struct tb_push_output_config *c, const struct tb_push_stop *stop)
{
    struct post *p = tb_alloc(sizeof *p);
    p->config = c;
    p->http = tb_push_http_new(stop);
    return p;
}

static void post_close(void *state)
{
    struct post *p = state;
    tb_push_http_free(p->http);
    free(p);
}

/* Takes over @headers. The answer's body is the caller's to free, and has what version 2 of remote write answers. */
static void post(struct post *p, const char *body, size_t len, struct curl_slist *headers,
                 struct tb_push_http_answer *ret)
{
    const struct tb_push_output_config *c = p->config;
    for (size_t i = 0; i < c->headers.count; i++)
        headers = tb_push_header(headers, c->headers.items[i].name, c->headers.items[i].value);
    struct tb_push_http_request request = {.url = c->texts[TB_PUSH_ENDPOINT],
                                           .body = body,
                                           .len = len,
                                           .headers = headers,
                                           .ca_file = c->texts[TB_PUSH_CA_FILE],
                                           .timeout_ns = c->timeout_ns,
                                           .wanted_headers = {WRITTEN("Samples"), WRITTEN("Histograms")},
                                           .is_sent_once = !tb_push_takes_totals(c)};
    tb_push_http_do(p->http, &request, ret);
    curl_slist_free_all(headers);
}

/* --- OTLP ------------------------------------------------------------------------------------------------------------
 */

/* 2xx may still have left points out: ExportMetricsPartialSuccess, field 1 of the answer, with their number in field 1.
 */
static uint32_t rejected_points(const struct tb_push_http_answer *a)
{
    const unsigned char *at = (const unsigned char *)a->body, *end = at + a->len;
    uint64_t n = 0;
    if (a->len < 4 || at[0] != (1 << 3 | 2) || at[1] > 127 || at[2] != 1 << 3)
        return 0;
    unsigned shift = 0;
    for (at += 3; at < end && shift < 35; shift += 7) {
        n |= (uint64_t)(*at & 0x7f) << shift;
        if (*at++ < 0x80)
            return n < UINT32_MAX ? (uint32_t)n : UINT32_MAX;
    }
    return 0;
}

static void otlp_send(void *state, const struct tb_push_request *r, struct tb_push_verdict *ret)
{
    struct post *p = state;
    struct tb_buffer packed = {0};
    struct tb_push_http_answer answer;
    bool has_gzip = !p->config->has_no_gzip;
    struct curl_slist *headers = tb_push_header(NULL, "Content-Type", "application/x-protobuf");
    if (has_gzip) {
        headers = tb_push_header(headers, "Content-Encoding", "gzip");
        tb_gzip(r->body, r->len, &packed);
    }
    post(p, has_gzip ? packed.data : r->body, has_gzip ? packed.len : r->len, headers, &answer);
    tb_push_http_judge(&answer, ret);
    if (ret->outcome == TB_PUSH_AGAIN && answer.status && answer.status != 429 && answer.status != 503)
        ret->outcome = TB_PUSH_REFUSED; /* the protocol names those that are sent again */
    if (ret->outcome == TB_PUSH_ACCEPTED)
        ret->rejected = rejected_points(&answer);
    free(answer.body);
    tb_buffer_free(&packed);
}

const struct tb_push_transport tb_push_otlp_transport = {
    .type = "otlp",
    .open = post_open,
    .send = otlp_send,
    .close = post_close,
};

/* --- remote write ----------------------------------------------------------------------------------------------------
 */

/* A number of up to nine digits in a header field. Returns whether there is one, and adds it. */
static bool add_written(const char *text, uint32_t *sum)
{
    unsigned number;
    if (*text < '0' || *text > '9' || sscanf(text, "%9u", &number) != 1)
        return false;
    *sum += number;
    return true;
}

/*
 * What an answer to version 2 means beyond its status: it says how many samples and histograms were written. One that
 * says nothing comes from a receiver of version 1 that took the body for its own, in which it finds nothing.
 */
static void judge_2(const struct tb_push_http_answer *a, const struct tb_push_request *r, struct tb_push_verdict *ret)
{
    static const char advice[] = "it does not take version 2 of remote write: write version: 1";
    uint32_t written = 0;
    bool is_told = add_written(a->headers[0], &written);
    is_told |= add_written(a->headers[1], &written);
    if (ret->outcome == TB_PUSH_ACCEPTED && !is_told) {
        ret->outcome = TB_PUSH_REFUSED;
        snprintf(ret->why, sizeof ret->why, "HTTP %ld, and no word of samples that were written: %s", a->status,
                 advice);
    } else if (ret->outcome == TB_PUSH_ACCEPTED && written < r->points) {
        ret->rejected = r->points - written;
    } else if (a->status == 415) {
        snprintf(ret->why, sizeof ret->why, "HTTP 415: %s", advice);
    }
}

/* The body itself says in which version it is: it may be older than the settings. */
static void remote_write_send(void *state, const struct tb_push_request *r, struct tb_push_verdict *ret)
{
    struct tb_push_http_answer answer;
    size_t len = snappy_max_compressed_length(r->len);
    char *packed = tb_alloc(len);
    bool is_2 = r->len && r->body[0] == TB_WRITE2_TAG;
    struct curl_slist *headers =
        tb_push_header(NULL, "Content-Type",
                       is_2 ? "application/x-protobuf;proto=io.prometheus.write.v2.Request" : "application/x-protobuf");
    headers = tb_push_header(headers, "Content-Encoding", "snappy");
    headers = tb_push_header(headers, "X-Prometheus-Remote-Write-Version", is_2 ? "2.0.0" : "0.1.0");
    if (snappy_compress(r->body, r->len, packed, &len) != SNAPPY_OK)
        tb_out_of_memory(len); /* the one way in which it fails: too little room */
    post(state, packed, len, headers, &answer);
    tb_push_http_judge(&answer, ret);
    if (is_2)
        judge_2(&answer, r, ret);
    free(answer.body);
    free(packed);
}

const struct tb_push_transport tb_push_remote_write_transport = {
    .type = "remote_write",
    .open = post_open,
    .send = remote_write_send,
    .close = post_close,
};

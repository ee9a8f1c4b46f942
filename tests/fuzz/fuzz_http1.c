/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes the HTTP/1 parsers: any bytes, read whole and read in pieces, must give the same messages, and nothing may be
 * read outside the input (the pieces are copies of their exact size, so that AddressSanitizer sees a byte too far).
 *
 * Input: one byte of flags (1: responses; 2,4: instruction set), one byte that seeds the cuts, then the stream.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http1.h"

struct event {
    uint8_t kind; /* 1 start line, 2 head, 3 end of message, 4 bad */
    uint8_t method, flags;
    uint16_t status;
    uint64_t number, body;
    size_t path_len;
    uint32_t path_sum;
};

struct log {
    struct event events[512];
    size_t used;
};

struct reader {
    struct tb_message m;
    uint8_t block[TB_PATH_MAX];
    uint64_t body;
    bool is_response, is_over;
    struct log *log;
};

static struct event *event(struct reader *r, uint8_t kind)
{
    static struct event spill;
    struct event *e = r->log->used < 512 ? &r->log->events[r->log->used++] : &spill;
    memset(e, 0, sizeof(*e));
    e->kind = kind;
    return e;
}

static void over(struct reader *r)
{
    event(r, 4);
    r->is_over = true;
}

static void start_line(struct reader *r, struct tb_bytes *in)
{
    struct tb_start_line line = {0};
    enum tb_parse p;

    if (r->is_response) {
        p = tb_http1_status_line(&r->m, in, &line);
    } else {
        p = tb_http1_request_line(&r->m, in, &line);
        if (p == TB_PARSE_PARTIAL)
            p = tb_http1_request_line_cut(&r->m, in, r->block, &line);
    }
    if (p == TB_PARSE_BAD)
        over(r);
    if (p != TB_PARSE_OK)
        return;
    struct event *e = event(r, 1);
    e->method = r->is_response ? 0 : line.method;
    e->status = r->is_response ? line.status : 0;
    e->flags = (uint8_t)(r->is_response ? 0 : line.is_cut | line.is_http2 << 1);
    e->path_len = r->is_response ? 0 : line.path.len;
    for (size_t i = 0; i < e->path_len; i++)
        e->path_sum = e->path_sum * 31 + line.path.ptr[i];
    if (e->path_len) {
        struct tb_bytes path = tb_http1_target_path(line.path);
        if (path.len > TB_PATH_MAX)
            abort();
    }
}

static void feed(struct reader *r, struct tb_bytes in)
{
    while (in.len && !r->is_over) {
        size_t before = in.len;
        uint8_t phase = r->m.phase;
        if (r->m.phase >= TB_PHASE_LENGTH) {
            enum tb_parse p = tb_http1_body(&r->m, &in, &r->body);
            if (p == TB_PARSE_BAD) {
                over(r);
            } else if (p == TB_PARSE_OK) {
                event(r, 3)->body = r->body;
                r->body = 0;
            }
        } else if (r->m.phase < TB_PHASE_HEADERS) {
            start_line(r, &in);
        } else if (tb_http1_headers(&r->m, !r->is_response, &in) == TB_PARSE_OK) {
            struct event *e = event(r, 2);
            e->flags = r->m.flags;
            e->number = r->m.flags & TB_MSG_HAS_LENGTH ? r->m.number : 0;
            if (r->m.flags & TB_MSG_AMBIGUOUS)
                over(r);
            else if (r->is_response)
                tb_http1_response_body(&r->m, TB_METHOD_GET, r->m.extra);
            else
                tb_http1_request_body(&r->m);
        }
        if (in.len == before && r->m.phase == phase && !r->is_over)
            abort(); /* no progress */
    }
}

static void run(struct reader *r, struct log *log, const uint8_t *data, size_t size, bool is_response, uint32_t cuts)
{
    memset(r, 0, sizeof(*r));
    log->used = 0;
    r->log = log;
    r->is_response = is_response;
    while (size && !r->is_over) {
        size_t n = size;
        if (cuts) {
            cuts = cuts * 1664525 + 1013904223;
            n = 1 + (cuts >> 16) % ((cuts >> 8 & 3) ? 3 : 80);
            n = n < size ? n : size;
        }
        uint8_t *copy = malloc(n);
        memcpy(copy, data, n);
        feed(r, tb_bytes(copy, n));
        free(copy);
        data += n;
        size -= n;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct reader whole, cut;
    static struct log whole_log, cut_log;

    if (size < 2)
        return 0;
    enum tb_simd simd = (enum tb_simd)(data[0] >> 1 & 3);
    tb_http1_select(simd > tb_scan_best() ? tb_scan_best() : simd);
    run(&whole, &whole_log, data + 2, size - 2, data[0] & 1, 0);
    run(&cut, &cut_log, data + 2, size - 2, data[0] & 1, data[1] + 1u);
    if (whole_log.used != cut_log.used ||
        memcmp(whole_log.events, cut_log.events, whole_log.used * sizeof(struct event)) != 0) {
        fprintf(stderr, "whole and cut disagree: %zu and %zu events\n", whole_log.used, cut_log.used);
        abort();
    }
    return 0;
}

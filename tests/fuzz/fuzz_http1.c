/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes the HTTP/1 parsers: any bytes, read whole and read in pieces, must give the same messages, and nothing may be
 * read outside the input (the pieces are copies of their exact size, so that AddressSanitizer sees a byte too far).
 * What the parsers of the most common heads accept, the general ones must read in the same way, for each instruction
 * set.
 *
 * Input: one byte of flags (1: responses; 2,4: instruction set), one byte that seeds the cuts, then the stream.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http1.h"
#include "probe.h"
#include "trace.h"

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

static void disagree(const char *what)
{
    fprintf(stderr, "%s: the plain and the general parser disagree\n", what);
    abort();
}

/* @path_len: what tb_plain_get says of the whole range. */
static void check_get(const uint8_t *p, size_t len, size_t path_len)
{
    struct tb_message m = {.is_next = 1};
    struct tb_start_line line;
    struct tb_bytes in = {p, len};
    if (path_len == 0)
        return;
    if (tb_http1_request_line(&m, &in, &line) != TB_PARSE_OK || line.method != TB_METHOD_GET || line.is_cut ||
        line.path.ptr != p + 4 || line.path.len != path_len || tb_http1_headers(&m, true, &in) != TB_PARSE_OK || in.len)
        disagree("GET");
    tb_http1_request_body(&m);
    if (m.phase != TB_PHASE_START || m.flags & (TB_MSG_AMBIGUOUS | TB_MSG_VERSION_10))
        disagree("framing of GET");
}

static void check_response(const uint8_t *p, size_t len, struct tb_plain_response r)
{
    struct tb_message m = {.is_next = 1};
    struct tb_start_line line;
    struct tb_bytes in = {p, len};
    const uint8_t odd = TB_MSG_AMBIGUOUS | TB_MSG_IS_STREAM | TB_MSG_HAS_CODING | TB_MSG_HAS_LENGTH;
    if (r.head == 0)
        return;
    if (tb_http1_status_line(&m, &in, &line) != TB_PARSE_OK || line.status != r.head >> 48 ||
        tb_http1_headers(&m, false, &in) != TB_PARSE_OK || len - in.len != (r.head & 0xffffffffffff))
        disagree("response");
    if ((m.flags & odd) != TB_MSG_HAS_LENGTH || m.number != r.length)
        disagree("framing of a response");
}

static void check_plain(const uint8_t *data, size_t size)
{
    static tb_plain_get_fn *const gets[] = {tb_plain_get_portable, tb_plain_get_base,
#ifdef TB_SCAN_X86
                                            tb_plain_get_avx2
#endif
    };
    static tb_plain_response_fn *const responses[] = {tb_plain_response_portable, tb_plain_response_base,
#ifdef TB_SCAN_X86
                                                      tb_plain_response_avx2
#endif
    };
    if (size < TB_PLAIN_BYTES)
        return;
    uint8_t *copy = malloc(size);
    memcpy(copy, data, size);
    size_t path_len = gets[0](copy, size);
    struct tb_plain_response r = responses[0](copy, size);
    for (size_t i = 1; i < (tb_scan_best() == TB_SIMD_AVX2 ? 3 : 2); i++) {
        struct tb_plain_response other = responses[i](copy, size);
        if (gets[i](copy, size) != path_len || other.head != r.head || (r.head && other.length != r.length))
            disagree("instruction sets");
    }
    check_get(copy, size, path_len);
    check_response(copy, size, r);
    free(copy);
}

/* The trace in a header section, whole and in pieces of @step bytes. */
static void check_trace(const uint8_t *data, size_t size, size_t step)
{
    struct tb_trace whole = {0}, cut = {0};
    uint64_t a[2], b[2];
    tb_trace_feed(&whole, tb_bytes(data, size));
    for (size_t at = 0; at < size; at += step)
        tb_trace_feed(&cut, tb_bytes(data + at, size - at < step ? size - at : step));
    tb_trace_id(&whole, a);
    tb_trace_id(&cut, b);
    if (a[0] != b[0] || a[1] != b[1])
        disagree("traces");
}

/* The same of who asks. */
static void check_probe(const uint8_t *data, size_t size, size_t step)
{
    struct tb_probe whole = {0}, cut = {0};
    tb_probe_feed(&whole, tb_bytes(data, size));
    for (size_t at = 0; at < size; at += step)
        tb_probe_feed(&cut, tb_bytes(data + at, size - at < step ? size - at : step));
    if (whole.is_probe != cut.is_probe)
        disagree("probes");
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
    check_plain(data + 2, size - 2);
    check_trace(data + 2, size - 2, data[1] + 1u);
    check_probe(data + 2, size - 2, data[1] + 1u);
    run(&whole, &whole_log, data + 2, size - 2, data[0] & 1, 0);
    run(&cut, &cut_log, data + 2, size - 2, data[0] & 1, data[1] + 1u);
    if (whole_log.used != cut_log.used ||
        memcmp(whole_log.events, cut_log.events, whole_log.used * sizeof(struct event)) != 0) {
        fprintf(stderr, "whole and cut disagree: %zu and %zu events\n", whole_log.used, cut_log.used);
        abort();
    }
    return 0;
}

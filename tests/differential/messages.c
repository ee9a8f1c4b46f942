/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Says where the messages of streams end, as agent/http1.c reads them. Input: {u8 what, u32 length, bytes}..., what 0 =
 * requests, 1 = responses to GET, 2 = responses to HEAD. Output: a line per stream, `NAME:HEAD_END:END` per message
 * (NAME: method or status; END `eof` where the end of the connection is the end) and last why it stops: `rest` (nothing
 * or part of a message is left), `bad`, `ambiguous` (given up, counted), `upgrade` (no longer HTTP), `http2`.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http1.h"
#include "methods.h"

enum { REQUESTS, RESPONSES, HEAD_RESPONSES };

/* Returns why the stream stops here, NULL to go on. */
static const char *read_head(struct tb_message *m, struct tb_bytes *in, int what, char *ret_name)
{
    static uint8_t block[TB_PATH_MAX];
    struct tb_start_line line = {0};
    enum tb_parse p;
    m->is_next = 1; /* no PROXY heads: the other side knows none */
    if (what == REQUESTS) {
        p = tb_http1_request_line(m, in, &line);
        if (p == TB_PARSE_PARTIAL)
            p = tb_http1_request_line_cut(m, in, block, &line);
        snprintf(ret_name, 32, "%s", tb_method_name(line.method));
    } else {
        p = tb_http1_status_line(m, in, &line);
        snprintf(ret_name, 32, "%u", line.status);
    }
    if (p != TB_PARSE_OK)
        return p == TB_PARSE_BAD ? "bad" : "rest";
    if (line.is_http2)
        return "http2";
    if (tb_http1_headers(m, what == REQUESTS, in) != TB_PARSE_OK)
        return "rest";
    return NULL;
}

static void read_stream(const uint8_t *bytes, size_t len, int what)
{
    struct tb_message m = {0};
    struct tb_bytes in = {bytes, len};
    const char *stop = NULL;
    while (in.len && !stop) {
        char name[32];
        uint64_t body = 0;
        stop = read_head(&m, &in, what, name);
        if (stop)
            break;
        unsigned long head_end = (unsigned long)(in.ptr - bytes);
        uint16_t status = what == REQUESTS ? 0 : m.extra;
        if (m.flags & TB_MSG_AMBIGUOUS)
            stop = "ambiguous";
        else if (what == REQUESTS)
            tb_http1_request_body(&m);
        else
            tb_http1_response_body(&m, what == HEAD_RESPONSES ? TB_METHOD_HEAD : TB_METHOD_GET, status);
        if (stop) {
            printf("%s:%lu:? ", name, head_end);
            break;
        }
        if (m.phase == TB_PHASE_TUNNEL || strcmp(name, "CONNECT") == 0) {
            printf("%s:%lu:%lu ", name, head_end, head_end);
            stop = "upgrade";
        } else if (m.phase == TB_PHASE_CLOSE) {
            printf("%s:%lu:eof ", name, head_end);
            stop = "rest";
        } else if (m.phase < TB_PHASE_LENGTH) {
            printf("%s:%lu:%lu ", name, head_end, head_end);
        } else {
            enum tb_parse p = TB_PARSE_PARTIAL;
            while (p == TB_PARSE_PARTIAL && in.len)
                p = tb_http1_body(&m, &in, &body);
            if (p == TB_PARSE_OK)
                printf("%s:%lu:%lu ", name, head_end, (unsigned long)(in.ptr - bytes));
            else
                printf("%s:%lu:? ", name, head_end);
            if (p != TB_PARSE_OK)
                stop = p == TB_PARSE_BAD ? "bad" : "rest";
        }
    }
    puts(stop ? stop : "rest");
}

int main(void)
{
    uint8_t head[5];
    while (fread(head, 1, sizeof head, stdin) == sizeof head) {
        uint32_t len;
        memcpy(&len, head + 1, 4);
        uint8_t *bytes = malloc(len ? len : 1); /* of its own size: a sanitizer sees a byte too far */
        if (!bytes || fread(bytes, 1, len, stdin) != len)
            return 1;
        read_stream(bytes, len, head[0]);
        free(bytes);
    }
    return fflush(stdout) != 0;
}

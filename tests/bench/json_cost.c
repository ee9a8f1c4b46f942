/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For callgrind: reads the value at payment.method out of 1 KiB of JSON again and again. Usage: json_cost COUNT BODY
 * PLACE SIMD. BODY: "text", two thirds of which are one string, or "members", all of it short members and brackets;
 * PLACE of the value: "first" or "last"; SIMD: "avx2", "sse2". Two runs with different counts give the instructions per
 * text; run.py does that.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/json_pick.h"
#include "agent/scan.h"

#define BYTES 1024u

static const char customer[] = "\"customer\": {\"id\": \"c-102938\", \"name\": \"A. Customer\", \"street\": \"1, Some "
                               "Street\", \"city\": \"Somewhere\"}";
static const char payment[] = "\"payment\": {\"method\": \"card\"}";

/* Exactly BYTES at @to, which has room for one more: a string of what length is left goes before the end. */
static void make_body(char *to, bool is_text, bool is_last)
{
    static const char last[] = "\"}";
    char *at = stpcpy(to, "{");
    size_t rest = sizeof last - 1 + (is_last ? sizeof payment + 1 : 0);
    if (!is_last)
        at = stpcpy(stpcpy(at, payment), ", ");
    at = stpcpy(stpcpy(at, customer), ", \"lines\": [");
    for (unsigned n = 0; is_text ? n < 3 : (size_t)(at - to) + 90 + rest < BYTES; n++)
        at += snprintf(at, 80, "%s{\"sku\": \"article-%u\", \"count\": %u, \"price\": 12.5}", n ? ", " : "", n, n);
    at = stpcpy(at, "], \"note\": \"");
    while ((size_t)(at - to) + rest < BYTES)
        *at++ = 'n';
    at = stpcpy(at, "\"");
    if (is_last)
        at = stpcpy(stpcpy(at, ", "), payment);
    stpcpy(at, "}");
}

int main(int argc, char **argv)
{
    static const char path[] = "\x07payment\x06method";
    static char body[BYTES + 1];
    if (argc != 5)
        return 2;
    unsigned long count = strtoul(argv[1], NULL, 10);
    make_body(body, strcmp(argv[2], "text") == 0, strcmp(argv[3], "last") == 0);
    struct tb_pick_set set = {0};
    tb_json_feed_fn *feed = tb_json_feed_base;
#ifdef TB_SCAN_X86
    if (strcmp(argv[4], "avx2") == 0)
        feed = tb_json_feed_avx2;
#endif
    if (strlen(body) != BYTES || !tb_json_set_add(&set, tb_bytes(path, sizeof path - 1), false))
        return 1;
    for (unsigned long i = 0; i < count; i++) {
        struct tb_json_pick j;
        memset(&j, 0, sizeof j);
        if (feed(&j, &set, tb_bytes(body, BYTES)) != TB_PARSE_OK || tb_pick_text(&j.picks, 0).len != 4)
            return 1;
    }
    return 0;
}

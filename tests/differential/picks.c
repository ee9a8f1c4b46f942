/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The readers of single values for the differential tests. Standard input: records of a byte that says which reader,
 * three lengths of 4 bytes (low byte first) and what they are of: names or compiled-to-be paths, one a line; the text;
 * and the length of the pieces that it is fed in (0 = whole). Standard output: a line per record: how it ended, then
 * per value its kind and its text in hex.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/decimal.h"
#include "agent/form_pick.h"
#include "agent/header_pick.h"
#include "agent/http1.h"
#include "exporter/json_path.h"

static uint32_t read_number(void)
{
    uint8_t b[4];
    if (fread(b, 1, sizeof b, stdin) != sizeof b)
        exit(3);
    return b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

static uint8_t *read_bytes(size_t len)
{
    uint8_t *bytes = malloc(len + 1);
    if (!bytes || fread(bytes, 1, len, stdin) != len)
        exit(3);
    bytes[len] = '\n';
    return bytes;
}

union reader {
    struct tb_json_pick json;
    struct tb_form_pick form;
    struct tb_header_pick header;
};

static bool add(int kind, struct tb_pick_set *set, struct tb_bytes name)
{
    uint8_t path[TB_JSON_PATH_MAX];
    size_t len = 0, at = 0;
    if (kind == 'j')
        return !tb_json_path_compile(name, path, &len, &at) && tb_json_set_add(set, tb_bytes(path, len), false);
    return kind == 'f' ? tb_pick_set_add(set, name, false) : tb_header_set_add(set, name, false);
}

static enum tb_parse feed(int kind, union reader *r, const struct tb_pick_set *set, struct tb_bytes in)
{
    if (kind == 'j')
        return tb_json_feed(&r->json, set, in);
    return kind == 'f' ? tb_form_feed(&r->form, set, in) : tb_header_feed(&r->header, set, in);
}

static void print_decimal(struct tb_bytes text)
{
    struct tb_decimal d;
    int64_t scaled;
    if (!tb_decimal_read(text, &d))
        printf("none\n");
    else if (!tb_decimal_scaled(d, 3, &scaled))
        printf("%lld %d beyond %d\n", (long long)d.mantissa, d.exponent, tb_decimal_is_json(text));
    else
        printf("%lld %d %lld %d\n", (long long)d.mantissa, d.exponent, (long long)scaled, tb_decimal_is_json(text));
}

int main(void)
{
    tb_http1_select(tb_scan_best());
    for (int kind; (kind = getchar()) != EOF;) {
        struct tb_pick_set set = {0};
        static union reader r;
        uint32_t names_len = read_number(), text_len = read_number(), cut = read_number();
        uint8_t *names = read_bytes(names_len), *text = read_bytes(text_len);
        for (uint8_t *p = names, *end = names + names_len, *lf; p < end; p = lf + 1) {
            lf = memchr(p, '\n', (size_t)(end - p) + 1);
            if (!add(kind, &set, tb_bytes(p, (size_t)(lf - p))))
                return 4;
        }
        memset(&r, 0, sizeof r);
        enum tb_parse ended = TB_PARSE_PARTIAL;
        for (uint32_t at = 0, n; kind != 'd' && at < text_len && ended == TB_PARSE_PARTIAL; at += n) {
            n = cut == UINT32_MAX ? 1 : at == 0 && cut && cut < text_len ? cut : text_len - at;
            ended = feed(kind, &r, &set, tb_bytes(text + at, n));
        }
        if (kind == 'd') {
            print_decimal(tb_bytes(text, text_len));
            free(names);
            free(text);
            continue;
        }
        struct tb_picks *picks = kind == 'j' ? &r.json.picks : kind == 'f' ? &r.form.picks : &r.header.picks;
        if (kind == 'f')
            tb_form_end(&r.form, &set);
        printf("%d", ended);
        for (uint32_t i = 0; i < set.count; i++) {
            struct tb_bytes value = tb_pick_text(picks, i);
            printf(" %d:", picks->values[i].kind);
            for (size_t k = 0; k < value.len; k++)
                printf("%02x", value.ptr[k]);
        }
        putchar('\n');
        free(names);
        free(text);
    }
    return 0;
}

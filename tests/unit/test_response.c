/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers piece by piece: in every format and coding, taken in pieces of any size, they are what is rendered at once;
 * the programs gzip and zstd judge what is compressed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "exporter/families.h"
#include "exporter/response.h"
#include "random_snapshot.h"

static const struct tb_encoding *const encodings[] = {&tb_encoding_text, &tb_encoding_openmetrics,
                                                      &tb_encoding_openmetrics2, &tb_encoding_protobuf};

static struct tb_exposition exposed(const struct tb_snapshot *s, const struct tb_encoding *encoding)
{
    struct tb_exposition x = {.has_pairs = encoding->has_pairs};
    tb_expose_snapshot(&x, s, &(struct tb_expose_options){.metrics = tb_metrics_default, .has_native = true});
    return x;
}

static struct tb_snapshot *some_snapshot(unsigned series)
{
    struct tb_snapshot *s = random_snapshot(series);
    tb_snapshot_begin(s, UINT64_C(1700000000000000000));
    tb_snapshot_finish(s);
    return s;
}

/* Takes all of it, in pieces of up to @most bytes. */
static struct tb_buffer taken(struct tb_response *r, uint32_t most)
{
    struct tb_buffer b = {0};
    for (size_t n = 1; n;) {
        size_t space = 1 + random_below(most);
        n = tb_response_read(r, tb_buffer_room(&b, space), space);
        assert_true(n <= space);
        b.len += n;
    }
    assert_int_equal(tb_response_read(r, tb_buffer_room(&b, 1), 1), 0);
    return b;
}

/* What @command makes of @in. */
static struct tb_buffer piped(const char *command, const struct tb_buffer *in)
{
    char name[] = "/tmp/tb-response-XXXXXX";
    int fd = mkstemp(name);
    struct tb_buffer out = {0};
    assert_true(fd >= 0);
    assert_int_equal(write(fd, in->data, in->len), in->len);
    close(fd);
    char *line = tb_format("%s < %s", command, name);
    FILE *p = popen(line, "r");
    assert_non_null(p);
    for (size_t n = 1; n; out.len += n)
        n = fread(tb_buffer_room(&out, 65536), 1, 65536, p);
    assert_int_equal(pclose(p), 0);
    unlink(name);
    free(line);
    return out;
}

static void assert_same(const struct tb_buffer *a, const struct tb_buffer *b)
{
    assert_int_equal(a->len, b->len);
    assert_memory_equal(a->data, b->data, a->len);
}

static void pieces_of_any_size_are_the_whole(void **state)
{
    (void)state;
    seed = (uint32_t)time(NULL);
    printf("# seed %u\n", seed);
    for (size_t f = 0; f < sizeof encodings / sizeof *encodings; f++) {
        struct tb_snapshot *s = some_snapshot(300);
        struct tb_exposition x = exposed(s, encodings[f]);
        struct tb_buffer whole = {0};
        struct tb_response_totals totals = {0};
        tb_render(encodings[f], &x, &whole);
        for (uint32_t most = 3; most < 1000000; most *= 40) {
            struct tb_response_options options = {encodings[f], TB_CODING_IDENTITY, false, &totals};
            struct tb_exposition copy = exposed(s, encodings[f]);
            struct tb_response *r = tb_response_new(&copy, &options);
            assert_null(copy.records.data);
            struct tb_buffer b = taken(r, most);
            assert_same(&b, &whole);
            assert_true(tb_response_size(r) < x.records.len + 200000);
            tb_response_free(r);
            tb_buffer_free(&b);
        }
        assert_int_equal(totals.rendered_bytes, totals.sent_bytes);
        assert_int_equal(totals.sent_bytes % whole.len, 0);
        tb_exposition_free(&x);
        tb_buffer_free(&whole);
        tb_snapshot_free(s);
    }
}

static void check_coding(enum tb_coding coding, const char *command)
{
    for (unsigned series = 0; series < 400; series = series * 4 + 1) {
        struct tb_snapshot *s = some_snapshot(series);
        struct tb_exposition x = exposed(s, &tb_encoding_text);
        struct tb_buffer whole = {0};
        tb_render(&tb_encoding_text, &x, &whole);
        struct tb_response_options options = {&tb_encoding_text, coding, false, NULL};
        struct tb_response *r = tb_response_new(&x, &options);
        struct tb_buffer b = taken(r, 5000), text = piped(command, &b);
        assert_same(&text, &whole);
        assert_true(b.len < whole.len);
        tb_response_free(r);
        tb_buffer_free(&whole);
        tb_buffer_free(&text);
        tb_buffer_free(&b);
        tb_snapshot_free(s);
    }
}

static void gzip_reads_it(void **state)
{
    (void)state;
    check_coding(TB_CODING_GZIP, "gzip -dc");
}

static void zstd_reads_it(void **state)
{
    (void)state;
    if (system("command -v zstd >/dev/null") != 0)
        skip();
    check_coding(TB_CODING_ZSTD, "zstd -dcq");
}

/* The snapshot goes on, and away, while an answer is taken. */
static void an_answer_is_of_one_moment(void **state)
{
    (void)state;
    struct tb_snapshot *s = some_snapshot(300);
    struct tb_exposition x = exposed(s, &tb_encoding_text);
    struct tb_buffer whole = {0}, b = {0};
    tb_render(&tb_encoding_text, &x, &whole);
    struct tb_response_options options = {&tb_encoding_text, TB_CODING_IDENTITY, false, NULL};
    struct tb_response *r = tb_response_new(&x, &options);
    b.len = tb_response_read(r, tb_buffer_room(&b, 1000), 1000);
    for (size_t i = 0; i < s->series_count; i++)
        *tb_values_cell(&s->series[i]->base, 0, 5) += 7;
    tb_snapshot_begin(s, UINT64_C(1700000009000000000));
    tb_snapshot_finish(s);
    tb_snapshot_free(s);
    struct tb_buffer rest = taken(r, 100000);
    tb_put(&b, rest.data, rest.len);
    assert_same(&b, &whole);
    tb_response_free(r);
    tb_buffer_free(&rest);
    tb_buffer_free(&b);
    tb_buffer_free(&whole);
}

static void what_is_short_is_given_at_once(void **state)
{
    (void)state;
    static const enum tb_coding codings[] = {TB_CODING_IDENTITY, TB_CODING_GZIP, TB_CODING_ZSTD};
    for (size_t c = 0; c < 3; c++) {
        for (unsigned series = 0; series <= 2000; series += 2000) {
            struct tb_snapshot *s = some_snapshot(series);
            struct tb_exposition x = exposed(s, &tb_encoding_text);
            struct tb_response_totals totals = {0};
            struct tb_response_options options = {&tb_encoding_text, codings[c], false, &totals};
            struct tb_response *r = tb_response_new(&x, &options);
            struct tb_buffer b = {0};
            assert_int_equal(tb_response_whole(r, &b), series == 0);
            assert_int_equal(totals.sent_bytes, b.len);
            tb_response_free(r);
            tb_buffer_free(&b);
            tb_snapshot_free(s);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_of_any_size_are_the_whole),
        cmocka_unit_test(gzip_reads_it),
        cmocka_unit_test(zstd_reads_it),
        cmocka_unit_test(an_answer_is_of_one_moment),
        cmocka_unit_test(what_is_short_is_given_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

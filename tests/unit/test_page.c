/* SPDX-License-Identifier: Apache-2.0 */
/*
 * page.h and html.h: names of any bytes change nothing of the page's structure, in any place where a name is shown or
 * is part of an address; figures read as they should; no service and very many are fine. What a browser makes of it is
 * tests/page/.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "exporter/html.h"
#include "exporter/page.h"

#define SECOND UINT64_C(1000000000)
#define NAMES 300u

static char *page_of(struct tb_snapshot *s, struct tb_history *h, struct tb_overview_query query, uint64_t now_ns)
{
    struct tb_look look = {s, h, now_ns, SECOND, "writable", "/metrics"};
    struct tb_buffer out = {0};
    query.limit = query.limit ? query.limit : TB_OVERVIEW_LIMIT;
    tb_page_render(&look, &query, &out);
    tb_put(&out, "", 1);
    assert_int_equal(strlen(out.data) + 1, out.len);
    return out.data;
}

static size_t count_of(const char *text, char c)
{
    size_t n = 0;
    for (; (text = strchr(text, c)); text++)
        n++;
    return n;
}

/* A page of so many services and routes that are named by @name. */
static char *page_of_names(void (*name)(unsigned i, char ret[24]))
{
    struct tb_snapshot *s = tb_snapshot_new();
    struct tb_history *h = tb_history_new();
    char service[24], route[24];
    for (unsigned round = 1; round <= 3; round++) {
        for (unsigned i = 0; i < NAMES; i++) {
            name(i, service);
            name(i + NAMES, route);
            struct tb_snap_key key = {TB_FAMILY_REQUESTS, TB_ROLE_SERVER, TB_METHOD_GET, 0, 503, route, route, ""};
            struct tb_snap_series *e = tb_snapshot_series(s, tb_snapshot_service(s, service, strlen(service)), &key);
            *tb_values_cell(&e->base, 0, 1000000 * (i + 1)) += i + 1;
            key.role = TB_ROLE_CLIENT;
            tb_snapshot_series(s, e->service, &key)->base.untimed += i + 1;
        }
        tb_snapshot_unobserved_begin(s);
        tb_snapshot_unobserved(s, service, "go");
        tb_snapshot_begin(s, 1700000000 * SECOND);
        tb_snapshot_finish(s);
        tb_history_note(h, s, round * 10 * SECOND);
    }
    assert_int_equal(s->service_count, NAMES);
    /* as they are shown: without control characters and wrong bytes */
    const struct tb_snap_series *e = s->series[0];
    struct tb_overview_query query = {.service = e->service->name,
                                      .method = "GET",
                                      .route = e->key.route,
                                      .host = e->key.target,
                                      .search = e->key.route};
    char *some = page_of(s, h, query, 31 * SECOND);
    query = (struct tb_overview_query){.limit = NAMES};
    char *all = page_of(s, h, query, 31 * SECOND), *both = tb_format("%s%s", some, all);
    free(some);
    free(all);
    tb_history_free(h);
    tb_snapshot_free(s);
    return both;
}

static void plain_name(unsigned i, char ret[24])
{
    snprintf(ret, 24, "name%u", i);
}

/* Its number makes it a name of its own; the rest is what might be taken for something else. */
static void hostile_name(unsigned i, char ret[24])
{
    static const char bad[] = "<>\"'&=`/%?#;\n\t\\-!{}$\x01\x7f\xc3\xff\xe2\x80\xae";
    uint64_t random = i * UINT64_C(0x9e3779b97f4a7c15) + 1;
    snprintf(ret, 24, "%u", i);
    for (size_t k = strlen(ret); k < 23; k++)
        ret[k] = bad[(random = random * UINT64_C(6364136223846793005) + 1) % 1000003 % (sizeof bad - 1)];
    ret[23] = 0;
    if (i == NAMES)
        snprintf(ret, 24, "<!--#title-->\"'><b>");
}

static void names_of_any_bytes_do_not_change_the_page(void **state)
{
    (void)state;
    char *plain = page_of_names(plain_name), *hostile = page_of_names(hostile_name);
    for (const char *c = "<>\"'"; *c; c++)
        assert_int_equal(count_of(plain, *c), count_of(hostile, *c));
    assert_null(strstr(hostile, "<!--#"));
    free(plain);
    free(hostile);
}

static void no_service_says_what_to_do(void **state)
{
    (void)state;
    struct tb_snapshot *s = tb_snapshot_new();
    struct tb_history *h = tb_history_new();
    tb_snapshot_begin(s, 1700000000 * SECOND);
    tb_snapshot_finish(s);
    char *page = page_of(s, h, (struct tb_overview_query){0}, 5 * SECOND);
    assert_non_null(strstr(page, "id=\"empty\"><h2>Nothing is recorded yet"));
    assert_non_null(strstr(page, "tickbird run --service"));
    assert_null(strstr(page, "nan"));
    free(page);
    tb_history_free(h);
    tb_snapshot_free(s);
}

static void assert_text(struct tb_buffer *b, const char *expected)
{
    tb_put(b, "", 1);
    assert_string_equal(b->data, expected);
    b->len = 0;
}

static void figures_read_well(void **state)
{
    (void)state;
    static const struct {
        double ns;
        const char *text;
    } durations[] = {{0, "0 ns"},         {953, "953 ns"},       {1500, "1.50 \xc2\xb5s"}, {999499, "999 \xc2\xb5s"},
                     {999500, "1.00 ms"}, {12345678, "12.3 ms"}, {250e6, "250 ms"},        {1e9, "1.00 s"},
                     {59.96e9, "60.0 s"}, {1000e9, "16.7 min"},  {NAN, "\xe2\x80\x93"}};
    static const struct {
        double value;
        const char *text;
    } rates[] = {{0, "0"},       {0.004, "&lt;0.01"}, {0.25, "0.25"},    {9.996, "10.0"},
                 {99.96, "100"}, {999.4, "999"},      {1234.5, "1,235"}, {NAN, "\xe2\x80\x93"}},
      percents[] = {{0, "0 %"}, {0.0005, "&lt;0.1 %"}, {0.025, "2.5 %"}, {1, "100.0 %"}, {NAN, "\xe2\x80\x93"}};
    struct tb_buffer b = {0};
    for (size_t i = 0; i < sizeof durations / sizeof *durations; i++) {
        tb_html_duration(&b, durations[i].ns);
        assert_text(&b, durations[i].text);
    }
    for (size_t i = 0; i < sizeof rates / sizeof *rates; i++) {
        tb_html_rate(&b, rates[i].value);
        assert_text(&b, rates[i].text);
    }
    for (size_t i = 0; i < sizeof percents / sizeof *percents; i++) {
        tb_html_percent(&b, percents[i].value);
        assert_text(&b, percents[i].text);
    }
    tb_html_count(&b, 0);
    assert_text(&b, "0");
    tb_html_count(&b, UINT64_MAX);
    assert_text(&b, "18,446,744,073,709,551,615");
    tb_html_argument(&b, "a b&c=\"\xc3\xa9\"");
    assert_text(&b, "a%20b%26c%3D%22%C3%A9%22");
    tb_buffer_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_of_any_bytes_do_not_change_the_page),
        cmocka_unit_test(no_service_says_what_to_do),
        cmocka_unit_test(figures_read_well),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

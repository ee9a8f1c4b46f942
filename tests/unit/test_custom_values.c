/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Metrics of the user's own with values of heads and bodies: the bytes of exchanges come in pieces of every size, and
 * what is found in them is compared with what was sent.
 */
#include "custom_support.h"

/* ---- heads and bodies ---- */

/* @bytes in pieces of at most @step, each in memory of its own. */
static void send_cut(struct tb_core *core, struct tb_conn *c, enum tb_direction d, const char *bytes, size_t step)
{
    for (size_t at = 0, len = strlen(bytes); at < len; at += step) {
        size_t n = len - at < step ? len - at : step;
        uint8_t *copy = malloc(n);
        memcpy(copy, bytes + at, n);
        struct tb_bytes one = {copy, n};
        tb_exchange_io(core, c, d, &one, 1, n);
        free(copy);
    }
}

static const char orders[] = "rules:\n"
                             "  - metric: orders_created_total\n"
                             "    match: {method: POST, route: /orders, status: 2xx, request_header: {X-Tenant: 'a*'}, "
                             "not: {query: {dry: '*'}}}\n"
                             "    labels:\n"
                             "      status: {response_json: order.status, allow: [paid, pending]}\n"
                             "      payment_method: {request_json: payment.method, request_form: method, max: 2}\n"
                             "      cache: {response_header: X-Cache}\n"
                             "  - metric: order_items\n"
                             "    type: histogram\n"
                             "    match: {route: /orders}\n"
                             "    value: {response_json: 'items[1].count'}\n"
                             "    bounds: [1, 10]\n";

static char *order(const char *query, const char *tenant, const char *type, const char *body)
{
    return tb_format(
        "POST /orders%s HTTP/1.1\r\nHost: shop.test:8080\r\nX-Tenant: %s\r\nContent-Type: %s\r\nContent-Length: "
        "%zu\r\n\r\n%s",
        query, tenant, type, strlen(body), body);
}

static char *answer(unsigned status, const char *headers, const char *body, bool is_chunked)
{
    char *head =
             tb_format("HTTP/1.1 %u Any\r\nX-Cache:  HIT \r\nContent-Type: application/json\r\n%s", status, headers),
         *all;
    if (is_chunked)
        all = tb_format("%sTransfer-Encoding: chunked\r\n\r\n%zx\r\n%.5s\r\n%zx;x=y\r\n%s\r\n0\r\nA: b\r\n\r\n", head,
                        (size_t)5, body, strlen(body) - 5, body + 5);
    else
        all = tb_format("%sContent-Length: %zu\r\n\r\n%s", head, strlen(body), body);
    free(head);
    return all;
}

#define PAID "{\"items\":[{\"count\":1},{\"count\":3}],\"order\":{\"id\":\"x\",\"status\":\"paid\"}}"

static void values_of_heads_and_bodies_are_labels(void **state)
{
    (void)state;
    for (size_t step = 1; step < 400; step = step < 40 ? step + 1 : step * 2) {
        struct tb_core *core = new_core(orders);
        struct tb_conn c;
        tb_conn_open(&c);
        for (unsigned i = 0; i < 6; i++) {
            char *request =
                i % 2 ? order("?a=1", "acme", "application/x-www-form-urlencoded", "x=1&method=pay%70al&z")
                      : order("", "acme", "application/json; charset=utf-8", "{\"payment\":{\"method\":\"card\"}}");
            char *response = answer(201, "", PAID, i % 3 == 0);
            send_cut(core, &c, TB_RECEIVED, request, step);
            if (i == 4)
                send_cut(core, &c, TB_SENT, "HTTP/1.1 103 Early\r\nX-Cache: MISS\r\n\r\n", step);
            send_cut(core, &c, TB_SENT, response, step);
            free(request);
            free(response);
        }
        assert_int_equal(count(core, "corders_created_total{cache=\"HIT\",payment_method=\"card\",status=\"paid\"}"),
                         3);
        assert_int_equal(count(core, "corders_created_total{cache=\"HIT\",payment_method=\"paypal\",status=\"paid\"}"),
                         3);
        assert_int_equal(count(core, "horder_items{}"), 6);
        assert_int_equal(count_series(core), 3);
        assert_int_equal(unreadable(core, "orders_created_total", 0), 0);
        tb_exchange_close(core, &c, TB_CLOSE_LOCAL);
        support_drop(core);
    }
}

static void conditions_on_heads_decide(void **state)
{
    (void)state;
    static const char json[] = "{\"payment\":{\"method\":\"card\"}}";
    static const struct {
        const char *query, *tenant;
        unsigned status, counted;
    } cases[] = {{"", "acme", 201, 1},
                 {"?dry=1", "acme", 201, 0},
                 {"?a=b&dry", "acme", 201, 0},
                 {"", "bcme", 201, 0},
                 {"", "acme", 404, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tb_core *core = new_core(orders);
        struct tb_conn c;
        tb_conn_open(&c);
        char *request = order(cases[i].query, cases[i].tenant, "application/json", json);
        char *response = answer(cases[i].status, "", PAID, false);
        send_cut(core, &c, TB_RECEIVED, request, 1000);
        send_cut(core, &c, TB_SENT, response, 1000);
        if (count(core, "corders_created_total{cache=\"HIT\",payment_method=\"card\",status=\"paid\"}") !=
            cases[i].counted)
            fail_msg("case %zu", i);
        free(request);
        free(response);
        tb_exchange_close(core, &c, TB_CLOSE_LOCAL);
        support_drop(core);
    }
}

static void what_cannot_be_read_is_counted(void **state)
{
    (void)state;
    static char long_text[200000];
    memset(long_text, 'x', sizeof long_text - 1);
    char *large = tb_format("{\"a\":\"%s\",\"order\":{\"status\":\"paid\"}}", long_text);
    char *long_value = tb_format("{\"order\":{\"status\":\"%.80s\"}}", long_text);
    const struct {
        const char *headers, *body;
        unsigned why;
        bool is_length; /* nobody has the bytes */
    } cases[] = {{"Content-Encoding: gzip\r\n", "\x1f\x8b\x08 and so on", TB_CUSTOM_WHY_COMPRESSED, false},
                 {"Content-Encoding: br\r\n", "\x8b\x03\x80 and so on", TB_CUSTOM_WHY_COMPRESSED, false},
                 {"Content-Encoding: zstd\r\n", "\x28\xb5\x2f\xfd and so on", TB_CUSTOM_WHY_COMPRESSED, false},
                 {"Content-Encoding: deflate\r\n", "x\x9c and so on", TB_CUSTOM_WHY_COMPRESSED, false},
                 {"", "<html>", TB_CUSTOM_WHY_TYPE, false},
                 {"", "x", TB_CUSTOM_WHY_TYPE, false},
                 {"", large, TB_CUSTOM_WHY_TOO_LONG, false},
                 {"", long_value, TB_CUSTOM_WHY_TOO_LONG, false},
                 {"", "{\"order\":{\"status\":\"\xff\"}}", TB_CUSTOM_WHY_NOT_UTF8, false},
                 {"", "{\"order\":{\"status\":x}}", TB_CUSTOM_WHY_MALFORMED, false},
                 {"", "{\"order\":{\"statu\":\"paid\"}}", TB_CUSTOM_WHY_MISSING, false},
                 {"", "{\"order\":{\"status\":{}}}", TB_CUSTOM_WHY_TYPE, false},
                 {"", PAID, TB_CUSTOM_WHY_UNSEEN, true}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tb_core *core = new_core(orders);
        struct tb_conn c;
        tb_conn_open(&c);
        char *request = order("", "acme", "application/json", "{\"payment\":{\"method\":\"card\"}}");
        char *response = answer(201, cases[i].headers, cases[i].body, false);
        send_cut(core, &c, TB_RECEIVED, request, 1000);
        size_t head = strlen(response) - strlen(cases[i].body);
        struct tb_bytes parts[] = {
            {(const uint8_t *)response, head},
            {cases[i].is_length ? NULL : (const uint8_t *)response + head, strlen(cases[i].body)}};
        tb_exchange_io(core, &c, TB_SENT, parts, 2, strlen(response));
        assert_int_equal(count(core, "corders_created_total{cache=\"HIT\",payment_method=\"card\",status=\"_other\"}"),
                         1);
        if (unreadable(core, "orders_created_total", cases[i].why) != 1)
            fail_msg("case %zu", i);
        free(request);
        free(response);
        tb_exchange_close(core, &c, TB_CLOSE_LOCAL);
        support_drop(core);
    }
    free(large);
    free(long_value);
}

/* What was not listed, or came when there was no room, is the label's other; the sum stays whole. */
static void labels_have_a_list_or_a_cap(void **state)
{
    (void)state;
    struct tb_core *core = new_core(orders);
    struct tb_conn c;
    uint64_t others = 0, all = 0;
    tb_conn_open(&c);
    for (unsigned i = 0; i < 40; i++) {
        char *body = tb_format("{\"payment\":{\"method\":\"m%u\"}}", i % 20);
        char *request = order("", "acme", "application/json", body);
        send_cut(core, &c, TB_RECEIVED, request, 1000);
        char *response = answer(200, "", i % 2 ? PAID : "{\"order\":{\"status\":\"lost\"}}", false);
        send_cut(core, &c, TB_SENT, response, 1000);
        free(body);
        free(request);
        free(response);
    }
    struct view v = {0};
    look(&v, core);
    for (size_t i = 0; i < v.s->series_count; i++) {
        const struct tb_snap_series *e = v.s->series[i];
        if (e->key.family != TB_FAMILY_RULE || e->key.ext[0] != 'c')
            continue;
        all += e->count;
        others += strstr(e->key.ext, "payment_method=\"_other\"") ? e->count : 0;
    }
    assert_int_equal(all, 40);
    assert_int_equal(others, 36);
    assert_int_equal(find(&v, "corders_created_total{cache=\"HIT\",payment_method=\"m0\",status=\"_other\"}")->count,
                     2);
    assert_int_equal(find(&v, "corders_created_total{cache=\"HIT\",payment_method=\"m1\",status=\"paid\"}")->count, 2);
    drop(&v);
    tb_exchange_close(core, &c, TB_CLOSE_LOCAL);
    support_drop(core);
}

/* Pipelined requests keep their own values; connections that close give theirs back. */
static void many_exchanges_share_the_captures(void **state)
{
    (void)state;
    struct tb_core *core = new_core("rules: [{metric: a_total, labels: {t: {request_header: X-Tenant, max: 50}}}]\n");
    struct tb_conn c;
    tb_conn_open(&c);
    for (unsigned i = 0; i < 10; i++) {
        char *request = tb_format("GET /x HTTP/1.1\r\nX-Tenant: t%u\r\n\r\n", i);
        send(core, &c, TB_RECEIVED, request);
        free(request);
    }
    for (unsigned i = 0; i < 10; i++)
        send(core, &c, TB_SENT, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    for (unsigned i = 0; i < 10; i++) {
        char *ext = tb_format("ca_total{t=\"t%u\"}", i);
        assert_int_equal(count(core, ext), 1);
        free(ext);
    }
    tb_exchange_close(core, &c, TB_CLOSE_LOCAL);
    struct tb_conn *many = calloc(1000, sizeof *many);
    for (unsigned round = 0; round < 2; round++)
        for (unsigned i = 0; i < 1000; i++) {
            tb_conn_open(&many[i]);
            send(core, &many[i], TB_RECEIVED, "GET /x HTTP/1.1\r\nX-Tenant: u\r\n\r\n");
            if (i % 40 == 39)
                for (unsigned k = i - 39; k <= i; k++)
                    tb_exchange_close(core, &many[k], TB_CLOSE_LOCAL);
        }
    for (unsigned i = 0; i < TB_CAPTURES; i++)
        assert_int_equal(core->captures[i][0], 0);
    /* what docs/rules.md promises of memory: each of these in one place, and all places there are */
    assert_in_range(sizeof core->captures[0], 1, 4096);
    assert_in_range(sizeof core->captures, 1, 64 * 4096);
    free(many);
    support_drop(core);
}

/* ---- gauges ---- */

static const struct tb_snap_series *find_gauge(const struct view *v, const char *ext)
{
    for (size_t i = 0; i < v->s->series_count; i++)
        if (tb_gauge_is(&v->s->series[i]->key) && strcmp(v->s->series[i]->key.ext, ext) == 0)
            return v->s->series[i];
    return NULL;
}

static void get_with(struct tb_core *core, struct tb_conn *c, const char *headers, const char *response_headers)
{
    char text[2000];
    snprintf(text, sizeof text, "GET /x HTTP/1.1\r\nHost: h\r\n%s\r\n", headers);
    send(core, c, TB_RECEIVED, text);
    snprintf(text, sizeof text, "HTTP/1.1 200 OK\r\n%sContent-Length: 0\r\n\r\n", response_headers);
    send(core, c, TB_SENT, text);
}

static void a_gauge_is_the_last_number(void **state)
{
    (void)state;
    struct tb_core *core =
        new_core("rules:\n"
                 "  - {metric: task_queue_size, type: gauge, value: {response_header: X-Queue}}\n"
                 "  - {metric: lag_seconds, type: gauge, value: {response_header: X-Lag}, scale: 0.001}\n");
    struct view v = {0};
    struct tb_conn c;
    tb_conn_open(&c);
    get_with(core, &c, "", "X-Queue: 12\r\nX-Lag: 1500\r\n");
    clock_ns += MS;
    get_with(core, &c, "", "X-Queue: 7\r\n");
    clock_ns += MS;
    get_with(core, &c, "", "X-Queue: many\r\n");
    look(&v, core);
    assert_int_equal(find_gauge(&v, "gtask_queue_size{}")->total.rx_bytes, 7 * SECOND);
    assert_int_equal(find_gauge(&v, "glag_seconds{}")->total.rx_bytes, 1500 * MS);
    drop(&v);
    assert_int_equal(unreadable(core, "task_queue_size", TB_CUSTOM_WHY_TYPE), 1);
    tb_exchange_close(core, &c, TB_CLOSE_LOCAL);
    support_drop(core);
}

static void different_values_are_counted_but_not_kept(void **state)
{
    (void)state;
    struct tb_core *core =
        new_core("rules: [{metric: active_sessions, type: distinct, value: {cookie: sid}, window: 30m}]\n");
    struct tb_conn c;
    tb_conn_open(&c);
    for (unsigned i = 0; i < 9000; i++) {
        char *headers = i % 3 ? tb_format("Cookie: a=b; sid=secret-%u\r\n", i % 2000) : tb_format("X: y\r\n");
        get_with(core, &c, headers, "");
        free(headers);
    }
    struct view v = {0};
    look(&v, core);
    uint64_t found = find_gauge(&v, "dactive_sessions{}")->total.rx_bytes;
    if (found < 1960 || found > 2040)
        fail_msg("%llu of 2000", (unsigned long long)found);
    drop(&v);
    for (size_t i = 0; i + 7 < TB_REGION_BYTES; i++)
        assert_false(memcmp(core->base + i, "secret-", 7) == 0);
    clock_ns += 40 * 60 * SECOND;
    look(&v, core);
    assert_int_equal(find_gauge(&v, "dactive_sessions{}")->total.rx_bytes, 0);
    drop(&v);
    tb_exchange_close(core, &c, TB_CLOSE_LOCAL);
    support_drop(core);
}

static uint64_t sessions_now(struct tb_core *core)
{
    struct view v = {0};
    look(&v, core);
    uint64_t found = find_gauge(&v, "dactive_sessions{}")->total.rx_bytes;
    drop(&v);
    return found;
}

static void visit(struct tb_core *core, struct tb_conn *c, unsigned from, unsigned to)
{
    for (unsigned i = from; i < to; i++) {
        char *headers = tb_format("Cookie: sid=session-%u\r\n", i);
        get_with(core, c, headers, "");
        free(headers);
    }
}

/* Who comes back stays; the others go when half an hour is over, and not before. Bots keep nobody. */
static void sessions_end_with_their_window(void **state)
{
    const uint64_t minute_ns = 60 * SECOND;
    (void)state;
    struct tb_core *core =
        new_core("rules: [{metric: active_sessions, type: distinct, value: {cookie: sid}, window: 30m}]\n");
    struct tb_conn c;
    tb_conn_open(&c);
    visit(core, &c, 0, 600);
    for (unsigned minute = 1; minute <= 52; minute++) {
        clock_ns += minute_ns;
        if (minute == 20)
            visit(core, &c, 400, 600);
        get_with(core, &c, "User-Agent: bot\r\n", "");
        uint64_t found = sessions_now(core), expected = minute < 30 ? 600 : minute < 50 ? 200 : 0;
        if (minute == 30 || minute == 50)
            continue; /* a window begins with a slice, so it is up to one longer than it says */
        if (found + expected / 50 < expected || found > expected + expected / 50)
            fail_msg("minute %u: %llu of %llu", minute, (unsigned long long)found, (unsigned long long)expected);
    }
    tb_exchange_close(core, &c, TB_CLOSE_LOCAL);
    support_drop(core);
}

/* A region's owner could make the exporter busy with one sketch that thousands of series name. */
static void a_sketch_is_not_read_as_often_as_it_is_named(void **state)
{
    (void)state;
    struct tb_core *core = new_core(NULL);
    struct tb_series_key key = {.family = TB_FAMILY_RULE_DISTINCT, .role = TB_ROLE_SERVER};
    uint64_t *first = NULL;
    for (unsigned i = 0; i < 300; i++) {
        char *name = tb_format("dusers{n=\"%u\"}", i);
        key.ext = tb_string_intern(core, tb_bytes_str(name));
        if (!first)
            tb_custom_add_distinct(core, &key, 60 * SECOND, 1234567);
        uint64_t *words = tb_series_block(core, &key, 0);
        assert_non_null(words);
        if (first)
            memcpy(words, first, 2 * sizeof *words);
        else
            first = words;
        free(name);
    }
    struct view v = {0};
    unsigned counted = 0, series = 0;
    look(&v, core);
    for (size_t i = 0; i < v.s->series_count; i++) {
        series += v.s->series[i]->key.family == TB_FAMILY_RULE_DISTINCT;
        counted += v.s->series[i]->total.rx_bytes != 0;
    }
    assert_int_equal(series, 300);
    assert_in_range(counted, 1, TB_GAUGE_SKETCHES);
    assert_int_equal(find_gauge(&v, "dusers{n=\"0\"}")->total.rx_bytes, 1);
    drop(&v);
    support_drop(core);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_of_heads_and_bodies_are_labels),
        cmocka_unit_test(conditions_on_heads_decide),
        cmocka_unit_test(what_cannot_be_read_is_counted),
        cmocka_unit_test(labels_have_a_list_or_a_cap),
        cmocka_unit_test(many_exchanges_share_the_captures),
        cmocka_unit_test(a_gauge_is_the_last_number),
        cmocka_unit_test(different_values_are_counted_but_not_kept),
        cmocka_unit_test(sessions_end_with_their_window),
        cmocka_unit_test(a_sketch_is_not_read_as_often_as_it_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

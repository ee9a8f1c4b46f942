/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Metrics of the user's own: bytes go through a whole core under rules of a configuration, the region is read as an
 * exporter reads it, and every series is compared with what was sent.
 */
#include "rules_support.h"

#include "conn.h"
#include "custom.h"
#include "exchange.h"

#include "exporter/region_read.h"
#include "exporter/rules_config.h"
#include "exporter/rules_ext.h"
#include "exporter/rules_gauges.h"

#define SECOND UINT64_C(1000000000)
#define MS (SECOND / 1000)

static uint64_t clock_ns;

static uint64_t read_clock(void)
{
    return clock_ns;
}

static struct tb_core *new_core(const char *rules)
{
    struct tb_core *core = support_bound_core();
    clock_ns = SECOND;
    core->env.monotonic_ns = read_clock;
    core->realtime_offset_ns = UINT64_C(1700000000) * SECOND;
    if (rules)
        rules_use(core, rules, "shop");
    return core;
}

static void send(struct tb_core *core, struct tb_conn *c, enum tb_direction d, const char *bytes)
{
    struct tb_bytes one = {(const uint8_t *)bytes, strlen(bytes)};
    tb_exchange_io(core, c, d, &one, 1, one.len);
}

/* One request with its answer @after_ns later. */
static void exchange(struct tb_core *core, struct tb_conn *c, const char *method, const char *path, unsigned status,
                     const char *body, uint64_t after_ns)
{
    char text[1000];
    snprintf(text, sizeof text,
             "%s %s HTTP/1.1\r\nHost: h\r\nAccept: */*\r\nUser-Agent: a test of rules, of bytes\r\n\r\n", method, path);
    send(core, c, TB_RECEIVED, text);
    clock_ns += after_ns;
    snprintf(text, sizeof text,
             "HTTP/1.1 %u Any\r\nServer: s\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n\r\n%s", status,
             strlen(body), body);
    send(core, c, TB_SENT, text);
}

/* ---- the region as an exporter has it ---- */

struct view {
    struct tb_snapshot *s;
    struct tb_slot_cache cache;
};

static void look(struct view *v, struct tb_core *core)
{
    struct tb_region_copy copy = {.base = core->base, .len = TB_REGION_BYTES};
    uint32_t skipped = 0;
    v->s = tb_snapshot_new();
    tb_snapshot_begin(v->s, UINT64_C(1700000000) * SECOND + clock_ns);
    tb_region_read_series(v->s, tb_snapshot_service(v->s, "shop", 4), &copy, &v->cache, TB_READ_TOTAL, &skipped);
    assert_int_equal(tb_snapshot_finish(v->s), 0);
    assert_int_equal(skipped, 0);
}

static void drop(struct view *v)
{
    tb_slot_cache_free(&v->cache);
    tb_snapshot_free(v->s);
}

static const struct tb_snap_series *find(const struct view *v, const char *ext)
{
    for (size_t i = 0; i < v->s->series_count; i++)
        if (v->s->series[i]->key.family == TB_FAMILY_RULE && strcmp(v->s->series[i]->key.ext, ext) == 0)
            return v->s->series[i];
    return NULL;
}

static uint64_t count(struct tb_core *core, const char *ext)
{
    struct view v = {0};
    look(&v, core);
    const struct tb_snap_series *e = find(&v, ext);
    uint64_t n = e ? e->count : 0;
    drop(&v);
    return n;
}

/* @why 0: of any reason. */
static uint64_t unreadable(struct tb_core *core, const char *metric, unsigned why)
{
    struct view v = {0};
    uint64_t n = 0;
    look(&v, core);
    for (size_t i = 0; i < v.s->series_count; i++) {
        const struct tb_snap_key *k = &v.s->series[i]->key;
        if (k->family == TB_FAMILY_UNREADABLE && strcmp(k->ext, metric) == 0 && (!why || k->status == why))
            n += v.s->series[i]->count;
    }
    drop(&v);
    return n;
}

static size_t count_series(struct tb_core *core)
{
    struct view v = {0};
    size_t n = 0;
    look(&v, core);
    for (size_t i = 0; i < v.s->series_count; i++)
        n += v.s->series[i]->key.family == TB_FAMILY_RULE;
    drop(&v);
    return n;
}

/* ---- matching ---- */

static void requests_are_matched_by_method_route_and_status(void **state)
{
    (void)state;
    struct tb_core *core = new_core("rules:\n"
                                    "  - metric: orders_created_total\n"
                                    "    match: {method: POST, route: /orders, status: [201, 4xx]}\n"
                                    "    labels: {status: status, method: method}\n"
                                    "  - metric: shop_requests_total\n"
                                    "    match: {not: {route: [/health, /orders]}}\n"
                                    "    labels: {class: status_class, route: route}\n");
    struct tb_conn c;
    tb_conn_open(&c);
    for (unsigned i = 0; i < 7; i++)
        exchange(core, &c, "POST", "/orders", 201, "", MS);
    exchange(core, &c, "POST", "/orders", 200, "", MS);
    exchange(core, &c, "POST", "/orders", 422, "", MS);
    exchange(core, &c, "PUT", "/orders", 201, "", MS);
    for (unsigned i = 0; i < 30; i++)
        exchange(core, &c, "GET", i % 3 ? "/cart" : "/health", i == 7 ? 503 : 200, "0123456789", MS);
    assert_int_equal(count(core, "corders_created_total{method=\"POST\",status=\"201\"}"), 7);
    assert_int_equal(count(core, "corders_created_total{method=\"POST\",status=\"422\"}"), 1);
    assert_int_equal(count(core, "cshop_requests_total{class=\"2xx\",route=\"/cart\"}"), 19);
    assert_int_equal(count(core, "cshop_requests_total{class=\"5xx\",route=\"/cart\"}"), 1);
    assert_int_equal(count_series(core), 4);
    tb_exchange_close(core, &c, TB_CLOSE_LOCAL);
    support_drop(core);
}

static void a_histogram_has_its_own_bounds(void **state)
{
    (void)state;
    static const unsigned ms[] = {50, 100, 101, 600, 1999, 2000, 4999, 20000};
    static const uint64_t want[] = {2, 1, 1, 2, 1, 0, 1};
    struct tb_core *core = new_core("rules:\n"
                                    "  - metric: checkout_duration_seconds\n"
                                    "    type: histogram\n"
                                    "    match: {route: /checkout}\n"
                                    "    bounds: [0.1, 0.5, 1, 2, 5, 10]\n");
    struct view v = {0};
    struct tb_conn c;
    uint64_t buckets[TB_BOUNDS_MAX + 1], sum = 0;
    tb_conn_open(&c);
    for (size_t i = 0; i < sizeof ms / sizeof *ms; i++) {
        exchange(core, &c, "GET", "/checkout", 200, "x", ms[i] * MS);
        sum += ms[i] * MS;
    }
    look(&v, core);
    const struct tb_snap_series *e = find(&v, "hcheckout_duration_seconds{}");
    assert_non_null(e);
    assert_int_equal(tb_values_classic(&e->total, e->key.bound_set, buckets), 7);
    assert_memory_equal(buckets, want, sizeof want);
    assert_int_equal(e->total.sum_ns, sum);
    drop(&v);
    tb_exchange_close(core, &c, TB_CLOSE_LOCAL);
    support_drop(core);
}

static void sizes_and_durations_are_added_up(void **state)
{
    (void)state;
    struct tb_core *core =
        new_core("rules:\n"
                 "  - {metric: sent_bytes_total, value: response_size, match: {route: /a}}\n"
                 "  - {metric: busy_seconds_total, value: duration}\n"
                 "  - {metric: answer_bytes, type: histogram, value: response_size, bounds: [5, 100]}\n");
    struct view v = {0};
    struct tb_conn c;
    uint64_t buckets[TB_BOUNDS_MAX + 1];
    tb_conn_open(&c);
    exchange(core, &c, "GET", "/a", 200, "12345", 2 * MS);
    exchange(core, &c, "GET", "/a", 200, "123456", 3 * MS);
    exchange(core, &c, "GET", "/b", 200, "123", 4 * MS);
    look(&v, core);
    assert_int_equal(find(&v, "bsent_bytes_total{}")->total.rx_bytes, 11);
    assert_int_equal(find(&v, "sbusy_seconds_total{}")->total.rx_bytes, 9 * MS);
    const struct tb_snap_series *e = find(&v, "hanswer_bytes{}");
    assert_int_equal(tb_values_classic(&e->total, e->key.bound_set, buckets), 3);
    assert_int_equal(buckets[0], 2);
    assert_int_equal(buckets[1], 1);
    assert_int_equal(e->total.sum_ns, 14);
    drop(&v);
    tb_exchange_close(core, &c, TB_CLOSE_LOCAL);
    support_drop(core);
}

/* Exchanges that no rule is about go the short way: the same number of cells is found as without rules. */
static void only_what_a_rule_is_about_leaves_the_short_way(void **state)
{
    (void)state;
    struct tb_core *core = new_core("rules: [{metric: seen_total, match: {route: /seen}}]\n");
    struct tb_conn c;
    tb_conn_open(&c);
    for (unsigned i = 0; i < 3; i++)
        exchange(core, &c, "GET", i < 2 ? "/other" : "/seen", 200, "0123456789", MS);
    size_t known = 0;
    for (size_t i = 0; i < TB_CELL_CACHE; i++)
        known += core->cell_cache[i] != 0;
    assert_int_equal(known, 1);
    for (unsigned i = 0; i < 5; i++)
        exchange(core, &c, "GET", "/seen", 200, "0123456789", MS);
    assert_int_equal(count(core, "cseen_total{}"), 6);
    tb_exchange_close(core, &c, TB_CLOSE_LOCAL);
    support_drop(core);
}

static void rules_are_replaced_while_a_program_runs(void **state)
{
    (void)state;
    struct tb_core *core = new_core("rules: [{metric: a_total, match: {route: /x}}]\n");
    struct tb_conn c;
    tb_conn_open(&c);
    exchange(core, &c, "GET", "/x", 200, "", MS);
    rules_use(core, "rules: [{metric: b_total, match: {route: /x}, labels: {m: method}}]\n", "shop");
    exchange(core, &c, "GET", "/x", 200, "", MS);
    exchange(core, &c, "GET", "/x", 200, "", MS);
    rules_use(core, "routes: {max_routes: 100}\n", "shop");
    exchange(core, &c, "GET", "/x", 200, "", MS);
    assert_int_equal(count(core, "ca_total{}"), 1);
    assert_int_equal(count(core, "cb_total{m=\"GET\"}"), 2);
    tb_exchange_close(core, &c, TB_CLOSE_LOCAL);
    support_drop(core);
}

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
                 {"", "<html>", TB_CUSTOM_WHY_TYPE, false},
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

/* ---- names in regions ---- */

static void only_sound_names_are_taken(void **state)
{
    (void)state;
    static const char *const good[] = {"ca_total{}", "ca_total{x=\"\"}", "ha{b=\"1\",c=\"\\\\ \\\" }\"}",
                                       "sa_total{a=\"1\"}"};
    static const char *const bad[] = {"",
                                      "c",
                                      "xa_total{}",
                                      "ca{}",
                                      "ha_total{}",
                                      "ha_bucket{}",
                                      "ca_total",
                                      "ca_total{",
                                      "ca_total{}x",
                                      "ca_total{x}",
                                      "ca_total{x=1}",
                                      "ca_total{x=\"1\"",
                                      "ca_total{x=\"1}",
                                      "ca_total{x=\"1\",}",
                                      "ca_total{b=\"1\",a=\"1\"}",
                                      "ca_total{a=\"1\",a=\"1\"}",
                                      "ca_total{le=\"1\"}",
                                      "ca_total{__a=\"1\"}",
                                      "ca_total{a=\"\\n\"}",
                                      "c1_total{}",
                                      "ca_total{,a=\"1\"}",
                                      "ca total{}",
                                      "ca_total{a=\"1\"b=\"1\"}"};
    struct tb_ext ext;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_true(tb_ext_read(good[i], &ext));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (tb_ext_read(bad[i], &ext))
            fail_msg("%s", bad[i]);
    assert_true(tb_ext_has_label("a=\"x,b=\\\"\",c=\"\"", "c"));
    assert_false(tb_ext_has_label("a=\"x,b=\\\"\",c=\"\"", "b"));
}

/* ---- the configuration ---- */

static void wrong_rules_are_told_with_their_place(void **state)
{
    (void)state;
    static const struct {
        const char *text, *where, *what;
    } cases[] = {{"rules: [{type: counter}]\n", ":1:9:", "has no metric"},
                 {"rules:\n  - metric: orders\n", ":2:5:", "does not end with _total"},
                 {"rules:\n  - metric: http_requests_total\n", ":2:5:", "of the exporter's own"},
                 {"rules:\n  - metric: tickbird_x_total\n", ":2:5:", "the exporter's own"},
                 {"rules:\n  - metric: a_total\n  - {metric: a, type: histogram}\n", ":3:5:", "samples of that name"},
                 {"rules:\n  - {metric: a_total, help: x}\n  - {metric: a_total, help: y}\n", ":3:5:", "another type"},
                 {"rules:\n  - metric: a_total\n    labels:\n      service: method\n", ":2:5:", "on every sample"},
                 {"rules:\n  - metric: a_total\n    labels:\n      le: method\n", ":4:7:", "label of buckets"},
                 {"rules:\n  - metric: a_total\n    labels:\n      x: colour\n", ":4:10:", "none of method"},
                 {"rules:\n  - metric: a_total\n    labels:\n      x: {max: 3}\n", ":4:7:", "no place"},
                 {"rules:\n  - metric: a_total\n    bounds: [1]\n", ":3:13:", "only a histogram"},
                 {"rules:\n  - metric: a_total\n    scale: 0.5\n", ":3:12:", "no power of ten"},
                 {"rules:\n  - metric: a_total\n    match: {status: 2x}\n", ":3:21:", "no status"},
                 {"rules:\n  - metric: a_total\n    match: {method: get}\n", ":3:21:", "no method"},
                 {"rules:\n  - metric: a_total\n    match: {role: proxy}\n", ":3:19:", "neither server nor client"},
                 {"rules:\n  - metric: a_total\n    color: red\n", ":3:5:", "unknown key"},
                 {"rules: [{metric: a, type: histogram, value: {query: n}}]\n", ":1:9:", "there are none"}};
    char *dir = support_dir();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *path = rules_file(dir, "config.yml", cases[i].text), *errors = NULL;
        assert_null(tb_config_load(path, &errors));
        if (!strstr(errors, cases[i].where) || !strstr(errors, cases[i].what))
            fail_msg("case %zu: %s", i, errors);
        free(errors);
        free(path);
    }
    support_remove_dir(dir);
}

static void too_many_rules_are_told(void **state)
{
    (void)state;
    struct tb_buffer text = {0};
    char *dir = support_dir(), *errors = NULL;
    tb_puts(&text, "rules:\n");
    for (unsigned i = 0; i <= TB_CUSTOM_RULES; i++) {
        char *line = tb_format("  - metric: m%u_total\n", i);
        tb_puts(&text, line);
        free(line);
    }
    tb_put(&text, "", 1);
    char *path = rules_file(dir, "config.yml", text.data);
    assert_null(tb_config_load(path, &errors));
    assert_non_null(strstr(errors, "config.yml:34:5: rules: a service has more than 32 rules"));
    free(errors);
    free(path);
    tb_buffer_free(&text);
    support_remove_dir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_are_matched_by_method_route_and_status),
        cmocka_unit_test(a_histogram_has_its_own_bounds),
        cmocka_unit_test(sizes_and_durations_are_added_up),
        cmocka_unit_test(only_what_a_rule_is_about_leaves_the_short_way),
        cmocka_unit_test(rules_are_replaced_while_a_program_runs),
        cmocka_unit_test(values_of_heads_and_bodies_are_labels),
        cmocka_unit_test(conditions_on_heads_decide),
        cmocka_unit_test(what_cannot_be_read_is_counted),
        cmocka_unit_test(labels_have_a_list_or_a_cap),
        cmocka_unit_test(many_exchanges_share_the_captures),
        cmocka_unit_test(a_gauge_is_the_last_number),
        cmocka_unit_test(different_values_are_counted_but_not_kept),
        cmocka_unit_test(only_sound_names_are_taken),
        cmocka_unit_test(wrong_rules_are_told_with_their_place),
        cmocka_unit_test(too_many_rules_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

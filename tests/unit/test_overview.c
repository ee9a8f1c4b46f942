/* SPDX-License-Identifier: Apache-2.0 */
/*
 * overview.h and api.h: sums by service and route, of all time and of the last minute, against figures known from what
 * was put in; orders, selections, tops, the heat map; and the JSON, read back by the library, with hostile names.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <jansson.h>

#include "exporter/api.h"

#define SECOND UINT64_C(1000000000)
#define MS UINT64_C(1000000)

static struct tb_snapshot *s;
static struct tb_history *h;
static uint64_t now_ns;

static int begin(void **state)
{
    (void)state;
    s = tb_snapshot_new();
    h = tb_history_new();
    now_ns = 1000 * SECOND;
    return 0;
}

static int end(void **state)
{
    (void)state;
    tb_history_free(h);
    tb_snapshot_free(s);
    return 0;
}

static void count_as(enum tb_family family, const char *service, const char *route, uint16_t status, uint64_t ns,
                     uint64_t times)
{
    struct tb_snap_key key = {(uint8_t)family, TB_ROLE_SERVER, TB_METHOD_GET, 0, status, route, "", ""};
    struct tb_snap_series *e = tb_snapshot_series(s, tb_snapshot_service(s, service, strlen(service)), &key);
    if (ns)
        *tb_values_cell(&e->base, 0, ns) += times;
    else
        e->base.untimed += times;
    e->base.sum_ns += ns * times;
}

static void get(const char *service, const char *route, uint16_t status, uint64_t ns, uint64_t times)
{
    count_as(TB_FAMILY_REQUESTS, service, route, status, ns, times);
}

static void pass(uint64_t seconds)
{
    now_ns += seconds * SECOND;
    tb_snapshot_begin(s, UINT64_C(1700000000) * SECOND + now_ns);
    tb_snapshot_finish(s);
    tb_history_note(h, s, now_ns);
}

static struct tb_overview *view(struct tb_overview_query query)
{
    query.limit = query.limit ? query.limit : 10;
    return tb_overview_make(s, h, &query, now_ns);
}

static bool is_near(double found_ns, double ns)
{
    return fabs(found_ns / ns - 1) < 0.091;
}

/* A quiet hour, then a minute of three routes, one of which was never asked before. */
static void some_traffic(void)
{
    get("shop", "/old", 200, 5 * MS, 1000);
    get("shop", "/cart", 200, 20 * MS, 100);
    count_as(TB_FAMILY_ABORTED, "shop", "/cart", TB_ABORT_CLIENT_CLOSED, 0, 3);
    pass(0);
    pass(3600);
    for (int i = 0; i < 12; i++) {
        get("shop", "/cart", 200, 20 * MS, 9);
        get("shop", "/cart", 503, 100 * MS, 1);
        get("shop", "/cart", 404, 1 * MS, 2);
        get("api", "/slow", 200, 2 * SECOND, 1);
        count_as(TB_FAMILY_ABORTED, "shop", "/cart", TB_ABORT_CLIENT_CLOSED, 0, 1);
        count_as(TB_FAMILY_ABORTED, "shop", "/never", TB_ABORT_SERVER_CLOSED, 0, 2);
        pass(5);
    }
}

static void the_window_is_the_last_minute(void **state)
{
    (void)state;
    some_traffic();
    struct tb_overview *v = view((struct tb_overview_query){.sort = TB_OVERVIEW_SORT_RATE});
    assert_true(fabs(v->window_seconds - 60) < 0.001);
    assert_int_equal(v->route_count, 4);
    assert_string_equal(v->routes[0].like->key.route, "/cart");
    assert_int_equal(v->routes[0].window.requests, 12 * 12);
    assert_int_equal(v->routes[0].window.server_errors, 12);
    assert_int_equal(v->routes[0].window.client_errors, 24);
    assert_int_equal(v->routes[0].window.aborted, 12);
    assert_int_equal(v->routes[0].total.requests, 100 + 12 * 12);
    assert_int_equal(v->routes[0].total.aborted, 15);
    assert_true(is_near(v->routes[0].window.p50_ns, 20e6));
    assert_true(is_near(v->routes[0].window.p99_ns, 100e6));
    assert_string_equal(v->routes[1].like->key.route, "/slow");
    assert_true(is_near(v->routes[1].window.p95_ns, 2e9));
    /* idle: of its past only */
    assert_string_equal(v->routes[2].like->key.route, "/old");
    assert_int_equal(v->routes[2].window.requests, 0);
    assert_true(isnan(v->routes[2].window.p95_ns));
    assert_true(is_near(v->routes[2].total.p95_ns, 5e6));
    /* never answered: no series of requests */
    assert_string_equal(v->routes[3].like->key.route, "/never");
    assert_int_equal(v->routes[3].total.aborted, 24);
    assert_int_equal(v->routes[3].total.requests, 0);
    tb_overview_free(v);
}

static void services_are_the_sums_of_their_routes(void **state)
{
    (void)state;
    some_traffic();
    struct tb_overview *v = view((struct tb_overview_query){0});
    assert_int_equal(v->service_count, 2);
    assert_string_equal(v->services[0].service->name, "api");
    assert_int_equal(v->services[0].window.requests, 12);
    assert_int_equal(v->services[1].total.requests, 1100 + 12 * 12);
    assert_int_equal(v->services[1].window.aborted, 36);
    assert_int_equal(v->services[1].routes, 3);
    assert_int_equal(v->total.requests, 1100 + 12 * 13);
    uint64_t requests = 0;
    for (size_t i = 0; i < v->interval_count; i++)
        requests += v->services[1].moments[i].requests;
    assert_int_equal(requests, 12 * 12);
    tb_overview_free(v);
}

static void a_query_selects_and_sorts(void **state)
{
    (void)state;
    some_traffic();
    struct tb_overview *v = view((struct tb_overview_query){.service = "api"});
    assert_int_equal(v->route_count, 1);
    assert_int_equal(v->window.requests, 12);
    assert_int_equal(v->service_count, 2);
    tb_overview_free(v);
    v = view((struct tb_overview_query){.search = "CART"});
    assert_int_equal(v->route_count, 1);
    tb_overview_free(v);
    v = view((struct tb_overview_query){.route = "/car"});
    assert_int_equal(v->route_count, 0);
    tb_overview_free(v);
    v = view((struct tb_overview_query){.sort = TB_OVERVIEW_SORT_P95});
    assert_string_equal(v->routes[0].like->key.route, "/slow");
    assert_string_equal(v->routes[3].like->key.route, "/never"); /* nothing known: last */
    tb_overview_free(v);
    v = view((struct tb_overview_query){.sort = TB_OVERVIEW_SORT_NAME, .limit = 2});
    assert_string_equal(v->routes[0].like->key.route, "/slow");
    assert_string_equal(v->routes[1].like->key.route, "/cart");
    assert_int_equal(v->route_count, 4);
    assert_int_equal(v->listed, 2);
    assert_string_equal(v->slowest[0]->like->key.route, "/slow");
    assert_string_equal(v->slowest[1]->like->key.route, "/cart");
    assert_null(v->slowest[2]);
    assert_string_equal(v->failing[0]->like->key.route, "/cart");
    assert_null(v->failing[1]);
    tb_overview_free(v);
}

static void without_history_there_is_no_window(void **state)
{
    (void)state;
    get("shop", "/", 200, MS, 5);
    pass(0);
    struct tb_overview *v = view((struct tb_overview_query){0});
    assert_true(v->window_seconds == 0);
    assert_int_equal(v->window.requests, 0);
    assert_int_equal(v->total.requests, 5);
    assert_int_equal(v->heat.rows, 0);
    tb_overview_free(v);
}

static void nothing_at_all_is_fine(void **state)
{
    (void)state;
    pass(0);
    pass(5);
    struct tb_overview *v = view((struct tb_overview_query){0});
    assert_int_equal(v->service_count + v->route_count, 0);
    tb_overview_free(v);
}

static void every_timed_request_is_on_the_heat_map(void **state)
{
    (void)state;
    pass(0);
    uint64_t sent = 0;
    srand(3);
    for (int i = 0; i < 30; i++, pass(5)) {
        for (int k = 0; k < 50; k++, sent++)
            get(k % 2 ? "shop" : "api", "/", 200, (uint64_t)(1000 * exp2(rand() % 300 / 10.0)), 1);
        get("shop", "/untimed", 200, 0, 1);
    }
    struct tb_overview *v = view((struct tb_overview_query){0});
    uint64_t shown = 0;
    assert_in_range(v->heat.rows, 2, TB_OVERVIEW_ROWS_MAX);
    for (size_t i = 0; i < v->interval_count * v->heat.rows; i++)
        shown += v->heat.counts[i];
    assert_int_equal(shown, sent);
    tb_overview_free(v);
}

/* Many services and routes, where the totals are known in closed form. */
static void many_of_both_add_up(void **state)
{
    (void)state;
    pass(0);
    for (int i = 0; i < 200; i++) {
        for (int k = 0; k < 50; k++) {
            char service[16], route[16];
            snprintf(service, sizeof service, "s%d", i);
            snprintf(route, sizeof route, "/r%d", k);
            get(service, route, k % 10 ? 200 : 500, MS * (uint64_t)(k + 1), (uint64_t)k + 1);
        }
    }
    pass(60);
    struct tb_overview *v = view((struct tb_overview_query){.sort = TB_OVERVIEW_SORT_ERRORS});
    assert_int_equal(v->route_count, 10000);
    assert_int_equal(v->window.requests, 200 * 1275);
    assert_int_equal(v->window.server_errors, 200 * (1 + 11 + 21 + 31 + 41));
    assert_string_equal(v->routes[0].like->key.route, "/r40");
    for (size_t i = 0; i < 200; i++)
        assert_int_equal(v->services[i].window.requests, 1275);
    tb_overview_free(v);
}

/* --- JSON ------------------------------------------------------------------------------------------------------------
 */

static json_t *ask(const char *path, struct tb_overview_query query)
{
    struct tb_look look = {s, h, now_ns, SECOND, "writable", "/metrics"};
    const struct tb_api_page *page = tb_api_pages;
    struct tb_buffer out = {0};
    json_error_t error;
    query.limit = query.limit ? query.limit : 10;
    while (strcmp(page->path, path) != 0)
        page++;
    page->render(&look, &query, &out);
    json_t *o = json_loadb(out.data, out.len, 0, &error); /* refuses what is not UTF-8 */
    tb_buffer_free(&out);
    assert_non_null(o);
    return o;
}

static double number_at(json_t *o, const char *a, const char *b)
{
    json_t *value = json_object_get(o, a);
    value = b ? json_object_get(value, b) : value;
    assert_true(json_is_number(value));
    return json_number_value(value);
}

static void the_json_says_the_same(void **state)
{
    (void)state;
    some_traffic();
    json_t *o = ask("/api/v1/routes", (struct tb_overview_query){.service = "shop"});
    assert_true(number_at(o, "matching", NULL) == 3);
    assert_true(fabs(number_at(o, "window", "requests_per_second") - 144 / 60.0) < 0.01);
    json_t *cart = json_array_get(json_object_get(o, "routes"), 0);
    assert_string_equal(json_string_value(json_object_get(cart, "route")), "/cart");
    assert_true(fabs(number_at(cart, "window", "error_ratio") - 12 / 144.0) < 1e-6);
    assert_true(number_at(cart, "total", "requests") == 244);
    size_t ends = json_array_size(json_object_get(o, "interval_ends_seconds_ago"));
    json_t *history = json_object_get(cart, "history");
    assert_int_equal(json_array_size(json_object_get(history, "requests")), ends - 1);
    json_decref(o);
    o = ask("/api/v1/overview", (struct tb_overview_query){.sort = TB_OVERVIEW_SORT_NAME});
    assert_int_equal(json_array_size(json_object_get(o, "services")), 2);
    assert_int_equal(json_array_size(json_object_get(o, "slowest")), 2);
    json_t *heat = json_object_get(o, "heatmap");
    assert_int_equal(json_array_size(json_object_get(heat, "counts")), ends - 1);
    json_t *column = json_array_get(json_object_get(heat, "counts"), ends - 2);
    assert_int_equal(json_array_size(column) + 1, json_array_size(json_object_get(heat, "bounds_seconds")));
    json_decref(o);
    for (const struct tb_api_page *page = tb_api_pages; page->path; page++)
        json_decref(ask(page->path, (struct tb_overview_query){0}));
}

static void the_json_has_what_is_called(void **state)
{
    (void)state;
    struct tb_snap_key key = {.role = TB_ROLE_CLIENT, .route = "/pay", .target = "pay.example", .ext = ""};
    pass(0);
    struct tb_snap_service *shop = tb_snapshot_service(s, "shop", 4);
    for (uint16_t status = 200; status <= 500; status += 300) {
        key.family = TB_FAMILY_REQUESTS;
        key.status = status;
        tb_snapshot_series(s, shop, &key)->base.untimed = status;
    }
    key.family = TB_FAMILY_CALL_ERRORS;
    key.status = TB_CALL_RESET;
    tb_snapshot_series(s, shop, &key)->base.untimed = 3;
    key.family = TB_FAMILY_CALL_RESULT;
    key.status = TB_CALL_ANSWERED;
    struct tb_snap_series *answered = tb_snapshot_series(s, shop, &key);
    answered->base.untimed = 200;
    answered->base_chosen_ns = 5 * SECOND;
    key.family = TB_FAMILY_REQUESTS;
    key.status = 204;
    *tb_values_cell(&tb_snapshot_series(s, shop, &key)->base, 0, 250 * MS) = 4;
    pass(60);
    json_t *o = ask("/api/v1/dependencies", (struct tb_overview_query){.service = "shop"});
    json_t *list = json_object_get(o, "dependencies"), *pay = json_array_get(list, 0);
    assert_int_equal(json_array_size(list), 1);
    assert_string_equal(json_string_value(json_object_get(pay, "target")), "pay.example");
    assert_true(json_is_true(json_object_get(pay, "up")));
    assert_true(number_at(pay, "answered", NULL) == 704 && number_at(pay, "server_errors", NULL) == 500);
    assert_true(number_at(pay, "unanswered_by_reason", "reset") == 3 && number_at(pay, "unanswered", NULL) == 3);
    assert_true(number_at(pay, "last_success_seconds", NULL) == 5);
    assert_true(number_at(pay, "window", "calls") == 707 && number_at(pay, "window", "failed") == 503);
    assert_true(fabs(number_at(pay, "window", "calls_per_second") - 707 / 60.0) < 0.01);
    assert_true(fabs(number_at(pay, "window", "error_ratio") - 503 / 707.0) < 1e-6);
    assert_true(fabs(number_at(pay, "window", "p95_seconds") / 0.25 - 1) < 0.1);
    assert_true(fabs(number_at(pay, "p95_seconds", NULL) / 0.25 - 1) < 0.1);
    json_decref(o);
    o = ask("/api/v1/dependencies", (struct tb_overview_query){.service = "other"});
    assert_int_equal(json_array_size(json_object_get(o, "dependencies")), 0);
    json_decref(o);
    pass(120);
    o = ask("/api/v1/overview", (struct tb_overview_query){0});
    pay = json_array_get(json_object_get(o, "dependencies"), 0);
    assert_true(number_at(pay, "window", "calls") == 0 && number_at(pay, "answered", NULL) == 704);
    assert_true(json_is_null(json_object_get(json_object_get(pay, "window"), "p95_seconds")));
    json_decref(o);
}

static void what_is_not_known_is_null(void **state)
{
    (void)state;
    get("shop", "/", 200, 0, 5);
    pass(0);
    json_t *o = ask("/api/v1/overview", (struct tb_overview_query){0});
    assert_true(json_is_null(json_object_get(o, "window_seconds")));
    assert_true(json_is_null(json_object_get(o, "window")));
    assert_true(json_is_null(json_object_get(json_object_get(o, "total"), "p95_seconds")));
    json_decref(o);
}

static void names_of_any_bytes_make_valid_json(void **state)
{
    (void)state;
    char name[40];
    srand(5);
    for (int i = 0; i < 2000; i++) {
        for (size_t k = 0; k < sizeof name - 1; k++)
            name[k] = (char)(1 + rand() % 255);
        name[sizeof name - 1] = 0;
        get(name, name + 5, 200, MS, 1);
    }
    pass(0);
    struct tb_overview_query query = {.limit = 2000};
    json_t *o = ask("/api/v1/overview", query);
    assert_int_equal(json_array_size(json_object_get(o, "routes")), 2000);
    /* and they come back as they are */
    struct tb_overview *v = view(query);
    for (size_t i = 0; i < 2000; i++) {
        json_t *route = json_array_get(json_object_get(o, "routes"), i);
        assert_string_equal(json_string_value(json_object_get(route, "route")), v->routes[i].like->key.route);
    }
    tb_overview_free(v);
    json_decref(o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
        TEST(the_window_is_the_last_minute),
        TEST(services_are_the_sums_of_their_routes),
        TEST(a_query_selects_and_sorts),
        TEST(without_history_there_is_no_window),
        TEST(nothing_at_all_is_fine),
        TEST(every_timed_request_is_on_the_heat_map),
        TEST(many_of_both_add_up),
        TEST(the_json_says_the_same),
        TEST(the_json_has_what_is_called),
        TEST(what_is_not_known_is_null),
        TEST(names_of_any_bytes_make_valid_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* A scrape of some families and some services: exactly the lines that the whole one has of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "exporter/families.h"
#include "exporter/filter.h"
#include "exporter/render.h"

static struct tb_snapshot *snapshot;

static void add(const char *service, uint8_t family, const char *route)
{
    struct tb_snap_key key = {family, TB_ROLE_SERVER, TB_METHOD_GET, 0, 200, route, "", ""};
    struct tb_snap_series *e =
        tb_snapshot_series(snapshot, tb_snapshot_service(snapshot, service, strlen(service)), &key);
    *tb_values_cell(&e->base, 0, 1000000) += 3;
}

static int set_up(void **state)
{
    (void)state;
    static const char *const services[] = {"a", "b", "c", "ab"};
    snapshot = tb_snapshot_new();
    for (size_t i = 0; i < sizeof services / sizeof *services; i++) {
        add(services[i], TB_FAMILY_REQUESTS, "/x");
        add(services[i], TB_FAMILY_REQUESTS, "/y");
        add(services[i], TB_FAMILY_STREAM, "/z");
    }
    tb_snapshot_begin(snapshot, 1);
    tb_snapshot_finish(snapshot);
    tb_snapshot_unobserved_begin(snapshot);
    tb_snapshot_unobserved(snapshot, "b", "static");
    tb_snapshot_unobserved(snapshot, "d", "go");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    tb_snapshot_free(snapshot);
    return 0;
}

static char *render(const struct tb_filter *f)
{
    struct tb_exposition x = {.filter = f};
    struct tb_snapshot view;
    struct tb_buffer out = {0};
    tb_expose_snapshot(&x, tb_filter_snapshot(f, snapshot, &view),
                       &(struct tb_expose_options){.metrics = tb_metrics_default});
    tb_filter_free(&view);
    tb_render(&tb_encoding_text, &x, &out);
    tb_exposition_free(&x);
    tb_put(&out, "", 1);
    return out.data;
}

/* Lines of @text that satisfy the filter, by looking at the text alone; the caller's to free. */
static char *expected(const char *text, const char *family, const char *service, const char *other)
{
    struct tb_buffer b = {0};
    bool is_wanted = true;
    for (size_t len; *text; text += len) {
        len = strcspn(text, "\n") + 1;
        char *line = tb_strndup(text, len), *found = strstr(line, "service=\"");
        if (family && strncmp(line, "# HELP ", 7) == 0)
            is_wanted = strncmp(line + 7, family, strlen(family)) == 0 && line[7 + strlen(family)] == ' ';
        bool is_of = !service || !found || strncmp(found + 9, service, strlen(service)) == 0 ||
                     (other && strncmp(found + 9, other, strlen(other)) == 0);
        bool is_count = is_wanted && service && strncmp(line, "tickbird_series ", 16) == 0; /* of those that are left */
        if (is_count)
            tb_puts(&b, strcmp(service, "nobody\"") == 0 ? "tickbird_series 0\n"
                        : other                          ? "tickbird_series 6\n"
                                                         : "tickbird_series 3\n");
        else if (is_wanted && is_of)
            tb_puts(&b, line);
        free(line);
    }
    tb_put(&b, "", 1);
    return b.data;
}

static void check(const struct tb_filter *f, const char *family, const char *service, const char *other)
{
    char *whole = render(NULL), *some = render(f), *wanted = expected(whole, family, service, other);
    assert_string_equal(some, wanted);
    assert_true(strlen(some) < strlen(whole));
    assert_non_null(strchr(some, '\n'));
    free(whole);
    free(some);
    free(wanted);
}

static void some_families(void **state)
{
    (void)state;
    check(&(struct tb_filter){.names = {"http_request_duration_seconds"}, .name_count = 1},
          "http_request_duration_seconds", NULL, NULL);
    check(&(struct tb_filter){.names = {"tickbird_tunnels_total"}, .name_count = 1}, "tickbird_tunnels_total", NULL,
          NULL);
}

static void some_services(void **state)
{
    (void)state;
    check(&(struct tb_filter){.services = {"b"}, .service_count = 1}, NULL, "b\"", NULL);
    check(&(struct tb_filter){.services = {"a", "c"}, .service_count = 2}, NULL, "a\"", "c\"");
    check(&(struct tb_filter){.services = {"nobody"}, .service_count = 1}, NULL, "nobody\"", NULL);
}

static void both(void **state)
{
    (void)state;
    check(
        &(struct tb_filter){.names = {"http_requests_total"}, .name_count = 1, .services = {"ab"}, .service_count = 1},
        "http_requests_total", "ab\"", NULL);
    char *none = render(&(struct tb_filter){.names = {"http_requests"}, .name_count = 1});
    assert_string_equal(none, ""); /* a name is a whole name */
    free(none);
}

static void nothing_asked_is_everything(void **state)
{
    (void)state;
    char *whole = render(NULL), *all = render(&(struct tb_filter){0});
    assert_string_equal(whole, all);
    free(whole);
    free(all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(some_families),
        TEST(some_services),
        TEST(both),
        TEST(nothing_asked_is_everything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

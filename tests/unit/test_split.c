/* SPDX-License-Identifier: Apache-2.0 */
/* split.c: regions that count under labels of their programs, and what becomes of those that are gone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "collecting.h"
#include "exporter/buffer.h"
#include "exporter/families.h"
#include "exporter/render.h"
#include "exporter/split.h"

/* What the series of @route under these labels of the service counts; UINT64_MAX: there is none. */
static uint64_t count_under(struct fixture *f, const char *instance, const char *route)
{
    const struct tb_snapshot *s = tb_split_snapshot(tb_collector_split(f->collector));
    uint64_t found = UINT64_MAX;
    for (size_t i = 0; i < s->series_count; i++)
        if (strcmp(s->series[i]->service->instance, instance) == 0 && strcmp(s->series[i]->key.route, route) == 0) {
            assert_int_equal(found, UINT64_MAX); /* nothing is there twice */
            found = s->series[i]->count;
        }
    return found;
}

static struct tb_core *start(struct fixture *f, const char *pod)
{
    struct tb_core *core = maker_start(f->dir, "shop");
    snprintf(core->header->labels, sizeof core->header->labels, "k8s.pod.name=%s,k8s.namespace.name=n", pod);
    return core;
}

static void regions_count_under_their_labels_until_they_are_gone(void **state)
{
    struct fixture *f = *state;
    struct tb_names names = *tb_names_default();
    names.split_by = 1u << TB_INSTANCE_POD | 1u << TB_INSTANCE_NAMESPACE;
    struct tb_core *a = start(f, "a"), *b = start(f, "b");
    maker_get(a, "/r", 200, 3);
    maker_get(b, "/r", 200, 5);
    collect(f);
    assert_null(tb_split_snapshot(tb_collector_split(f->collector))); /* nobody asked */
    tb_split_choose(tb_collector_split(f->collector), &names);
    assert_int_equal(count_of(collect(f), "shop", TB_METHOD_GET, "/r", 200), 8);
    assert_int_equal(count_under(f, "pod=\"a\",namespace=\"n\"", "/r"), 3);
    assert_int_equal(count_under(f, "pod=\"b\",namespace=\"n\"", "/r"), 5);
    maker_kill(b);
    maker_get(a, "/r", 200, 1);
    maker_get(a, "/new", 200, 1);
    collect(f);
    assert_int_equal(count_under(f, "pod=\"a\",namespace=\"n\"", "/r"), 4);
    assert_int_equal(count_under(f, "pod=\"a\",namespace=\"n\"", "/new"), 1);
    assert_int_equal(count_under(f, "pod=\"b\",namespace=\"n\"", "/r"), 5); /* its region is there */
    b = start(f, "c");                                                      /* and is taken over */
    maker_get(b, "/r", 200, 2);
    collect(f);
    assert_int_equal(count_under(f, "pod=\"b\",namespace=\"n\"", "/r"), UINT64_MAX);
    assert_int_equal(count_under(f, "pod=\"c\",namespace=\"n\"", "/r"), 7);
    maker_get(a, "/r", 200, 1);
    assert_int_equal(count_of(collect(f), "shop", TB_METHOD_GET, "/r", 200), 12);
    assert_int_equal(count_under(f, "pod=\"a\",namespace=\"n\"", "/r"), 5);
    maker_kill(a);
    maker_kill(b);
}

/* Labels that do not tell two programs apart: their sum begins at 0 again when one of them is gone. */
static void a_sum_that_would_fall_begins_anew(void **state)
{
    struct fixture *f = *state;
    struct tb_names names = *tb_names_default();
    names.split_by = 1u << TB_INSTANCE_POD;
    struct tb_core *a = start(f, "a");
    char *path = maker_only_file(f->dir);
    struct tb_core *b = start(f, "a");
    maker_get(a, "/r", 200, 3);
    maker_get(b, "/r", 200, 5);
    tb_split_choose(tb_collector_split(f->collector), &names);
    collect(f);
    assert_int_equal(count_under(f, "pod=\"a\"", "/r"), 8);
    maker_kill(a);
    assert_int_equal(unlink(path), 0);
    collect(f);
    assert_int_equal(count_under(f, "pod=\"a\"", "/r"), 0);
    maker_get(b, "/r", 200, 2);
    collect(f);
    assert_int_equal(count_under(f, "pod=\"a\"", "/r"), 2);
    free(path);
    maker_kill(b);
}

static void count_custom(struct tb_core *core, const char *name, unsigned times)
{
    struct tb_series_key key = {.family = TB_FAMILY_RULE, .role = TB_ROLE_SERVER};
    key.ext = tb_string_intern(core, tb_bytes_str(name));
    maker_observe(core, &key, 3000000, times);
}

/* A scrape in which a sample has a label twice is refused as a whole. */
static void no_sample_has_a_label_twice(void **state)
{
    struct fixture *f = *state;
    struct tb_names names = *tb_names_default();
    struct tb_exposition x = {0};
    struct tb_expose_options options = {.metrics = names.metrics};
    struct tb_buffer out = {0};
    names.split_by = 1u << TB_INSTANCE_POD;
    struct tb_core *a = start(f, "a");
    count_custom(a, "corders_total{kind=\"k\"}", 3);
    count_custom(a, "corders_total{pod=\"p\"}", 5);
    tb_split_choose(tb_collector_split(f->collector), &names);
    collect(f);
    tb_expose_custom(&x, tb_split_snapshot(tb_collector_split(f->collector)), &options);
    tb_render(&tb_encoding_text, &x, &out);
    tb_put(&out, "", 1);
    assert_non_null(strstr(out.data, "\norders_total{service=\"shop\",pod=\"a\",kind=\"k\"} 3\n"));
    assert_null(strstr(out.data, "pod=\"p\""));
    tb_buffer_free(&out);
    tb_exposition_free(&x);
    maker_kill(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(regions_count_under_their_labels_until_they_are_gone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(no_sample_has_a_label_twice, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_sum_that_would_fall_begins_anew, set_up_open, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

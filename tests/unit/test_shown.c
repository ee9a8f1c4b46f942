/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shown.c: labels left out, limits, idle series. The independent truth is a sum over the snapshot's own series:
 * whatever is left out, nothing is lost and nothing falls.
 */
#include "support.h"

#include <stdlib.h>

#include "exporter/families.h"
#include "exporter/render.h"
#include "exporter/shown.h"
#include "exporter/users.h"
#include "methods.h"

#define NOW UINT64_C(1700000000000000000)
#define HOUR UINT64_C(3600000000000)

struct shop {
    struct tb_snapshot *s;
    struct tb_shown *shown;
    struct tb_names names;
    uint64_t now_ns, fixed;
    struct tb_shown_list list; /* of the last look */
};

static struct shop open_shop(struct tb_shown_limits limits)
{
    struct shop shop = {.s = tb_snapshot_new(), .shown = tb_shown_new(&limits), .now_ns = NOW};
    tb_names_make(&shop.names, TB_PRESET_CLASSIC);
    return shop;
}

static void close_shop(struct shop *shop)
{
    tb_shown_free(shop->shown);
    tb_snapshot_free(shop->s);
    tb_names_free(&shop->names);
}

/* @times more requests; their series is made when new. */
static struct tb_snap_series *ask(struct shop *shop, const char *service, const char *route, uint16_t status,
                                  uint64_t times)
{
    const struct tb_snap_key key = {TB_FAMILY_REQUESTS, TB_ROLE_SERVER, TB_METHOD_GET, 0, status, route, "", ""};
    struct tb_snap_service *to = tb_snapshot_service(shop->s, service, strlen(service));
    struct tb_snap_series *e = tb_snapshot_series(shop->s, to, &key);
    *tb_values_cell(&e->base, 0, 3000000) += times;
    e->base.sum_ns += 3000000 * times;
    return e;
}

/* A collection, and what is shown of it. */
static void look(struct shop *shop)
{
    tb_snapshot_begin(shop->s, shop->now_ns);
    tb_snapshot_finish(shop->s);
    tb_snapshot_names(shop->s, shop->names.labels);
    shop->list = tb_shown_choose(shop->shown, shop->s, &shop->names, shop->fixed);
}

static uint64_t sum_of(struct tb_snap_series *const *series, size_t count)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += series[i]->count;
    return sum;
}

static void assert_nothing_lost(const struct shop *shop)
{
    assert_int_equal(sum_of(shop->list.series, shop->list.count), sum_of(shop->s->series, shop->s->series_count));
}

static const struct tb_snap_series *find(const struct shop *shop, const char *labels)
{
    const struct tb_snap_series *found = NULL;
    for (size_t i = 0; i < shop->list.count; i++)
        if (strcmp(shop->list.series[i]->labels, labels) == 0) {
            assert_null(found); /* nothing is there twice */
            found = shop->list.series[i];
        }
    return found;
}

static void assert_count(const struct shop *shop, const char *labels, uint64_t count)
{
    const struct tb_snap_series *e = find(shop, labels);
    if (!e)
        fail_msg("nothing has the labels %s", labels);
    assert_int_equal(e->count, count);
    assert_int_equal(tb_values_timed(&e->total), count);
    assert_int_equal(tb_values_sum(&e->total, 0), 3000000 * count);
}

static size_t samples_of(const struct shop *shop)
{
    struct tb_snapshot view = *shop->s;
    struct tb_exposition x = {0};
    view.series = shop->list.series;
    view.series_count = shop->list.count;
    tb_expose_series(&x, &view, &(struct tb_expose_options){.metrics = shop->names.metrics});
    size_t samples = x.samples;
    tb_exposition_free(&x);
    return samples;
}

static void without_limits_the_snapshot_is_shown(void **state)
{
    (void)state;
    struct shop shop = open_shop((struct tb_shown_limits){0});
    ask(&shop, "a", "/x", 200, 1);
    look(&shop);
    assert_ptr_equal(shop.list.series, shop.s->series);
    assert_int_equal(shop.list.count, 1);
    close_shop(&shop);
}

static void what_differed_in_a_label_left_out_is_summed(void **state)
{
    (void)state;
    struct shop shop = open_shop((struct tb_shown_limits){0});
    shop.names.labels[TB_LABEL_STATUS] = shop.names.labels[TB_LABEL_METHOD] = NULL;
    ask(&shop, "a", "/x", 200, 3);
    ask(&shop, "a", "/x", 404, 4);
    ask(&shop, "b", "/x", 200, 5);
    look(&shop);
    assert_int_equal(shop.list.count, 2);
    assert_count(&shop, "service=\"a\",route=\"/x\"", 7);
    assert_count(&shop, "service=\"b\",route=\"/x\"", 5);
    ask(&shop, "a", "/x", 500, 1);
    ask(&shop, "a", "/x", 200, 1);
    look(&shop);
    assert_count(&shop, "service=\"a\",route=\"/x\"", 9);
    shop.names.labels[TB_LABEL_STATUS] = "status"; /* and back */
    look(&shop);
    assert_count(&shop, "service=\"a\",route=\"/x\",status=\"200\"", 4);
    assert_nothing_lost(&shop);
    close_shop(&shop);
}

static void beyond_a_limit_series_are_summed_by_status(void **state)
{
    (void)state;
    struct shop shop = open_shop((struct tb_shown_limits){.service_series = 2});
    ask(&shop, "a", "/1", 200, 1);
    ask(&shop, "a", "/2", 200, 2);
    look(&shop);
    ask(&shop, "a", "/0", 200, 4); /* before the others in order, but newer */
    ask(&shop, "a", "/3", 200, 8);
    ask(&shop, "a", "/3", 404, 16);
    ask(&shop, "b", "/1", 200, 32);
    ask(&shop, "b", "/2", 200, 32);
    ask(&shop, "b", "/3", 200, 64);
    look(&shop);
    assert_count(&shop, "service=\"a\",method=\"GET\",route=\"/1\",status=\"200\"", 1);
    assert_count(&shop, "service=\"a\",method=\"GET\",route=\"/2\",status=\"200\"", 2);
    assert_count(&shop, "service=\"a\",method=\"_OTHER\",route=\"_other\",status=\"200\"", 12);
    assert_count(&shop, "service=\"a\",method=\"_OTHER\",route=\"_other\",status=\"404\"", 16);
    assert_count(&shop, "service=\"b\",method=\"GET\",route=\"/1\",status=\"200\"", 32);
    assert_count(&shop, "service=\"b\",method=\"_OTHER\",route=\"_other\",status=\"200\"", 64);
    assert_int_equal(shop.list.left_out[TB_LEFT_OUT_SERVICE], 4);
    for (size_t i = 1; i < shop.list.count; i++)
        assert_true(tb_series_compare(shop.list.series[i - 1], shop.list.series[i]) < 0);
    assert_nothing_lost(&shop);
    close_shop(&shop);
}

/* The agent has a series of these labels itself, when its own table is full. */
static void a_row_of_sums_takes_up_the_series_of_its_labels(void **state)
{
    (void)state;
    struct shop shop = open_shop((struct tb_shown_limits){.series = 2});
    const struct tb_snap_key other = {TB_FAMILY_REQUESTS, TB_ROLE_SERVER, TB_METHOD_OTHER, 0, 200, "_other", "", ""};
    struct tb_snap_series *e = tb_snapshot_series(shop.s, tb_snapshot_service(shop.s, "a", 1), &other);
    *tb_values_cell(&e->base, 0, 3000000) += 10;
    e->base.sum_ns += 30000000;
    ask(&shop, "a", "/1", 200, 1);
    look(&shop);
    assert_count(&shop, "service=\"a\",method=\"_OTHER\",route=\"_other\",status=\"200\"", 10);
    ask(&shop, "a", "/2", 200, 5);
    look(&shop);
    assert_count(&shop, "service=\"a\",method=\"_OTHER\",route=\"_other\",status=\"200\"", 15);
    assert_nothing_lost(&shop);
    close_shop(&shop);
}

static void the_older_is_shown_whatever_the_order(void **state)
{
    (void)state;
    struct shop shop = open_shop((struct tb_shown_limits){.series = 1});
    ask(&shop, "a", "/1", 200, 1)->created_ns = NOW; /* as the ledger and regions say */
    ask(&shop, "a", "/2", 200, 1)->created_ns = NOW - HOUR;
    look(&shop);
    assert_count(&shop, "service=\"a\",method=\"GET\",route=\"/2\",status=\"200\"", 1);
    close_shop(&shop);
}

/* A histogram can begin anew by itself, when its bounds do. */
static void a_row_that_would_fall_begins_at_0(void **state)
{
    (void)state;
    struct shop shop = open_shop((struct tb_shown_limits){.series = 1});
    ask(&shop, "a", "/1", 200, 1);
    struct tb_snap_series *e = ask(&shop, "a", "/2", 200, 5);
    ask(&shop, "a", "/3", 200, 6);
    look(&shop);
    const struct tb_snap_series *row = find(&shop, "service=\"a\",method=\"_OTHER\",route=\"_other\",status=\"200\"");
    assert_int_equal(row->count, 11);
    tb_values_zero(&e->base);
    e->served_count = e->served_sum_ns = 0;
    shop.now_ns += HOUR;
    look(&shop);
    assert_int_equal(row->count, 0);
    assert_int_equal(row->created_ns, shop.now_ns);
    ask(&shop, "a", "/2", 200, 2);
    ask(&shop, "a", "/3", 200, 1);
    look(&shop);
    assert_count(&shop, row->labels, 3);
    close_shop(&shop);
}

/* Room is kept for the sums of what has none. */
static void beyond_the_samples_nothing_is_lost(void **state)
{
    (void)state;
    struct shop shop = open_shop((struct tb_shown_limits){.samples = 500});
    for (int i = 0; i < 100; i++) {
        char route[16];
        snprintf(route, sizeof route, "/%d", i);
        ask(&shop, "a", route, 200, 1);
        ask(&shop, "a", route, 404, 1);
        look(&shop);
        assert_nothing_lost(&shop);
        assert_true(samples_of(&shop) <= 500);
    }
    assert_int_equal(shop.list.left_out[TB_LEFT_OUT_NO_ROOM], 0);
    assert_true(shop.list.left_out[TB_LEFT_OUT_SAMPLES] >= 100);
    close_shop(&shop);
}

static void the_host_is_no_label_of_sums(void **state)
{
    (void)state;
    struct shop shop = open_shop((struct tb_shown_limits){.series = 1});
    const struct tb_snap_key key = {
        TB_FAMILY_REQUESTS, TB_ROLE_SERVER, TB_METHOD_GET, 0, 200, "/2", "shop.example", ""};
    ask(&shop, "a", "/1", 200, 1);
    look(&shop);
    struct tb_snap_series *e = tb_snapshot_series(shop.s, shop.s->services[0], &key);
    *tb_values_cell(&e->base, 0, 3000000) += 2;
    e->base.sum_ns += 6000000;
    look(&shop);
    assert_count(&shop, "service=\"a\",method=\"_OTHER\",route=\"_other\",status=\"200\"", 2);
    close_shop(&shop);
}

/* Routes may have bounds of their own. */
static void sums_have_the_bounds_that_all_have(void **state)
{
    (void)state;
    static const uint64_t ms = 1000000, own[] = {5 * ms, 100 * ms, 7000 * ms}, alone[] = {3 * ms};
    int sets[] = {0, tb_bounds_intern(&(struct tb_bounds){.unit = TB_UNIT_SECONDS, .count = 3, .at_most = own}),
                  tb_bounds_intern(&(struct tb_bounds){.unit = TB_UNIT_SECONDS, .count = 1, .at_most = alone})};
    struct shop shop = open_shop((struct tb_shown_limits){0});
    uint64_t buckets[TB_BOUNDS_MAX + 1], count = 0, sum = 0;
    shop.names.labels[TB_LABEL_ROUTE] = NULL;
    for (int round = 1; round <= 3; round++) { /* one more route, and more of those before */
        for (int i = 0; i < round; i++) {
            struct tb_snap_series *e = ask(&shop, "a", i == 0 ? "/0" : i == 1 ? "/1" : "/2", 200, 0);
            struct tb_snap_key key = e->key;
            key.bound_set = (uint16_t)sets[i];
            e = tb_snapshot_series(shop.s, e->service, &key);
            const uint64_t took[] = {2 * ms, 99 * ms, 9000 * ms};
            for (int k = 0; k < 3; k++, count++) {
                ++*tb_values_cell(&e->base, key.bound_set, took[k]);
                e->base.sum_ns += took[k];
                sum += took[k];
            }
        }
        look(&shop);
        assert_int_equal(shop.list.count, 1);
        const struct tb_snap_series *row = shop.list.series[0];
        assert_int_equal(row->whole.count, count);
        size_t bounds = tb_values_classic(&row->total, row->key.bound_set, buckets);
        if (round <= 2)
            assert_int_equal(row->total.sum_ns, sum);
        if (round == 1)
            assert_int_equal(bounds, tb_bounds_of(0)->count + 1);
        if (round == 2) { /* 5 and 100 ms */
            const uint64_t expected[] = {3, 3, 3};
            assert_int_equal(bounds, 3);
            assert_memory_equal(buckets, expected, sizeof expected);
        }
        if (round >= 2) /* and none with 3 ms: only counted */
            assert_int_equal(tb_values_timed(&row->total), round == 2 ? count : count - 3);
    }
    close_shop(&shop);
}

static void a_restarted_service_has_its_rows_at_0(void **state)
{
    (void)state;
    struct shop shop = open_shop((struct tb_shown_limits){.series = 1});
    ask(&shop, "a", "/1", 200, 1);
    ask(&shop, "a", "/2", 200, 5);
    ask(&shop, "a", "/3", 200, 6);
    look(&shop);
    const struct tb_snap_series *row = find(&shop, "service=\"a\",method=\"_OTHER\",route=\"_other\",status=\"200\"");
    assert_int_equal(row->count, 11);
    shop.s->services[0]->must_restart = true;
    shop.now_ns += HOUR;
    tb_snapshot_begin(shop.s, shop.now_ns);
    shop.s->services[0]->must_restart = true;
    tb_snapshot_finish(shop.s);
    shop.list = tb_shown_choose(shop.shown, shop.s, &shop.names, 0);
    assert_int_equal(row->count, 0);
    assert_int_equal(row->created_ns, shop.now_ns);
    ask(&shop, "a", "/3", 200, 2);
    look(&shop);
    assert_int_equal(row->count, 2);
    assert_nothing_lost(&shop);
    close_shop(&shop);
}

static void samples_are_never_more_than_the_limit(void **state)
{
    (void)state;
    unsigned seed = 7;
    for (int round = 0; round < 30; round++) {
        const uint64_t limit = 100 + (uint64_t)rand_r(&seed) % 3000;
        struct shop shop = open_shop((struct tb_shown_limits){.samples = limit});
        uint64_t before = 0;
        for (int step = 0; step < 8; step++) {
            for (int i = 0; i < 30; i++) {
                char route[16];
                snprintf(route, sizeof route, "/%d", rand_r(&seed) % 60);
                ask(&shop, rand_r(&seed) % 2 ? "a" : "b", route, rand_r(&seed) % 3 ? 200 : 404, 1);
            }
            shop.fixed += 20;
            look(&shop);
            assert_true(samples_of(&shop) + shop.fixed <= limit || (shop.fixed >= limit && !shop.list.count));
            if (!shop.list.left_out[TB_LEFT_OUT_NO_ROOM])
                assert_nothing_lost(&shop);
            uint64_t sum = sum_of(shop.list.series, shop.list.count);
            assert_true(sum >= before || shop.list.left_out[TB_LEFT_OUT_NO_ROOM]);
            before = sum;
        }
        close_shop(&shop);
    }
}

/* A sum that has begun anew stays what it is when a reload leaves another family out, and takes it back. */
static void a_sum_goes_on_through_a_reload(void **state)
{
    (void)state;
    static const char sum[] = "service=\"a\",method=\"GET\",status=\"200\"";
    struct shop shop = open_shop((struct tb_shown_limits){0});
    const char *name = shop.names.metrics[TB_M_ABORTED].name;
    shop.names.labels[TB_LABEL_ROUTE] = NULL;
    struct tb_snap_series *e = ask(&shop, "a", "/1", 200, 100);
    ask(&shop, "a", "/2", 200, 50);
    look(&shop);
    assert_count(&shop, sum, 150);
    tb_values_zero(&e->base); /* a histogram that begins anew */
    e->served_count = e->served_sum_ns = 0;
    look(&shop);
    assert_count(&shop, sum, 0);
    for (unsigned i = 1; i <= 4; i++) {
        shop.names.metrics[TB_M_ABORTED].name = i % 2 ? NULL : name;
        ask(&shop, "a", "/2", 200, 1);
        look(&shop);
        assert_count(&shop, sum, i);
    }
    close_shop(&shop);
}

static void limits_change_and_nothing_is_lost(void **state)
{
    (void)state;
    struct shop shop = open_shop((struct tb_shown_limits){.series = 2});
    for (unsigned i = 0; i < 6; i++) {
        char route[8];
        snprintf(route, sizeof route, "/%u", i);
        ask(&shop, "a", route, 200, 10);
    }
    look(&shop);
    assert_int_equal(shop.list.count, 3); /* and the sum of the others */
    assert_nothing_lost(&shop);
    tb_shown_set_limits(shop.shown, &(struct tb_shown_limits){.series = 4});
    look(&shop);
    assert_int_equal(shop.list.count, 5);
    assert_count(&shop, "service=\"a\",method=\"_OTHER\",route=\"_other\",status=\"200\"", 0); /* 40 fell to 20: anew */
    ask(&shop, "a", "/5", 200, 3);
    look(&shop);
    assert_count(&shop, "service=\"a\",method=\"_OTHER\",route=\"_other\",status=\"200\"", 3);
    tb_shown_set_limits(shop.shown, &(struct tb_shown_limits){0});
    look(&shop);
    assert_int_equal(shop.list.count, 6);
    close_shop(&shop);
}

static void an_idle_series_comes_back_with_its_total(void **state)
{
    (void)state;
    struct shop shop = open_shop((struct tb_shown_limits){.idle_ns = HOUR});
    ask(&shop, "a", "/1", 200, 1);
    ask(&shop, "a", "/2", 200, 1);
    look(&shop);
    shop.now_ns += HOUR / 2;
    ask(&shop, "a", "/2", 200, 1);
    look(&shop);
    assert_int_equal(shop.list.count, 2);
    shop.now_ns += HOUR / 2;
    look(&shop);
    assert_int_equal(shop.list.count, 1);
    assert_int_equal(shop.list.left_out[TB_LEFT_OUT_IDLE], 1);
    assert_count(&shop, "service=\"a\",method=\"GET\",route=\"/2\",status=\"200\"", 2);
    ask(&shop, "a", "/1", 200, 1);
    look(&shop);
    assert_count(&shop, "service=\"a\",method=\"GET\",route=\"/1\",status=\"200\"", 2);
    assert_int_equal(shop.list.left_out[TB_LEFT_OUT_IDLE], 0);
    close_shop(&shop);
}

/* The 5xx series at 0 is for routes that never failed: an idle one that did must not look as if it had not. */
/* There is room for so many sets in all: what is common to a stranger's is a stranger's, too. */
static void a_strangers_sums_have_no_more_sets_than_the_stranger(void **state)
{
    (void)state;
    static const uint64_t ms = 1000000, one[] = {6 * ms, 60 * ms}, other[] = {6 * ms, 600 * ms};
    const struct tb_bounds common = {.unit = TB_UNIT_SECONDS, .count = 1, .at_most = one};
    int sets[] = {tb_bounds_intern(&(struct tb_bounds){.unit = TB_UNIT_SECONDS, .count = 2, .at_most = one}),
                  tb_bounds_intern(&(struct tb_bounds){.unit = TB_UNIT_SECONDS, .count = 2, .at_most = other})};
    struct tb_snap_user stranger = {.uid = 4000, .rank = 2, .bound_sets = TB_QUOTA_BOUND_SETS};
    struct shop shop = open_shop((struct tb_shown_limits){0});
    shop.names.labels[TB_LABEL_ROUTE] = NULL;
    tb_snapshot_service(shop.s, "a", 1)->user = &stranger;
    for (int i = 0; i < 2; i++) {
        struct tb_snap_key key = {
            .family = TB_FAMILY_REQUESTS, .role = TB_ROLE_SERVER, .status = 200, .bound_set = (uint16_t)sets[i]};
        key.route = i ? "/1" : "/0";
        key.target = key.ext = "";
        struct tb_snap_series *e = tb_snapshot_series(shop.s, tb_snapshot_service(shop.s, "a", 1), &key);
        ++*tb_values_cell(&e->base, key.bound_set, 5 * ms);
    }
    look(&shop);
    assert_int_equal(shop.list.count, 1);
    assert_int_equal(shop.list.series[0]->whole.count, 2);
    assert_int_equal(tb_bounds_find(&common), -1);
    stranger.rank = 0;
    look(&shop);
    assert_true(tb_bounds_find(&common) >= 0);
    assert_int_equal(tb_values_timed(&shop.list.series[0]->total), 2);
    close_shop(&shop);
}

static void idle_errors_do_not_fall_to_0(void **state)
{
    (void)state;
    struct shop shop = open_shop((struct tb_shown_limits){.idle_ns = HOUR});
    ask(&shop, "a", "/1", 200, 1);
    ask(&shop, "a", "/1", 500, 7);
    ask(&shop, "a", "/2", 500, 3);
    for (unsigned i = 0; i < 3; i++) {
        shop.now_ns += HOUR / 2;
        ask(&shop, "a", "/1", 200, 1);
        ask(&shop, "a", "/1", 503, 1);
        look(&shop);
    }
    assert_count(&shop, "service=\"a\",method=\"GET\",route=\"/1\",status=\"500\"", 7);
    assert_null(find(&shop, "service=\"a\",method=\"GET\",route=\"/2\",status=\"500\""));
    shop.now_ns += HOUR;
    look(&shop); /* the route is idle, and its errors with it */
    assert_int_equal(shop.list.count, 0);
    close_shop(&shop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_limits_the_snapshot_is_shown),
        cmocka_unit_test(what_differed_in_a_label_left_out_is_summed),
        cmocka_unit_test(beyond_a_limit_series_are_summed_by_status),
        cmocka_unit_test(a_row_of_sums_takes_up_the_series_of_its_labels),
        cmocka_unit_test(the_older_is_shown_whatever_the_order),
        cmocka_unit_test(beyond_the_samples_nothing_is_lost),
        cmocka_unit_test(the_host_is_no_label_of_sums),
        cmocka_unit_test(a_row_that_would_fall_begins_at_0),
        cmocka_unit_test(sums_have_the_bounds_that_all_have),
        cmocka_unit_test(a_restarted_service_has_its_rows_at_0),
        cmocka_unit_test(samples_are_never_more_than_the_limit),
        cmocka_unit_test(a_sum_goes_on_through_a_reload),
        cmocka_unit_test(limits_change_and_nothing_is_lost),
        cmocka_unit_test(an_idle_series_comes_back_with_its_total),
        cmocka_unit_test(a_strangers_sums_have_no_more_sets_than_the_stranger),
        cmocka_unit_test(idle_errors_do_not_fall_to_0),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

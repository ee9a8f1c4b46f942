/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rules_publish.c: rules come into force however often a writer was cut short in the middle, two writers never mix, and
 * nobody follows rules that are being written.
 * LDFLAGS: -Wl,--wrap=pwrite
 */
#include "rules_support.h"

#include <fcntl.h>
#include <unistd.h>

#include "exporter/collect.h"
#include "exporter/rules_publish.h"

static int writes_left = -1;           /* until one fails; -1: none does */
static void (*between_writes)(void *); /* called before every 8 bytes that are written, and at the end */
static void *of_between;

ssize_t __real_pwrite(int fd, const void *bytes, size_t len, off_t at);
ssize_t __wrap_pwrite(int fd, const void *bytes, size_t len, off_t at);
ssize_t __wrap_pwrite(int fd, const void *bytes, size_t len, off_t at)
{
    if (writes_left == 0) {
        errno = EIO;
        return -1;
    }
    writes_left -= writes_left > 0;
    if (!between_writes)
        return __real_pwrite(fd, bytes, len, at);
    for (size_t end = len, from; end; end = from) { /* the last first: nobody promises an order */
        from = end > 8 ? end - 8 : 0;
        between_writes(of_between);
        assert_int_equal(__real_pwrite(fd, (const char *)bytes + from, end - from, at + (off_t)from), end - from);
    }
    between_writes(of_between);
    return (ssize_t)len;
}

static const char *dirs[1];

struct fixture {
    char *dir;
    struct tb_core *core;
    struct tb_collector *collector;
    struct tb_config *config;
    struct tb_publisher *publisher;
};

static void use_config(struct fixture *f, const char *text)
{
    tb_publisher_free(f->publisher);
    tb_config_free(f->config);
    f->config = rules_config(text);
    f->publisher = tb_publisher_new(f->config);
}

static struct fixture set_up(const char *text)
{
    struct fixture f = {.dir = support_dir(), .core = support_core()};
    struct tb_identity id = support_identity("shop");
    enum tb_inert why;
    assert_int_equal(tb_region_open(f.core, f.dir, &id, &why), 0);
    dirs[0] = f.dir;
    struct tb_collect_options options = {.dirs = dirs, .dir_count = 1};
    assert_int_equal(tb_collector_new(&options, &f.collector), 0);
    use_config(&f, text);
    return f;
}

static void publish(struct fixture *f)
{
    assert_int_equal(tb_collect(f->collector), 0);
    tb_publish(f->publisher, tb_collector_snapshot(f->collector), dirs, 1);
    if (!tb_rules_are_seen(f->core))
        tb_rules_adopt(f->core);
}

static void tear_down(struct fixture *f)
{
    tb_publisher_free(f->publisher);
    tb_config_free(f->config);
    tb_collector_free(f->collector);
    support_drop(f->core);
    support_remove_dir(f->dir);
}

static void rules_cut_short_are_written_again(void **state)
{
    (void)state;
    bool has_failed = true;
    for (int cut = 0; has_failed; cut++) {
        assert_in_range(cut, 0, 20);
        struct fixture f = set_up("routes: {patterns: ['/orders/*']}");
        publish(&f);
        use_config(&f, "routes: {patterns: ['/orders/:old']}");
        publish(&f);
        use_config(&f, "routes: {patterns: ['/orders/*']}"); /* again: what the other buffer holds already */
        writes_left = cut;
        publish(&f);
        writes_left = -1;
        has_failed = tb_publisher_stats(f.publisher)->regions_failed;
        publish(&f);
        assert_string_equal(rules_ask(f.core, TB_METHOD_GET, "", "/orders/7", 200), "/orders/:rest");
        uint32_t generation = f.core->rules->generation;
        publish(&f);
        assert_int_equal(f.core->rules->generation, generation); /* and then no more */
        assert_int_equal(support_counter(f.core, TB_COUNTER_RULES_REFUSED), 0);
        tear_down(&f);
    }
}

static void one_writer_at_a_time(void **state)
{
    (void)state;
    struct fixture f = set_up("routes: {patterns: ['/orders/*']}");
    assert_int_equal(tb_collect(f.collector), 0);
    int fd = open(tb_collector_snapshot(f.collector)->regions[0].path, O_RDWR | O_CLOEXEC);
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = TB_OFF_RULES, .l_len = 1};
    assert_true(fd >= 0);
    assert_int_equal(fcntl(fd, F_OFD_SETLK, &lock), 0);
    publish(&f);
    assert_int_equal(tb_publisher_stats(f.publisher)->regions_failed, 1);
    assert_int_equal(f.core->rules->generation, 0);
    close(fd);
    publish(&f);
    assert_int_equal(f.core->rules->generation, 1);
    tear_down(&f);
}

#define PATTERNS 200

/* A file with the patterns /p0/:NAME/x to /p199/:NAME/x. */
static char *many_patterns(const char *name)
{
    struct tb_buffer text = {0};
    char pattern[32];
    tb_puts(&text, "routes: {patterns: [");
    for (int i = 0; i < PATTERNS; i++) {
        snprintf(pattern, sizeof pattern, "%s/p%d/:%s/x", i ? ", " : "", i, name);
        tb_puts(&text, pattern);
    }
    tb_put(&text, "]}", sizeof "]}");
    return text.data;
}

struct asking {
    struct tb_core *core;
    unsigned asked, by_rule;
};

/*
 * One request: the old rules, or none (then it is inferred), but nothing in between. A pattern's route is made when it
 * is first asked for, so there are some left to ask for until the end.
 */
static void ask_one(void *arg)
{
    struct asking *a = arg;
    char path[32], old[32];
    unsigned i = a->asked++ / 10 % PATTERNS;
    snprintf(path, sizeof path, "/p%u/7/x", i);
    snprintf(old, sizeof old, "/p%u/:old/x", i);
    const char *route = rules_ask(a->core, TB_METHOD_GET, "", path, 200);
    bool is_old = strcmp(route, old) == 0, is_inferred = strstr(route, "/:id/x") != NULL;
    a->by_rule += is_old;
    if (!is_old && !is_inferred)
        fail_msg("%s: %s", path, route);
}

/* After a set that was refused, the next one is written over the one in use. */
static void rules_are_not_followed_while_they_are_written(void **state)
{
    (void)state;
    char *old = many_patterns("old"), *new = many_patterns("new");
    struct fixture f = set_up(old);
    struct asking a = {.core = f.core};
    publish(&f);
    use_config(&f, "routes: {patterns: ['/refused/*']}");
    assert_int_equal(tb_collect(f.collector), 0);
    tb_publish(f.publisher, tb_collector_snapshot(f.collector), dirs, 1);
    ((uint8_t *)(f.core->rules + 1))[f.core->rules->active * TB_RULES_BUFFER + sizeof(struct tb_rules_set)] ^= 1;
    tb_rules_adopt(f.core);
    assert_int_equal(support_counter(f.core, TB_COUNTER_RULES_REFUSED), 1);

    ask_one(&a);
    assert_int_equal(a.by_rule, 1); /* those of before stay in force */
    use_config(&f, new);
    assert_int_equal(tb_collect(f.collector), 0);
    between_writes = ask_one;
    of_between = &a;
    tb_publish(f.publisher, tb_collector_snapshot(f.collector), dirs, 1);
    between_writes = NULL;
    assert_in_range(a.asked, PATTERNS, 10 * PATTERNS);
    assert_false(tb_rules_are_seen(f.core));
    tb_rules_adopt(f.core);
    assert_string_equal(rules_ask(f.core, TB_METHOD_GET, "", "/p3/7/x", 200), "/p3/:new/x");
    assert_int_equal(support_counter(f.core, TB_COUNTER_RULES_REFUSED), 1);
    free(old);
    free(new);
    tear_down(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rules_cut_short_are_written_again),
        cmocka_unit_test(one_writer_at_a_time),
        cmocka_unit_test(rules_are_not_followed_while_they_are_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

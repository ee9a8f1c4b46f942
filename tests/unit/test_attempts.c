/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attempts.c, resolved.c: whose failure an attempt was, when failures of a name's addresses are an error, and which
 * attempts count at all. With a real region; the clock is a variable.
 */
#include "support.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "attempts.h"
#include "conn.h"
#include "dependency.h"
#include "exchange.h"
#include "region.h"
#include "series.h"
#include "series_read.h"

#define SECOND UINT64_C(1000000000)

static uint64_t clock_ns;

static uint64_t read_clock(void)
{
    return clock_ns;
}

static struct tb_core *fresh(void)
{
    struct tb_core *core = support_bound_core();
    core->env.monotonic_ns = read_clock;
    clock_ns = 100 * SECOND;
    return core;
}

static struct tb_address address_of(const char *text)
{
    struct tb_address address;
    struct sockaddr_in in = {.sin_family = AF_INET};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
    if (inet_pton(AF_INET, text, &in.sin_addr) == 1)
        (void)tb_address_of(&in, sizeof in, &address);
    else if (inet_pton(AF_INET6, text, &in6.sin6_addr) == 1)
        (void)tb_address_of(&in6, sizeof in6, &address);
    else
        fail();
    return address;
}

static void resolved(struct tb_core *core, const char *name, const char *a, const char *b)
{
    struct tb_address at[2] = {address_of(a), address_of(b ? b : a)};
    tb_attempt_resolved(core, tb_bytes_str(name), at, b ? 2 : 1);
}

/* An attempt of descriptor @fd. */
static void begin(struct tb_core *core, int fd, const char *address, uint16_t port)
{
    struct tb_address at = address_of(address);
    tb_attempt_begin(core, tb_attempt_key(fd, 0), fd, &at, port, clock_ns);
}

static void ended(struct tb_core *core, int fd, enum tb_call_error why)
{
    tb_attempt_ended(core, tb_attempt_key(fd, 0), why);
}

static void left(struct tb_core *core, int fd)
{
    tb_attempt_left(core, tb_attempt_key(fd, 0));
}

/* "TARGET REASON COUNT\n" for all errors, in the order they came to be. */
static const char *errors(struct tb_core *core)
{
    static char text[2000];
    static const char *const reasons[] = {"", "refused", "timeout", "reset", "dns", "tls", "closed", "protocol"};
    static struct tb_series_sum sum;
    text[0] = 0;
    for (uint32_t slot = 0; slot < tb_series_slots(core->header); slot++) {
        struct tb_series_key key;
        if (tb_series_read(core->base, TB_REGION_BYTES, core->header, slot, &key, &sum) ||
            key.family != TB_FAMILY_CALL_ERRORS)
            continue;
        struct tb_bytes target = tb_string_get(core->strings, TB_LEN_STRINGS, key.target);
        size_t len = strlen(text);
        snprintf(text + len, sizeof text - len, "%.*s %s %llu\n", (int)target.len, (const char *)target.ptr,
                 reasons[key.status], (unsigned long long)sum.count);
    }
    return text;
}

static void a_failure_has_the_name_that_was_looked_up(void **state)
{
    (void)state;
    struct tb_core *core = fresh();
    resolved(core, "Pay.example", "192.0.2.1", NULL);
    begin(core, 5, "192.0.2.1", 443);
    ended(core, 5, TB_CALL_REFUSED);
    begin(core, 5, "192.0.2.1", 8080);
    ended(core, 5, TB_CALL_TIMEOUT);
    begin(core, 5, "192.0.2.2", 80); /* nobody looked that up */
    ended(core, 5, TB_CALL_REFUSED);
    begin(core, 5, "2001:db8:0:0:1::", 8443);
    ended(core, 5, TB_CALL_RESET);
    begin(core, 5, "::ffff:192.0.2.1", 443); /* the same address */
    ended(core, 5, TB_CALL_REFUSED);
    ended(core, 5, TB_CALL_REFUSED); /* told twice */
    assert_string_equal(errors(core), "pay.example refused 2\npay.example:8080 timeout 1\n192.0.2.2 refused 1\n"
                                      "[2001:db8:0:0:1::]:8443 reset 1\n");
    support_drop(core);
}

static void what_need_not_be_http_is_not_counted(void **state)
{
    (void)state;
    struct tb_core *core = fresh();
    resolved(core, "db.example", "192.0.2.1", NULL);
    begin(core, 5, "192.0.2.1", 5432);
    ended(core, 5, TB_CALL_REFUSED);
    tb_attempt_unresolved(core, tb_bytes_str("db2.example"), 0);
    tb_attempt_unresolved(core, tb_bytes_str("api.example"), 443);
    assert_string_equal(errors(core), "api.example dns 1\n");
    /* until it has answered: then it is known, on whatever port */
    uint32_t target = tb_dependency_target(core, tb_bytes_str("db.example:5432"));
    tb_dependency_answered(core, target, 200, clock_ns);
    begin(core, 5, "192.0.2.1", 5432);
    ended(core, 5, TB_CALL_REFUSED);
    assert_string_equal(errors(core), "api.example dns 1\ndb.example:5432 refused 1\n");
    support_drop(core);
}

static void a_lost_race_is_no_error(void **state)
{
    (void)state;
    struct tb_core *core = fresh();
    resolved(core, "two.example", "192.0.2.1", "192.0.2.2");
    for (int i = 0; i < 3; i++) { /* several calls at once: all fail at the first address, then all succeed */
        begin(core, 5 + i, "192.0.2.1", 80);
        ended(core, 5 + i, TB_CALL_REFUSED);
    }
    for (int i = 0; i < 3; i++) {
        begin(core, 5 + i, "192.0.2.2", 80);
        ended(core, 5 + i, (enum tb_call_error)0);
        left(core, 5 + i);
    }
    begin(core, 9, "192.0.2.1", 80); /* side by side; the slower one is closed */
    begin(core, 10, "192.0.2.2", 80);
    clock_ns += SECOND;
    ended(core, 10, (enum tb_call_error)0);
    left(core, 9);
    tb_attempt_end_all(core);
    assert_string_equal(errors(core), "");
    support_drop(core);
}

static void each_address_failed_is_one_error(void **state)
{
    (void)state;
    struct tb_core *core = fresh();
    resolved(core, "two.example", "192.0.2.1", "192.0.2.2");
    for (int i = 0; i < 2; i++) { /* two calls, one beside the other */
        begin(core, 5 + i, "192.0.2.1", 80);
        ended(core, 5 + i, TB_CALL_REFUSED);
    }
    assert_string_equal(errors(core), "");
    for (int i = 0; i < 2; i++) {
        begin(core, 5 + i, "192.0.2.2", 80);
        ended(core, 5 + i, TB_CALL_TIMEOUT);
    }
    assert_string_equal(errors(core), "two.example timeout 2\n");
    begin(core, 5, "192.0.2.1", 80); /* one that tries the first only: known when it comes again, or at the end */
    ended(core, 5, TB_CALL_REFUSED);
    clock_ns += 3 * SECOND;
    resolved(core, "two.example", "192.0.2.1", "192.0.2.2");
    assert_string_equal(errors(core), "two.example timeout 2\ntwo.example refused 1\n");
    begin(core, 5, "192.0.2.1", 80);
    ended(core, 5, TB_CALL_REFUSED);
    tb_attempt_end_all(core);
    assert_string_equal(errors(core), "two.example timeout 2\ntwo.example refused 2\n");
    support_drop(core);
}

static void what_a_request_asked_for_names_its_address(void **state)
{
    (void)state;
    struct tb_core *core = fresh();
    struct tb_conn c;
    tb_conn_open(&c);
    begin(core, 5, "192.0.2.1", 9000);
    clock_ns += SECOND;
    ended(core, 5, (enum tb_call_error)0);
    tb_attempt_carries(core, tb_attempt_key(5, 0), &c, false);
    uint32_t target = tb_dependency_target(core, tb_bytes_str("app.example"));
    assert_int_equal(tb_attempt_asked(core, &c, target), target);
    tb_dependency_answered(core, target, 200, clock_ns);
    begin(core, 5, "192.0.2.1", 9000);
    ended(core, 5, TB_CALL_REFUSED);
    begin(core, 5, "192.0.2.1", 9001); /* another server of that machine */
    ended(core, 5, TB_CALL_REFUSED);
    assert_string_equal(errors(core), "app.example refused 1\n");
    support_drop(core);
}

/* When the target last had @result, in ns since 1970; 0: never. */
static uint64_t last(struct tb_core *core, const char *target, enum tb_call_result result)
{
    static struct tb_series_sum sum;
    for (uint32_t slot = 0; slot < tb_series_slots(core->header); slot++) {
        struct tb_series_key key;
        if (!tb_series_read(core->base, TB_REGION_BYTES, core->header, slot, &key, &sum) &&
            key.family == TB_FAMILY_CALL_RESULT && key.status == result &&
            key.target == tb_string_find(core, tb_bytes_str(target)))
            return sum.chosen_ns;
    }
    return 0;
}

static void an_answer_below_500_is_a_success(void **state)
{
    (void)state;
    struct tb_core *core = fresh();
    core->realtime_offset_ns = 1000 * SECOND;
    uint32_t target = tb_dependency_target(core, tb_bytes_str("pay.example"));
    tb_dependency_answered(core, target, 500, 1 * SECOND);
    assert_int_equal(last(core, "pay.example", TB_CALL_ANSWERED), 0);
    assert_int_equal(last(core, "pay.example", TB_CALL_FAILED), 1001 * SECOND);
    tb_dependency_answered(core, target, 499, 2 * SECOND);
    assert_int_equal(last(core, "pay.example", TB_CALL_ANSWERED), 1002 * SECOND);
    tb_dependency_failed(core, target, TB_CALL_RESET);
    assert_int_equal(last(core, "pay.example", TB_CALL_FAILED), 1000 * SECOND + clock_ns);
    /* several servers, of which some may answer and some not */
    tb_dependency_answered(core, TB_STR_OTHER, 200, 3 * SECOND);
    assert_int_equal(last(core, "_other", TB_CALL_ANSWERED), 0);
    support_drop(core);
}

static void a_full_table_is_no_harm(void **state)
{
    (void)state;
    struct tb_core *core = fresh();
    for (int i = 0; i < 2000; i++)
        begin(core, i, "192.0.2.1", 80);
    for (int i = 0; i < 2000; i++)
        left(core, i);
    for (uint32_t i = 0; i < TB_ATTEMPTS; i++)
        assert_int_equal(core->attempts[i].key, 0);
    for (int i = 0; i < 1000; i++) {
        char name[40];
        snprintf(name, sizeof name, "n%d.example", i);
        resolved(core, name, "192.0.2.1", "192.0.2.2");
    }
    begin(core, 5, "192.0.2.1", 443);
    ended(core, 5, TB_CALL_REFUSED);
    tb_attempt_end_all(core);
    assert_non_null(strstr(errors(core), "n999.example refused 1\n"));
    support_drop(core);
}

/* A thread that is not in the child was in the table, another one was connecting. */
static void a_child_goes_on_with_the_names(void **state)
{
    (void)state;
    struct tb_core *core = fresh();
    resolved(core, "a.example", "192.0.2.1", NULL);
    begin(core, 3, "192.0.2.1", 80);
    core->names.busy = 1;
    tb_core_forked(core, core->env.pid);
    for (uint32_t i = 0; i < TB_NAMES; i++)
        assert_int_equal(core->names.names[i].pending, 0);
    begin(core, 4, "192.0.2.1", 80);
    ended(core, 4, TB_CALL_REFUSED);
    assert_string_equal(errors(core), "a.example refused 1\n");
    support_drop(core);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_failure_has_the_name_that_was_looked_up),
        cmocka_unit_test(what_need_not_be_http_is_not_counted),
        cmocka_unit_test(a_lost_race_is_no_error),
        cmocka_unit_test(each_address_failed_is_one_error),
        cmocka_unit_test(what_a_request_asked_for_names_its_address),
        cmocka_unit_test(an_answer_below_500_is_a_success),
        cmocka_unit_test(a_full_table_is_no_harm),
        cmocka_unit_test(a_child_goes_on_with_the_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

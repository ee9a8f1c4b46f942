/* SPDX-License-Identifier: Apache-2.0 */
/* Flags, variables and defaults of the exporter, and the one line that tells what is wrong with them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "exporter/options.h"

static struct tb_options options;
static char *error;

#define PARSE(...) parse((char *[]){(char *)"tickbird-exporter", ##__VA_ARGS__, NULL})
static int parse(char **argv)
{
    int argc = 0;
    while (argv[argc])
        argc++;
    tb_options_free(&options);
    free(error);
    error = NULL;
    return tb_options_parse(argc, argv, TB_SIDE_EXPORTER, &options, &error);
}

static int set_up(void **state)
{
    (void)state;
    for (int id = 0; id < TB_OPTION_COUNT; id++)
        if (*tb_option_row((enum tb_option)id)->env)
            unsetenv(tb_option_row((enum tb_option)id)->env);
    return 0;
}

static int tear_down(void **state)
{
    tb_options_free(&options);
    free(error);
    error = NULL;
    return set_up(state);
}

static void a_flag_wins_over_its_variable_and_that_over_the_default(void **state)
{
    (void)state;
    assert_int_equal(PARSE(), 0);
    assert_string_equal(tb_option_text(&options, TB_OPTION_LISTEN_ADDRESS), ":8425");
    setenv("TICKBIRD_WEB_LISTEN_ADDRESS", ":1", 1);
    assert_int_equal(PARSE(), 0);
    assert_string_equal(tb_option_text(&options, TB_OPTION_LISTEN_ADDRESS), ":1");
    assert_int_equal(PARSE("--web.listen-address", ":2"), 0);
    assert_string_equal(tb_option_text(&options, TB_OPTION_LISTEN_ADDRESS), ":2");
    assert_int_equal(PARSE("--web.listen-address=:3"), 0);
    assert_string_equal(tb_option_text(&options, TB_OPTION_LISTEN_ADDRESS), ":3");
}

static void a_list_may_be_repeated_and_its_variable_split(void **state)
{
    (void)state;
    setenv("TICKBIRD_DIR", "/a:/b", 1);
    assert_int_equal(PARSE(), 0);
    assert_int_equal(options.values[TB_OPTION_REGION_DIR].count, 2);
    assert_string_equal(options.values[TB_OPTION_REGION_DIR].items[1], "/b");
    assert_int_equal(PARSE("--region.dir", "/c:d", "--region.dir=/e", "--region.dir=/f"), 0);
    assert_int_equal(options.values[TB_OPTION_REGION_DIR].count, 3);
    assert_string_equal(options.values[TB_OPTION_REGION_DIR].items[0], "/c:d");
}

static void switches_need_no_value(void **state)
{
    (void)state;
    assert_int_equal(PARSE(), 0);
    assert_false(tb_option_is_on(&options, TB_OPTION_ONCE));
    assert_int_equal(PARSE("--once", "--log.level", "debug"), 0);
    assert_true(tb_option_is_on(&options, TB_OPTION_ONCE));
    assert_string_equal(tb_option_text(&options, TB_OPTION_LOG_LEVEL), "debug");
    assert_int_equal(PARSE("--once=false"), 0);
    assert_false(tb_option_is_on(&options, TB_OPTION_ONCE));
}

static void durations_have_units(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t ns;
    } good[] = {{"0", 0},
                {"250ms", 250000000},
                {"10s", 10000000000},
                {"5m", 300000000000},
                {"1h30m", 5400000000000},
                {"7d", 604800000000000}};
    static const char *const bad[] = {"", "5", "m", "5x", "5 m", "-5m", "5mm", "99999999999999d", "1e3s"};
    uint64_t ns;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_true(tb_duration_parse(good[i].text, &ns));
        assert_int_equal(ns, good[i].ns);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(tb_duration_parse(bad[i], &ns));
}

static void what_is_wrong_is_told_in_one_line(void **state)
{
    (void)state;
    assert_int_equal(PARSE("--web.listen-adress", ":1"), -EINVAL);
    assert_string_equal(error, "--web.listen-adress: unknown flag: see --help");
    assert_int_equal(PARSE("--web.listen-addressx"), -EINVAL);
    assert_int_equal(PARSE("serve"), -EINVAL);
    assert_string_equal(error, "serve: no argument is expected: flags only, see --help");
    assert_int_equal(PARSE("--fold-after"), -EINVAL);
    assert_string_equal(error, "--fold-after: needs a value: see --help");
    assert_int_equal(PARSE("--fold-after", "5"), -EINVAL);
    assert_string_equal(error, "--fold-after: \"5\" is no duration: give one like 30s, 5m or 24h");
    assert_int_equal(PARSE("--log.level=loud"), -EINVAL);
    assert_int_equal(PARSE("--web.listen-address", "nowhere"), -EINVAL);
    setenv("TICKBIRD_FOLD_AFTER", "soon", 1);
    assert_int_equal(PARSE(), -EINVAL);
    assert_string_equal(error, "TICKBIRD_FOLD_AFTER: \"soon\" is no duration: give one like 30s, 5m or 24h");
    assert_int_equal(PARSE("--service", "x"), -EINVAL); /* another program's flag */
}

static void every_flag_stands_in_the_help(void **state)
{
    (void)state;
    char *usage = tb_options_usage(TB_SIDE_EXPORTER);
    for (int id = 0; id < TB_OPTION_COUNT; id++) {
        const struct tb_option_row *row = tb_option_row((enum tb_option)id);
        if (row->sides & TB_SIDE_EXPORTER && *row->flag)
            assert_non_null(strstr(usage, row->flag));
    }
    free(usage);
    assert_int_equal(PARSE("--help", "--log.level=info"), 0);
    assert_true(options.wants_help);
    assert_int_equal(PARSE("--version"), 0);
    assert_true(options.wants_version);
}

static void addresses_add_up_and_variables_separate_them_by_commas(void **state)
{
    (void)state;
    setenv("TICKBIRD_WEB_LISTEN_ADDRESS", "[::1]:1,127.0.0.1:2", 1);
    assert_int_equal(PARSE(), 0);
    assert_int_equal(options.values[TB_OPTION_LISTEN_ADDRESS].count, 2);
    assert_string_equal(options.values[TB_OPTION_LISTEN_ADDRESS].items[1], "127.0.0.1:2");
    assert_int_equal(PARSE("--web.listen-address=:3", "--web.listen-address", ":4"), 0);
    assert_int_equal(options.values[TB_OPTION_LISTEN_ADDRESS].count, 2);
    assert_string_equal(options.values[TB_OPTION_LISTEN_ADDRESS].items[0], ":3");
}

static void numbers_are_checked(void **state)
{
    (void)state;
    static const char *const bad[] = {"-1", "", "1x", "1000001", "99999999999999999999", " 1", "0x1"};
    assert_int_equal(PARSE("--web.max-requests=0"), 0);
    assert_int_equal(tb_option_number(&options, TB_OPTION_MAX_REQUESTS), 0);
    assert_int_equal(PARSE(), 0);
    assert_int_equal(tb_option_number(&options, TB_OPTION_MAX_REQUESTS), 40);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(PARSE("--web.max-requests", (char *)(uintptr_t)bad[i]), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(a_flag_wins_over_its_variable_and_that_over_the_default),
        TEST(a_list_may_be_repeated_and_its_variable_split),
        TEST(addresses_add_up_and_variables_separate_them_by_commas),
        TEST(numbers_are_checked),
        TEST(switches_need_no_value),
        TEST(durations_have_units),
        TEST(what_is_wrong_is_told_in_one_line),
        TEST(every_flag_stands_in_the_help),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

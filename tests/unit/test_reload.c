/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reload.c: a file that is written over while it is read.
 * LDFLAGS: -Wl,--wrap=tb_config_load
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "exporter/reload.h"

static char path[] = "/tmp/tb-reload-XXXXXX";
static const char *meanwhile; /* what the file holds once it has been read; NULL: it stays */

static void put_file(const char *label)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fprintf(f, "metrics:\n  labels: {route: %s}\n", label) > 0);
    assert_int_equal(fclose(f), 0);
}

struct tb_config *__real_tb_config_load(const char *file, char **ret_errors);
struct tb_config *__wrap_tb_config_load(const char *file, char **ret_errors);
struct tb_config *__wrap_tb_config_load(const char *file, char **ret_errors)
{
    struct tb_config *c = __real_tb_config_load(file, ret_errors);
    if (meanwhile)
        put_file(meanwhile);
    meanwhile = NULL;
    return c;
}

static void assert_label(struct tb_reload *r, const char *label)
{
    tb_reload_again(r, false);
    assert_string_equal(tb_reload_names(r)->labels[TB_LABEL_ROUTE], label);
}

static void a_file_that_changes_while_it_is_read_is_read_again(void **state)
{
    (void)state;
    struct tb_reload r = {0};
    char *errors = NULL;
    assert_true(mkstemp(path) >= 0);
    put_file("first");
    meanwhile = "second_one";
    assert_int_equal(tb_reload_start(&r, path, &errors), 0);
    assert_string_equal(tb_reload_names(&r)->labels[TB_LABEL_ROUTE], "first");
    assert_label(&r, "second_one");
    put_file("the_third");
    meanwhile = "the_fourth_one";
    assert_label(&r, "the_third");
    assert_label(&r, "the_fourth_one");
    unlink(path);
    tb_reload_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_that_changes_while_it_is_read_is_read_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * escape.h: the examples that Prometheus' model package gives for its schemes; names in text of labels; which names
 * meet; no byte is written behind the bound that is promised.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "exporter/escape.h"

/* Into room of just what is promised, so that a tool for memory sees what is beyond. */
static void assert_escaped(const char *name, enum tb_escaping escaping, bool is_label, const char *expected)
{
    char *to = malloc(tb_escape_max(strlen(name)));
    size_t len = (size_t)(tb_escape_name(to, name, strlen(name), escaping, is_label) - to);
    assert_int_equal(len, strlen(expected));
    assert_memory_equal(to, expected, len);
    free(to);
}

static void published_examples_come_out(void **state)
{
    (void)state;
    static const struct {
        const char *name, *underscores, *dots, *values;
    } examples[] = {
        {"no:escaping_required", "no:escaping_required", "no:escaping__required", "no:escaping_required"},
        {"mysystem.prod.west.cpu.load", "mysystem_prod_west_cpu_load", "mysystem_dot_prod_dot_west_dot_cpu_dot_load",
         "U__mysystem_2e_prod_2e_west_2e_cpu_2e_load"},
        {"mysystem.prod.west.cpu.load_total", "mysystem_prod_west_cpu_load_total",
         "mysystem_dot_prod_dot_west_dot_cpu_dot_load__total", "U__mysystem_2e_prod_2e_west_2e_cpu_2e_load__total"},
        {"http.status:sum", "http_status:sum", "http_dot_status:sum", "U__http_2e_status:sum"},
        {"label with \xf0\x9f\x98\xb1", "label_with__", "label__with____", "U__label_20_with_20__1f631_"},
        {"\xe8\x8a\xb1\xe7\x81\xab", "__", "____", "U___82b1__706b_"},
        {"label with \xc4\x80", "label_with__", "label__with____", "U__label_20_with_20__100_"},
    };
    for (size_t i = 0; i < sizeof examples / sizeof *examples; i++) {
        assert_escaped(examples[i].name, TB_ESCAPE_NONE, false, examples[i].name);
        assert_escaped(examples[i].name, TB_ESCAPE_UNDERSCORES, false, examples[i].underscores);
        assert_escaped(examples[i].name, TB_ESCAPE_DOTS, false, examples[i].dots);
        assert_escaped(examples[i].name, TB_ESCAPE_VALUES, false, examples[i].values);
    }
    assert_escaped("a:b", TB_ESCAPE_UNDERSCORES, true, "a_b"); /* no label has a colon */
    assert_escaped("1a", TB_ESCAPE_VALUES, true, "U___31_a");
    assert_escaped("........................", TB_ESCAPE_DOTS, true,
                   "_dot__dot__dot__dot__dot__dot__dot__dot__dot__dot__dot__dot_"
                   "_dot__dot__dot__dot__dot__dot__dot__dot__dot__dot__dot__dot_");
}

static void assert_labels(const char *text, enum tb_escaping escaping, const char *expected)
{
    char *to = malloc(tb_escape_max(strlen(text)));
    size_t len = (size_t)(tb_escape_labels(to, text, strlen(text), escaping) - to);
    assert_int_equal(len, strlen(expected));
    assert_memory_equal(to, expected, len);
    free(to);
}

static void names_of_labels_are_escaped_and_values_are_not(void **state)
{
    (void)state;
    static const char text[] = "\"a.b\"=\"c.d=\\\"x\\\",\\\\\",e_f=\"\",\"g,h\"=\"\\\\\"";
    assert_labels("", TB_ESCAPE_UNDERSCORES, "");
    assert_labels(text, TB_ESCAPE_NONE, text);
    assert_labels(text, TB_ESCAPE_UNDERSCORES, "a_b=\"c.d=\\\"x\\\",\\\\\",e_f=\"\",g_h=\"\\\\\"");
    assert_labels(text, TB_ESCAPE_DOTS, "a_dot_b=\"c.d=\\\"x\\\",\\\\\",e__f=\"\",g__h=\"\\\\\"");
    assert_labels("\".\"=\"\",\".\"=\"\",\".\"=\"\"", TB_ESCAPE_VALUES, "U___2e_=\"\",U___2e_=\"\",U___2e_=\"\"");
}

static void names_meet_that_are_one_in_any_scheme(void **state)
{
    (void)state;
    assert_true(tb_escape_meet("a.b", "a_b", true));
    assert_true(tb_escape_meet("\"a.b\"", "a-b", true));
    assert_true(tb_escape_meet("a.b", "U__a_2e_b", false));
    assert_true(tb_escape_meet("a:b", "a_b", true));
    assert_false(tb_escape_meet("a:b", "a_b", false));
    assert_false(tb_escape_meet("a.b", "ab", true));
    assert_false(tb_escape_meet("a.b", "a__b", true));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_examples_come_out),
        cmocka_unit_test(names_of_labels_are_escaped_and_values_are_not),
        cmocka_unit_test(names_meet_that_are_one_in_any_scheme),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

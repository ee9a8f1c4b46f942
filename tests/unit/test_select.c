/* SPDX-License-Identifier: Apache-2.0 */
/*
 * glob.c and select.c. Globs are compared with fnmatch(3) of the C library on random globs and texts, where its answer
 * means the same: no `**`, no escaped '/' (which glibc does not find behind a star), no bracket that glob.h refuses.
 * The rules are tested one precedence at a time.
 */
#include "support.h"

#include <fnmatch.h>
#include <stdio.h>

#include "agent/glob.h"
#include "agent/select.h"

static bool matches(const char *glob, enum tb_glob_kind kind, const char *text)
{
    struct tb_bytes g = tb_bytes_str(glob);
    assert_true(tb_glob_is_valid(g, kind));
    return tb_glob_matches(g, kind, text);
}

static void globs_match_as_documented(void **state)
{
    (void)state;
    assert_true(matches("nginx", TB_GLOB_TEXT, "nginx"));
    assert_false(matches("nginx", TB_GLOB_TEXT, "nginx2"));
    assert_true(matches("python3*", TB_GLOB_TEXT, "python3.11"));
    assert_true(matches("/usr/*/nginx", TB_GLOB_PATH, "/usr/sbin/nginx"));
    assert_false(matches("/usr/*/nginx", TB_GLOB_PATH, "/usr/local/sbin/nginx"));
    assert_true(matches("/usr/**/nginx", TB_GLOB_PATH, "/usr/local/sbin/nginx"));
    assert_false(matches("/usr/**/nginx", TB_GLOB_PATH, "/usr/nginx"));
    assert_true(matches("/opt/**", TB_GLOB_PATH, "/opt/a/b/c"));
    assert_true(matches("**/bin/**x", TB_GLOB_PATH, "/a/bin/b/bin/yx"));
    assert_false(matches("/opt/*", TB_GLOB_PATH, "/opt/a/b"));
    assert_true(matches("*", TB_GLOB_TEXT, "a/b"));
    assert_true(matches("*", TB_GLOB_TEXT, ""));
    assert_true(matches("[!a-c]?\\*", TB_GLOB_TEXT, "dx*"));
    assert_true(matches("[]x]", TB_GLOB_TEXT, "]"));
}

static void broken_globs_are_refused(void **state)
{
    static const char *const broken[] = {"", "[", "[a", "[]", "[!", "[!]", "a\\", "[b-a]", "[[:alpha:]]", "[a-\\"};
    char text[TB_GLOB_MAX + 2];
    (void)state;
    for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++)
        assert_false(tb_glob_is_valid(tb_bytes_str(broken[i]), TB_GLOB_TEXT));
    assert_false(tb_glob_is_valid(tb_bytes_str("/a[/]b"), TB_GLOB_PATH));
    assert_false(tb_glob_is_valid(tb_bytes("a\0b", 3), TB_GLOB_TEXT));
    memset(text, 'x', sizeof(text));
    assert_true(tb_glob_is_valid(tb_bytes(text, TB_GLOB_MAX), TB_GLOB_TEXT));
    assert_false(tb_glob_is_valid(tb_bytes(text, TB_GLOB_MAX + 1), TB_GLOB_TEXT));
}

static uint64_t seed = 88172645463325252u;
static uint32_t any(uint32_t below)
{
    seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
    return (uint32_t)(seed >> 32) % below;
}

static void random_text(char *to, size_t size, const char *letters)
{
    size_t len = any((uint32_t)size), count = strlen(letters);
    for (size_t i = 0; i < len; i++)
        to[i] = letters[any((uint32_t)count)];
    to[len] = 0;
}

static void globs_match_as_fnmatch_says(void **state)
{
    size_t compared[2] = {0};
    (void)state;
    for (size_t i = 0; i < 3000000; i++) {
        char glob[12], text[10];
        enum tb_glob_kind kind = any(2) ? TB_GLOB_PATH : TB_GLOB_TEXT;
        random_text(glob, sizeof(glob), "ab-]**??[[!^\\/c");
        random_text(text, sizeof(text), "ab-]/*c[!\\");
        struct tb_bytes g = tb_bytes_str(glob);
        if (!tb_glob_is_valid(g, kind) || (kind == TB_GLOB_PATH && (strstr(glob, "**") || strstr(glob, "\\/"))))
            continue;
        bool expected = fnmatch(glob, text, kind == TB_GLOB_PATH ? FNM_PATHNAME : 0) == 0;
        if (tb_glob_matches(g, kind, text) != expected)
            fail_msg("glob '%s' text '%s' kind %d: fnmatch says %d", glob, text, kind, expected);
        compared[expected]++;
    }
    /* both answers often enough to mean something */
    assert_true(compared[0] > 100000 && compared[1] > 10000);
}

static void a_glob_of_many_stars_ends(void **state)
{
    char glob[TB_GLOB_MAX + 1] = {0}, *text = malloc(200001);
    (void)state;
    for (size_t i = 0; i + 3 < TB_GLOB_MAX; i += 2)
        memcpy(glob + i, "a*", 2);
    glob[strlen(glob)] = 'b';
    memset(text, 'a', 200000);
    text[200000] = 0;
    assert_false(matches(glob, TB_GLOB_TEXT, text)); /* with backtracking: never */
    text[199999] = 'b';
    assert_true(matches(glob, TB_GLOB_TEXT, text));
    free(text);
}

/* --- rules ---------------------------------------------------------------------------------------------------------
 */

static const char *const arguments[] = {"--port=80", "serve"};
static const struct tb_select_program server = {"/usr/bin/python3", "/usr/bin/python3.11", arguments, 2};

static struct tb_select_reason reason;

static enum tb_select_answer ask(const char *file, const char *includes, const char *excludes,
                                 const struct tb_select_program *program)
{
    struct tb_select_filter filters[2] = {{.count = 0}};
    uint32_t included = 0;
    size_t count = 0;
    if (includes || excludes) {
        if (includes)
            filters[0].texts[filters[0].count++] = (struct tb_select_text){TB_SELECT_INCLUDES, tb_bytes_str(includes)};
        if (excludes)
            filters[0].texts[filters[0].count++] = (struct tb_select_text){TB_SELECT_EXCLUDES, tb_bytes_str(excludes)};
        count++;
    }
    if (file)
        filters[count++] = (struct tb_select_filter){{{TB_SELECT_FILE, tb_bytes_str(file)}}, 1};
    memset(&reason, 0, sizeof(reason));
    return tb_select_decide(filters, count, program, &included, &reason);
}

static bool is_in(const char *file, const char *includes, const char *excludes)
{
    return ask(file, includes, excludes, &server) == TB_SELECT_IN;
}

static void without_rules_everything_is_observed(void **state)
{
    (void)state;
    assert_true(is_in(NULL, NULL, NULL));
    assert_true(is_in("# a comment\n\n \t\r\n", "", ""));
}

static void names_match_as_executed_and_as_they_are(void **state)
{
    (void)state;
    assert_false(is_in("exclude exe python3\n", NULL, NULL));
    assert_false(is_in("exclude exe python3.11", NULL, NULL));
    assert_false(is_in("exclude exe /usr/bin/python3\r\n", NULL, NULL));
    assert_false(is_in("\texclude\texe  /usr/bin/python3.11  \n", NULL, NULL));
    assert_true(is_in("exclude exe /usr/local/bin/python3\nexclude exe perl\n", NULL, NULL));
    assert_true(is_in("exclude exe bin\n", NULL, NULL));
}

static void an_include_lets_pass_what_it_matches_alone(void **state)
{
    (void)state;
    assert_true(is_in("include exe nginx\ninclude exe python3*\n", NULL, NULL));
    assert_true(is_in("include exe nginx\ninclude arg --port=*\n", NULL, NULL));
    assert_false(is_in("include exe nginx\ninclude exe httpd\n", NULL, NULL));
    assert_int_equal(reason.why, TB_SELECT_NOT_INCLUDED);
}

static void an_exclude_wins_wherever_it_stands(void **state)
{
    (void)state;
    assert_false(is_in("include exe python3\nexclude arg serve\n", NULL, NULL));
    assert_int_equal(reason.why, TB_SELECT_EXCLUDED);
    assert_int_equal(reason.rule.number, 2);
    assert_false(is_in("exclude arg serve\ninclude exe python3\n", NULL, NULL));
    assert_false(is_in(NULL, "python3", "arg=--port=*"));
    assert_false(is_in("include exe python3\n", NULL, "python3"));
    assert_false(is_in("exclude exe python3\n", "python3", NULL));
}

static void each_source_must_let_it_pass(void **state)
{
    (void)state;
    assert_true(is_in("include exe python3\n", "arg=serve", NULL));
    assert_false(is_in("include exe nginx\n", "python3", NULL));
    assert_int_equal(reason.filter, 1);
    assert_false(is_in("include exe python3\n", "nginx", NULL));
    assert_int_equal(reason.filter, 0);
}

static void a_rule_that_cannot_be_read_lets_nothing_pass(void **state)
{
    static const char *const broken[] = {"exlude exe nginx\n",
                                         "exclude nginx\n",
                                         "exclude exe\n",
                                         "exclude exe [\n",
                                         "exclude arg\n",
                                         "include exe a/b\n",
                                         "exclude exe ./a\n",
                                         "include exe python3\nexclude\n",
                                         "include exe python3 #\nx\n",
                                         "excludeexe nginx\n",
                                         "EXCLUDE exe nginx\n",
                                         "include exe /usr/[/]\n"};
    char many[32 * (TB_SELECT_RULES_MAX + 1)];
    (void)state;
    for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
        assert_false(is_in(broken[i], NULL, NULL));
        assert_int_equal(reason.why, TB_SELECT_MALFORMED);
    }
    assert_false(is_in(NULL, "python3:[", NULL));
    assert_int_equal(reason.rule.number, 2);
    assert_false(is_in(NULL, NULL, "arg="));
    static const char line[] = "exclude exe nginx\n";
    for (size_t i = 0; i <= TB_SELECT_RULES_MAX; i++)
        memcpy(many + i * (sizeof(line) - 1), line, sizeof(line));
    char *last = many + TB_SELECT_RULES_MAX * (sizeof(line) - 1);
    *last = 0;
    assert_true(is_in(many, NULL, NULL));
    *last = line[0];
    assert_false(is_in(many, NULL, NULL));
}

static void lists_separate_at_colons_that_are_not_escaped(void **state)
{
    static const char *const colons[] = {"a:b"};
    const struct tb_select_program program = {"x", "/x", colons, 1};
    (void)state;
    assert_int_equal(ask(NULL, NULL, "arg=a\\:b", &program), TB_SELECT_OUT);
    assert_int_equal(ask(NULL, NULL, "nginx::exe=x:", &program), TB_SELECT_OUT);
    assert_int_equal(reason.rule.number, 3);
    assert_int_equal(ask(NULL, NULL, "arg=a:y", &program), TB_SELECT_IN);
}

static bool keeps_code(const char *file, const struct tb_select_program *program)
{
    struct tb_select_filter filters[2] = {{{{TB_SELECT_INCLUDES, tb_bytes_str("python3")}}, 1},
                                          {{{TB_SELECT_FILE, tb_bytes_str(file)}}, 1}};
    return tb_select_keeps_code(filters, 2, program);
}

static void code_is_kept_where_a_rule_says_so_and_the_program_observed(void **state)
{
    static const struct tb_select_program unknown = {"/usr/bin/python3", NULL, NULL, 0};
    (void)state;
    assert_true(keeps_code("exclude exe perl\nkeep-code exe python3.11\n", &server));
    assert_true(keeps_code("keep-code\texe /usr/bin/*\n", &server));
    assert_true(keeps_code("keep-code arg serve\n", &server));
    assert_false(keeps_code("keep-code exe node\nkeep-code arg --port\ninclude exe python3\n", &server));
    assert_false(keeps_code("include exe python3\nexclude exe perl\n", &server));
    /* in doubt it is kept */
    assert_true(keeps_code("keep-code exe node\n", &unknown));
    assert_true(keeps_code("keep-code arg x\n", &unknown));
    assert_false(keeps_code("exclude exe perl\n", &unknown));
    /* and says nothing of who is observed */
    assert_true(is_in("keep-code exe python3\nkeep-code exe nginx\n", NULL, NULL));
    assert_true(is_in("keep-code exe nginx\n", "python3", NULL));
    assert_int_equal(ask("keep-code arg serve\n", NULL, NULL, &unknown), TB_SELECT_IN);
    assert_false(is_in("keep-code exe python3\ninclude exe nginx\n", NULL, NULL));
    assert_false(is_in("keep-code nginx\n", NULL, NULL));
    assert_int_equal(reason.why, TB_SELECT_MALFORMED);
}

/* As the shim does: first by the name and the arguments alone, then by the full path alone. */
static enum tb_select_answer ask_twice(const char *file, const char *name, const char *exe, bool *ret_asked)
{
    struct tb_select_filter filter = {{{TB_SELECT_FILE, tb_bytes_str(file)}}, 1};
    struct tb_select_program first = {name, NULL, arguments, 2}, second = {NULL, exe, NULL, 0};
    uint32_t included = 0;
    enum tb_select_answer answer = tb_select_decide(&filter, 1, &first, &included, &reason);
    *ret_asked = answer == TB_SELECT_ASK;
    return *ret_asked ? tb_select_decide(&filter, 1, &second, &included, &reason) : answer;
}

static void the_full_path_is_asked_for_only_when_it_matters(void **state)
{
    bool asked;
    (void)state;
    assert_int_equal(ask_twice("exclude exe python3\n", "python3", "/usr/bin/python3.11", &asked), TB_SELECT_OUT);
    assert_false(asked);
    assert_int_equal(ask_twice("exclude exe python3.11\n", "./python3", "/usr/bin/python3.11", &asked), TB_SELECT_OUT);
    assert_true(asked);
    assert_int_equal(ask_twice("include exe python3\n", "/usr/bin/python3", "/x", &asked), TB_SELECT_IN);
    assert_false(asked);
    assert_int_equal(ask_twice("include exe /usr/**\n", "python3", "/usr/bin/python3.11", &asked), TB_SELECT_IN);
    assert_true(asked);
    assert_int_equal(ask_twice("include exe nginx\n", "/usr/bin/python3", "/usr/bin/python3.11", &asked),
                     TB_SELECT_OUT);
    assert_int_equal(ask_twice("include arg serve\nexclude exe perl\n", "x", "/x", &asked), TB_SELECT_IN);
    assert_true(asked); /* the include is remembered */
    assert_int_equal(ask_twice("exclude arg nothing\n", "x", "/x", &asked), TB_SELECT_IN);
    assert_false(asked);
}

static void arguments_that_cannot_be_found_leave_it_out(void **state)
{
    const struct tb_select_program program = {"/x", NULL, NULL, 0};
    (void)state;
    assert_int_equal(ask("exclude arg a\n", NULL, NULL, &program), TB_SELECT_OUT);
    assert_int_equal(reason.why, TB_SELECT_NO_ARGUMENTS);
    assert_int_equal(ask("include exe x\n", NULL, NULL, &program), TB_SELECT_IN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(globs_match_as_documented),
        cmocka_unit_test(broken_globs_are_refused),
        cmocka_unit_test(globs_match_as_fnmatch_says),
        cmocka_unit_test(a_glob_of_many_stars_ends),
        cmocka_unit_test(without_rules_everything_is_observed),
        cmocka_unit_test(names_match_as_executed_and_as_they_are),
        cmocka_unit_test(an_include_lets_pass_what_it_matches_alone),
        cmocka_unit_test(an_exclude_wins_wherever_it_stands),
        cmocka_unit_test(each_source_must_let_it_pass),
        cmocka_unit_test(a_rule_that_cannot_be_read_lets_nothing_pass),
        cmocka_unit_test(code_is_kept_where_a_rule_says_so_and_the_program_observed),
        cmocka_unit_test(lists_separate_at_colons_that_are_not_escaped),
        cmocka_unit_test(the_full_path_is_asked_for_only_when_it_matters),
        cmocka_unit_test(arguments_that_cannot_be_found_leave_it_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config*.c: what a configuration file may say, every error with its line and column, bounds, OpenAPI files.
 */
#include "rules_support.h"

#include "exporter/options.h"

/* The errors of a file, without its name; "" when it is right. */
static char *errors_of(const char *text)
{
    char *dir = support_dir(), *path = rules_file(dir, "c.yml", text), *errors = NULL;
    struct tb_buffer out = {0};
    struct tb_config *c = tb_config_load(path, &errors);
    assert_true((c == NULL) == (errors != NULL));
    for (char *p = errors; p && *p;) {
        size_t len = strcspn(p, "\n") + 1, prefix = strlen(path) + 1;
        if (strncmp(p, path, strlen(path)) == 0)
            tb_put(&out, p + prefix, len - prefix);
        else
            assert_memory_equal(p, "(further", 8);
        p += len;
    }
    tb_put(&out, "", 1);
    tb_config_free(c);
    free(errors);
    free(path);
    support_remove_dir(dir);
    return out.data;
}

static void each_error_has_its_place(void **state)
{
    (void)state;
    static const struct {
        const char *text, *errors;
    } e[] = {
        {"", ""},
        {"# nothing\n", ""},
        {"routes:\n", ""},
        {"{\"routes\": {\"patterns\": [\"/a\"]}}", ""},
        {"rutes: {}\n",
         "1:1: rutes: unknown key: one of exporter, run, include, exclude, routes, services, metrics, calls, rules, "
         "push, inlets\n"},
        {"metrics: {duration: {bounds: [0.005, 1, 2.5]}, request_size: on, response_size: {bounds: 100}, exemplars: "
         "no}\n",
         ""},
        {"metrics:\n  duration: {bounds: [0.1, 0.1]}\n  size: on\n",
         "2:28: bounds: 0.1 is not above the bound before it: give rising ones\n"
         "3:3: size: unknown key of metrics: one of preset, unit, labels, constant_labels, families, "
         "instances, split_by, duration, "
         "first_byte, "
         "request_size, response_size, exemplars\n"},
        {"metrics:\n  duration: {bounds: [0, x, 1e3, 0.0000000001, 200000]}\n",
         "2:23: bounds: \"0\" is no bound: give a number of seconds from 0.000001 to 131072, like 0.25\n"
         "2:26: bounds: \"x\" is no bound: give a number of seconds from 0.000001 to 131072, like 0.25\n"
         "2:29: bounds: \"1e3\" is no bound: give a number of seconds from 0.000001 to 131072, like 0.25\n"
         "2:34: bounds: \"0.0000000001\" is no bound: give a number of seconds from 0.000001 to 131072, like 0.25\n"
         "2:48: bounds: \"200000\" is no bound: give a number of seconds from 0.000001 to 131072, like 0.25\n"},
        {"metrics: {request_size: {bounds: [1.5]}, first_byte: 3}\n",
         "1:35: bounds: \"1.5\" is no bound: give a number of bytes from 1 to 68719476736\n"
         "1:54: first_byte: \"3\" is neither true nor false: write one of them\n"},
        {"metrics: {duration: {bounds: [0.101, 0.1015, 0.102]}}\n",
         "1:30: bounds: three of them (or two and a power of the eighth root of 2) lie within 3 %: take them further "
         "apart\n"},
        {"metrics: {duration: {bounds: []}}\n",
         "1:30: bounds: there is none: give at least one, or leave the key out\n"},
        {"routes: {ignore: [{path: /a, bounds: [1]}]}\n",
         "1:38: bounds: what is ignored has no histogram: leave them out\n"},
        {"routes: [a]\n", "1:9: routes: it is a list: write keys with values\n"},
        {"routes:\n  route: raw\n  max_routes: 5000\n",
         "2:10: route: \"raw\" is none of inferred, path, none: write one of them\n"
         "3:15: max_routes: \"5000\" is no number from 1 to 4000: give one\n"},
        {"routes: {}\nroutes: {}\n", "2:1: routes: it is set in line 1 already: remove one\n"},
        {"routes:\n  patterns:\n    - users\n    - /a/*/b\n    - '/:'\n    - /{x\n",
         "3:7: pattern \"users\": it does not begin with a slash: write /path/:parameter\n"
         "4:7: pattern \"/a/*/b\": something follows the *: a * may only be the whole last segment\n"
         "5:7: pattern \"/:\": a parameter has no name: write {name} or :name\n"
         "6:7: pattern \"/{x\": a brace is not closed: write {name}\n"},
        {"routes:\n  patterns:\n    - /a/:x\n    - /a/{y}\n",
         "4:7: pattern \"/a/{y}\": line 3 says the same: only the first would count: remove one\n"},
        {"routes:\n  ignore:\n    - {path: /x, route: mine}\n    - {method: GET}\n",
         "3:25: route: \"mine\" is neither none nor drop: write one of them, or use patterns\n"
         "4:7: ignore: it has no path: write path: /users/:name\n"},
        {"routes:\n  patterns: {path: /a, method: fetch}\n",
         "2:32: method: \"fetch\" is no method that is counted by name: write one like GET\n"},
        {"routes:\n  host: {label: maybe, allow: [\"http://x\"], max: 0}\n",
         "2:17: label: \"maybe\" is neither true nor false: write one of them\n"
         "2:32: allow: \"http://x\" is no host name: write one like shop.example.com or *.example.com\n"
         "2:50: max: \"0\" is no number from 1 to 1000: give one\n"},
        {"services:\n  - routes: {}\n  - name: '*'\n  - name: shop\n",
         "2:5: services: an entry has no name: write name: NAME, or name: '*'\n"
         "4:5: services: \"shop\" is never reached: \"*\" comes before it: put it first\n"},
        {"exporter:\n  fold-after: soon\n  once: 1\n  web.telemetry-path: \"/m\\tx\"\n",
         "2:15: fold-after: \"soon\" is no duration: give one like 30s, 5m or 24h\n"
         "3:3: once: unknown key of exporter: write a flag without its dashes, see docs/configuration.md\n"
         "4:23: web.telemetry-path: it holds a control character: remove it\n"},
        {"include: {a: b}\n", "1:10: include: it is a mapping: write one value\n"},
        {"routes:\n  patterns: [/a\n",
         "3:1: YAML: did not find expected ',' or ']': correct the syntax here or just before\n"},
        {"a: b\n\tc: d\n",
         "2:1: YAML: found a tab character that violates indentation: correct the syntax here or just before\n"},
        {"routes: {}\n---\nroutes: {}\n", "3:1: a second document: only one is read: remove it\n"},
        {"routes:\n  openapi: missing.json\n", NULL},
    };
    for (size_t i = 0; i < sizeof e / sizeof *e; i++) {
        char *got = errors_of(e[i].text);
        if (e[i].errors)
            assert_string_equal(got, e[i].errors);
        else
            assert_memory_equal(got, "2:12: openapi: ", 15);
        free(got);
    }
}

static void files_are_bounded(void **state)
{
    (void)state;
    /* aliases of aliases */
    struct tb_buffer text = {0};
    tb_puts(&text, "routes:\n  patterns: &a0 [/a, /b, /c]\nservices:\n");
    for (int i = 0; i < 200; i++) {
        char *line = tb_format("  - {name: s%d, routes: {ignore: *a0, patterns: *a0, openapi: *a0}}\n", i);
        tb_puts(&text, line);
        free(line);
    }
    tb_put(&text, "", 1);
    char *got = errors_of(text.data);
    assert_non_null(strstr(got, "openapi: "));
    free(got);
    text.len = 0;
    tb_puts(&text, "include: &a [");
    for (int i = 0; i < 60000; i++)
        tb_puts(&text, "a,");
    tb_puts(&text, "]\nexclude: *a\n");
    tb_put(&text, "", 1);
    got = errors_of(text.data);
    assert_non_null(strstr(got, "more than 50000 values, aliases counted: shorten the file"));
    free(got);
    text.len = 0;
    for (int i = 0; i < 20000; i++)
        tb_puts(&text, "[");
    tb_put(&text, "", 1);
    got = errors_of(text.data);
    assert_non_null(strstr(got, "YAML: "));
    free(got);
    text.len = 0;
    for (int i = 0; i < 3000; i++) {
        char *line = tb_format("key%d: 1\n", i);
        tb_puts(&text, line);
        free(line);
    }
    tb_put(&text, "", 1);
    got = errors_of(text.data);
    size_t lines = 0;
    for (char *p = got; *p; p++)
        lines += *p == '\n';
    assert_true(lines <= TB_CONFIG_ERRORS_MAX + 1);
    free(got);
    text.len = 0;
    while (text.len < (1 << 20) + 10)
        tb_puts(&text, "# a long comment\n");
    tb_put(&text, "", 1);
    got = errors_of(text.data);
    assert_string_equal(got, " larger than 1 MiB: name a configuration file\n");
    free(got);
    /* more patterns than a region has room for */
    text.len = 0;
    tb_puts(&text, "routes:\n  patterns:\n");
    for (int i = 0; i < 1500; i++) {
        char *line = tb_format("    - /a%d/:b\n", i);
        tb_puts(&text, line);
        free(line);
    }
    tb_put(&text, "", 1);
    got = errors_of(text.data);
    assert_memory_equal(got, "2:3: routes: 1500 patterns do not fit: there is room for 1024", 61);
    free(got);
    tb_buffer_free(&text);
}

static void aliases_are_values(void **state)
{
    (void)state;
    struct tb_config *c = rules_config("services:\n  - name: a\n    routes: &r {patterns: [/x/:y]}\n  - name: b\n    "
                                       "routes: *r\n");
    assert_int_equal(c->services[1].routes.pattern_count, 1);
    assert_int_equal(tb_config_service(c, "b"), 1);
    assert_int_equal(tb_config_service(c, "z"), 2);
    tb_config_free(c);
}

static void a_file_comes_after_flags_and_variables(void **state)
{
    (void)state;
    struct tb_config *c =
        rules_config("exporter:\n  fold-after: 10m\n  web.listen-address: ':1'\n  log.level: debug\n  "
                     "region.dir: [/a, /b]\n");
    char *argv[] = {(char *)"x", (char *)"--log.level=warn"}, *error = NULL;
    struct tb_options o;
    setenv("TICKBIRD_WEB_LISTEN_ADDRESS", ":2", 1);
    assert_int_equal(tb_options_parse(2, argv, TB_SIDE_EXPORTER, &o, &error), 0);
    tb_config_to_options(c, TB_SIDE_EXPORTER, &o);
    assert_string_equal(tb_option_text(&o, TB_OPTION_LOG_LEVEL), "warn");
    assert_string_equal(tb_option_text(&o, TB_OPTION_LISTEN_ADDRESS), ":2");
    assert_string_equal(tb_option_text(&o, TB_OPTION_FOLD_AFTER), "10m");
    assert_string_equal(tb_option_text(&o, TB_OPTION_TELEMETRY_PATH), "/metrics");
    assert_int_equal(o.values[TB_OPTION_REGION_DIR].count, 2);
    unsetenv("TICKBIRD_WEB_LISTEN_ADDRESS");
    tb_options_free(&o);
    tb_config_free(c);
}

/* Reads @openapi through a configuration; the patterns joined by blanks, or the error. */
static char *paths_of(const char *openapi, struct tb_openapi_note *ret_note)
{
    char *dir = support_dir(), *api = rules_file(dir, "api", openapi), *errors = NULL;
    char *path = rules_file(dir, "c.yml", "routes: {openapi: api}\n");
    struct tb_config *c = tb_config_load(path, &errors);
    struct tb_buffer out = {0};
    if (c && c->openapi_count) {
        *ret_note = c->openapi[0];
        ret_note->file = ret_note->version = NULL;
        for (size_t i = 0; i < c->routes.pattern_count; i++) {
            assert_true(c->routes.patterns[i].is_openapi);
            tb_puts(&out, i ? " " : "");
            tb_puts(&out, c->routes.patterns[i].path);
        }
    } else {
        tb_puts(&out, errors ? errors + strlen(dir) + 1 : "?");
    }
    tb_put(&out, "", 1);
    tb_config_free(c);
    free(errors);
    free(path);
    free(api);
    support_remove_dir(dir);
    return out.data;
}

static void openapi_files_are_lists_of_patterns(void **state)
{
    (void)state;
    static const struct {
        const char *text, *paths;
        size_t operations;
    } e[] = {
        {"{\"swagger\": \"2.0\", \"basePath\": \"/v2/\", \"info\": {\"description\": \"\\ud83d\\ude00 \\\\ud83d "
         "\\/\"},\n"
         "\t\"paths\": {\"/pet/{petId}\": {\"get\": {}, \"post\": {\"x\": [{}]}, \"parameters\": []}, \"x-a\": 1}}",
         "/v2/pet/{petId}", 2},
        {"openapi: 3.1.0\nservers:\n  - url: https://api.example.com/v1\n  - {url: 'https://{host}/v1', description: "
         "b}\n"
         "  - url: /v3/\npaths:\n  /a: {get: {}}\n  /b/{c}: {}\n",
         "/v1/a /v1/b/{c} /v3/a /v3/b/{c}", 1},
        {"openapi: 3.0.0\npaths: {/a: {}}\nservers: []\n", "/a", 0},
        {"paths: {/a: {}}\n", "api:1:1: OpenAPI: neither openapi nor swagger says a version: name an OpenAPI file\n",
         0},
        {"openapi: 3.0.0\n", "api:1:1: OpenAPI: there are no paths: name a file that has some\n", 0},
        {"[1]\n", "api:1:1: OpenAPI: the file holds no mapping: name an OpenAPI file\n", 0},
        {"openapi: 3.0.0\npaths:\n  /a: [\n",
         "api:4:1: OpenAPI: did not find expected node content: see that the file is JSON or YAML\n", 0},
        {"openapi: 3.0.0\npaths:\n  /a/{b: {}\n", NULL, 0},
    };
    for (size_t i = 0; i < sizeof e / sizeof *e; i++) {
        struct tb_openapi_note note = {0};
        char *got = paths_of(e[i].text, &note);
        if (e[i].paths)
            assert_string_equal(got, e[i].paths);
        else
            assert_memory_equal(got, "api:3:3: pattern \"/a/{b\": a brace is not closed", 47);
        if (e[i].paths && e[i].paths[0] == '/')
            assert_int_equal(note.operations, e[i].operations);
        free(got);
    }
}

/* What is deeper than anybody writes is refused at once: libyaml would take minutes for the whole of these. */
static void depth_is_bounded(void **state)
{
    (void)state;
    char *dir = support_dir(), *deep = malloc(1000000), *errors = NULL;
    assert_non_null(deep);
    memset(deep, '[', 999999);
    deep[999999] = 0;
    char *path = rules_file(dir, "c.yml", deep),
         *want = tb_format("%s:1:101: YAML: nested deeper than 100: name", path);
    assert_null(tb_config_load(path, &errors));
    assert_memory_equal(errors, want, strlen(want));
    free(errors);
    free(path);
    free(rules_file(dir, "api", deep));
    path = rules_file(dir, "c.yml", "routes: {openapi: api}");
    assert_null(tb_config_load(path, &errors));
    assert_non_null(strstr(errors, "/api:1:"));
    free(errors);
    free(path);
    free(want);
    free(deep);
    support_remove_dir(dir);
}

/* Any bytes: read or refused, never more. */
static void hostile_files_are_read_or_refused(void **state)
{
    (void)state;
    static const char good[] =
        "routes:\n  patterns: [/a/:b, '/c/*', {path: /d, method: [GET, PUT], host: '*.x'}]\n"
        "  ignore: [/e]\n  host: {label: true, allow: [a]}\nservices: [{name: 'x*', routes: {route: path}}]\n";
    uint64_t seed = 4711;
    char *dir = support_dir();
    for (int round = 0; round < 1500; round++) {
        char text[sizeof good];
        memcpy(text, good, sizeof good);
        for (uint64_t i = 1 + support_random(&seed) % 6; i; i--)
            text[support_random(&seed) % (sizeof good - 1)] = support_random(&seed) % 2
                                                                  ? "[]{}:,*&'\"/-\n "[support_random(&seed) % 14]
                                                                  : (char)(1 + support_random(&seed) % 254);
        char *path = rules_file(dir, "c.yml", text), *errors = NULL;
        struct tb_config *c = tb_config_load(path, &errors);
        assert_true((c == NULL) == (errors != NULL));
        tb_config_free(c);
        free(errors);
        free(path);
    }
    support_remove_dir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_error_has_its_place),
        cmocka_unit_test(files_are_bounded),
        cmocka_unit_test(aliases_are_values),
        cmocka_unit_test(a_file_comes_after_flags_and_variables),
        cmocka_unit_test(openapi_files_are_lists_of_patterns),
        cmocka_unit_test(depth_is_bounded),
        cmocka_unit_test(hostile_files_are_read_or_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

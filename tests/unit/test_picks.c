/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the readers of single values promise beyond the right values, which tests/differential/test_picks.py judges:
 * which paths and names are refused, when they stop, bounds, hashes, and that no byte behind a range is read.
 */
#include "support.h"

#include "agent/form_pick.h"
#include "agent/header_pick.h"
#include "exporter/json_path.h"

static struct tb_pick_set set;
static struct tb_json_pick json;

static void want(const char *path, bool is_hashed)
{
    uint8_t compiled[TB_JSON_PATH_MAX];
    size_t len = 0, at = 0;
    assert_null(tb_json_path_compile(tb_bytes_str(path), compiled, &len, &at));
    assert_true(tb_json_set_add(&set, tb_bytes(compiled, len), is_hashed));
}

static void want_only(const char *path)
{
    set = (struct tb_pick_set){.key = {3, 4}};
    want(path, false);
}

static enum tb_parse read_json(const char *text)
{
    memset(&json, 0, sizeof(json));
    return tb_json_feed(&json, &set, tb_bytes_str(text));
}

#define IS(picks, i, expected_kind, expected)                                                                          \
    do {                                                                                                               \
        struct tb_bytes found_text = tb_pick_text(&(picks), i);                                                        \
        assert_int_equal((picks).values[i].kind, expected_kind);                                                       \
        assert_int_equal(found_text.len, strlen(expected));                                                            \
        assert_memory_equal(found_text.ptr, expected, found_text.len);                                                 \
    } while (0)

static void wrong_paths_are_refused_where_they_are_wrong(void **state)
{
    static const struct {
        const char *path;
        size_t at;
    } wrong[] = {{"", 0},          {".a", 0},
                 {"a.", 2},        {"a..b", 2},
                 {"a[", 2},        {"a[x]", 2},
                 {"a[1", 3},       {"a[65535]", 6},
                 {"a]", 1},        {"a[1]b", 4},
                 {"[\"a", 3},      {"[\"a\"", 4},
                 {"[\"\\n\"]", 3}, {"a.b.c.d.e.f.g.h.i", 17}};
    uint8_t compiled[TB_JSON_PATH_MAX];
    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        size_t len = 77, at = 99;
        assert_non_null(tb_json_path_compile(tb_bytes_str(wrong[i].path), compiled, &len, &at));
        assert_int_equal(at, wrong[i].at);
        assert_int_equal(len, 77);
    }
}

static void compiled_paths_are_not_trusted(void **state)
{
    static const struct tb_bytes wrong[] = {{(const uint8_t *)"", 0},
                                            {(const uint8_t *)"\x05xy", 3},
                                            {(const uint8_t *)"\xff\x01", 2},
                                            {(const uint8_t *)"\x3f", 1},
                                            {(const uint8_t *)"\x01\n", 2}};
    (void)state;
    set = (struct tb_pick_set){0};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_false(tb_json_set_add(&set, wrong[i], false));
    assert_int_equal(set.count, 0);
}

static void a_full_set_refuses_and_stays_as_it_is(void **state)
{
    (void)state;
    set = (struct tb_pick_set){0};
    for (uint32_t i = 0; i < TB_PICKS; i++)
        assert_true(tb_pick_set_add(&set, tb_bytes_str("name"), false));
    struct tb_pick_set before = set;
    assert_false(tb_pick_set_add(&set, tb_bytes_str("x"), true));
    assert_memory_equal(&before, &set, sizeof(set));
}

static void the_first_member_with_the_whole_path_counts(void **state)
{
    (void)state;
    want_only("a.b");
    assert_int_equal(read_json("{\"a\":1,\"a\":{\"c\":2},\"a\":{\"b\":3,\"b\":4}}"), TB_PARSE_OK);
    IS(json.picks, 0, TB_PICK_NUMBER, "3");
}

static void reading_stops_when_everything_is_known(void **state)
{
    (void)state;
    want_only("a");
    assert_int_equal(read_json("{\"a\":\"x\","), TB_PARSE_OK);
    assert_int_equal(read_json("{\"b\":1}"), TB_PARSE_OK);
    assert_int_equal(json.picks.found, 0);
    assert_int_equal(read_json("[{\"a\":1}"), TB_PARSE_OK); /* no path goes through an array */
    assert_int_equal(read_json("{\"b\":1"), TB_PARSE_PARTIAL);
    assert_int_equal(read_json("42"), TB_PARSE_OK);
    assert_int_equal(read_json("hello"), TB_PARSE_BAD);
}

static void what_is_not_json_on_the_path_is_bad(void **state)
{
    static const char *const bad[] = {"{\"a\":tru}",   "{\"a\":01}",   "{\"a\":\"\x01\"}", "{\"a\":\"\\q\"}",
                                      "{\"b\":[1,2]]", "{\"b\":\\\"}", "{\"a\":}",         "{\"a\":\"\\u12g4\"}"};
    (void)state;
    want_only("a");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(read_json(bad[i]), TB_PARSE_BAD);
        assert_int_equal(json.picks.found, 0);
    }
}

/* Its brackets are counted, of whichever kind they are. */
static void what_is_off_the_path_is_read_on(void **state)
{
    (void)state;
    want_only("a");
    assert_int_equal(read_json("{\"b\":[1,{2]},\"a\":7}"), TB_PARSE_OK);
    assert_int_equal(json.picks.found, 1);
    assert_int_equal(read_json("{\"b\":[1,{2]},\"c\":3]"), TB_PARSE_BAD);
    assert_int_equal(json.picks.found, 0);
}

static void depth_is_bounded(void **state)
{
    char text[300];
    (void)state;
    want_only("a");
    for (size_t depth = TB_JSON_DEPTH - 1; depth <= TB_JSON_DEPTH; depth++) {
        size_t at = (size_t)snprintf(text, sizeof(text), "{\"b\":");
        memset(text + at, '[', depth);
        memset(text + at + depth, ']', depth);
        snprintf(text + at + 2 * depth, sizeof(text) - at - 2 * depth, ",\"a\":1}");
        assert_int_equal(read_json(text), depth < TB_JSON_DEPTH ? TB_PARSE_OK : TB_PARSE_BAD);
    }
}

static void texts_are_bounded_each_and_together(void **state)
{
    char text[1024] = "{", *p = text + 1;
    (void)state;
    set = (struct tb_pick_set){0};
    for (int i = 0; i < 5; i++) {
        char name[2] = {(char)('a' + i), 0};
        want(name, false);
        p += snprintf(p, (size_t)(text + sizeof(text) - p), "\"%c\":\"%.*s\",", 'a' + i, i == 1 ? 65 : 64,
                      "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
    }
    want("z", false);
    assert_int_equal(read_json(text), TB_PARSE_PARTIAL);
    assert_int_equal(json.picks.values[0].len, 64);
    assert_int_equal(json.picks.values[1].kind, TB_PICK_TOO_LONG);
    assert_int_equal(json.picks.values[4].len, 64);
}

static void hashes_are_of_the_whole_value_and_leave_no_text(void **state)
{
    char text[300], value[200];
    struct tb_siphash s;
    (void)state;
    memset(value, 'v', sizeof(value) - 1);
    value[sizeof(value) - 1] = 0;
    snprintf(text, sizeof(text), "{\"a\":\"%s\",\"b\":null}", value);
    set = (struct tb_pick_set){.key = {3, 4}};
    want("a", true);
    want("b", true);
    assert_int_equal(read_json(text), TB_PARSE_OK);
    tb_siphash_begin(&s, set.key);
    tb_siphash_add(&s, tb_bytes_str(value));
    assert_int_equal(tb_pick_hash(&json.picks, &set, 0), tb_siphash_end(&s));
    assert_int_equal(json.picks.values[0].kind, TB_PICK_STRING);
    assert_int_equal(json.picks.values[1].kind, TB_PICK_NULL);
    assert_int_equal(tb_pick_hash(&json.picks, &set, 1), 0);
}

/* Ends of ranges of all lengths lie at the end of readable memory. */
static void nothing_behind_a_range_is_read(void **state)
{
    static const char text[] = "{\"k\":{\"x\":[1,2,{\"s\":\"..................................................\"}]},"
                               "\"esc\":\"\\\\\\\"\",\"aaaa\":[0.5,true],\"order\":{\"payment_method\":\"card\"}}";
    long page = sysconf(_SC_PAGESIZE);
    char *memory = mmap(NULL, (size_t)(2 * page), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    (void)state;
    assert_true(memory != MAP_FAILED && mprotect(memory + page, (size_t)page, PROT_NONE) == 0);
    want_only("order.payment_method");
    want("aaaa[1]", false);
    for (size_t len = 1; len < sizeof(text); len++) {
        char *at = memory + page - len;
        memcpy(at, text, len);
        memset(&json, 0, sizeof(json));
        enum tb_parse r = tb_json_feed(&json, &set, tb_bytes(at, len));
        assert_int_equal(r, len >= sizeof(text) - 3 ? TB_PARSE_OK : TB_PARSE_PARTIAL);
    }
    IS(json.picks, 0, TB_PICK_STRING, "card");
    IS(json.picks, 1, TB_PICK_TRUE, "true");
    munmap(memory, (size_t)(2 * page));
}

static void the_last_value_of_a_form_counts_when_the_form_is_over(void **state)
{
    struct tb_form_pick form = {0};
    (void)state;
    set = (struct tb_pick_set){0};
    assert_true(tb_pick_set_add(&set, tb_bytes_str("a"), false));
    assert_int_equal(tb_form_feed(&form, &set, tb_bytes_str("b=1&a=x%2")), TB_PARSE_PARTIAL);
    assert_int_equal(form.picks.found, 0);
    tb_form_end(&form, &set);
    IS(form.picks, 0, TB_PICK_STRING, "x%2");
}

static void names_of_headers_and_cookies_are_checked(void **state)
{
    (void)state;
    set = (struct tb_pick_set){0};
    assert_false(tb_header_set_add(&set, tb_bytes_str(""), false));
    assert_false(tb_header_set_add(&set, tb_bytes_str("a b"), false));
    assert_false(tb_header_set_add(&set, tb_bytes_str("a:"), false));
    assert_false(tb_header_set_add(&set, tb_bytes_str("Cookie"), false));
    assert_false(tb_header_set_add(&set, tb_bytes_str("cookie:"), false));
    assert_true(tb_header_set_add(&set, tb_bytes_str("cookie:Sid"), false));
    assert_true(tb_header_set_add(&set, tb_bytes_str("X-Cache"), false));
    struct tb_header_pick h = {0};
    assert_int_equal(
        tb_header_feed(&h, &set, tb_bytes_str("GET / HTTP/1.1\r\nCOOKIE:sid=1;Sid=2\r\nx-cAche:\ta \t b \r\n")),
        TB_PARSE_OK);
    IS(h.picks, 0, TB_PICK_STRING, "2");
    IS(h.picks, 1, TB_PICK_STRING, "a b");
}

static void a_section_ends_at_its_empty_line(void **state)
{
    struct tb_header_pick h = {0};
    (void)state;
    set = (struct tb_pick_set){0};
    assert_true(tb_header_set_add(&set, tb_bytes_str("a"), false));
    assert_int_equal(tb_header_feed(&h, &set, tb_bytes_str("B: 1\r\n\r\nA: 2\r\n")), TB_PARSE_OK);
    assert_int_equal(h.picks.found, 0);
}

static void caches_say_hit_or_miss(void **state)
{
    static const struct {
        const char *value;
        enum tb_cache_word word;
    } said[] = {{"", TB_CACHE_NONE},
                {"HIT", TB_CACHE_HIT},
                {"MISS from cache.example:3128", TB_CACHE_MISS},
                {"Hit from cloudfront", TB_CACHE_HIT},
                {"RefreshHit from cloudfront", TB_CACHE_HIT},
                {"MISS, HIT", TB_CACHE_HIT},
                {"HIT,MISS", TB_CACHE_MISS},
                {"TCP_MEM_HIT", TB_CACHE_HIT},
                {"EXPIRED", TB_CACHE_MISS},
                {"STALE", TB_CACHE_HIT},
                {"REVALIDATED", TB_CACHE_HIT},
                {"DYNAMIC", TB_CACHE_OTHER},
                {"BYPASS", TB_CACHE_OTHER},
                {"Origin; fwd=uri-miss, Edge; hit; ttl=545", TB_CACHE_HIT},
                {"Edge; fwd=stale; fwd-status=200", TB_CACHE_MISS}};
    (void)state;
    for (size_t i = 0; i < sizeof(said) / sizeof(said[0]); i++)
        assert_int_equal(tb_cache_word(tb_bytes_str(said[i].value)), said[i].word);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_paths_are_refused_where_they_are_wrong),
        cmocka_unit_test(compiled_paths_are_not_trusted),
        cmocka_unit_test(a_full_set_refuses_and_stays_as_it_is),
        cmocka_unit_test(the_first_member_with_the_whole_path_counts),
        cmocka_unit_test(reading_stops_when_everything_is_known),
        cmocka_unit_test(what_is_not_json_on_the_path_is_bad),
        cmocka_unit_test(what_is_off_the_path_is_read_on),
        cmocka_unit_test(depth_is_bounded),
        cmocka_unit_test(texts_are_bounded_each_and_together),
        cmocka_unit_test(hashes_are_of_the_whole_value_and_leave_no_text),
        cmocka_unit_test(nothing_behind_a_range_is_read),
        cmocka_unit_test(the_last_value_of_a_form_counts_when_the_form_is_over),
        cmocka_unit_test(names_of_headers_and_cookies_are_checked),
        cmocka_unit_test(a_section_ends_at_its_empty_line),
        cmocka_unit_test(caches_say_hit_or_miss),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values by form (route_segment.c): each kind from the first request on, and literals that look a little like one. And
 * shapes (route_shape.h): what is remembered for a shape is what the walk of the whole path says.
 */
#include "support.h"

#include "route.h"
#include "route_learner.h"
#include "route_shape.h"
#include "route_walk.h"

#define GET 1

static const char *ask(struct tb_core *core, const char *path)
{
    uint32_t handle = tb_route_begin(core, GET, tb_bytes_str(path), false);
    uint32_t ref = tb_route_end(core, handle, GET, 200);
    return (const char *)tb_string_get(core->strings, TB_LEN_STRINGS, ref).ptr;
}

struct form {
    const char *value, *becomes; /* becomes NULL: stays */
};

/* Each in a service of its own, behind a literal and before one, as the first request. */
static void each_form(const struct form *f, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct tb_core *core = support_bound_core();
        char path[256], want[256];
        snprintf(path, sizeof path, "/records/%s", f[i].value);
        snprintf(want, sizeof want, "/records/%s", f[i].becomes ? f[i].becomes : f[i].value);
        if (strcmp(ask(core, path), want))
            fail_msg("%s: not %s but %s", path, want, ask(core, path));
        assert_string_equal(ask(core, path), want);
        support_drop(core);
    }
}

static void numbers_are_ids(void **state)
{
    (void)state;
    static const struct form f[] = {{"1", ":id"},
                                    {"42", ":id"},
                                    {"007", ":id"},
                                    {"81350642", ":id"},
                                    {"1700000000", ":id"},
                                    {"175928847299117063", ":id"},
                                    {"00000000000000000000", ":id"},
                                    {"12-34", ":id"},
                                    {"+4957453653440", ":id"}};
    each_form(f, sizeof f / sizeof *f);
}

static void uuids_ulids_and_hashes_are_told_apart(void **state)
{
    (void)state;
    static const struct form f[] = {
        {"550e8400-e29b-41d4-a716-446655440000", ":uuid"},
        {"550E8400-E29B-41D4-A716-446655440000", ":uuid"},
        {"{550e8400-e29b-41d4-a716-446655440000}", ":uuid"},
        {"01ARZ3NDEKTSV4RRFFQ69G5FAV", ":token"}, /* a ULID */
        {"01arz3ndektsv4rrffq69g5fav", ":token"},
        {"507f1f77bcf86cd799439011", ":hash"},
        {"d41d8cd98f00b204e9800998ecf8427e", ":hash"},
        {"da39a3ee5e6b4b0d3255bfef95601890afd80709", ":hash"},
        {"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", ":hash"},
        {"3f2a1b9c", ":hash"},
        {"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", ":hash"}};
    each_form(f, sizeof f / sizeof *f);
}

static void tokens_and_codes_are_values(void **state)
{
    (void)state;
    static const struct form f[] = {
        {"Zx81hQpLw93mVbT7yKcR2dNf", ":token"},         {"dQw4w9WgXcQ", ":id"},
        {"4iV5W9uYEdYUVa79Axb7Rh", ":token"},           {"YWxhZGRpbjpvcGVuc2VzYW1l0Zm9v==", ":token"},
        {"1PQPPzozVSJ7!IHMOHfcYv", ":token"},           {"cus_Nf8s2LkQ0xYz91", ":id"},
        {"ch_3MmlLrLkdIwHu7ix0snN0B15", ":id"},         {"ORD-00017234", ":id"},
        {"AC0123456789abcdef0123456789abcdef", ":hash"}};
    each_form(f, sizeof f / sizeof *f);
}

static void dates_and_addresses_have_names_of_their_own(void **state)
{
    (void)state;
    static const struct form f[] = {{"2024-03-01", ":date"},
                                    {"2024-03-01T10:00:00Z", ":date"},
                                    {"jane.doe@example.com", ":email"},
                                    {"jane%40example.org", ":email"},
                                    {"10.1.2.3", ":ip"},
                                    {"2001:db8::7", ":ip"},
                                    {"web-01.prod.internal", ":host"},
                                    {"www.example.com", ":host"},
                                    {"example.org", ":host"},
                                    {"en-US", ":locale"},
                                    {"pt_BR", ":locale"},
                                    {"de-ch", ":locale"},
                                    {"zh-Hans", ":locale"},
                                    {"sr-Latn-RS", ":locale"}};
    each_form(f, sizeof f / sizeof *f);
}

static void file_names_keep_their_extension(void **state)
{
    (void)state;
    static const struct form f[] = {{"app.3f2a1b9c.js", ":file.js"},
                                    {"main-d41d8cd98f00b204.css", ":file.css"},
                                    {"IMG_20240301.jpg", ":file.jpg"},
                                    {"3f2a1b9c4d5e.woff2", ":file.woff2"},
                                    {"42.json", ":id.json"},
                                    {"550e8400-e29b-41d4-a716-446655440000.pdf", ":uuid.pdf"},
                                    {"chunk-VENDORS-7dd1aa0b.mjs", ":file.mjs"}};
    for (size_t i = 0; i < sizeof f / sizeof *f; i++) {
        struct tb_core *core = support_bound_core();
        char path[128], want[128];
        snprintf(path, sizeof path, "/static/%s", f[i].value);
        const char *becomes = strcmp(f[i].becomes, ":uuid.pdf") ? f[i].becomes : ":id.pdf";
        snprintf(want, sizeof want, "/static/%s", becomes);
        assert_string_equal(ask(core, path), want);
        support_drop(core);
    }
}

static void a_place_has_one_placeholder_for_each_extension(void **state)
{
    (void)state;
    struct tb_core *core = support_bound_core();
    assert_string_equal(ask(core, "/img/42.png"), "/img/:id.png");
    assert_string_equal(ask(core, "/img/photo-3f2a1b9c.png"), "/img/:id.png");
    assert_string_equal(ask(core, "/img/photo-3f2a1b9c.gif"), "/img/:file.gif");
    assert_string_equal(ask(core, "/img/43.gif"), "/img/:file.gif");
    support_drop(core);
}

static void literals_stay(void **state)
{
    (void)state;
    static const char *const paths[] = {"/v1/users",
                                        "/v10/users",
                                        "/v1.47/info",
                                        "/2.0/users",
                                        "/api/2024-01/x",
                                        "/v1beta1/pods",
                                        "/dns",
                                        "/js",
                                        "/tax",
                                        "/_ping",
                                        "/wp-json/wp/v2/posts",
                                        "/robots.txt",
                                        "/api/chat.postMessage",
                                        "/api/users.profile.get",
                                        "/rpc/system.listMethods",
                                        "/api/conversations.list",
                                        "/grpc.health.v1.Health/Check",
                                        "/static/app.js",
                                        "/favicon.ico",
                                        "/.well-known/openid-configuration",
                                        "/api/v3/to-do",
                                        "/sign-in",
                                        "/oauth2/token",
                                        "/k8s",
                                        "/graphql",
                                        "/index.php",
                                        "/login/2fa",
                                        "/_next/static",
                                        "/api/s3/buckets"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        struct tb_core *core = support_bound_core();
        assert_string_equal(ask(core, paths[i]), paths[i]);
        support_drop(core);
    }
}

/* --- shapes ----------------------------------------------------------------------------------------------------------
 */

static const char hexes[] = "0123456789abcdef";

static size_t random_value(char *out)
{
    static const unsigned lengths[] = {1, 2, 7, 16, 20, 24, 32, 36, 40, 23, 25};
    unsigned len = lengths[(unsigned)rand() % 11];
    bool number = len < 20 || rand() % 2;
    for (unsigned i = 0; i < len; i++)
        out[i] = number ? (char)('0' + rand() % 10) : hexes[rand() % 16];
    if (len == 36)
        out[8] = out[13] = out[18] = out[23] = '-';
    return len;
}

static size_t random_path(char *out, size_t room)
{
    static const char *const literals[] = {"api", "v1", "v2", "users", "orders", "3d-models", "4d-models", "s3"};
    size_t len = 0;
    for (unsigned depth = 1 + (unsigned)rand() % 4; depth; depth--) {
        char value[64];
        const char *literal = literals[(unsigned)rand() % 8];
        size_t n = rand() % 2 ? strlen(literal) : random_value(value);
        if (n != strlen(literal) || memcmp(value, literal, n) == 0)
            literal = value;
        if (len + n + 1 > room)
            break;
        out[len++] = '/';
        memcpy(out + len, literal, n);
        len += n;
    }
    return len;
}

/* The hash of a path's shape, 0 = it has none. */
static uint64_t shape_of(struct tb_core *core, struct tb_bytes p)
{
    uint64_t values, plain = tb_shape_plain(core, tb_learn_head(core), p);
    if (plain || p.len >= TB_SHAPE_MAX)
        return plain;
    struct tb_shape s = tb_shape_look(p.ptr, p.len);
    if (!tb_shape_values(&s, p.len, &values) || !values)
        return 0;
    return tb_shape_hash(core, tb_learn_head(core), p, &s, values);
}

/*
 * What is remembered for a shape is what the walk of the whole path says at the same moment. (Whole paths may keep a
 * route of words that are not settled until the tree changes: they are left out.)
 */
static void a_place_has_few_extensions(void **state)
{
    (void)state;
    static const char *const endings[] = {"js", "css", "png", "jpg", "svg", "pdf", "zip", "csv", "docx", "txt"};
    struct tb_core *core = support_bound_core();
    char path[64], route[64];
    for (int again = 0; again < 2; again++)
        for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
            snprintf(path, sizeof path, "/assets/IMG_204%d%zu.%s", again, i, endings[i]);
            snprintf(route, sizeof route, i < 6 ? "/assets/:file.%s" : "/assets/:file", endings[i]);
            assert_string_equal(ask(core, path), route);
        }
    support_drop(core);
}

static void homes_are_names(void **state)
{
    (void)state;
    struct tb_core *core = support_bound_core();
    assert_string_equal(ask(core, "/about"), "/about");
    assert_string_equal(ask(core, "/~alice"), "/:name");
    assert_string_equal(ask(core, "/~users"), "/:name"); /* whatever the word is */
    assert_string_equal(ask(core, "/news"), "/news");    /* and other words at the start are what they were */
    support_drop(core);
}

/* A value is one of many and seldom seen twice: what looks like one and comes again with every customer is none. */
static void a_word_that_comes_again_and_again_is_a_literal(void **state)
{
    (void)state;
    struct tb_core *core = support_bound_core();
    char path[64];
    assert_string_equal(ask(core, "/boxes/1/dark-11-kqz.json"), "/boxes/:id/:file.json");
    for (int i = 0; i < 60; i++) {
        snprintf(path, sizeof path, "/boxes/%d/dark-11-kqz.json", i);
        ask(core, path);
    }
    assert_string_equal(ask(core, "/boxes/4711/dark-11-kqz.json"), "/boxes/:id/dark-11-kqz.json");
    for (int i = 0; i < 200; i++) { /* but not one of many */
        snprintf(path, sizeof path, "/crates/%d/pale-%d-zqk.json", i, 10 + i % 50);
        ask(core, path);
    }
    assert_string_equal(ask(core, "/crates/4711/pale-11-zqk.json"), "/crates/:id/:file.json");
    support_drop(core);
}

static void a_remembered_shape_has_the_route_of_the_walk(void **state)
{
    (void)state;
    struct tb_core *core = support_bound_core();
    uint32_t shaped = 0;
    srand(23);
    for (int round = 0; round < 300000; round++) {
        char path[96];
        size_t len = random_path(path, round % 2 ? 60 : 90);
        struct tb_bytes p = tb_bytes(path, len);
        uint64_t shape = shape_of(core, p);
        bool is_known = shape && tb_route_cached(core, shape);
        uint32_t handle = tb_route_begin(core, GET, p, false);
        tb_route_end(core, handle, GET, 200);
        if (!is_known)
            continue;
        struct tb_route_walk w;
        tb_route_walk_path(core, p, false, &w);
        uint32_t node = w.count ? w.choices[w.count - 1].node : 0;
        if (w.known != w.count || handle - 1 != node)
            fail_msg("%.*s: node %u is remembered, not %u", (int)len, path, handle - 1, node);
        shaped++;
    }
    assert_in_range(shaped, 5000, 300000);
    support_drop(core);
}

#define LONG "/organisations-and-their-departments/reports-of-one-financial-year"

static void shapes_leave_out_values_and_nothing_else(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b;
        bool same;
    } pairs[] = {
        {"/users/42", "/users/77", true},
        {"/users/42/orders/9", "/users/77/orders/3", true},
        {"/users/42/orders/9", "/users/42/invoices/9", false},
        {"/api/v1/users/42", "/api/v2/users/42", false},
        {"/api/v1/users/42", "/api/v1/users/99", true},
        {"/s3/users/42", "/s4/users/42", false},
        {"/users/42/s3/1", "/users/42/s4/1", false},
        {"/users/42/12ab", "/users/42/13ab", false},
        {"/a/550e8400-e29b-41d4-a716-446655440000", "/a/650e8400-e29b-41d4-a716-446655440001", true},
        {"/a/507f1f77bcf86cd799439011/b", "/a/ffff1f77bcf86cd799439011/b", true},
        {"/a/507f1f77bcf86cd799439011/b", "/a/ffff1f77bcf86cd799439011/c", false},
        {"/api/v1/customers/81350642/orders/recent", "/api/v1/customers/11111111/orders/recent", true},
        {"/api/v1/customers/81350642/orders/recent", "/api/v1/customerz/81350642/orders/recent", false},
        {"/api/v1/customers/81350642/orders/recent", "/api/v1/customers/81350642/orders/recenz", false},
        {"/a/1/bb/2", "/a/11/b/2", false},
        {"/8103eaace243be4acd297313d/0185800/1667798/v2", "/8103eaace243be4acd297313d/0185800/v2", false},
        {"/a/1/bbbbbbbbbbbbbbbbbbbbbb", "/a/1/bbbbbbbbbbbbbbbbbbbbbbb", false},
        /* one letter's case, beside digits that leave nothing else in the middle of a block */
        {"/aaaaaa/1234/xyAbcdefghijklmnopqrstuvwxyzabcdefghijklm",
         "/aaaaaa/1234/xyabcdefghijklmnopqrstuvwxyzabcdefghijklm", false},
        /* 64 bytes and more */
        {LONG "/users/42", LONG "/users/7777", true},
        {LONG "/users/42", LONG "/users/4x", false},
        {LONG "/users/42", LONG "/user/42", false},
        {LONG "/42/users", LONG "/43/users", true},
        {LONG "/42/users", LONG "/43/userz", false},
        {LONG "/42/a", LONG "/42//a", false},
        {LONG "/550e8400-e29b-41d4-a716-446655440000", LONG "/650e8400-e29b-41d4-a716-446655440001", true},
        {LONG "/550e8400-e29b-41d4-a716-446655440000/a", LONG "/650e8400-e29b-41d4-a716-446655440001/b", false},
    };
    struct tb_core *core = support_bound_core();
    ask(core, "/");
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        uint64_t a = shape_of(core, tb_bytes_str(pairs[i].a)), b = shape_of(core, tb_bytes_str(pairs[i].b));
        bool same = a && a == b;
        if (same != pairs[i].same)
            fail_msg("%s and %s: %s", pairs[i].a, pairs[i].b, same ? "one shape" : "two shapes");
    }
    assert_int_equal(shape_of(core, tb_bytes_str("/7/boards")), 0); /* may be a version */
    assert_int_equal(shape_of(core, tb_bytes_str("/7" LONG)), 0);
    assert_int_equal(shape_of(core, tb_bytes_str("/users/7/3d-models")), 0);
    support_drop(core);
}

static void a_new_value_in_a_known_route_costs_no_walk(void **state)
{
    (void)state;
    struct tb_core *core = support_bound_core();
    char path[128];
    for (int i = 0; i < 100; i++) {
        snprintf(path, sizeof path, "/api/v1/customers/%d/orders/recent", 10000000 + i * 7919);
        assert_string_equal(ask(core, path), "/api/v1/customers/:id/orders/recent");
    }
    for (int i = 0; i < 100; i++) {
        snprintf(path, sizeof path, LONG "/%d", 10000 + i * 79);
        assert_string_equal(ask(core, path), LONG "/:id");
    }
    assert_int_not_equal(tb_route_cached(core, shape_of(core, tb_bytes_str(LONG "/88888"))), 0);
    struct tb_bytes p = tb_bytes_str("/api/v1/customers/98765432/orders/recent");
    assert_int_not_equal(tb_route_cached(core, shape_of(core, p)), 0);
    /* a change in the tree makes everything remembered outdated */
    tb_add_relaxed(&tb_learn_head(core)->epoch, 1);
    assert_int_equal(tb_route_cached(core, shape_of(core, p)), 0);
    support_drop(core);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_ids),
        cmocka_unit_test(uuids_ulids_and_hashes_are_told_apart),
        cmocka_unit_test(tokens_and_codes_are_values),
        cmocka_unit_test(dates_and_addresses_have_names_of_their_own),
        cmocka_unit_test(file_names_keep_their_extension),
        cmocka_unit_test(a_place_has_one_placeholder_for_each_extension),
        cmocka_unit_test(literals_stay),
        cmocka_unit_test(a_place_has_few_extensions),
        cmocka_unit_test(homes_are_names),
        cmocka_unit_test(a_word_that_comes_again_and_again_is_a_literal),
        cmocka_unit_test(a_remembered_shape_has_the_route_of_the_walk),
        cmocka_unit_test(shapes_leave_out_values_and_nothing_else),
        cmocka_unit_test(a_new_value_in_a_known_route_costs_no_walk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rules*.c, route_rules.c, host.c and the exporter's compiler: what a configuration says is what a request gets; new
 * rules reach cached paths; hostile sets, files and heads.
 */
#include "rules_support.h"

#include "conn.h"
#include "dependency.h"
#include "exchange.h"
#include "exporter/rules_publish.h"
#include "route_learner.h"
#include "route_rules.h"

static const char shop[] = "routes:\n"
                           "  ignore: [/healthz, {path: /metrics, route: none}, {path: /admin/*, method: OPTIONS}]\n"
                           "  patterns: [/about]\n"
                           "services:\n"
                           "  - name: shop-*\n"
                           "    routes:\n"
                           "      patterns:\n"
                           "        - /users/:name/repos\n"
                           "        - /users/me/repos\n"
                           "        - '/users/{id}'\n"
                           "        - '/static/*'\n"
                           "        - /static/special\n"
                           "        - '/files/{file}.json'\n"
                           "        - '/files/{any}'\n"
                           "        - '/map/{lat},{lon}'\n"
                           "        - /v1/:a/x\n"
                           "        - /v1/b/:c/y\n"
                           "        - {path: /orders/:id, method: [POST, PUT], route: orders write}\n"
                           "        - {path: /orders/:id, method: GET}\n"
                           "        - {path: /, host: 'API.example.com', route: api root}\n"
                           "        - /\n"
                           "        - {path: /who, host: '*.a.org'}\n"
                           "        - '/odd%20name/%3aliteral/:x'\n"
                           "  - name: '*'\n";

static void a_request_gets_what_the_file_says(void **state)
{
    (void)state;
    static const struct {
        uint8_t method;
        const char *host, *path, *route;
    } e[] = {
        {TB_METHOD_GET, "", "/users/bob/repos", "/users/:name/repos"},
        {TB_METHOD_GET, "", "/users//bob/./repos/", "/users/:name/repos"},
        {TB_METHOD_GET, "", "/users/b%6fb/repos", "/users/:name/repos"},
        {TB_METHOD_GET, "", "/users/me/repos", "/users/me/repos"},
        {TB_METHOD_GET, "", "/users/me", "/users/:id"},
        {TB_METHOD_GET, "", "/users/x;a=b", "/users/:id"},
        {TB_METHOD_GET, "", "/static/a/b/c.css", "/static/:rest"},
        {TB_METHOD_GET, "", "/static", "/static/:rest"},
        {TB_METHOD_GET, "", "/static/special", "/static/special"},
        {TB_METHOD_GET, "", "/static/special/more", "/static/:rest"},
        {TB_METHOD_GET, "", "/files/a.json", "/files/:file.json"},
        {TB_METHOD_GET, "", "/files/a.xml", "/files/:any"},
        {TB_METHOD_GET, "", "/map/1.5,2", "/map/:lat,:lon"},
        {TB_METHOD_GET, "", "/v1/b/x", "/v1/:a/x"}, /* the literal b leads nowhere here */
        {TB_METHOD_GET, "", "/v1/b/q/y", "/v1/b/:c/y"},
        {TB_METHOD_POST, "", "/orders/7", "orders write"},
        {TB_METHOD_PUT, "", "/orders/7", "orders write"},
        {TB_METHOD_GET, "", "/orders/7", "/orders/:id"},
        {TB_METHOD_GET, "api.example.com", "/", "api root"},
        {TB_METHOD_GET, "www.example.com", "/", "/"},
        {TB_METHOD_GET, "x.a.org", "/who", "/who"},
        {TB_METHOD_GET, "", "/about", "/about"}, /* for every service */
        {TB_METHOD_GET, "", "/healthz", "(ignored)"},
        {TB_METHOD_GET, "", "/metrics", "_none"},
        {TB_METHOD_OPTIONS, "", "/admin/a/b", "(ignored)"},
        {TB_METHOD_GET, "", "/odd%20name/:literal/7", "/odd name/%3Aliteral/:x"},
        {TB_METHOD_GET, "", "/blobs/da39a3ee5e6b4b0d3255bfef95601890afd80709", "/blobs/:hash"}, /* inferred */
        {TB_METHOD_GET, "", "/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17/18/19/20/21", NULL},
    };
    struct tb_core *core = support_bound_core();
    rules_use(core, shop, "shop-eu");
    for (int twice = 0; twice < 2; twice++)
        for (size_t i = 0; i < sizeof e / sizeof *e; i++) {
            const char *got = rules_ask(core, e[i].method, e[i].host, e[i].path, 200);
            if (e[i].route)
                assert_string_equal(got, e[i].route);
        }
    /* declared routes are routes whatever they answer */
    assert_string_equal(rules_ask(core, TB_METHOD_GET, "", "/users/nobody", 404), "/users/:id");
    assert_string_equal(rules_ask(core, TB_METHOD_GET, "", "/nowhere", 404), "_unmatched");
    support_drop(core);
}

static void the_first_service_that_matches_counts(void **state)
{
    (void)state;
    struct tb_core *core = support_bound_core();
    rules_use(core, shop, "other");
    assert_string_equal(rules_ask(core, TB_METHOD_GET, "", "/about", 200), "/about");
    assert_string_equal(rules_ask(core, TB_METHOD_GET, "", "/healthz", 200), "(ignored)");
    assert_string_equal(rules_ask(core, TB_METHOD_POST, "", "/orders/7", 200), "/orders/:id"); /* inferred */
    support_drop(core);
}

static void new_rules_reach_paths_that_are_known(void **state)
{
    (void)state;
    struct tb_core *core = support_bound_core();
    for (int i = 0; i < 100; i++)
        assert_string_equal(rules_ask(core, TB_METHOD_GET, "", "/items/7", 200), "/items/:id");
    rules_use(core, "routes: {patterns: ['/items/:sku']}", "x");
    for (int i = 0; i < 100; i++)
        assert_string_equal(rules_ask(core, TB_METHOD_GET, "", "/items/7", 200), "/items/:sku");
    rules_use(core, "routes: {ignore: ['/items/*']}", "x");
    assert_string_equal(rules_ask(core, TB_METHOD_GET, "", "/items/7", 200), "(ignored)");
    rules_use(core, "routes: {patterns: ['/items/:sku']}", "x");
    assert_string_equal(rules_ask(core, TB_METHOD_GET, "", "/items/7", 200), "/items/:sku");
    rules_put(core, "", 0);
    tb_rules_adopt(core);
    assert_string_equal(rules_ask(core, TB_METHOD_GET, "", "/items/7", 200), "/items/:id");
    support_drop(core);
}

/* Paths of one shape have one route only as long as no rule says otherwise. */
static void rules_tell_values_apart(void **state)
{
    (void)state;
    struct tb_core *core = support_bound_core();
    for (int i = 0; i < 200; i++)
        assert_string_equal(rules_ask(core, TB_METHOD_GET, "", i % 2 ? "/items/77" : "/items/88", 200), "/items/:id");
    rules_use(core, "routes: {patterns: [/items/77, /a/:b]}", "x");
    for (int i = 0; i < 200; i++)
        assert_string_equal(rules_ask(core, TB_METHOD_GET, "", i % 2 ? "/items/77" : "/items/88", 200),
                            i % 2 ? "/items/77" : "/items/:id");
    support_drop(core);
}

/* Patterns that take any value leave it to the shape of a path; others do not. */
static void shapes_are_used_where_rules_take_any_value(void **state)
{
    (void)state;
    static const struct {
        const char *pattern;
        bool has_shapes;
    } sets[] = {
        {"/items/:item/feed", true}, {"/items/*", true},
        {"/items/7{x}/feed", false}, {"/items/{x}-77/feed", false},
        {"/items/77/feed", false},   {"/items/x-{y}", true},
        {"/feed/face", true},        {"/a/550e8400-e29b-41d4-a716-446655440000", false},
        {"/a/:b.json", true},
    };
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
        struct tb_core *core = support_bound_core();
        char *text = tb_format("routes: {patterns: ['%s', /other/:thing]}", sets[i].pattern);
        rules_use(core, text, "x");
        if (((core->rules_view->flags & TB_RULES_SHAPES) != 0) != sets[i].has_shapes)
            fail_msg("%s", sets[i].pattern);
        free(text);
        support_drop(core);
    }
    struct tb_core *core = support_bound_core();
    char path[32];
    rules_use(core, "routes: {patterns: ['/items/:item/feed', {path: '/posts/:number', method: [POST]}]}", "x");
    for (int i = 0; i < 100; i++) {
        snprintf(path, sizeof path, "/items/%d/feed", 100 + i);
        assert_string_equal(rules_ask(core, TB_METHOD_GET, "", path, 200), "/items/:item/feed");
        snprintf(path, sizeof path, "/posts/%d", 100 + i);
        assert_string_equal(rules_ask(core, TB_METHOD_GET, "", path, 200), "/posts/:id");
        assert_string_equal(rules_ask(core, TB_METHOD_POST, "", path, 200), "/posts/:number");
    }
    rules_use(core, "routes: {route: path}", "x");
    for (int i = 0; i < 10; i++) {
        snprintf(path, sizeof path, "/items/%d/feed", 100 + i);
        assert_string_equal(rules_ask(core, TB_METHOD_GET, "", path, 200), path);
    }
    support_drop(core);
}

static void paths_as_routes_are_capped(void **state)
{
    (void)state;
    struct tb_core *core = support_bound_core();
    char path[64], want[64];
    rules_use(core, "routes: {route: path, max_routes: 20, patterns: [/declared/:x]}", "x");
    assert_string_equal(rules_ask(core, TB_METHOD_GET, "", "/a//b/../c%20d/%3ax/", 200), "/a/c%20d/%3Ax");
    assert_string_equal(rules_ask(core, TB_METHOD_GET, "", "/404", 404), "_unmatched");
    for (int i = 1; i < 20; i++) {
        snprintf(path, sizeof path, "/p/%d", i);
        assert_string_equal(rules_ask(core, TB_METHOD_GET, "", path, 200), path);
        assert_string_equal(rules_ask(core, TB_METHOD_GET, "", path, 200), path);
    }
    uint32_t nodes = tb_learn_head(core)->nodes;
    for (int i = 20; i < 1000; i++) {
        snprintf(path, sizeof path, "/p/%d", i);
        assert_string_equal(rules_ask(core, TB_METHOD_GET, "", path, 200), "_other");
    }
    assert_int_equal(tb_learn_head(core)->nodes, nodes); /* and they cost nothing */
    assert_int_equal(support_counter(core, TB_COUNTER_ROUTES_OVERFLOW), 980);
    assert_string_equal(rules_ask(core, TB_METHOD_GET, "", "/declared/1", 200), "/declared/:x"); /* whatever the cap */
    rules_use(core, "routes: {route: path, max_routes: 40}", "x");
    assert_string_equal(rules_ask(core, TB_METHOD_GET, "", "/p/999", 200), "/p/999");
    memset(want, 'x', sizeof want);
    char *big = tb_format("/long/%.*s%.*s/%.*s%.*s/end", 60, want, 60, want, 60, want, 60, want);
    const char *got = rules_ask(core, TB_METHOD_GET, "", big, 200);
    assert_true(strlen(got) <= 200 && strstr(got, "/:rest"));
    free(big);
    rules_use(core, "routes: {route: none}", "x");
    assert_string_equal(rules_ask(core, TB_METHOD_GET, "", "/p/1", 200), "_none");
    support_drop(core);
}

/* --- the search, against one that is obviously right ---------------------------------------------------------------
 */

/* Of two patterns that match, which is the more specific: at the first segment where they differ in kind. */
static int rank(const char *segment)
{
    return *segment == '*' ? 3 : *segment == ':' ? 2 : strchr(segment, '{') ? 1 : 0;
}

struct plain {
    char segments[6][12];
    int count;
    bool is_wild;
};

static struct plain take_apart(const char *text)
{
    struct plain p = {0};
    while (*text) {
        size_t len = strcspn(++text, "/");
        if (len == 1 && *text == '*')
            p.is_wild = true;
        else if (len)
            snprintf(p.segments[p.count++], sizeof p.segments[0], "%.*s", (int)len, text);
        text += len;
    }
    return p;
}

static bool plain_matches(const struct plain *p, const struct plain *path)
{
    if (path->count < p->count || (path->count > p->count && !p->is_wild))
        return false;
    for (int i = 0; i < p->count; i++) {
        int r = rank(p->segments[i]);
        size_t len = strlen(path->segments[i]), prefix = strcspn(p->segments[i], "{");
        if (r == 0 && strcmp(p->segments[i], path->segments[i]) != 0)
            return false;
        if (r == 1 && (len < prefix || strncmp(p->segments[i], path->segments[i], prefix) != 0))
            return false;
    }
    return true;
}

/* -1: a is the more specific. */
static int plain_order(const struct plain *a, const struct plain *b)
{
    for (int i = 0; i < 6; i++) {
        int x = i < a->count ? rank(a->segments[i]) : a->is_wild ? 3 : 4;
        int y = i < b->count ? rank(b->segments[i]) : b->is_wild ? 3 : 4;
        if (x == 4 || y == 4) /* one ends here: an end is a literal end, a wildcard is not */
            return x == y ? 0 : x == 4 ? -1 : 1;
        if (x != y)
            return x < y ? -1 : 1;
    }
    return 0;
}

static void the_most_specific_pattern_wins(void **state)
{
    (void)state;
    static const char *const words[] = {"a", "b", "ab", ":p", "a{q}"};
    uint64_t seed = 7;
    for (int round = 0; round < 150; round++) {
        struct tb_buffer text = {0};
        struct plain patterns[14];
        char lines[14][64];
        int count = 0;
        tb_puts(&text, "routes:\n  patterns:\n");
        for (int i = 0; i < 14; i++) {
            char path[64] = "";
            uint64_t n = support_random(&seed) % 5;
            for (uint64_t k = 0; k < n; k++)
                snprintf(path + strlen(path), sizeof path - strlen(path), "/%s", words[support_random(&seed) % 5]);
            if (support_random(&seed) % 4 == 0 || !*path)
                snprintf(path + strlen(path), sizeof path - strlen(path), "/*");
            bool is_new = true;
            for (int k = 0; k < count; k++)
                is_new &= strcmp(lines[k], path) != 0;
            if (!is_new)
                continue;
            char *line = tb_format("  - {path: '%s', route: r%d}\n", path, count);
            tb_puts(&text, line);
            free(line);
            snprintf(lines[count], sizeof lines[0], "%s", path);
            patterns[count++] = take_apart(path);
        }
        tb_put(&text, "", 1);
        struct tb_core *core = support_bound_core();
        rules_use(core, text.data, "x");
        for (int k = 0; k < 60; k++) {
            static const char *const parts[] = {"a", "b", "ab", "c", "ac"};
            char path[64] = "", want[16] = "";
            uint64_t n = support_random(&seed) % 6;
            for (uint64_t i = 0; i < n; i++)
                snprintf(path + strlen(path), sizeof path - strlen(path), "/%s", parts[support_random(&seed) % 5]);
            if (!*path)
                strncat(path, "/", 2);
            struct plain is = take_apart(path);
            int best = -1;
            for (int i = 0; i < count; i++)
                if (plain_matches(&patterns[i], &is) && (best < 0 || plain_order(&patterns[i], &patterns[best]) < 0))
                    best = i;
            if (best >= 0)
                snprintf(want, sizeof want, "r%d", best);
            const char *got = rules_ask(core, TB_METHOD_GET, "", path, 200);
            if (best >= 0 ? strcmp(got, want) != 0 : got[0] == 'r')
                fail_msg("%s: %s, not %s (%s) of\n%s", path, got, want, best >= 0 ? lines[best] : "none", text.data);
        }
        support_drop(core);
        tb_buffer_free(&text);
    }
}

/* --- hostile sets ---------------------------------------------------------------------------------------------------
 */

static void a_hostile_set_is_bounded(void **state)
{
    (void)state;
    struct tb_config *c = rules_config(shop);
    struct tb_buffer set = {0};
    uint64_t seed = 99;
    assert_int_equal(tb_rules_compile(c, 0, TB_RULES_FROM_EXPORTER, NULL, &set), 0);
    struct tb_core *core = support_bound_core();
    uint8_t *bad = malloc(set.len);
    unsigned adopted = 0;
    assert_non_null(bad);
    for (int round = 0; round < 4000; round++) {
        memcpy(bad, set.data, set.len);
        for (uint64_t i = support_random(&seed) % 40; i; i--) {
            uint64_t at = support_random(&seed) % set.len;
            if (at >= 8 && at < 24)
                continue;
            bad[at] = (uint8_t)support_random(&seed);
        }
        struct tb_rules_set *head = (struct tb_rules_set *)(void *)bad;
        head->checksum = tb_rules_checksum(bad + TB_RULES_CHECKED, set.len - TB_RULES_CHECKED);
        rules_put(core, bad, set.len);
        tb_rules_adopt(core);
        adopted += core->rules_view != NULL;
        for (int i = 0; i < 6; i++) {
            static const char *const paths[] = {"/users/bob/repos", "/",         "/static/a/b",
                                                "/files/a.json",    "/v1/b/q/y", "/who"};
            (void)rules_ask(core, TB_METHOD_GET, "api.example.com", paths[i], 200);
        }
        struct tb_rules_line *lines;
        size_t n = tb_rules_lines((const uint8_t *)core->rules, core->rules_view ? core->rules_view->at : 64,
                                  (uint32_t)set.len, &lines);
        tb_rules_lines_free(lines, n);
    }
    assert_true(adopted > 100); /* the test reaches what it is about */
    free(bad);
    tb_buffer_free(&set);
    tb_config_free(c);
    support_drop(core);
}

/* New rules twice, while a thread makes the node of its answer. */
static struct {
    struct tb_core *core;
    const char *texts[2];
} meanwhile;

static long syscall_meanwhile(long nr, long a, long b, long c, long d, long e, long f)
{
    struct tb_core *core = meanwhile.core;
    meanwhile.core = NULL;
    for (int i = 0; core && i < 2; i++)
        rules_use(core, meanwhile.texts[i], "shop");
    return support_syscall(nr, a, b, c, d, e, f);
}

static void an_answer_of_before_is_not_kept_for_new_rules(void **state)
{
    (void)state;
    char *dir = support_dir(), text[120];
    struct tb_core *core = support_core();
    struct tb_identity id = support_identity("shop");
    enum tb_inert why;
    assert_int_equal(tb_region_open(core, dir, &id, &why), 0);
    (void)rules_ask(core, TB_METHOD_GET, "", "/", 200);
    meanwhile.texts[0] = "routes: {patterns: [/a/:between]}";
    meanwhile.texts[1] = "routes: {patterns: [/a/:new]}";
    meanwhile.core = core;
    for (int i = 0; meanwhile.core; i++) {
        assert_in_range(i, 0, 1000); /* somewhere a node or its text needs a page */
        snprintf(text, sizeof text, "routes: {patterns: [{path: /a/:old, route: r%060d}]}", i);
        rules_use(core, text, "shop");
        core->env.syscall = syscall_meanwhile;
        (void)tb_route_begin_at(core, TB_METHOD_GET, tb_bytes(NULL, 0), tb_bytes_str("/a/1"), false);
        core->env.syscall = support_syscall;
    }
    assert_string_equal(rules_ask(core, TB_METHOD_GET, "", "/a/2", 200), "/a/:new");
    support_drop(core);
    support_remove_dir(dir);
}

/* However many globs a set has, and whatever a client sends. */
static void globs_are_bounded(void **state)
{
    (void)state;
    struct tb_bytes glob = tb_bytes_str("*aaaaaaaab"), text = tb_bytes_str("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab");
    uint32_t steps = 1000, few = 100;
    assert_true(tb_glob_within(glob, text, &steps));
    assert_true(steps < 900);
    assert_false(tb_glob_within(glob, text, &few));
    assert_int_equal(few, 0);
    assert_false(tb_glob_within(tb_bytes_str("*"), text, &few));
}

static void a_set_that_contradicts_itself_changes_nothing(void **state)
{
    (void)state;
    struct tb_config *c = rules_config("routes: {patterns: [/a/:b]}");
    struct tb_buffer set = {0};
    struct tb_core *core = support_bound_core();
    assert_int_equal(tb_rules_compile(c, 0, TB_RULES_FROM_EXPORTER, NULL, &set), 0);
    rules_put(core, set.data, set.len);
    tb_rules_adopt(core);
    set.data[set.len - 1] ^= 1;
    rules_put(core, set.data, set.len);
    tb_rules_adopt(core);
    assert_true(tb_rules_are_seen(core)); /* it is not looked at again for every request */
    assert_int_equal(support_counter(core, TB_COUNTER_RULES_REFUSED), 1);
    assert_string_equal(rules_ask(core, TB_METHOD_GET, "", "/a/index", 200), "/a/:b");
    core->rules->length[0] = core->rules->length[1] = UINT32_MAX;
    core->rules->generation++;
    tb_rules_adopt(core);
    assert_int_equal(support_counter(core, TB_COUNTER_RULES_REFUSED), 2);
    tb_buffer_free(&set);
    tb_config_free(c);
    support_drop(core);
}

/* --- hosts ----------------------------------------------------------------------------------------------------------
 */

static void hosts_are_read_cut_anywhere(void **state)
{
    (void)state;
    static const struct {
        const char *target, *head, *host, *port;
        bool is_given;
    } e[] = {
        {"/", "Host: Shop.Example.com\r\n\r\n", "shop.example.com", "", true},
        {"/", "A: b\r\nhost:shop:8080\r\n\r\n", "shop", ":8080", true},
        {"/", "X-Host: no\r\nHOST:\t[::1]:80 \r\n\r\n", "[::1]", "", true},
        {"/", "Host: [::1]:65535\r\n\r\n", "[::1]", ":65535", true},
        {"/", "Host: a.:443\r\n\r\n", "a", "", true},
        {"/", "Host: a.:8443\r\n\r\n", "a", ":8443", true},
        {"/", "Host: a:b\r\n\r\n", "a", "", true},
        {"/", "Host: a:123456\r\n\r\n", "a", "", true},
        {"/", "Host: a.\r\nHost: b\r\n\r\n", "a", "", true},
        {"/", "A: b\r\n\r\nHost: body\r\n", "", "", false},
        {"/", "Host:\r\n\r\n", "", "", false},
        {"/", "Host: a b\r\n\r\n", "a", "", true},
        {"/", "Host: a/b\r\n\r\n", "", "", true},
        {"/", "Host: \xff\r\n\r\n", "", "", true},
        {"/", "Host: x", "x", "", true},
        {"/", "Hos: x\nHost: y\n\n", "y", "", true},
        {"http://Abs.example:81/x?http://q", "Host: other\r\n\r\n", "abs.example", ":81", true},
        {"http://user@h/", "", "h", "", true},
        {"/x://y", "Host: z\r\n\r\n", "z", "", true},
    };
    for (size_t i = 0; i < sizeof e / sizeof *e; i++)
        for (size_t cut = 0; cut <= strlen(e[i].head); cut++) {
            struct tb_host h = {0};
            tb_host_target(&h, tb_bytes_str(e[i].target));
            tb_host_feed(&h, tb_bytes(e[i].head, cut));
            tb_host_feed(&h, tb_bytes_str(e[i].head + cut));
            struct tb_bytes got = tb_host_text(&h);
            assert_int_equal(got.len, strlen(e[i].host));
            assert_memory_equal(got.ptr, e[i].host, got.len);
            got = tb_host_authority(&h);
            assert_int_equal(got.len, strlen(e[i].host) + strlen(e[i].port));
            assert_memory_equal(got.ptr + strlen(e[i].host), e[i].port, strlen(e[i].port));
            assert_int_equal(h.is_given, e[i].is_given);
        }
    struct tb_host h = {0};
    char big[600] = "Host: ";
    memset(big + 6, 'a', sizeof big - 7);
    tb_host_feed(&h, tb_bytes_str(big));
    tb_host_feed(&h, tb_bytes_str("\r\n\r\n"));
    assert_int_equal(tb_host_text(&h).len, 0);
}

static const char *label_text(struct tb_core *core, const char *host)
{
    return (const char *)tb_string_get(core->strings, TB_LEN_STRINGS, tb_host_label(core, tb_bytes_str(host))).ptr;
}

static void host_labels_are_allowed_and_capped(void **state)
{
    (void)state;
    struct tb_core *core = support_bound_core();
    rules_use(core, "routes: {host: {label: true, allow: ['*.EXAMPLE.com', one.org], max: 2}}", "x");
    for (int twice = 0; twice < 2; twice++) {
        assert_string_equal(label_text(core, "a.example.com"), "a.example.com");
        assert_string_equal(label_text(core, "evil.com"), "_other");
        assert_string_equal(label_text(core, ""), "_other");
        assert_string_equal(label_text(core, "one.org"), "one.org");
        assert_string_equal(label_text(core, "b.example.com"), "_other"); /* the third */
    }
    assert_int_equal(support_counter(core, TB_COUNTER_HOSTS_OVERFLOW), 2);
    rules_use(core, "routes: {host: {label: true, max: 3}}", "x");
    assert_string_equal(label_text(core, "b.example.com"), "b.example.com");
    assert_string_equal(label_text(core, "c.example.com"), "_other");
    support_drop(core);
}

static const char *target_text(struct tb_core *core, const char *authority)
{
    uint32_t ref = tb_dependency_target(core, tb_bytes_str(authority));
    return (const char *)tb_string_get(core->strings, TB_LEN_STRINGS, ref).ptr;
}

static void targets_are_named_and_capped(void **state)
{
    (void)state;
    struct tb_core *core = support_bound_core();
    rules_use(
        core,
        "calls: {max_targets: 3, targets: [{match: '*.S3.example', name: everywhere}]}\n"
        "services: [{name: x, calls: {targets: [{match: 'a.s3.example', name: s3}, {match: '10.0.*:81', name: in}]}}]",
        "x");
    for (int twice = 0; twice < 2; twice++) {
        assert_string_equal(target_text(core, "a.s3.example"), "s3"); /* a service's own first */
        assert_string_equal(target_text(core, "b.s3.example"), "everywhere");
        assert_string_equal(target_text(core, "10.0.3.4:81"), "in");
        assert_string_equal(target_text(core, "pay.example"), "_other"); /* the fourth */
        assert_string_equal(target_text(core, ""), "_other");
    }
    assert_int_equal(support_counter(core, TB_COUNTER_TARGETS_OVERFLOW), 2);
    support_drop(core);
}

struct wanted {
    struct tb_core *core;
    const char *host, *route;
};

static bool is_text(struct tb_core *core, uint32_t ref, const char *text)
{
    struct tb_bytes t = ref ? tb_string_get(core->strings, TB_LEN_STRINGS, ref) : tb_bytes("", 0);
    return t.len == strlen(text) && memcmp(t.ptr, text, t.len) == 0;
}

static bool has_host(const struct tb_series_key *key, const void *arg)
{
    const struct wanted *w = arg;
    return key->family == TB_FAMILY_REQUESTS && is_text(w->core, key->target, w->host) &&
           is_text(w->core, key->route, w->route);
}

static uint64_t total_of(struct tb_core *core, const char *host, const char *route)
{
    struct wanted w = {core, host, route};
    return support_total(core, has_host, &w).count;
}

static void exchange(struct tb_core *core, struct tb_conn *c, const char *request, size_t cut)
{
    static const char response[] = "HTTP/1.1 200 OK\r\nServer: a-server-with-a-name\r\nContent-Type: text/plain\r\n"
                                   "Content-Length: 2\r\n\r\nok";
    char *copy = strdup(request); /* at its end the sanitizers watch */
    struct tb_bytes parts[] = {tb_bytes(copy, cut), tb_bytes(copy + cut, strlen(copy) - cut)};
    for (int i = 0; i < 2; i++)
        if (parts[i].len)
            tb_exchange_io(core, c, TB_RECEIVED, &parts[i], 1, parts[i].len);
    struct tb_bytes out = tb_bytes(response, sizeof response - 1);
    tb_exchange_io(core, c, TB_SENT, &out, 1, out.len);
    free(copy);
}

static void requests_carry_their_host_however_they_are_cut(void **state)
{
    (void)state;
    static const char request[] = "GET /items/7?q HTTP/1.1\r\nUser-Agent: something of some length\r\nHost: "
                                  "A.example.com:80\r\nAccept: everything\r\n\r\n";
    static const char absolute[] = "GET http://b.example.com/items/7 HTTP/1.1\r\nUser-Agent: something of some "
                                   "length\r\nHost: wrong\r\n\r\n";
    struct tb_core *core = support_bound_core();
    rules_use(core,
              "routes: {host: {label: true, allow: ['*.example.com']}, patterns: [{path: '/items/:n', host: "
              "a.example.com, route: mine}]}",
              "x");
    uint64_t a = 0, b = 0;
    for (size_t cut = 0; cut < sizeof request - 1; cut++) {
        struct tb_conn c;
        tb_conn_open(&c);
        for (int i = 0; i < 3; i++, a++)
            exchange(core, &c, request, i == 1 ? cut : 0);
        exchange(core, &c, absolute, cut % (sizeof absolute - 1));
        b++;
        assert_true(tb_exchange_close(core, &c, TB_CLOSE_LOCAL));
    }
    assert_int_equal(total_of(core, "a.example.com", "mine"), a);
    assert_int_equal(total_of(core, "b.example.com", "/items/:id"), b);
    assert_int_equal(core->path_taken, 0);
    /* the rules go: so does the label, on connections that live */
    struct tb_conn c;
    tb_conn_open(&c);
    exchange(core, &c, request, 0);
    rules_put(core, "", 0);
    for (int i = 0; i < 5; i++)
        exchange(core, &c, request, 0);
    assert_true(tb_exchange_close(core, &c, TB_CLOSE_LOCAL));
    assert_int_equal(total_of(core, "a.example.com", "mine"), a + 1);
    assert_int_equal(total_of(core, "", "/items/:id"), 5);
    /* a head that never ends is one aborted request of its route */
    support_drop(core);
}

static void ignored_requests_are_counted_as_such_alone(void **state)
{
    (void)state;
    struct tb_core *core = support_bound_core();
    struct tb_conn c;
    static const char request[] =
        "GET /healthz HTTP/1.1\r\nUser-Agent: a health check of this and that\r\nHost: a\r\n\r\n";
    rules_use(core, "routes: {ignore: [/healthz]}", "x");
    tb_conn_open(&c);
    for (int i = 0; i < 10; i++)
        exchange(core, &c, request, 0);
    struct tb_bytes in = tb_bytes(request, sizeof request - 1);
    tb_exchange_io(core, &c, TB_RECEIVED, &in, 1, in.len); /* and one that is not answered */
    assert_int_equal(core->owners[0].in_flight, 0);
    assert_true(tb_exchange_close(core, &c, TB_CLOSE_LOCAL));
    assert_int_equal(support_total(core, NULL, NULL).count, 0);
    assert_int_equal(support_counter(core, TB_COUNTER_IGNORED), 11);
    support_drop(core);
}

/* --- files and regions ----------------------------------------------------------------------------------------------
 */

static void write_bundle(const char *dir, const char *name, const char *text, enum tb_rules_origin origin)
{
    struct tb_config *c = rules_config(text);
    struct tb_buffer bundle = {0};
    assert_int_equal(tb_rules_bundle(c, origin, &bundle), 0);
    assert_int_equal(tb_rules_write(dir, name, &bundle), 0);
    assert_int_equal(tb_rules_write(dir, name, &bundle), 0);
    tb_buffer_free(&bundle);
    tb_config_free(c);
}

static struct tb_core *start(const char *dir, const char *service, const char *rules)
{
    struct tb_core *core = support_core();
    struct tb_identity id = support_identity(service);
    enum tb_inert why;
    id.rules = rules;
    assert_int_equal(tb_region_open(core, dir, &id, &why), 0);
    if (!tb_rules_are_seen(core))
        tb_rules_adopt(core);
    return core;
}

static void rules_hold_from_the_first_request(void **state)
{
    (void)state;
    char *dir = support_dir(), *path = tb_format("%s/given", dir);
    write_bundle(dir, TB_RULES_FILE, shop, TB_RULES_FROM_EXPORTER);
    struct tb_core *core = start(dir, "shop-eu", NULL);
    assert_string_equal(rules_ask(core, TB_METHOD_POST, "", "/orders/7", 200), "orders write");
    support_drop(core);
    core = start(dir, "other", "");
    assert_string_equal(rules_ask(core, TB_METHOD_POST, "", "/orders/7", 200), "/orders/:id");
    assert_string_equal(rules_ask(core, TB_METHOD_GET, "", "/about", 200), "/about");
    support_drop(core);
    write_bundle(dir, "given", "routes: {patterns: ['/orders/*']}", TB_RULES_FROM_RUN);
    core = start(dir, "shop-eu", path); /* adopts; what it was given counts */
    assert_string_equal(rules_ask(core, TB_METHOD_POST, "", "/orders/7", 200), "/orders/:rest");
    support_drop(core);
    assert_int_equal(unlinkat(AT_FDCWD, path, 0), 0);
    char *common = tb_format("%s/%s", dir, TB_RULES_FILE);
    assert_int_equal(unlink(common), 0);
    core = start(dir, "shop-eu", NULL); /* those of `run` ended with it */
    assert_string_equal(rules_ask(core, TB_METHOD_POST, "", "/new/7", 200), "/new/:id");
    assert_string_equal(rules_ask(core, TB_METHOD_POST, "", "/orders/7", 200), "/orders/:id");
    support_drop(core);
    core = start(dir, "other", NULL); /* those of an exporter stay */
    assert_string_equal(rules_ask(core, TB_METHOD_GET, "", "/healthz", 200), "(ignored)");
    support_drop(core);
    free(common);
    free(path);
    support_remove_dir(dir);
}

static void files_that_others_may_write_are_refused(void **state)
{
    (void)state;
    char *dir = support_dir(), *path = tb_format("%s/%s", dir, TB_RULES_FILE), *other = tb_format("%s/x", dir);
    static const char *const services[] = {"a", "b", "c", "d", "e"};
    write_bundle(dir, TB_RULES_FILE, "routes: {patterns: [/a/:b]}", TB_RULES_FROM_EXPORTER);
    for (int i = 0; i < 5; i++) {
        if (i == 0)
            assert_int_equal(chmod(path, 0664), 0);
        if (i == 1)
            assert_int_equal(chmod(path, 0646), 0);
        if (i == 2)
            assert_true(chmod(path, 0644) == 0 && rename(path, other) == 0 && symlink(other, path) == 0);
        if (i == 3)
            assert_true(unlink(path) == 0 && mkfifo(path, 0644) == 0);
        if (i == 4)
            assert_true(unlink(path) == 0 && rename(other, path) == 0 && truncate(path, 200) == 0);
        struct tb_core *core = start(dir, services[i], NULL);
        assert_null(core->rules_view);
        assert_int_equal(support_counter(core, TB_COUNTER_RULES_REFUSED), 1);
        support_drop(core);
    }
    if (geteuid() == 0) {
        write_bundle(dir, "own", "routes: {patterns: [/a/:b]}", TB_RULES_FROM_EXPORTER);
        assert_int_equal(unlink(path), 0);
        char *own = tb_format("%s/own", dir);
        assert_int_equal(chown(own, 4711, 4711), 0);
        struct tb_core *core = start(dir, "f", own);
        assert_null(core->rules_view);
        support_drop(core);
        free(own);
    }
    free(path);
    free(other);
    support_remove_dir(dir);
}

/* What the exporter does with a running program's region, through the whole of it. */
static void an_exporter_gives_rules_to_running_programs(void **state)
{
    (void)state;
    char *dir = support_dir();
    const char *dirs[] = {dir};
    struct tb_collector *collector;
    struct tb_core *core = start(dir, "shop-eu", NULL);
    assert_string_equal(rules_ask(core, TB_METHOD_POST, "", "/orders/7", 200), "/orders/:id");
    struct tb_collect_options options = {.dirs = dirs, .dir_count = 1};
    assert_int_equal(tb_collector_new(&options, &collector), 0);
    struct tb_config *c = rules_config(shop);
    struct tb_publisher *p = tb_publisher_new(c);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(tb_collect(collector), 0);
        tb_publish(p, tb_collector_snapshot(collector), dirs, 1);
    }
    assert_int_equal(tb_publisher_stats(p)->regions_written, 1);
    assert_int_equal(tb_publisher_stats(p)->regions_failed, 0);
    assert_false(tb_rules_are_seen(core));
    tb_rules_adopt(core);
    assert_string_equal(rules_ask(core, TB_METHOD_POST, "", "/orders/7", 200), "orders write");
    uint32_t at, len;
    struct tb_buffer section = {0};
    struct tb_rules_line *lines;
    assert_int_equal(tb_rules_in_force(tb_collector_snapshot(collector)->regions[0].path, &section, &at, &len), 0);
    size_t count = tb_rules_lines((const uint8_t *)section.data, at, len, &lines), found = 0;
    for (size_t i = 0; i < count; i++) {
        found += strcmp(lines[i].route, "/users/:name/repos") == 0 && lines[i].source == 8;
        found += strcmp(lines[i].route, "/static/:rest") == 0 && lines[i].source == 11;
        found += strcmp(lines[i].route, "/odd name/%3Aliteral/:x") == 0;
        found += strcmp(lines[i].route, "/healthz") == 0 && lines[i].is_drop;
    }
    assert_int_equal(found, 4);
    tb_rules_lines_free(lines, count);
    tb_buffer_free(&section);
    tb_publisher_free(p);
    tb_config_free(c);
    tb_collector_free(collector);
    support_drop(core);
    support_remove_dir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_gets_what_the_file_says),
        cmocka_unit_test(the_first_service_that_matches_counts),
        cmocka_unit_test(new_rules_reach_paths_that_are_known),
        cmocka_unit_test(rules_tell_values_apart),
        cmocka_unit_test(shapes_are_used_where_rules_take_any_value),
        cmocka_unit_test(paths_as_routes_are_capped),
        cmocka_unit_test(the_most_specific_pattern_wins),
        cmocka_unit_test(a_hostile_set_is_bounded),
        cmocka_unit_test(an_answer_of_before_is_not_kept_for_new_rules),
        cmocka_unit_test(globs_are_bounded),
        cmocka_unit_test(a_set_that_contradicts_itself_changes_nothing),
        cmocka_unit_test(hosts_are_read_cut_anywhere),
        cmocka_unit_test(host_labels_are_allowed_and_capped),
        cmocka_unit_test(targets_are_named_and_capped),
        cmocka_unit_test(requests_carry_their_host_however_they_are_cut),
        cmocka_unit_test(ignored_requests_are_counted_as_such_alone),
        cmocka_unit_test(rules_hold_from_the_first_request),
        cmocka_unit_test(files_that_others_may_write_are_refused),
        cmocka_unit_test(an_exporter_gives_rules_to_running_programs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

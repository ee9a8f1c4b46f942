/* SPDX-License-Identifier: Apache-2.0 */
/*
 * route*.c: paths become routes. What the first request gets, normalisation, 404s, caps, secrets, hostile bytes,
 * threads, and writers killed at any instruction.
 */
#include "support.h"

#include <pthread.h>
#include <signal.h>

#include "route.h"
#include "route_cache.h"

#define GET 1

/* The label of one request that is answered with @status. */
static const char *ask(struct tb_core *core, const char *path, uint16_t status)
{
    uint32_t handle = tb_route_begin(core, GET, tb_bytes_str(path), false);
    uint32_t ref = tb_route_end(core, handle, GET, status);
    return (const char *)tb_string_get(core->strings, TB_LEN_STRINGS, ref).ptr;
}

struct expected {
    const char *path, *route;
};

static void each_alone(const struct expected *e, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct tb_core *core = support_bound_core();
        assert_string_equal(ask(core, e[i].path, 200), e[i].route);
        assert_string_equal(ask(core, e[i].path, 200), e[i].route);
        support_drop(core);
    }
}

static void the_first_request_gets_its_route(void **state)
{
    (void)state;
    static const struct expected e[] = {
        {"/", "/"},
        {"/hello", "/hello"},
        {"/missing", "/missing"},
        {"/index.html", "/index.html"},
        {"/big.bin", "/big.bin"},
        {"/static/file.txt", "/static/file.txt"},
        {"/a/b/c", "/a/b/c"},
        {"/_ping", "/_ping"},
        {"/robots.txt", "/robots.txt"},
        {"/items/42", "/items/:id"},
        {"/users/123", "/users/:id"},
        {"/550e8400-e29b-41d4-a716-446655440000", "/:uuid"},
        {"/users/550E8400-E29B-41D4-A716-446655440000/posts", "/users/:uuid/posts"},
        {"/blobs/da39a3ee5e6b4b0d3255bfef95601890afd80709", "/blobs/:hash"},
        {"/reports/2024-03-01", "/reports/:date"},
        {"/users/jane.doe@example.com", "/users/:email"},
        {"/hosts/10.1.2.3", "/hosts/:ip"},
        {"/pay/card=4000056655665556", "/pay/:id"},
        {"/call/to=+4957453653440", "/call/:id"},
        {"/accounts/account4711001", "/accounts/:id"},
        {"/hosts/2001:db8::7", "/hosts/:ip"},
        {"/v1/charges/ch_3MmlLrLkdIwHu7ix0snN0B15", "/v1/charges/:id"},
        {"/sessions/Zx81hQpLw93mVbT7yKcR2dNf", "/sessions/:token"},
        {"/assets/app.3f2a1b9c.js", "/assets/:file.js"},
        {"/v10/users", "/v10/users"},
        {"/v1.47/containers/json", "/v1.47/containers/json"},
        {"/2.0/users", "/2.0/users"},
        {"/admin/api/2024-01/products", "/admin/api/2024-01/products"},
        {"/v1beta1/users", "/v1beta1/users"},
        {"/1/boards", "/1/boards"},
        {"/2010-04-01/Accounts", "/2010-04-01/Accounts"},
    };
    each_alone(e, sizeof e / sizeof *e);
}

static void paths_are_normalised(void **state)
{
    (void)state;
    static const struct expected e[] = {
        {"", "/"},
        {"//", "/"},
        {"/hello/", "/hello"},
        {"//api///users", "/api/users"},
        {"/api/./users", "/api/users"},
        {"/api/x/../users", "/api/users"},
        {"/../../users", "/users"},
        {"/%68ello", "/hello"},
        {"/api/%2e%2e/users", "/users"},
        {"/users;jsessionid=ABC123DEF456/settings;x=y", "/users/settings"},
        {"/Users", "/Users"}, /* case is kept */
        {"/docs/caf%C3%A9", "/docs/:name"},
        {"/docs/\xff\xfe", "/docs/:name"},
        {"/docs/a%2Fb", "/docs/:name"},
        {"/docs/%zz", "/docs/:name"},
        {"/docs/%", "/docs/:name"},
        {"/docs/a b", "/docs/:name"},
        {"*", "*"},
        {"/*", "/:name"},
        {"/users/:id", "/users/%3Aid"}, /* a literal that looks like a placeholder */
    };
    each_alone(e, sizeof e / sizeof *e);
}

static void a_cut_path_ends_in_rest(void **state)
{
    (void)state;
    struct tb_core *core = support_bound_core();
    char path[TB_PATH_MAX + 100];
    memset(path, 'a', sizeof path);
    for (size_t i = 0; i < 11; i++)
        path[i] = "/api/users/"[i];
    uint32_t handle = tb_route_begin(core, GET, tb_bytes(path, TB_PATH_MAX), true);
    char text[512];
    size_t n = tb_route_text(core, handle, text, sizeof text);
    assert_int_equal(n, strlen("/api/users/:rest"));
    assert_memory_equal(text, "/api/users/:rest", n);
    handle = tb_route_begin(core, GET, tb_bytes(path, sizeof path), false);
    assert_int_equal(tb_route_text(core, handle, text, sizeof text), n);
    support_drop(core);
}

static void too_deep_or_too_long_a_path_ends_in_rest(void **state)
{
    (void)state;
    struct tb_core *core = support_bound_core();
    char path[1024] = "";
    for (size_t i = 0; i < 40; i++)
        snprintf(path + 3 * i, sizeof path - 3 * i, "/v1");
    const char *deep = ask(core, path, 200);
    assert_non_null(strstr(deep, "/:rest"));
    assert_int_equal(strlen(deep), (TB_ROUTE_DEPTH - 1) * 3 + 6);
    for (size_t i = 0; i < 12; i++)
        snprintf(path + 35 * i, sizeof path - 35 * i, "/settings-notifications-preferences");
    const char *wide = ask(core, path, 200);
    assert_true(strlen(wide) <= TB_ROUTE_LABEL_MAX);
    assert_string_equal(wide + strlen(wide) - 6, "/:rest");
    support_drop(core);
}

static void simple_paths_keep_their_labels_among_dozens(void **state)
{
    (void)state;
    static const char *const paths[] = {
        "/",       "/hello",  "/index.html", "/big.bin",  "/static/file.txt", "/a/b/c",   "/health",  "/metrics",
        "/login",  "/upload", "/stream",     "/events",   "/small",           "/slow",    "/echo",    "/search",
        "/status", "/about",  "/early",      "/redirect", "/test.html",       "/api/foo", "/api/bar", "/x"};
    enum { N = sizeof paths / sizeof *paths };
    struct tb_core *core = support_bound_core();
    srand(7);
    for (int i = 0; i < 4000; i++) {
        const char *p = paths[rand() % N];
        char item[32];
        snprintf(item, sizeof item, "/items/%d", rand() % 100000);
        assert_string_equal(ask(core, p, rand() % 9 ? 200 : 500), p);
        assert_string_equal(ask(core, item, 200), "/items/:id");
        snprintf(item, sizeof item, "/nope%d", rand() % 1000);
        assert_string_equal(ask(core, item, 404), "_unmatched");
    }
    support_drop(core);
}

static void a_404_is_unmatched_until_the_route_answered(void **state)
{
    (void)state;
    struct tb_core *core = support_bound_core();
    assert_string_equal(ask(core, "/users/7", 404), "_unmatched");
    assert_string_equal(ask(core, "/users/7", 0), "_unmatched");
    assert_int_equal(tb_learn_head(core)->nodes, 0);
    assert_string_equal(ask(core, "/users/8", 200), "/users/:id");
    assert_string_equal(ask(core, "/users/9", 404), "/users/:id");
    assert_string_equal(ask(core, "/users/9", 0), "/users/:id");
    assert_string_equal(ask(core, "/users", 404), "_unmatched"); /* only passed through so far */
    assert_string_equal(ask(core, "/users", 301), "/users");
    assert_string_equal(ask(core, "/", 404), "_unmatched");
    support_drop(core);
}

static void a_handle_may_be_ended_twice(void **state)
{
    (void)state;
    struct tb_core *core = support_bound_core();
    uint32_t a = tb_route_begin(core, GET, tb_bytes_str("/events"), false);
    uint32_t b = tb_route_begin(core, GET, tb_bytes_str("/events"), false);
    uint32_t ref = tb_route_end(core, a, GET, 200);
    assert_int_equal(tb_route_end(core, b, GET, 200), ref);
    assert_int_equal(tb_route_end(core, a, GET, 200), ref);
    char text[64];
    assert_int_equal(tb_route_text(core, a, text, sizeof text), 7);
    assert_memory_equal(text, "/events", 7);
    assert_int_equal(tb_learn_head(core)->routes, 1);
    support_drop(core);
}

static void scanners_leave_no_trace(void **state)
{
    (void)state;
    struct tb_core *core = support_bound_core();
    ask(core, "/api/users", 200);
    uint32_t nodes = tb_learn_head(core)->nodes, text = tb_learn_head(core)->text;
    srand(11);
    for (int i = 0; i < 5000; i++) {
        char path[64];
        snprintf(path, sizeof path, "/%c%c%c/%x.php", 'a' + rand() % 26, 'a' + rand() % 26, 'a' + rand() % 26, rand());
        assert_string_equal(ask(core, path, 404), "_unmatched");
    }
    assert_int_equal(tb_learn_head(core)->nodes, nodes);
    assert_int_equal(tb_learn_head(core)->text, text);
    assert_int_equal(tb_learn_head(core)->routes, 1);
    support_drop(core);
}

static bool region_holds(struct tb_core *core, const char *secret)
{
    return memmem(core->base, TB_REGION_BYTES, secret, strlen(secret)) != NULL;
}

static void values_are_not_stored(void **state)
{
    (void)state;
    struct tb_core *core = support_bound_core();
    static const char *const secrets[] = {"hunter2-s3cr3t-9f8a7b", "jane.doe@example.com", "4111111111111111",
                                          "Zx81hQpLw93mVbT7yKcR2dNf", "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9"};
    for (size_t i = 0; i < sizeof secrets / sizeof *secrets; i++) {
        char path[128];
        static const char *const forms[] = {"/reset/%s", "/%s", "/api/users/%s/settings", "/reset/%s.json", "/x;t=%s"};
        for (size_t k = 0; k < sizeof forms / sizeof *forms; k++) {
            snprintf(path, sizeof path, forms[k], secrets[i]);
            ask(core, path, 200);
            assert_false(region_holds(core, secrets[i]));
            assert_null(memmem(core->route_cache, sizeof core->route_cache, secrets[i], strlen(secrets[i])));
        }
    }
    /* A word that could be a literal is forgotten when the answer is 404. */
    ask(core, "/correcthorse/batterystaple", 404);
    assert_false(region_holds(core, "correcthorse"));
    assert_false(region_holds(core, "batterystaple"));
    support_drop(core);
}

static void past_the_cap_routes_are_other_and_counted(void **state)
{
    (void)state;
    struct tb_core *core = support_bound_core();
    unsigned others = 0;
    for (int i = 0; i < 1100; i++) {
        char path[32];
        snprintf(path, sizeof path, "/v%d/v%d/users", i / 100, i % 100);
        others += strcmp(ask(core, path, 200), "_other") == 0;
    }
    assert_int_equal(others, 1100 - TB_ROUTE_LIMIT);
    assert_int_equal(core->counters[TB_COUNTER_ROUTES_OVERFLOW], others);
    assert_string_equal(ask(core, "/v0/v1/users", 200), "/v0/v1/users");
    assert_string_equal(ask(core, "/v10/v99/users", 200), "_other");
    support_drop(core);
}

/* Letters that no list of words has. */
static void invent(char *ret, size_t len)
{
    for (size_t i = 0; i < len; i++)
        ret[i] = (char)("bdfgklmnprstvz"[rand() % 14]);
    for (size_t i = 1; i < len; i += 2)
        ret[i] = "aeiou"[rand() % 5];
    ret[len] = 0;
}

static void one_of_many_is_a_value(void **state)
{
    (void)state;
    struct tb_core *core = support_bound_core();
    srand(3);
    char path[64], name[16];
    for (int i = 0; i < 2000; i++) {
        invent(name, 5 + (size_t)rand() % 5);
        snprintf(path, sizeof path, rand() % 2 ? "/users/%s" : "/users/%s/posts", name);
        ask(core, path, 200);
    }
    invent(name, 9);
    snprintf(path, sizeof path, "/users/%s", name);
    assert_string_equal(ask(core, path, 200), "/users/:name");
    snprintf(path, sizeof path, "/users/%s/posts", name);
    assert_string_equal(ask(core, path, 200), "/users/:name/posts");
    assert_true(tb_learn_head(core)->routes < 20);
    support_drop(core);
}

static void the_tree_is_bounded(void **state)
{
    (void)state;
    struct tb_core *core = support_bound_core();
    srand(5);
    for (int i = 0; i < 60000; i++) {
        char path[128], a[16], b[16];
        invent(a, 4 + (size_t)rand() % 8);
        invent(b, 4 + (size_t)rand() % 8);
        snprintf(path, sizeof path, "/v%d/v%d/%s/%s", rand() % 99, rand() % 99, a, b);
        ask(core, path, 200);
    }
    struct tb_route_head *head = tb_learn_head(core);
    assert_in_range(head->nodes, 1, TB_ROUTE_NODES - 1);
    assert_in_range(head->text, 1, TB_ROUTE_TEXT);
    assert_int_equal(head->routes, TB_ROUTE_LIMIT);
    const uint8_t *end = core->learner + TB_LEARN_BYTES, *limit = core->learner + TB_LEN_LEARNER;
    for (const uint8_t *p = end; p < limit; p++)
        assert_int_equal(*p, 0);
    support_drop(core);
}

static bool is_utf8_ascii(const char *s)
{
    for (; *s; s++)
        if ((uint8_t)*s < 0x21 || (uint8_t)*s > 0x7e)
            return false;
    return true;
}

static void hostile_bytes_give_clean_labels(void **state)
{
    (void)state;
    struct tb_core *core = support_bound_core();
    srand(9);
    for (int i = 0; i < 20000; i++) {
        char path[300];
        size_t len = (size_t)rand() % sizeof path;
        for (size_t k = 0; k < len; k++)
            path[k] = (char)(rand() % 4 ? "/.%;:*{}()\\|+?[]^$ab19-_"[rand() % 24] : rand());
        if (len)
            path[0] = '/';
        uint32_t handle = tb_route_begin(core, GET, tb_bytes(path, len), rand() % 8 == 0);
        char text[512];
        size_t n = tb_route_text(core, handle, text, sizeof text);
        assert_in_range(n, 1, TB_ROUTE_LABEL_MAX);
        uint32_t ref = tb_route_end(core, handle, GET, (uint16_t)(rand() % 3 ? 200 : 404));
        struct tb_bytes label = tb_string_get(core->strings, TB_LEN_STRINGS, ref);
        assert_in_range(label.len, 1, TB_ROUTE_LABEL_MAX);
        assert_true(is_utf8_ascii((const char *)label.ptr));
    }
    support_drop(core);
}

static void garbage_in_the_learner_does_no_harm(void **state)
{
    (void)state;
    struct tb_core *core = support_bound_core();
    srand(13);
    for (int round = 0; round < 20; round++) {
        for (size_t i = 0; i < TB_LEN_LEARNER; i++)
            core->learner[i] = (uint8_t)(rand() & rand());
        tb_learn_head(core)->format = TB_ROUTE_FORMAT;
        if (round % 2)
            tb_learn_head(core)->nodes = tb_learn_head(core)->text = tb_learn_head(core)->routes = 1;
        for (int i = 0; i < 200; i++) {
            char path[64], name[16], text[512];
            invent(name, 6);
            snprintf(path, sizeof path, "/users/%s/v%d/settings", name, rand() % 30);
            uint32_t handle = tb_route_begin(core, GET, tb_bytes_str(path), false);
            tb_route_text(core, handle, text, sizeof text);
            tb_route_end(core, handle, GET, 200);
            tb_route_text(core, (uint32_t)rand() * 3u, text, sizeof text);
        }
    }
    support_drop(core);
}

static long refuse(long nr, long a, long b, long c, long d, long e, long f)
{
    (void)nr, (void)a, (void)b, (void)c, (void)d, (void)e, (void)f;
    return -ENOSYS;
}

static void without_memory_the_route_is_other(void **state)
{
    (void)state;
    struct tb_core *core = support_bound_core();
    memset(core->reserved_pages, 0, sizeof core->reserved_pages);
    core->env.syscall = refuse;
    uint32_t handle = tb_route_begin(core, GET, tb_bytes_str("/hello"), false);
    assert_int_equal(handle, TB_ROUTE_OTHER);
    assert_int_equal(tb_route_end(core, handle, GET, 200), TB_STR_OTHER);
    support_drop(core);
}

/* The tree knew the route well before this process asked for it. */
static void a_process_that_comes_later_remembers_a_settled_route(void **state)
{
    (void)state;
    static const char path[] = "/customers/recent";
    struct tb_core *core = support_bound_core(), *later = NULL;
    for (unsigned i = 0; i < TB_NODE_VISITS + 2; i++) { /* one process after the other, each asks once */
        free(later);
        later = support_core();
        assert_int_equal(tb_region_bind(later, core->base, TB_REGION_BYTES), 0);
        assert_string_equal(ask(later, path, 200), path);
    }
    uint64_t hash = tb_route_path_hash(later, tb_learn_head(later), tb_bytes(path, sizeof path - 1));
    assert_int_not_equal(tb_route_cached(later, hash), 0);
    free(later);
    support_drop(core);
}

/* A request of a small application, by number. */
static void request(unsigned n, char *path, size_t len)
{
    static const char *const forms[] = {"/api/v%u/users", "/items/%u/reviews", "/orders/%u", "/health",
                                        "/v%u",           "/files/%u.json"};
    snprintf(path, len, forms[n % 6], n / 6 % 20);
}

static void *route_many(void *arg)
{
    struct tb_core *core = calloc(1, sizeof *core); /* as another worker of the service has it */
    if (!core)
        abort();
    memcpy(core, arg, sizeof *core);
    for (unsigned i = 0; i < 20000; i++) {
        char path[64];
        request(i * 7919u, path, sizeof path);
        ask(core, path, 200);
    }
    free(core);
    return NULL;
}

static void threads_agree_on_the_tree(void **state)
{
    (void)state;
    struct tb_core *core = support_bound_core();
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, route_many, core), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    uint32_t routes = tb_learn_head(core)->routes;
    assert_int_equal(routes, 20 + 1 + 1 + 1 + 20 + 1);
    route_many(core);
    assert_int_equal(tb_learn_head(core)->routes, routes);
    support_drop(core);
}

/* No list of children is a circle, every node is reachable from its parent or from nowhere. */
static void check_tree(struct tb_core *core)
{
    uint32_t nodes = tb_learn_head(core)->nodes;
    assert_in_range(nodes, 0, TB_ROUTE_NODES);
    for (uint32_t i = 0; i <= nodes && i < TB_ROUTE_NODES; i++) {
        uint32_t steps = 0;
        for (uint32_t at = tb_learn_node(core, i)->child; at; at = tb_learn_node(core, at)->next) {
            assert_int_equal(tb_learn_node(core, at)->parent, i);
            assert_in_range(++steps, 1, nodes);
        }
    }
}

static void writers_killed_anywhere_leave_a_sound_tree(void **state)
{
    (void)state;
    struct tb_core *core = support_bound_core();
    void *shared = mmap(NULL, TB_REGION_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(shared != MAP_FAILED);
    memcpy(shared, core->base, TB_REGION_BYTES);
    struct tb_core *worker = support_core();
    assert_int_equal(tb_region_bind(worker, shared, TB_REGION_BYTES), 0);
    srand(17);
    for (int round = 0; round < 60; round++) {
        int ready[2];
        assert_int_equal(pipe(ready), 0);
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (!pid) {
            for (unsigned i = 0;; i++) {
                char path[64];
                snprintf(path, sizeof path, "/v%u/v%u/items/%u", (unsigned)round, i % 97, i);
                ask(worker, path, i % 5 ? 200 : 404);
                if (i == (unsigned)round * 5)
                    (void)!write(ready[1], "", 1);
            }
        }
        char byte;
        assert_int_equal(read(ready[0], &byte, 1), 1);
        kill(pid, SIGKILL);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        close(ready[0]);
        close(ready[1]);
        check_tree(worker);
    }
    assert_string_equal(ask(worker, "/v3/v4/items/5", 200), "/v3/v4/items/:id");
    munmap(shared, TB_REGION_BYTES);
    free(worker);
    support_drop(core);
}

/* One thread has its number, the next has a later number and the first place before it. */
static void a_trial_is_not_taken_by_who_was_slower(void **state)
{
    (void)state;
    struct tb_core *core = support_bound_core();
    struct tb_route_head *head = tb_learn_head(core);
    ask(core, "/", 200); /* the learner is ready */
    for (uint32_t i = 0; i < 20; i++) {
        char faster_path[32], slower_path[32];
        snprintf(faster_path, sizeof faster_path, "/v%u/faster", i);
        snprintf(slower_path, sizeof slower_path, "/v%u/slower", i);
        uint32_t number = i ? i << 20 : 1u << 22; /* they wrap around at 22 bits */
        head->trials = number;
        uint32_t faster = tb_route_begin(core, GET, tb_bytes_str(faster_path), false);
        head->trials = number - 1;
        uint32_t slower = tb_route_begin(core, GET, tb_bytes_str(slower_path), false);
        uint32_t label = tb_route_end(core, slower, GET, 200);
        assert_string_equal((const char *)tb_string_get(core->strings, TB_LEN_STRINGS, label).ptr, slower_path);
        label = tb_route_end(core, faster, GET, 200);
        assert_string_equal((const char *)tb_string_get(core->strings, TB_LEN_STRINGS, label).ptr, faster_path);
    }
    support_drop(core);
}

/* Its request died; whoever comes much later has the place, whatever numbers wrapped around. */
static void a_trial_of_a_dead_request_is_taken(void **state)
{
    (void)state;
    struct tb_core *core = support_bound_core();
    struct tb_route_head *head = tb_learn_head(core);
    ask(core, "/", 200);
    uint32_t dead = 0;
    for (uint32_t i = 0; i < TB_ROUTE_TRIALS; i++) {
        char path[32];
        head->trials = (1u << 22) - 1 - i;
        snprintf(path, sizeof path, "/dead%u", i);
        dead = tb_route_begin(core, GET, tb_bytes_str(path), false);
    }
    head->trials = (1u << 22) + TB_ROUTE_STEAL;
    uint32_t handle = tb_route_begin(core, GET, tb_bytes_str("/alive"), false);
    bool decided;
    assert_non_null(tb_trial_find(core, handle, &decided));
    assert_non_null(tb_trial_find(core, dead, &decided));
    uint32_t label = tb_route_end(core, handle, GET, 200);
    assert_string_equal((const char *)tb_string_get(core->strings, TB_LEN_STRINGS, label).ptr, "/alive");
    support_drop(core);
}

static void more_requests_at_once_than_trials_keep_their_routes(void **state)
{
    (void)state;
    enum { N = 10 * TB_ROUTE_TRIALS };
    struct tb_core *core = support_bound_core();
    uint32_t handles[N];
    for (uint32_t i = 0; i < N; i++) {
        char path[32];
        snprintf(path, sizeof path, i % 2 ? "/hello" : "/v%u/users", i % 50);
        handles[i] = tb_route_begin(core, GET, tb_bytes_str(path), false);
    }
    for (uint32_t i = 0; i < N; i++) {
        char path[32];
        snprintf(path, sizeof path, i % 2 ? "/hello" : "/v%u/users", i % 50);
        uint32_t ref = tb_route_end(core, handles[i], GET, 200);
        assert_string_equal((const char *)tb_string_get(core->strings, TB_LEN_STRINGS, ref).ptr, path);
    }
    assert_int_equal(tb_learn_head(core)->routes, 26);
    for (uint32_t i = 0; i < N; i++)
        handles[i] = tb_route_begin(core, GET, tb_bytes_str("/nowhere"), false);
    for (uint32_t i = 0; i < N; i++)
        assert_int_equal(tb_route_end(core, handles[i], GET, 404), TB_STR_UNMATCHED);
    assert_int_equal(tb_learn_head(core)->routes, 26);
    support_drop(core);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_request_gets_its_route),
        cmocka_unit_test(paths_are_normalised),
        cmocka_unit_test(a_cut_path_ends_in_rest),
        cmocka_unit_test(too_deep_or_too_long_a_path_ends_in_rest),
        cmocka_unit_test(simple_paths_keep_their_labels_among_dozens),
        cmocka_unit_test(a_404_is_unmatched_until_the_route_answered),
        cmocka_unit_test(a_handle_may_be_ended_twice),
        cmocka_unit_test(scanners_leave_no_trace),
        cmocka_unit_test(values_are_not_stored),
        cmocka_unit_test(past_the_cap_routes_are_other_and_counted),
        cmocka_unit_test(one_of_many_is_a_value),
        cmocka_unit_test(the_tree_is_bounded),
        cmocka_unit_test(hostile_bytes_give_clean_labels),
        cmocka_unit_test(garbage_in_the_learner_does_no_harm),
        cmocka_unit_test(without_memory_the_route_is_other),
        cmocka_unit_test(a_process_that_comes_later_remembers_a_settled_route),
        cmocka_unit_test(threads_agree_on_the_tree),
        cmocka_unit_test(writers_killed_anywhere_leave_a_sound_tree),
        cmocka_unit_test(a_trial_is_not_taken_by_who_was_slower),
        cmocka_unit_test(a_trial_of_a_dead_request_is_taken),
        cmocka_unit_test(more_requests_at_once_than_trials_keep_their_routes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

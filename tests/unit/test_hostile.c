/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The region belongs to every process of its user: whatever stands in it, the agent stays inside its mapping and comes
 * back. Sections are filled with random bytes, small numbers and offsets near their ends, before and between whole
 * exchanges; unreadable pages lie on both sides of the mapping.
 */
#include "support.h"

#include "exchange.h"
#include "conn.h"
#include "route.h"

#define ROUNDS 300
#define REQUESTS 40

static uint64_t state = 1;

static uint32_t below(uint32_t n)
{
    return (uint32_t)(support_random(&state) >> 20) % n;
}

/* A region between unreadable pages. */
static struct tb_core *guarded_core(uint8_t **ret_mapping)
{
    struct tb_core *core = support_core();
    struct tb_identity id = support_identity("test");
    size_t guard = 65536;
    uint8_t *p = mmap(NULL, TB_REGION_BYTES + 2 * guard, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(p != MAP_FAILED);
    assert_int_equal(mprotect(p + guard, TB_REGION_BYTES, PROT_READ | PROT_WRITE), 0);
    tb_region_format(p + guard, &id, 1, 1);
    assert_int_equal(tb_region_bind(core, p + guard, TB_REGION_BYTES), 0);
    *ret_mapping = p;
    return core;
}

static uint32_t nasty_word(void)
{
    static const uint32_t words[] = {0,
                                     1,
                                     0xffffffff,
                                     0x7fffffff,
                                     0x80000000,
                                     0xfff8,
                                     0xffff,
                                     8191,
                                     8192,
                                     TB_LEN_CELLS,
                                     TB_LEN_STRINGS,
                                     TB_LEN_LEARNER,
                                     TB_PAGE,
                                     TB_PAGE - 8,
                                     TB_LEN_CELLS - 8,
                                     TB_LEN_STRINGS - 8};
    return below(3) ? words[below(sizeof(words) / sizeof(words[0]))] : (uint32_t)support_random(&state);
}

/* Some words of what the agent reads back, or whole pages of it. */
static void tamper(struct tb_core *core)
{
    static const uint32_t sections[][2] = {{TB_OFF_OWNERS, TB_LEN_OWNERS},   {TB_OFF_INFLIGHT, TB_LEN_INFLIGHT},
                                           {TB_OFF_RULES + 64, 4096 - 64},   {TB_OFF_INDEX, TB_LEN_INDEX},
                                           {TB_OFF_STRINGS, TB_LEN_STRINGS}, {TB_OFF_SERIES, TB_LEN_SERIES},
                                           {TB_OFF_LEARNER, TB_LEN_LEARNER}, {TB_OFF_CELLS, TB_LEN_CELLS}};
    const uint32_t *s = sections[below(sizeof(sections) / sizeof(sections[0]))];
    struct tb_region_header *h = core->header;
    uint32_t *words = (uint32_t *)(void *)(core->base + s[0]), count = s[1] / 4;
    uint32_t near = below(2) ? 1024 : count; /* the first page is what is used most */

    for (uint32_t n = below(2) ? 4 : 4000; n; n--)
        words[below(near)] = nasty_word();
    for (uint32_t i = 0; i < count && !below(4); i++) /* what is used is not zero */
        if (words[i] && !below(3))
            words[i] = nasty_word();
    if (!below(4)) {
        h->cells_used = nasty_word();
        h->arena_at[below(TB_SHARDS)] = nasty_word();
        h->series_used = nasty_word();
        h->series_limit = nasty_word();
    }
}

static void send_and_answer(struct tb_core *core)
{
    static const char *const paths[] = {
        "/", "/users/%u", "/a/b/c%u", "/files/x%u.css", "/v1/things/%u/parts/name", "/w%uord/more"};
    static const char *const answers[] = {
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nServer: with a rather long name, for the hot path\r\n\r\n",
        "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"};
    struct tb_conn c;
    char request[300], path[100];

    tb_conn_open(&c);
    for (uint32_t n = 1 + below(REQUESTS); n; n--) {
        snprintf(path, sizeof(path), paths[below(6)], below(below(2) ? 5 : 5000));
        int len =
            snprintf(request, sizeof(request),
                     "GET %s HTTP/1.1\r\nHost: example.org\r\nUser-Agent: something of some length/1.0\r\n\r\n", path);
        struct tb_bytes b = tb_bytes(request, (size_t)len);
        tb_exchange_io(core, &c, TB_RECEIVED, &b, 1, b.len);
        if (!below(10))
            tamper(core);
        b = tb_bytes_str(answers[below(3)]);
        tb_exchange_io(core, &c, TB_SENT, &b, 1, b.len);
    }
    if (!below(3)) {
        struct tb_bytes b = tb_bytes_str("GET /never/answered HTTP/1.1\r\n\r\n");
        tb_exchange_io(core, &c, TB_RECEIVED, &b, 1, b.len);
    }
    tb_exchange_close(core, &c, TB_CLOSE_LOCAL);
}

/* A live process whose number the region claims to know: nothing is sent to it but the question whether it lives. */
static long harmless_syscall(long nr, long a, long b, long c, long d, long e, long f)
{
    if (nr == SYS_kill && b != 0)
        abort();
    return support_syscall(nr, a, b, c, d, e, f);
}

static void whatever_stands_in_the_region_the_agent_stays_inside_it(void **test_state)
{
    (void)test_state;
    alarm(300); /* coming back is part of what is tested */
    for (int round = 0; round < ROUNDS; round++) {
        uint8_t *mapping;
        struct tb_core *core = guarded_core(&mapping);
        core->env.syscall = harmless_syscall;
        tb_exchange_select((enum tb_simd)(below((uint32_t)tb_scan_best() + 1)));
        for (uint32_t n = below(20); n; n--)
            send_and_answer(core);
        for (uint32_t n = 1 + below(5); n; n--) {
            tamper(core);
            if (!below(4))
                tb_core_forked(core, core->env.pid);
            send_and_answer(core);
        }
        tb_owner_release(core);
        munmap(mapping, TB_REGION_BYTES + 2 * 65536);
        free(core);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whatever_stands_in_the_region_the_agent_stays_inside_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent on a region that somebody else has written into: owners, strings, series, cells and the learner are patched
 * with any bytes, then exchanges are counted and routes are learned. The agent must stay inside the region (unreadable
 * pages lie on both sides) and come back.
 *
 * Input: patches {u8 section and length, u24 offset, bytes}, ended by a section 0; then lines, each a path to request.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "agent/exchange.h"
#include "agent/conn.h"
#include "agent/region.h"
#include "agent/route.h"
#include "agent/series.h"

#define GUARD 65536u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct tb_core core;
static uint8_t *region;
static uint64_t clock_ns;

static long no_syscall(long nr, long a, long b, long c, long d, long e, long f)
{
    (void)nr, (void)a, (void)b, (void)c, (void)d, (void)e, (void)f;
    return 0;
}

static uint64_t read_clock(void)
{
    return clock_ns += 1000;
}

static void bind_core(void)
{
    memset(&core, 0, sizeof(core));
    core.env = (struct tb_env){no_syscall, read_clock, 4096, 7};
    if (tb_region_bind(&core, region, TB_REGION_BYTES) != 0)
        abort();
}

static void exchange(const char *path, size_t len, const char *status)
{
    struct tb_conn c;
    char head[TB_PATH_MAX + 64] = "GET ";
    len = len > TB_PATH_MAX ? TB_PATH_MAX : len;
    memcpy(head + 4, path, len);
    memcpy(head + 4 + len, " HTTP/1.1\r\n\r\n", 13);
    struct tb_bytes request = {(uint8_t *)head, len + 17};
    struct tb_bytes response = {(const uint8_t *)status, strlen(status)};
    tb_conn_open(&c);
    tb_exchange_io(&core, &c, TB_RECEIVED, &request, 1, request.len);
    tb_exchange_io(&core, &c, TB_SENT, &response, 1, response.len);
    tb_exchange_close(&core, &c, TB_CLOSE_LOCAL);
}

/* A region in use, as a file of memory: each run works on private pages of it. */
static void make_region(void)
{
    static const char *const paths[] = {"/", "/users/17", "/users/18/orders", "/static/a.css", "/api/v1/items/9f8e7d"};
    int fd = memfd_create("region", 0);
    if (fd < 0 || ftruncate(fd, TB_REGION_BYTES) != 0)
        abort();
    region = mmap(NULL, TB_REGION_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (region == MAP_FAILED)
        abort();
    struct tb_identity id = {.service = "shop", .program = "p", .labels = "", .host = "h", .version = "1"};
    tb_region_format(region, &id, 1, 1);
    bind_core();
    for (size_t i = 0; i < 3 * sizeof(paths) / sizeof(paths[0]); i++)
        exchange(paths[i % 5], strlen(paths[i % 5]),
                 i % 4 ? "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
                       : "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n");
    munmap(region, TB_REGION_BYTES);
    uint8_t *space = mmap(NULL, TB_REGION_BYTES + 2 * GUARD, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (space == MAP_FAILED)
        abort();
    region = mmap(space + GUARD, TB_REGION_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, fd, 0);
    close(fd);
    if (region == MAP_FAILED)
        abort();
}

/* Not the header's identity and section table: what the agent was bound to is checked before, and owned by nobody else.
 */
static const struct {
    uint32_t offset, len;
} sections[] = {{TB_OFF_COUNTERS, TB_LEN_COUNTERS},
                {TB_OFF_OWNERS, TB_LEN_OWNERS},
                {TB_OFF_INFLIGHT, TB_LEN_INFLIGHT},
                {TB_OFF_RULES + sizeof(struct tb_rules_head), TB_LEN_RULES - sizeof(struct tb_rules_head)},
                {TB_OFF_INDEX, TB_LEN_INDEX},
                {TB_OFF_STRINGS, TB_LEN_STRINGS},
                {TB_OFF_SERIES, TB_LEN_SERIES},
                {TB_OFF_LEARNER, TB_LEN_LEARNER},
                {TB_OFF_CELLS, TB_LEN_CELLS},
                {offsetof(struct tb_region_header, bound_set), 16},
                {offsetof(struct tb_region_header, arena_at), 16},
                {TB_OFF_LEARNER, 3 * TB_PAGE},
                {TB_OFF_LEARNER + (192u << 10), 2 * TB_PAGE}};
#define SECTIONS (sizeof(sections) / sizeof(sections[0]))

static const uint8_t *patch(const uint8_t *p, const uint8_t *end)
{
    while (end - p > 4 && p[0] & 15) {
        uint32_t s = ((p[0] & 15u) - 1) % SECTIONS, n = 1u << (p[0] >> 4 & 7); /* up to 128 bytes */
        uint32_t at = ((uint32_t)p[1] | (uint32_t)p[2] << 8 | (uint32_t)p[3] << 16) % sections[s].len;
        p += 4;
        n = n > (uint32_t)(end - p) ? (uint32_t)(end - p) : n;
        n = n > sections[s].len - at ? sections[s].len - at : n;
        memcpy(region + sections[s].offset + at, p, n);
        p += n;
    }
    return p < end ? p + 1 : end;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const answers[] = {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
                                          "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n",
                                          "HTTP/1.1 500 Oh\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"};
    if (!region)
        make_region();
    madvise(region, TB_REGION_BYTES, MADV_DONTNEED); /* as it was made */
    clock_ns = 0;
    bind_core();
    const uint8_t *p = patch(data, data + size), *end = data + size;
    exchange("/users/17", 9, answers[0]);
    for (unsigned i = 0; p < end && i < 64; i++) {
        const uint8_t *eol = memchr(p, '\n', (size_t)(end - p));
        size_t len = (size_t)((eol ? eol : end) - p);
        char text[256];
        exchange((const char *)p, len, answers[i % 3]);
        (void)tb_route_line(&core, 1, tb_bytes(p, len), 200, text, sizeof(text));
        p += len + (eol != NULL);
    }
    tb_owner_release(&core);
    return 0;
}

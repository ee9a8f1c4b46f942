/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent on a rules area that somebody else has written: any bytes as a set of rules, which may change after it was
 * adopted without a new generation; then requests. The area is a block of its own, so that a byte read outside is seen.
 *
 * Input: u8 flags (1: make head and checksum right), u16 length of the set, the set, u8 number of changes {u16 offset,
 * u8 value} that come after it was adopted, then lines: u8 method (64: no exchange, 128: cut), host, a space, path.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "agent/conn.h"
#include "agent/exchange.h"
#include "agent/host.h"
#include "agent/region.h"
#include "agent/route.h"
#include "agent/rules.h"
#include "agent/measures.h"
#include "exporter/rules_compile.h"

/* behind the buffers the bound sets that rules ask for, and the values that their labels admitted */
#define AREA_BYTES ((TB_RULES_ADMITTED + TB_CUSTOM_ADMITTED * 8 + 63) & ~(size_t)63)
#define SET_AT (sizeof(struct tb_rules_head) + TB_RULES_BUFFER)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct tb_core core;
static uint8_t *region, *area;

static long no_syscall(long nr, long a, long b, long c, long d, long e, long f)
{
    (void)nr, (void)a, (void)b, (void)c, (void)d, (void)e, (void)f;
    return 0;
}

static uint64_t read_clock(void)
{
    return 1000;
}

static void make_region(void)
{
    const struct tb_identity id = {.service = "shop", .program = "p", .labels = "", .host = "h", .version = "1"};
    if (!region)
        region = mmap(NULL, TB_REGION_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (!area)
        area = aligned_alloc(64, AREA_BYTES);
    if (region == MAP_FAILED || !area || madvise(region, TB_REGION_BYTES, MADV_DONTNEED) != 0)
        abort();
    memset(&core, 0, sizeof core);
    memset(area, 0, AREA_BYTES);
    tb_region_format(region, &id, 1, 1);
    core.env = (struct tb_env){no_syscall, read_clock, 4096, 7};
    if (tb_region_bind(&core, region, TB_REGION_BYTES) != 0)
        abort();
    core.rules = (struct tb_rules_head *)(void *)area;
}

static void put_set(const uint8_t *set, uint32_t len, bool is_mended)
{
    struct tb_rules_set head;
    memcpy(area + SET_AT, set, len);
    if (is_mended && len >= sizeof head) {
        memcpy(&head, set, sizeof head);
        head.magic = TB_RULES_MAGIC;
        head.version = TB_RULES_VERSION;
        head.length = len;
        head.route %= TB_RULES_NONE + 1;
        memcpy(area + SET_AT, &head, sizeof head);
        head.checksum = tb_rules_checksum(area + SET_AT + TB_RULES_CHECKED, len - TB_RULES_CHECKED);
        memcpy(area + SET_AT, &head, sizeof head);
    }
    core.rules->length[1] = len;
    core.rules->active = 1;
    core.rules->generation = 1;
}

/* A request that goes through the core with headers and bodies, so that rules of custom metrics look into it. */
static void exchange(struct tb_conn *c, struct tb_bytes path, struct tb_bytes host, bool is_cut)
{
    char text[2048];
    static const char answer[] = "HTTP/1.1 201 Created\r\nX-Cache: HIT\r\nContent-Length: 45\r\n\r\n"
                                 "{\"order\":{\"status\":\"paid\"},\"count\":[1,2.5]} ";
    int len =
        snprintf(text, sizeof text,
                 "POST /%.*s?q=%.*s HTTP/1.1\r\nHost: %.*s\r\nCookie: sid=1; a=%.*s\r\nX-Tenant: t\r\n"
                 "Content-Length: 20\r\n\r\n{\"method\":\"card\"}  ",
                 (int)path.len, path.ptr, (int)host.len, host.ptr, (int)host.len, host.ptr, (int)host.len, host.ptr);
    if (len <= 0 || (size_t)len >= sizeof text)
        return;
    size_t step = is_cut ? 7 : sizeof text;
    for (size_t at = 0; at < (size_t)len; at += step) {
        struct tb_bytes in = {(const uint8_t *)text + at, (size_t)len - at < step ? (size_t)len - at : step};
        tb_exchange_io(&core, c, TB_RECEIVED, &in, 1, in.len);
    }
    for (size_t at = 0; at < sizeof answer - 1; at += step) {
        struct tb_bytes out = {(const uint8_t *)answer + at,
                               sizeof answer - 1 - at < step ? sizeof answer - 1 - at : step};
        tb_exchange_io(&core, c, TB_SENT, &out, 1, out.len);
    }
}

static void request(uint8_t method, struct tb_bytes host, struct tb_bytes path, bool is_cut)
{
    char text[TB_RULES_LABEL_MAX + 16];
    method %= TB_METHOD_COUNT;
    for (unsigned i = 0; i < 2; i++) { /* the second time may come from a cache */
        uint32_t handle = tb_route_begin_at(&core, method, host, path, is_cut);
        if (tb_route_text(&core, handle, text, sizeof text) > sizeof text)
            abort();
        uint32_t route = tb_route_end(&core, handle, method, 200);
        if (core.measures & TB_MEASURE_ROUTES && tb_measures_set(&core, route) >= TB_SETS)
            abort();
    }
    (void)tb_host_label(&core, host);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *p = data, *end = data + size;
    if (size < 4)
        return 0;
    make_region();
    uint32_t len = p[1] | (uint32_t)p[2] << 8, left = (uint32_t)(size - 4);
    len = (len < left ? len : left) & ~7u;
    len = len < TB_RULES_BUFFER ? len : TB_RULES_BUFFER;
    put_set(p + 3, len, p[0] & 1);
    p += 3 + len;
    tb_rules_adopt(&core);
    struct tb_rules_line *lines = NULL;
    size_t count = tb_rules_lines(area, SET_AT, len, &lines);
    tb_rules_lines_free(lines, count);
    for (unsigned changes = *p++; changes && end - p >= 3; changes--, p += 3)
        area[SET_AT + (p[0] | (uint32_t)p[1] << 8) % TB_RULES_BUFFER] = p[2];
    struct tb_conn conn;
    tb_conn_open(&conn);
    for (unsigned i = 0; end - p > 1 && i < 64; i++) {
        const uint8_t *eol = memchr(p, '\n', (size_t)(end - p)), *stop = eol ? eol : end;
        const uint8_t *space = memchr(p, ' ', (size_t)(stop - p));
        uint8_t method = *p;
        if (space > p && !(method & 64))
            exchange(&conn, tb_bytes(space + 1, (size_t)(stop - space - 1)), tb_bytes(p + 1, (size_t)(space - p - 1)),
                     method & 128);
        if (space > p)
            request(method, tb_bytes(p + 1, (size_t)(space - p - 1)), tb_bytes(space + 1, (size_t)(stop - space - 1)),
                    method & 128);
        p = stop + (eol != NULL);
    }
    tb_exchange_close(&core, &conn, TB_CLOSE_LOCAL);
    return 0;
}

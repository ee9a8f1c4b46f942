/* SPDX-License-Identifier: Apache-2.0 */
/* A core under rules of metrics of the user's own, exchanges that go through it, and its region as an exporter has it.
 * Include once. */
#ifndef TB_TESTS_CUSTOM_SUPPORT_H
#define TB_TESTS_CUSTOM_SUPPORT_H

#include "rules_support.h"

#include "conn.h"
#include "custom.h"
#include "exchange.h"

#include "exporter/region_read.h"
#include "exporter/rules_config.h"
#include "exporter/rules_ext.h"
#include "exporter/rules_gauges.h"

#define SECOND UINT64_C(1000000000)
#define MS (SECOND / 1000)

static uint64_t clock_ns;
static uint64_t alive[TB_OWNERS / 64]; /* owner slots whose processes live, as an exporter has it */

SUPPORT uint64_t read_clock(void)
{
    return clock_ns;
}

SUPPORT struct tb_core *new_core(const char *rules)
{
    struct tb_core *core = support_bound_core();
    clock_ns = SECOND;
    memset(alive, 0xff, sizeof alive);
    core->env.monotonic_ns = read_clock;
    core->realtime_offset_ns = UINT64_C(1700000000) * SECOND;
    if (rules)
        rules_use(core, rules, "shop");
    return core;
}

SUPPORT void send(struct tb_core *core, struct tb_conn *c, enum tb_direction d, const char *bytes)
{
    struct tb_bytes one = {(const uint8_t *)bytes, strlen(bytes)};
    tb_exchange_io(core, c, d, &one, 1, one.len);
}

/* One request with its answer @after_ns later. */
SUPPORT void exchange(struct tb_core *core, struct tb_conn *c, const char *method, const char *path, unsigned status,
                      const char *body, uint64_t after_ns)
{
    char text[1000];
    snprintf(text, sizeof text,
             "%s %s HTTP/1.1\r\nHost: h\r\nAccept: */*\r\nUser-Agent: a test of rules, of bytes\r\n\r\n", method, path);
    send(core, c, TB_RECEIVED, text);
    clock_ns += after_ns;
    snprintf(text, sizeof text,
             "HTTP/1.1 %u Any\r\nServer: s\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n\r\n%s", status,
             strlen(body), body);
    send(core, c, TB_SENT, text);
}

/* ---- the region as an exporter has it ---- */

struct view {
    struct tb_snapshot *s;
    struct tb_slot_cache cache;
};

SUPPORT void look(struct view *v, struct tb_core *core)
{
    struct tb_region_copy copy = {.base = core->base, .len = TB_REGION_BYTES};
    uint32_t skipped = 0;
    v->s = tb_snapshot_new();
    tb_snapshot_begin(v->s, UINT64_C(1700000000) * SECOND + clock_ns);
    tb_region_read_series(v->s, tb_snapshot_service(v->s, "shop", 4), &copy, &v->cache, TB_READ_TOTAL, alive, &skipped);
    assert_int_equal(tb_snapshot_finish(v->s), 0);
    assert_int_equal(skipped, 0);
}

SUPPORT void drop(struct view *v)
{
    tb_slot_cache_free(&v->cache);
    tb_snapshot_free(v->s);
}

SUPPORT const struct tb_snap_series *find(const struct view *v, const char *ext)
{
    for (size_t i = 0; i < v->s->series_count; i++)
        if (v->s->series[i]->key.family == TB_FAMILY_RULE && strcmp(v->s->series[i]->key.ext, ext) == 0)
            return v->s->series[i];
    return NULL;
}

SUPPORT uint64_t count(struct tb_core *core, const char *ext)
{
    struct view v = {0};
    look(&v, core);
    const struct tb_snap_series *e = find(&v, ext);
    uint64_t n = e ? e->count : 0;
    drop(&v);
    return n;
}

/* @why 0: of any reason. */
SUPPORT uint64_t unreadable(struct tb_core *core, const char *metric, unsigned why)
{
    struct view v = {0};
    uint64_t n = 0;
    look(&v, core);
    for (size_t i = 0; i < v.s->series_count; i++) {
        const struct tb_snap_key *k = &v.s->series[i]->key;
        if (k->family == TB_FAMILY_UNREADABLE && strcmp(k->ext, metric) == 0 && (!why || k->status == why))
            n += v.s->series[i]->count;
    }
    drop(&v);
    return n;
}

SUPPORT size_t count_series(struct tb_core *core)
{
    struct view v = {0};
    size_t n = 0;
    look(&v, core);
    for (size_t i = 0; i < v.s->series_count; i++)
        n += v.s->series[i]->key.family == TB_FAMILY_RULE;
    drop(&v);
    return n;
}

#endif

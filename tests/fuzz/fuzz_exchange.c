/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes a whole connection, with the fast paths against the general parsers: the same received and sent ranges, given
 * as they are (exchange_kept.c, http1_whole.h, http1_plain.h read them in one step) and cut byte by byte or at random
 * (the byte-wise machine reads them), must count the same. What reaches series.c is compared, and that nothing stays in
 * flight or in the pools.
 *
 * Input: one byte of flags (1,2: instruction set; 4: bytes, else random cuts; 8: what is sent is a request), one that
 * seeds the cuts, then ranges {u8 what, u16 length, bytes}: what 1 = sent, 2 = only its length is known. The process is
 * a function whose Runtime API is f:1.
 *
 * LDFLAGS: -Wl,--wrap=tb_series_observe,--wrap=tb_route_begin,--wrap=tb_route_end
 * LDFLAGS: -Wl,--wrap=tb_series_note,--wrap=tb_measures_took
 * LDFLAGS: -Wl,--wrap=tb_owner_claim,--wrap=tb_inflight_claim
 * LDFLAGS: -Wl,--wrap=tb_dependency_asked,--wrap=tb_dependency_answered,--wrap=tb_dependency_failed
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conn.h"
#include "exchange_impl.h"
#include "methods.h"
#include "queue.h"
#include "region.h"
#include "route.h"
#include "route_cache.h"
#include "series.h"

#include "tests/unit/lone_core.h"

#define ROUTES 4096u
#define LOG_MAX 4096u

/* One thing counted. */
struct counted {
    struct tb_series_key key;
    struct tb_observation o;
    uint32_t route_hash;
    uint32_t is_other;
};

struct log {
    struct counted entries[LOG_MAX];
    size_t used;
    bool has_early; /* a client saw an answer before it had noted the request: who is faster changes what is measured */
    uint64_t counters[TB_COUNTER_COUNT];
};

static uint32_t routes[ROUTES], routes_used;
static struct tb_region_header header; /* the words of a function in it */
static struct log *log_in_use;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
uint32_t __wrap_tb_route_begin(struct tb_core *, uint8_t, struct tb_bytes, bool);
void __wrap_tb_series_observe(struct tb_core *, const struct tb_series_key *, const struct tb_observation *);
void __wrap_tb_series_note(struct tb_core *, const struct tb_series_key *, uint64_t);
void __wrap_tb_measures_took(struct tb_core *, struct tb_series_key, uint64_t);

/* A number for each request; a path that is known opens the shortest way for the next one. */
uint32_t __wrap_tb_route_begin(struct tb_core *k, uint8_t method, struct tb_bytes path, bool is_cut)
{
    uint32_t hash = is_cut ? 77 : 5;
    (void)method;
    if (path.len > TB_PATH_MAX)
        abort();
    for (size_t i = 0; i < path.len; i++)
        hash = hash * 31 + path.ptr[i];
    if (routes_used + 1 >= ROUTES)
        return TB_ROUTE_OTHER;
    routes[++routes_used] = hash;
    if (!is_cut) {
        uint64_t h = tb_route_path_hash(k, &route_head, path);
        *tb_route_cache_slot(k, h) = (h & ~UINT64_C(0xffff)) | (routes_used - 1);
    }
    return routes_used;
}

void __wrap_tb_series_observe(struct tb_core *k, const struct tb_series_key *key, const struct tb_observation *o)
{
    (void)k;
    if (log_in_use->used == LOG_MAX)
        return;
    struct counted *c = &log_in_use->entries[log_in_use->used++];
    memset(c, 0, sizeof(*c));
    c->key = *key;
    c->o.duration_ns = o->duration_ns;
    c->o.first_byte_ns = o->first_byte_ns;
    c->o.rx_bytes = o->rx_bytes;
    c->o.tx_bytes = o->tx_bytes;
    c->o.is_timed = o->is_timed;
    c->o.is_incomplete = o->is_incomplete;
    c->is_other = key->route == TB_STR_OTHER || key->route == LONE_LABEL;
    c->route_hash = key->route > LONE_LABEL ? routes[key->route - LONE_LABEL] : 0;
    c->key.route = 0; /* a number of this run alone */
}

void __wrap_tb_series_note(struct tb_core *k, const struct tb_series_key *key, uint64_t realtime_ns)
{
    struct tb_observation o = {.first_byte_ns = realtime_ns};
    __wrap_tb_series_observe(k, key, &o);
}

void __wrap_tb_measures_took(struct tb_core *k, struct tb_series_key key, uint64_t duration_ns)
{
    struct tb_observation o = {.duration_ns = duration_ns, .is_timed = true};
    __wrap_tb_series_observe(k, &key, &o);
}

static void fresh(struct log *log)
{
    lone_core_reset();
    memset(&header, 0, sizeof header);
    core.header = &header;
    tb_invocation_start(&core, tb_bytes_str("f:1"), tb_bytes_str(""));
    routes_used = 0;
    log->used = 0;
    log->has_early = false;
    log_in_use = log;
}

static void feed(struct tb_conn *c, enum tb_direction direction, const uint8_t *p, size_t len, bool is_length)
{
    uint8_t *copy = is_length ? NULL : malloc(len);
    if (copy)
        memcpy(copy, p, len);
    struct tb_bytes range = {copy, len};
    tb_exchange_io(&core, c, direction, &range, 1, len);
    /* The one rule that counts calls: what is no HTTP is ignored after a hundred of them (docs/limits.md). */
    if (c->request.phase == TB_PHASE_STOPPED)
        c->request.pos = 0;
    free(copy);
}

/* @cuts 0: whole ranges; 1: byte by byte; else random. */
static void run(struct log *log, const uint8_t *p, size_t size, uint32_t cuts, bool is_client)
{
    struct tb_conn c;
    bool is_first = true;
    fresh(log);
    tb_conn_open(&c);
    while (size > 3) {
        size_t len = (size_t)p[1] | (size_t)p[2] << 8;
        enum tb_direction direction = (p[0] & 1) ? TB_SENT : TB_RECEIVED;
        bool is_length = p[0] & 2 && (direction == TB_SENT) != is_client;
        if (is_client)
            direction = direction == TB_SENT ? TB_RECEIVED : TB_SENT;
        p += 3;
        size -= 3;
        len = len > size ? size : len;
        clock_ns += 1000;
        for (size_t at = 0; at < len;) {
            size_t n = len - at;
            if (cuts == 1)
                n = 1;
            else if (cuts) {
                cuts = cuts * 1664525 + 1013904223;
                size_t some = 1 + (cuts >> 16) % ((cuts >> 8 & 3) ? 5 : 200);
                n = some < n ? some : n;
            }
            /* Whether a first byte H that is sent begins a response or HEAD takes a second one (docs/limits.md). */
            if (is_first && direction == TB_SENT && n < 2 && len >= 2)
                n = 2;
            is_first = false;
            feed(&c, direction, p + at, n, is_length);
            log->has_early |= is_client && c.response_flags & (RESPONSE_EARLY | RESPONSE_WAITS);
            at += n;
        }
        p += len;
        size -= len;
    }
    clock_ns += 1000;
    if (!tb_exchange_close(&core, &c, TB_CLOSE_LOCAL))
        abort();
    memcpy(log->counters, counters, sizeof(log->counters));
    if (lone_core_left())
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct log whole, cut;
    if (size < 2 || size > 65536)
        return 0;
    enum tb_simd simd = (enum tb_simd)(data[0] & 3);
    tb_exchange_select(simd > tb_scan_best() ? tb_scan_best() : simd);
    run(&whole, data + 2, size - 2, 0, data[0] & 8);
    run(&cut, data + 2, size - 2, (data[0] & 4) ? 1 : data[1] + 2u, data[0] & 8);
    bool has_early = whole.has_early || cut.has_early;
    if (whole.used != cut.used ||
        (!has_early && memcmp(whole.entries, cut.entries, whole.used * sizeof(whole.entries[0])) != 0)) {
        fprintf(stderr, "whole and cut count differently: %zu and %zu exchanges\n", whole.used, cut.used);
        abort();
    }
    for (int i = 0; i < TB_COUNTER_COUNT; i++) {
        if (whole.counters[i] != cut.counters[i]) {
            fprintf(stderr, "counter %d: %llu whole, %llu cut\n", i, (unsigned long long)whole.counters[i],
                    (unsigned long long)cut.counters[i]);
            abort();
        }
    }
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hostile region, from its bytes to the exposition: validate, read identity, owners, counters and series, render. The
 * first byte chooses: even, the rest is the file itself; odd, the rest patches a sound region of 40 series
 * ({u24 offset, u8 length, bytes}...), so that the fuzzer need not find a whole region by itself.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "agent/bound_sets.h"
#include "agent/exemplar.h"
#include "agent/own.h"
#include "agent/region.h"
#include "agent/series.h"
#include "exporter/region_read.h"
#include "tests/unit/rendered.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The pages are memory already: nothing has to be asked of a kernel. */
static long no_syscall(long nr, long a, long b, long c, long d, long e, long f)
{
    (void)nr, (void)a, (void)b, (void)c, (void)d, (void)e, (void)f;
    return 0;
}

static uint64_t no_clock(void)
{
    return 0;
}

/* What rules may ask for beside: another bound set, sizes, an exemplar. */
static void add_measured(struct tb_core *core)
{
    static const uint64_t bounds[] = {1000000, 20000000, 3000000000};
    struct tb_series_key key = {.family = TB_FAMILY_REQUESTS, .role = TB_ROLE_SERVER, .method = 1, .status = 200};
    struct tb_observation o = {.duration_ns = 20000000, .is_timed = true};
    key.route = tb_string_intern(core, tb_bytes_str("/route/0"));
    key.bound_set = tb_bound_set_get(core, &(struct tb_bounds){TB_UNIT_SECONDS, 3, bounds});
    tb_series_observe(core, &key, &o);
    tb_exemplar_note(core, &key, o.duration_ns, (uint64_t[2]){1, 2});
    key.family = TB_FAMILY_RESPONSE_SIZE;
    key.bound_set = TB_SET_SIZE;
    tb_series_add(core, &key, 100, 1000);
}

/* What the program counts itself, and a request in flight that gauges of rules count. */
static void add_own(struct tb_core *core)
{
    static const struct tb_own_label label = {"kind", "a \"b\""};
    static const enum tb_own_kind kinds[] = {TB_OWN_COUNTER, TB_OWN_SUM, TB_OWN_HISTOGRAM, TB_OWN_GAUGE, TB_OWN_LAST};
    struct tb_own *own[5];
    static const char *const names[] = {"own_a_total", "own_b_total", "own_c", "own_d", "own_e"};
    for (size_t i = 0; i < 5; i++) {
        struct tb_own_metric m = {.kind = kinds[i], .name = names[i], .help = "Said by the program."};
        m.labels = &label;
        m.label_count = 1;
        own[i] = tb_own_get(core, &m);
    }
    tb_own_count(core, own[0], 7);
    tb_own_sum(core, own[1], 0.5);
    tb_own_observe(core, own[2], 0.5);
    tb_own_set(core, own[3], 2.5);
    tb_own_last(core, own[4], -1);
    struct tb_series_key key = {.family = TB_FAMILY_RULE_GAUGE, .role = TB_ROLE_SERVER};
    key.ext = tb_string_intern(core, tb_bytes_str("iopen{x=\"1\"}"));
    (void)tb_series_block(core, &key, 0);
    uint16_t entry = tb_inflight_claim(core, 1000, 0, 1, 1);
    if (entry)
        core->inflight[entry - 1].gauges[0] = (uint16_t)(key.ext >> 3);
}

/* A sound region, made once. */
static const uint8_t *sound_region(void)
{
    static uint8_t *base;
    static struct tb_core core;
    if (base)
        return base;
    base = mmap(NULL, TB_REGION_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED)
        abort();
    struct tb_identity id = {.service = "shop", .program = "p", .labels = "", .host = "h", .version = "1"};
    tb_region_format(base, &id, 1, 1);
    core.env = (struct tb_env){no_syscall, no_clock, 4096, 1};
    if (tb_region_bind(&core, base, TB_REGION_BYTES) != 0)
        abort();
    tb_owner_claim(&core);
    for (uint32_t i = 0; i < 40; i++) {
        char route[] = "/route/0";
        route[7] = (char)('0' + i);
        struct tb_series_key key = {.family = (uint8_t)(1 + i % 3), .role = TB_ROLE_SERVER, .method = 1, .status = 200};
        key.status = key.family == TB_FAMILY_ABORTED ? 1 : 200;
        key.route = tb_string_intern(&core, tb_bytes_str(route));
        struct tb_observation o = {.duration_ns = UINT64_C(1) << (i + 4), .first_byte_ns = 1, .is_timed = true};
        tb_series_observe(&core, &key, &o);
    }
    add_measured(&core);
    add_own(&core);
    return base;
}

static void read_region(const uint8_t *bytes, size_t len)
{
    struct tb_region_copy copy = {.base = (uint8_t *)(uintptr_t)bytes, .len = len};
    if (len < sizeof(struct tb_region_header) || tb_region_validate(tb_region_copy_header(&copy), len) != 0)
        return;
    struct tb_snapshot *s = tb_snapshot_new();
    tb_snapshot_begin(s, 1);
    struct tb_snap_region *r = tb_snapshot_region(s, "fuzzed");
    const struct tb_region_header *h = tb_region_copy_header(&copy);
    r->is_live = true;
    tb_region_read_identity(&copy, r);
    r->service = tb_snapshot_service(s, h->service, tb_field_len(h->service, sizeof h->service));
    tb_region_read_owners(&copy, NULL, 0, UINT64_C(1) << 60, r);
    tb_region_read_counters(&copy, r->counters);
    struct tb_slot_cache cache = {0};
    tb_region_read_series(s, r->service, &copy, &cache, TB_READ_TOTAL, r->alive, &r->series_skipped);
    tb_snapshot_finish(s);
    struct tb_buffer out = {0};
    rendered(s, &out);
    tb_buffer_free(&out);
    tb_slot_cache_free(&cache);
    tb_snapshot_free(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    if (data[0] % 2 == 0) {
        uint8_t *exact = aligned_alloc(8, (size + 7) & ~(size_t)7);
        if (!exact)
            return 0;
        memcpy(exact, data + 1, size - 1);
        read_region(exact, size - 1);
        free(exact);
        return 0;
    }
    static uint8_t *patched;
    const uint8_t *sound = sound_region();
    if (!patched) {
        patched = aligned_alloc(8, TB_REGION_BYTES);
        if (!patched)
            return 0;
        memcpy(patched, sound, TB_REGION_BYTES);
    }
    const uint8_t *p = data + 1, *end = data + size;
    while (end - p > 4) {
        size_t at = ((size_t)p[0] | (size_t)p[1] << 8 | (size_t)p[2] << 16) % TB_REGION_BYTES, n = p[3];
        p += 4;
        n = n > (size_t)(end - p) ? (size_t)(end - p) : n;
        n = n > TB_REGION_BYTES - at ? TB_REGION_BYTES - at : n;
        memcpy(patched + at, p, n);
        p += n;
    }
    read_region(patched, TB_REGION_BYTES);
    for (p = data + 1; end - p > 4;) { /* undo: cheaper than a new copy */
        size_t at = ((size_t)p[0] | (size_t)p[1] << 8 | (size_t)p[2] << 16) % TB_REGION_BYTES, n = p[3];
        p += 4;
        n = n > (size_t)(end - p) ? (size_t)(end - p) : n;
        n = n > TB_REGION_BYTES - at ? TB_REGION_BYTES - at : n;
        memcpy(patched + at, sound + at, n);
        p += n;
    }
    return 0;
}

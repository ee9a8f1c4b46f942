/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads the copy of one region: series, counters, identity, owners and their requests in flight. Every value is hostile
 * until checked; a slot that makes no sense is skipped and counted, never half used.
 */
#include "region_read.h"

#include <errno.h>
#include <stdlib.h>

#include "agent/bound_sets.h"
#include "agent/exemplar.h"
#include "agent/region.h"
#include "agent/series.h"
#include "agent/series_read.h"
#include "buffer.h"
#include "rules_ext.h"
#include "rules_gauges.h"
#include "users.h"

void tb_slot_cache_free(struct tb_slot_cache *cache)
{
    free(cache->slots);
    cache->slots = NULL;
    cache->count = 0;
}

static void prepare_cache(struct tb_slot_cache *cache, const struct tb_region_header *h, uint32_t count)
{
    if (cache->region_id != h->region_id || cache->generation != h->generation)
        tb_slot_cache_free(cache);
    cache->region_id = h->region_id;
    cache->generation = h->generation;
    if (count <= cache->count)
        return;
    cache->slots = tb_realloc(cache->slots, count * sizeof *cache->slots);
    memset(cache->slots + cache->count, 0, (count - cache->count) * sizeof *cache->slots);
    cache->count = count;
}

static bool is_sensible(const struct tb_series_key *key)
{
    if (key->role > TB_ROLE_CLIENT)
        return false;
    if (key->family == TB_FAMILY_ABORTED)
        return key->status >= 1 && key->status <= TB_ABORT_NEVER_ANSWERED;
    if (tb_ext_is_family(key->family))
        return key->role == TB_ROLE_SERVER;
    if (key->family == TB_FAMILY_UNREADABLE)
        return key->role == TB_ROLE_SERVER && key->status >= 1 && key->status < TB_CUSTOM_WHYS;
    if (key->family == TB_FAMILY_INVOCATION || key->family == TB_FAMILY_INVOCATION_ERRORS)
        return key->role == TB_ROLE_SERVER &&
               key->status <= (key->family == TB_FAMILY_INVOCATION ? 0u : (unsigned)TB_INVOCATION_INIT);
    if (key->family >= TB_FAMILY_CALL_ERRORS && key->role != TB_ROLE_CLIENT)
        return false;
    if (key->family == TB_FAMILY_CALL_ERRORS)
        return key->status >= TB_CALL_REFUSED && key->status <= TB_CALL_PROTOCOL;
    if (key->family == TB_FAMILY_CALL_RESULT)
        return key->status == TB_CALL_ANSWERED || key->status == TB_CALL_FAILED;
    if (key->family == TB_FAMILY_CALL_CONNECT || key->family == TB_FAMILY_CALL_TLS)
        return key->status == 0;
    return key->family >= TB_FAMILY_REQUESTS && key->family <= TB_FAMILY_EXEMPLARS && key->status >= 100 &&
           key->status <= 999;
}

static uint8_t unit_of(uint8_t family)
{
    return family == TB_FAMILY_REQUEST_SIZE || family == TB_FAMILY_RESPONSE_SIZE ? TB_UNIT_BYTES : TB_UNIT_SECONDS;
}

/* The number here of the set that a region knows under a number of its own; -1: none that makes sense. */
static int bound_set_of(const struct tb_region_copy *copy, const struct tb_series_key *key,
                        struct tb_snap_service *service)
{
    size_t len = 0;
    const void *rules = tb_region_copy_section(copy, TB_SEC_RULES, sizeof(struct tb_rules_head), &len);
    struct tb_bounds bounds;
    if (!(rules && tb_bound_sets_entry(rules, len, key->bound_set, &bounds)) &&
        !tb_histogram_builtin(key->bound_set, &bounds))
        return -1;
    if (bounds.unit != unit_of(key->family) && key->family != TB_FAMILY_RULE) /* a rule's unit is what it measures */
        return -1;
    return tb_user_bound_set(service->user, &bounds);
}

static char *string_of(const struct tb_region_copy *copy, uint32_t ref)
{
    size_t len = 0;
    const uint8_t *strings = tb_region_copy_section(copy, TB_SEC_STRINGS, sizeof(struct tb_strings_head), &len);
    struct tb_bytes text = {0};
    if (ref && strings)
        text = tb_string_get(strings, len, ref);
    return tb_label_clean(text.len ? (const char *)text.ptr : "", text.len);
}

/* A series of a custom metric is its name and nothing else. */
static struct tb_snap_series *look_up_custom(struct tb_snapshot *s, struct tb_snap_service *service,
                                             const struct tb_region_copy *copy, const struct tb_series_key *key,
                                             uint16_t bound_set)
{
    char *name = string_of(copy, key->ext);
    struct tb_snap_key k = {key->family, TB_ROLE_SERVER, 0, bound_set, 0, "", "", name};
    struct tb_ext ext;
    bool is_good = tb_ext_read(name, &ext) && tb_ext_family(ext.shape) == key->family;
    struct tb_snap_series *e = is_good ? tb_snapshot_series(s, service, &k) : NULL;
    if (e && ext.is_own && !e->help)
        e->help = string_of(copy, key->target);
    free(name);
    return e;
}

/* What a metric's rules could not read, by reason. */
static struct tb_snap_series *look_up_unreadable(struct tb_snapshot *s, struct tb_snap_service *service,
                                                 const struct tb_region_copy *copy, const struct tb_series_key *key)
{
    char *metric = string_of(copy, key->ext);
    struct tb_snap_key k = {TB_FAMILY_UNREADABLE, TB_ROLE_SERVER, 0, 0, key->status, "", "", metric};
    bool is_good =
        !tb_metric_name_complaint(metric, TB_METRIC_COUNTER) || !tb_metric_name_complaint(metric, TB_METRIC_GAUGE);
    struct tb_snap_series *e = is_good ? tb_snapshot_series(s, service, &k) : NULL;
    free(metric);
    return e;
}

static struct tb_snap_series *look_up(struct tb_snapshot *s, struct tb_snap_service *service,
                                      const struct tb_region_copy *copy, const struct tb_series_key *key)
{
    int bound_set = is_sensible(key) ? bound_set_of(copy, key, service) : -1;
    if (bound_set < 0)
        return NULL;
    if (tb_ext_is_family(key->family))
        return look_up_custom(s, service, copy, key, (uint16_t)bound_set);
    if (key->family == TB_FAMILY_UNREADABLE)
        return look_up_unreadable(s, service, copy, key);
    uint8_t family = key->family == TB_FAMILY_EXEMPLARS ? TB_FAMILY_REQUESTS : key->family;
    char *route = string_of(copy, key->route);
    char *target = string_of(copy, key->target);
    struct tb_snap_key k = {family, key->role, key->method, (uint16_t)bound_set, key->status, *route ? route : "_other",
                            target, ""}; /* those that differ in ext alone are one */
    struct tb_snap_series *e = tb_snapshot_series(s, service, &k);
    free(route);
    free(target);
    return e;
}

static void add_sum(struct tb_snap_values *to, const struct tb_series_sum *sum)
{
    to->sum_ns += sum->sum_ns;
    to->first_byte_ns += sum->first_byte_ns;
    to->rx_bytes += sum->rx_bytes;
    to->tx_bytes += sum->tx_bytes;
    to->incomplete += sum->incomplete;
    to->untimed += sum->untimed;
    size_t at = 0;
    for (uint64_t octaves = sum->octaves; octaves; octaves &= octaves - 1) {
        uint32_t octave = (uint32_t)__builtin_ctzll(octaves);
        at = tb_values_find(to, at, octave);
        for (size_t i = 0; i < TB_BLOCK_CELLS; i++)
            to->blocks[at].cells[i] += sum->cells[octave][i];
    }
}

/* The latest, but none of the future: a region that says so would have the last word for ever. */
static void note_chosen(uint64_t *chosen_ns, const struct tb_series_sum *sum, uint64_t now_ns)
{
    if (sum->chosen_ns > *chosen_ns && sum->chosen_ns <= now_ns)
        *chosen_ns = sum->chosen_ns;
}

/* For each bucket the slowest of what came since the collection before; where nothing did, of what still stands. */
static void add_exemplars(const struct tb_snapshot *s, struct tb_snap_series *e, const struct tb_exemplars *all)
{
    uint32_t buckets = tb_bounds_of(e->key.bound_set)->count + 1u;
    for (uint32_t bucket = 0; bucket < buckets; bucket++) {
        for (uint32_t i = 0; i < TB_SHARDS * 2; i++) {
            const struct tb_exemplar *from = &all->of[bucket][i];
            struct tb_snap_exemplar x = {
                TB_EXEMPLAR_VALUE_NS(from->value), TB_EXEMPLAR_TIME_MS(from->at), {from->trace[0], from->trace[1]}};
            uint64_t now_ms = s->now_ns / 1000000, before_ms = s->before_ns / 1000000;
            if (!tb_exemplar_is_whole(from) || x.time_ms > now_ms || now_ms - x.time_ms > 2u * TB_EXEMPLAR_WINDOW_MS)
                continue;
            if (!e->exemplars)
                e->exemplars = tb_alloc(buckets * sizeof *e->exemplars);
            struct tb_snap_exemplar *to = &e->exemplars[bucket];
            bool is_new = x.time_ms > before_ms, was_new = to->time_ms > before_ms;
            if (!to->time_ms || is_new > was_new || (is_new == was_new && x.value_ns > to->value_ns))
                *to = x;
        }
    }
}

static struct tb_snap_series *series_of(struct tb_snapshot *s, struct tb_snap_service *service,
                                        const struct tb_region_copy *copy, struct tb_slot *slot,
                                        const struct tb_series_key *key)
{
    if (!slot->series || memcmp(&slot->key, key, sizeof *key) != 0) {
        slot->key = *key;
        slot->series = look_up(s, service, copy, key);
    }
    return slot->series;
}

/* Where a slot is looked up. */
struct reading {
    struct tb_snapshot *s;
    struct tb_snap_service *service;
    const struct tb_region_copy *copy;
    struct tb_slot *slot;
};

static struct tb_snap_series *look_up_gauge(void *to, const struct tb_series_key *key)
{
    const struct reading *in = to;
    return series_of(in->s, in->service, in->copy, in->slot, key);
}

/* Those of slot @number, if it is one of exemplars. */
static void read_exemplars(struct tb_snapshot *s, struct tb_snap_service *service, const struct tb_region_copy *copy,
                           struct tb_slot *slot, uint32_t number)
{
    struct tb_series_key key;
    struct tb_exemplars all;
    if (tb_series_exemplars(copy->base, copy->len, tb_region_copy_header(copy), number, &key, &all) != 0)
        return;
    struct tb_snap_series *e = series_of(s, service, copy, slot, &key);
    if (e)
        add_exemplars(s, e, &all);
}

uint64_t tb_region_read_series(struct tb_snapshot *s, struct tb_snap_service *service,
                               const struct tb_region_copy *copy, struct tb_slot_cache *cache, enum tb_read_into into,
                               const uint64_t *alive, uint32_t *ret_skipped)
{
    const struct tb_region_header *h = tb_region_copy_header(copy);
    uint32_t slots = tb_series_slots(h), skipped = 0;
    struct tb_gauges gauges = {.sketches_left = TB_GAUGE_SKETCHES, .alive = alive};
    uint64_t requests = 0;
    prepare_cache(cache, h, slots);
    for (uint32_t i = 0; i < slots; i++) {
        struct tb_series_key key;
        struct tb_series_sum sum;
        int r = tb_series_read(copy->base, copy->len, h, i, &key, &sum);
        if (r == -ENOENT && into == TB_READ_TOTAL) {
            struct reading in = {s, service, copy, &cache->slots[i]};
            read_exemplars(s, service, copy, &cache->slots[i], i);
            tb_gauge_read(s, copy, i, look_up_gauge, &in, &gauges);
        }
        struct tb_snap_series *e = r ? NULL : series_of(s, service, copy, &cache->slots[i], &key);
        if (!e) {
            skipped += r != -ENOENT;
            continue;
        }
        if (into == TB_READ_TOTAL) {
            tb_snapshot_refresh(e);
            e->count += sum.count;
        }
        add_sum(into == TB_READ_BASE ? &e->base : &e->total, &sum);
        note_chosen(into == TB_READ_BASE ? &e->base_chosen_ns : &e->chosen_ns, &sum, s->now_ns);
        if (sum.created_ns && sum.created_ns < e->created_ns && !e->is_served)
            e->created_ns = sum.created_ns;
        if (key.family == TB_FAMILY_REQUESTS && key.role == TB_ROLE_SERVER)
            requests += sum.count;
    }
    free(gauges.open);
    *ret_skipped = skipped;
    return requests;
}

void tb_region_read_counters(const struct tb_region_copy *copy, uint64_t ret[TB_COUNTER_COUNT])
{
    size_t len = 0;
    const uint64_t *counters = tb_region_copy_section(copy, TB_SEC_COUNTERS, 0, &len);
    for (uint32_t i = 0; i < TB_COUNTER_COUNT; i++)
        ret[i] = counters ? tb_counter_total(counters, len, i) : 0;
}

size_t tb_field_len(const char *field, size_t space)
{
    return strnlen(field, space);
}

static void copy_field(char *to, const char *field, size_t space)
{
    size_t len = tb_field_len(field, space);
    memcpy(to, field, len < space ? len : space - 1);
}

void tb_region_read_identity(const struct tb_region_copy *copy, struct tb_snap_region *r)
{
    const struct tb_region_header *h = tb_region_copy_header(copy);
    r->layout_version = h->layout_version;
    r->region_id = h->region_id;
    r->generation = h->generation;
    r->state = h->state;
    r->uid = h->uid;
    r->pid = h->pid;
    r->created_ns = h->created_ns;
    r->adopted_ns = h->adopted_ns;
    r->series_used = tb_series_slots(h);
    copy_field(r->agent_version, h->agent_version, sizeof r->agent_version);
    for (char *c = r->agent_version; *c; c++) /* it becomes a label: what differs must stay different */
        if (*c <= ' ' || *c > '~')
            *c = '?';
    copy_field(r->host, h->host, sizeof r->host);
    copy_field(r->program, h->program, sizeof r->program);
    r->command_hash = h->command_hash;
    if (h->labels[0])
        r->labels = tb_strndup(h->labels, tb_field_len(h->labels, sizeof h->labels));
    size_t len;
    const struct tb_rules_head *rules = tb_region_copy_section(copy, TB_SEC_RULES, sizeof *rules, &len);
    r->is_off = rules && rules->off;
    if (rules && rules->generation) {
        r->rules_length = rules->length[rules->active & 1];
        r->rules_tag = rules->tags[rules->active & 1];
    }
}

static bool is_alive(const struct tb_snap_region *r, uint32_t owner)
{
    return r->alive[owner / 64] >> owner % 64 & 1;
}

static void read_in_flight(const struct tb_region_copy *copy, uint64_t now_ns, struct tb_snap_region *r)
{
    size_t len = 0;
    const struct tb_inflight *table = tb_region_copy_section(copy, TB_SEC_INFLIGHT, 0, &len);
    for (size_t i = 0; table && i < len / sizeof *table; i++) {
        uint64_t start_ns = table[i].start_ns;
        if (!start_ns || !is_alive(r, TB_INFLIGHT_OWNER(start_ns)) || start_ns > now_ns)
            continue;
        if (now_ns - start_ns > r->oldest_ns)
            r->oldest_ns = now_ns - start_ns;
    }
}

void tb_region_read_owners(const struct tb_region_copy *copy, struct tb_processes *processes, uint64_t pidns_inode,
                           uint64_t now_ns, struct tb_snap_region *r)
{
    const struct tb_region_header *h = tb_region_copy_header(copy);
    bool is_near = pidns_inode && h->pidns_inode == pidns_inode;
    r->pidns_inode = h->pidns_inode;
    r->is_near = is_near;
    size_t len = 0;
    const struct tb_owner *owners = tb_region_copy_section(copy, TB_SEC_OWNERS, 0, &len);
    for (size_t i = 0; r->is_live && owners && i < TB_OWNERS && i < len / sizeof *owners; i++) {
        const struct tb_owner *o = &owners[i];
        if (!o->pid)
            continue;
        /* A slot that several processes share outlives each of them; a pid of another namespace tells nothing. */
        bool is_telling = is_near && !(o->flags & (TB_OWNER_SHARED | TB_OWNER_FOREIGN));
        if (is_telling && !tb_processes_is_alive(processes, o->pid, o->start_ns))
            continue;
        r->alive[i / 64] |= UINT64_C(1) << i % 64;
        if (r->processes < sizeof r->pids / sizeof *r->pids)
            r->pids[r->processes] = o->pid;
        r->processes++;
        r->in_flight += o->in_flight > 0 ? (uint64_t)o->in_flight : 0;
        r->connections += o->connections > 0 ? (uint64_t)o->connections : 0;
        r->unobservable |= o->unobservable;
    }
    if (r->in_flight)
        read_in_flight(copy, now_ns, r);
}

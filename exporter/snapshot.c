/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The snapshot: entries for services, series and regions, and the rule that a served total only rises or restarts at 0.
 * No I/O and no reading of regions here: collect.c adds to it, ledger.c loads the bases.
 */
#include "snapshot.h"

#include <stdlib.h>

#include "agent/methods.h"
#include "buffer.h"
#include "snapshot_groups.h"
#include "snapshot_labels.h"
#include "users.h"

const char *tb_unreadable_name(enum tb_unreadable why)
{
    static const char *const names[TB_UNREADABLE_COUNT] = {"readable",     "directory", "permission", "not_a_region",
                                                           "newer_layout", "invalid",   "truncated",  "too_large",
                                                           "quota",        "error"};
    return (unsigned)why < TB_UNREADABLE_COUNT ? names[why] : "error";
}

static uint32_t hash_bytes(uint32_t hash, const void *bytes, size_t len)
{
    const unsigned char *p = bytes;
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ p[i]) * 16777619u; /* FNV-1a */
    return hash;
}

static uint64_t new_id(void)
{
    static uint64_t last_id;
    return ++last_id;
}

struct tb_snapshot *tb_snapshot_new(void)
{
    struct tb_snapshot *s = tb_alloc(sizeof *s);
    s->id = new_id();
    s->series_buckets = tb_alloc(TB_SNAP_BUCKETS * sizeof *s->series_buckets);
    tb_labels_start(s);
    return s;
}

static void free_regions(struct tb_snapshot *s)
{
    for (size_t i = 0; i < s->region_count; i++) {
        free(s->regions[i].path);
        free(s->regions[i].labels);
    }
    s->region_count = 0;
    for (size_t i = 0; i < s->marker_count; i++)
        free(s->markers[i].dir);
    s->marker_count = 0;
}

static void free_series(struct tb_snap_series *e)
{
    tb_values_free(&e->base);
    tb_values_free(&e->total);
    free((void *)(uintptr_t)e->key.route);
    free((void *)(uintptr_t)e->key.target);
    free((void *)(uintptr_t)e->key.ext);
    free(e->exemplars);
    free(e->help);
    free(e->labels);
    free(e->pairs);
    free(e);
}

static void free_service(struct tb_snap_service *e)
{
    free(e->name);
    free(e->instance);
    free(e->label);
    free(e);
}

void tb_snapshot_free(struct tb_snapshot *s)
{
    if (!s)
        return;
    free_regions(s);
    tb_snapshot_unobserved_begin(s);
    free(s->unobserved);
    free(s->regions);
    free(s->markers);
    for (size_t i = 0; i < s->series_count; i++)
        free_series(s->series[i]);
    for (size_t i = 0; i < s->service_count; i++)
        free_service(s->services[i]);
    for (size_t i = 0; i < sizeof s->user_buckets / sizeof *s->user_buckets; i++) {
        for (struct tb_snap_user *u = s->user_buckets[i], *next; u; u = next) {
            next = u->next_in_bucket;
            free(u);
        }
    }
    free(s->series);
    free(s->services);
    free(s->series_buckets);
    tb_labels_free(s);
    free(s);
}

/* --- entries ---------------------------------------------------------------------------------------------------------
 */

static uint32_t hash_service(const char *name, size_t len, const char *instance)
{
    return hash_bytes(hash_bytes(2166136261u, name, len), instance, strlen(instance));
}

static struct tb_snap_service *find(struct tb_snapshot *s, const char *name, size_t len, const char *instance)
{
    uint32_t hash = hash_service(name, len, instance);
    struct tb_snap_service *e = s->service_buckets[hash % TB_SERVICE_BUCKETS];
    while (e && (e->hash != hash || strlen(e->name) != len || memcmp(e->name, name, len) != 0 ||
                 strcmp(e->instance, instance) != 0))
        e = e->next_in_bucket;
    return e;
}

struct tb_snap_service *tb_snapshot_find_service(struct tb_snapshot *s, const char *name, size_t len)
{
    return find(s, name, len, "");
}

struct tb_snap_service *tb_snapshot_service(struct tb_snapshot *s, const char *name, size_t len)
{
    char *clean = len ? tb_label_clean(name, len) : tb_strndup("unknown", 7);
    struct tb_snap_service *e = tb_snapshot_instance(s, clean, "");
    free(clean);
    return e;
}

struct tb_snap_service *tb_snapshot_instance(struct tb_snapshot *s, const char *name, const char *instance)
{
    struct tb_snap_service *e = find(s, name, strlen(name), instance), **bucket;
    if (e)
        return e;
    e = tb_alloc(sizeof *e);
    e->name = tb_strndup(name, strlen(name));
    e->instance = tb_strndup(instance, strlen(instance));
    e->hash = hash_service(name, strlen(name), instance);
    bucket = &s->service_buckets[e->hash % TB_SERVICE_BUCKETS];
    e->created_ns = s->now_ns;
    tb_labels_service(s, e);
    e->next_in_bucket = *bucket;
    *bucket = e;
    s->services = tb_grow(s->services, s->service_count, &s->service_space, sizeof(struct tb_snap_service *));
    s->services[s->service_count++] = e;
    s->is_sorted = false;
    return e;
}

const char *tb_unobservable_name(unsigned bit)
{
    static const char *const names[] = {
#define UNOBSERVABLE(id, reason, help) reason,
#include "agent/unobservable.def"
#undef UNOBSERVABLE
    };
    return bit < sizeof names / sizeof *names ? names[bit] : "other";
}

static uint32_t hash_key(const struct tb_snap_service *service, const struct tb_snap_key *k)
{
    uint8_t small[7] = {k->family,
                        k->role,
                        k->method,
                        (uint8_t)k->bound_set,
                        (uint8_t)(k->bound_set >> 8),
                        (uint8_t)k->status,
                        (uint8_t)(k->status >> 8)};
    uint32_t hash = hash_bytes(service->hash, small, sizeof small);
    hash = hash_bytes(hash, k->route, strlen(k->route) + 1);
    hash = hash_bytes(hash, k->target, strlen(k->target) + 1);
    return hash_bytes(hash, k->ext, strlen(k->ext) + 1);
}

static bool keys_equal(const struct tb_snap_key *a, const struct tb_snap_key *b)
{
    return a->family == b->family && a->role == b->role && a->method == b->method && a->bound_set == b->bound_set &&
           a->status == b->status && strcmp(a->route, b->route) == 0 && strcmp(a->target, b->target) == 0 &&
           strcmp(a->ext, b->ext) == 0;
}

struct tb_snap_series *tb_snapshot_series(struct tb_snapshot *s, struct tb_snap_service *service,
                                          const struct tb_snap_key *key)
{
    char *route = tb_label_clean(key->route, strlen(key->route));
    char *target = tb_label_clean(key->target, strlen(key->target));
    char *ext = tb_label_clean(key->ext, strlen(key->ext));
    struct tb_snap_key k = *key;
    k.route = route;
    k.target = target;
    k.ext = ext;
    if (k.method >= TB_METHOD_COUNT)
        k.method = TB_METHOD_OTHER;
    uint32_t hash = hash_key(service, &k);
    struct tb_snap_series **bucket = &s->series_buckets[hash % TB_SNAP_BUCKETS], *e = *bucket;
    while (e && (e->hash != hash || e->service != service || !keys_equal(&e->key, &k)))
        e = e->next_in_bucket;
    bool is_over_quota =
        !e && service->user && !tb_user_is_trusted(service->user) && service->user->series >= TB_QUOTA_SERIES;
    if (e || is_over_quota) {
        free(route);
        free(target);
        free(ext);
        return e;
    }
    e = tb_alloc(sizeof *e);
    service->series_count++;
    if (service->user)
        service->user->series++;
    e->service = service;
    e->key = k;
    e->hash = hash;
    e->serial = s->next_serial++;
    e->created_ns = s->now_ns;
    tb_labels_series(s, e);
    e->next_in_bucket = *bucket;
    *bucket = e;
    s->series = tb_grow(s->series, s->series_count, &s->series_space, sizeof(struct tb_snap_series *));
    s->series[s->series_count++] = e;
    s->is_sorted = false;
    return e;
}

struct tb_snap_region *tb_snapshot_region(struct tb_snapshot *s, const char *path)
{
    s->regions = tb_grow(s->regions, s->region_count, &s->region_space, sizeof(struct tb_snap_region));
    struct tb_snap_region *r = &s->regions[s->region_count++];
    *r = (struct tb_snap_region){.path = tb_strndup(path, strlen(path))};
    return r;
}

void tb_snapshot_marker(struct tb_snapshot *s, const char *dir, const struct tb_marker *marker)
{
    s->markers = tb_grow(s->markers, s->marker_count, &s->marker_space, sizeof *s->markers);
    s->markers[s->marker_count++] = (struct tb_snap_marker){tb_strndup(dir, strlen(dir)), *marker};
}

static void note_version(struct tb_snap_service *service, const char *version)
{
    const size_t count = sizeof service->agent_versions / sizeof *service->agent_versions;
    for (size_t i = 0; i < count; i++) {
        if (!service->agent_versions[i][0])
            memcpy(service->agent_versions[i], version, sizeof service->agent_versions[i]);
        if (strcmp(service->agent_versions[i], version) == 0)
            return;
    }
}

void tb_service_add_region(struct tb_snap_service *service, const struct tb_snap_region *r)
{
    service->regions++;
    service->processes += r->processes;
    service->in_flight += r->in_flight;
    service->connections += r->connections;
    service->unobservable |= r->unobservable;
    service->is_off |= r->is_off;
    if (r->oldest_ns > service->oldest_ns)
        service->oldest_ns = r->oldest_ns;
    if (r->is_live && r->agent_version[0])
        note_version(service, r->agent_version);
}

/* --- a collection ----------------------------------------------------------------------------------------------------
 */

void tb_snapshot_start_at_base(struct tb_snap_series *e)
{
    tb_values_zero(&e->total);
    tb_values_add(&e->total, &e->base);
    e->count = tb_values_count(&e->base);
    e->is_stale = false;
}

void tb_snapshot_begin(struct tb_snapshot *s, uint64_t now_ns)
{
    s->before_ns = s->has_collected ? s->now_ns : 0;
    s->has_collected = true;
    s->now_ns = now_ns;
    free_regions(s);
    for (size_t i = 0; i < sizeof s->user_buckets / sizeof *s->user_buckets; i++)
        for (struct tb_snap_user *u = s->user_buckets[i]; u; u = u->next_in_bucket)
            u->unopened = u->left_out_entry = 0;
    for (size_t i = 0; i < s->series_count; i++) {
        s->series[i]->is_stale = true;
        s->series[i]->chosen_ns = s->series[i]->base_chosen_ns;
        free(s->series[i]->exemplars);
        s->series[i]->exemplars = NULL;
    }
    for (size_t i = 0; i < s->service_count; i++) {
        struct tb_snap_service *e = s->services[i];
        memcpy(e->counters, e->base_counters, sizeof e->counters);
        e->must_restart = e->is_off = false;
        e->regions = e->apart = e->processes = 0;
        e->in_flight = e->connections = e->oldest_ns = e->unobservable = e->requests = 0;
        memset(e->agent_versions, 0, sizeof e->agent_versions);
    }
}

int tb_snapshot_compare_services(const struct tb_snap_service *a, const struct tb_snap_service *b)
{
    int d = strcmp(a->name, b->name);
    return d ? d : strcmp(a->instance, b->instance);
}

static int compare_services(const void *left, const void *right)
{
    const struct tb_snap_service *a = *(struct tb_snap_service *const *)left;
    const struct tb_snap_service *b = *(struct tb_snap_service *const *)right;
    return tb_snapshot_compare_services(a, b);
}

/* Those of gone services out of their tables. */
static void unlink_gone(struct tb_snapshot *s)
{
    for (size_t i = 0; i < TB_SNAP_BUCKETS; i++)
        for (struct tb_snap_series **at = &s->series_buckets[i]; *at;) {
            if ((*at)->service->regions)
                at = &(*at)->next_in_bucket;
            else
                *at = (*at)->next_in_bucket;
        }
    for (size_t i = 0; i < TB_SERVICE_BUCKETS; i++)
        for (struct tb_snap_service **at = &s->service_buckets[i]; *at;) {
            if ((*at)->regions)
                at = &(*at)->next_in_bucket;
            else
                *at = (*at)->next_in_bucket;
        }
}

void tb_snapshot_drop_gone(struct tb_snapshot *s)
{
    size_t kept = 0, gone = 0;
    for (size_t i = 0; i < s->service_count; i++)
        gone += !s->services[i]->regions;
    if (!gone)
        return;
    s->id = new_id();
    unlink_gone(s);
    for (size_t i = 0; i < s->series_count; i++) {
        if (s->series[i]->service->regions)
            s->series[kept++] = s->series[i];
        else
            free_series(s->series[i]);
    }
    s->series_count = kept;
    kept = 0;
    for (size_t i = 0; i < s->service_count; i++) {
        struct tb_snap_service *e = s->services[i];
        if (e->regions) {
            s->services[kept++] = e;
            continue;
        }
        if (e->user) {
            e->user->services--;
            e->user->series -= e->series_count;
        }
        free_service(e);
    }
    s->service_count = kept;
}

static void find_falling(struct tb_snapshot *s)
{
    for (size_t i = 0; i < s->series_count; i++) {
        const struct tb_snap_series *e = s->series[i];
        if (tb_has_fallen(e->count, e->served_count) || tb_has_fallen(e->total.sum_ns, e->served_sum_ns))
            e->service->must_restart = true;
    }
    for (size_t i = 0; i < s->service_count; i++)
        for (size_t c = 0; c < TB_COUNTER_COUNT; c++)
            if (tb_has_fallen(s->services[i]->counters[c], s->services[i]->served_counters[c]))
                s->services[i]->must_restart = true;
}

/* Everything of a service at 0, from here on: the base becomes minus what its regions hold now. */
static size_t restart_services(struct tb_snapshot *s)
{
    size_t restarted = 0;
    for (size_t i = 0; i < s->series_count; i++) {
        struct tb_snap_series *e = s->series[i];
        if (!e->service->must_restart)
            continue;
        tb_values_subtract(&e->base, &e->total);
        tb_values_zero(&e->total);
        e->count = 0;
        e->created_ns = s->now_ns;
    }
    for (size_t i = 0; i < s->service_count; i++) {
        struct tb_snap_service *e = s->services[i];
        if (!e->must_restart)
            continue;
        for (size_t c = 0; c < TB_COUNTER_COUNT; c++)
            e->base_counters[c] -= e->counters[c];
        memset(e->counters, 0, sizeof e->counters);
        e->created_ns = s->now_ns;
        restarted++;
    }
    return restarted;
}

static void sort(struct tb_snapshot *s)
{
    if (s->is_sorted)
        return;
    tb_series_sort(s);
    if (s->service_count)
        qsort(s->services, s->service_count, sizeof(struct tb_snap_service *), compare_services);
    s->is_sorted = true;
}

size_t tb_snapshot_finish(struct tb_snapshot *s)
{
    sort(s);
    for (size_t i = 0; i < s->series_count; i++)
        tb_snapshot_refresh(s->series[i]);
    bool has_retired = tb_groups_choose(s);
    find_falling(s);
    size_t restarted = restart_services(s);
    for (size_t i = 0; i < s->series_count; i++) {
        struct tb_snap_series *e = s->series[i];
        e->served_count = e->count;
        e->served_sum_ns = e->total.sum_ns;
        e->is_served |= e->count != 0;
        if (e->key.family == TB_FAMILY_REQUESTS && e->key.role == TB_ROLE_SERVER)
            e->service->requests += e->count;
    }
    tb_groups_add_up(s);
    for (size_t i = 0; i < s->service_count; i++)
        memcpy(s->services[i]->served_counters, s->services[i]->counters, sizeof s->services[i]->counters);
    s->has_new_bases = has_retired || restarted;
    return restarted;
}

/* ---- what is not recorded ---- */

void tb_snapshot_unobserved_begin(struct tb_snapshot *s)
{
    for (size_t i = 0; i < s->unobserved_count; i++) {
        free(s->unobserved[i].name);
        free(s->unobserved[i].label);
    }
    s->unobserved_count = 0;
}

void tb_snapshot_unobserved(struct tb_snapshot *s, const char *service, const char *reason)
{
    char *clean = tb_label_clean(service, strlen(service));
    if (s->unobserved_count >= TB_SNAP_UNOBSERVED_MAX) {
        free(clean);
        clean = tb_strndup("_other", 6);
    }
    size_t at = 0;
    int order = -1;
    for (; at < s->unobserved_count; at++) {
        const struct tb_snap_unobserved *u = &s->unobserved[at];
        order = strcmp(u->name, clean);
        order = order ? order : strcmp(u->reason, reason);
        if (order >= 0)
            break;
    }
    if (at < s->unobserved_count && order == 0) {
        free(clean);
        return;
    }
    s->unobserved = tb_grow(s->unobserved, s->unobserved_count, &s->unobserved_space, sizeof(*s->unobserved));
    memmove(&s->unobserved[at + 1], &s->unobserved[at], (s->unobserved_count - at) * sizeof(*s->unobserved));
    s->unobserved_count++;
    s->unobserved[at] = (struct tb_snap_unobserved){clean, NULL, reason};
    tb_labels_unobserved(s, &s->unobserved[at]);
}

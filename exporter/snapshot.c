/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The snapshot: entries for services, series and regions, and the rule that a served total only rises or restarts at 0.
 * No I/O and no reading of regions here: collect.c adds to it, ledger.c loads the bases.
 */
#include "snapshot.h"

#include <stdlib.h>

#include "agent/methods.h"
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

struct tb_snapshot *tb_snapshot_new(void)
{
    static uint64_t last_id;
    struct tb_snapshot *s = tb_alloc(sizeof *s);
    s->id = ++last_id;
    s->series_buckets = tb_alloc(TB_SNAP_BUCKETS * sizeof *s->series_buckets);
    tb_labels_start(s);
    return s;
}

static void free_regions(struct tb_snapshot *s)
{
    for (size_t i = 0; i < s->region_count; i++)
        free(s->regions[i].path);
    s->region_count = 0;
    for (size_t i = 0; i < s->marker_count; i++)
        free(s->markers[i].dir);
    s->marker_count = 0;
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
    for (size_t i = 0; i < s->series_count; i++) {
        struct tb_snap_series *e = s->series[i];
        tb_values_free(&e->base);
        tb_values_free(&e->total);
        free((void *)(uintptr_t)e->key.route);
        free((void *)(uintptr_t)e->key.target);
        free((void *)(uintptr_t)e->key.ext);
        free(e->labels);
        free(e);
    }
    for (size_t i = 0; i < s->service_count; i++) {
        free(s->services[i]->name);
        free(s->services[i]->label);
        free(s->services[i]);
    }
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

/* --- values ----------------------------------------------------------------------------------------------------------
 */

uint64_t *tb_values_block(struct tb_snap_values *v, uint32_t octave)
{
    struct tb_snap_block **at = &v->blocks;
    while (*at && (*at)->octave < octave)
        at = &(*at)->next;
    if (!*at || (*at)->octave != octave) {
        struct tb_snap_block *block = tb_alloc(sizeof *block);
        block->octave = octave;
        block->next = *at;
        *at = block;
    }
    return (*at)->cells;
}

void tb_values_add(struct tb_snap_values *to, const struct tb_snap_values *from)
{
    to->sum_ns += from->sum_ns;
    to->first_byte_ns += from->first_byte_ns;
    to->rx_bytes += from->rx_bytes;
    to->tx_bytes += from->tx_bytes;
    to->incomplete += from->incomplete;
    to->untimed += from->untimed;
    for (const struct tb_snap_block *b = from->blocks; b; b = b->next) {
        uint64_t *cells = tb_values_block(to, b->octave);
        for (size_t i = 0; i < TB_BLOCK_CELLS; i++)
            cells[i] += b->cells[i];
    }
}

void tb_values_subtract(struct tb_snap_values *to, const struct tb_snap_values *from)
{
    to->sum_ns -= from->sum_ns;
    to->first_byte_ns -= from->first_byte_ns;
    to->rx_bytes -= from->rx_bytes;
    to->tx_bytes -= from->tx_bytes;
    to->incomplete -= from->incomplete;
    to->untimed -= from->untimed;
    for (const struct tb_snap_block *b = from->blocks; b; b = b->next) {
        uint64_t *cells = tb_values_block(to, b->octave);
        for (size_t i = 0; i < TB_BLOCK_CELLS; i++)
            cells[i] -= b->cells[i];
    }
}

void tb_values_zero(struct tb_snap_values *v)
{
    struct tb_snap_block *blocks = v->blocks;
    *v = (struct tb_snap_values){.blocks = blocks};
    for (struct tb_snap_block *b = blocks; b; b = b->next)
        memset(b->cells, 0, sizeof b->cells);
}

void tb_values_free(struct tb_snap_values *v)
{
    for (struct tb_snap_block *b = v->blocks, *next; b; b = next) {
        next = b->next;
        free(b);
    }
    *v = (struct tb_snap_values){0};
}

uint64_t tb_values_timed(const struct tb_snap_values *v)
{
    uint64_t n = 0;
    for (const struct tb_snap_block *b = v->blocks; b; b = b->next)
        for (size_t i = 0; i < TB_BLOCK_CELLS; i++)
            n += b->cells[i];
    return n;
}

/* Where a cell lies: above @lower ns, up to @upper, in a classic bucket. */
struct cell_place {
    uint64_t lower, upper;
    uint8_t bucket;
};

/* All cells of a bound set, octave by octave; made once per set and kept. */
static const struct cell_place *cell_places(uint8_t bound_set)
{
    static struct cell_place *made[256];
    if (made[bound_set])
        return made[bound_set];
    struct cell_place *places = tb_alloc(TB_OCTAVES * TB_BLOCK_CELLS * sizeof *places);
    const uint64_t *bounds;
    size_t count = tb_histogram_bounds(bound_set, &bounds);
    uint64_t lower = 0;
    for (uint32_t i = 0; i < TB_OCTAVES * TB_BLOCK_CELLS; i++) {
        uint64_t upper = tb_histogram_cell_bound(bound_set, i / TB_BLOCK_CELLS, i % TB_BLOCK_CELLS);
        uint8_t bucket = 0;
        while (bucket < count && upper > bounds[bucket])
            bucket++;
        /* A cell that does not exist counts nothing in a sound region; a hostile one's goes above every bound. */
        places[i] = (struct cell_place){lower, upper ? upper : lower, upper ? bucket : (uint8_t)count};
        lower = upper ? upper : lower;
    }
    made[bound_set] = places;
    return places;
}

size_t tb_values_classic(const struct tb_snap_values *v, uint8_t bound_set, uint64_t *ret)
{
    const uint64_t *bounds;
    size_t count = tb_histogram_bounds(bound_set, &bounds);
    if (!count || count > TB_BOUNDS_MAX)
        return 0;
    const struct cell_place *places = cell_places(bound_set);
    memset(ret, 0, (count + 1) * sizeof *ret);
    for (const struct tb_snap_block *b = v->blocks; b && b->octave < TB_OCTAVES; b = b->next)
        for (size_t i = 0; i < TB_BLOCK_CELLS; i++)
            ret[places[b->octave * TB_BLOCK_CELLS + i].bucket] += b->cells[i];
    return count + 1;
}

uint64_t tb_cell_bound(uint8_t bound_set, uint32_t octave, size_t cell)
{
    return octave < TB_OCTAVES ? cell_places(bound_set)[octave * TB_BLOCK_CELLS + cell].upper : UINT64_MAX;
}

uint64_t *tb_values_cell(struct tb_snap_values *v, uint8_t bound_set, uint64_t upper_ns)
{
    const struct cell_place *places = cell_places(bound_set);
    uint32_t low = 0, high = TB_OCTAVES * TB_BLOCK_CELLS - 1;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (places[middle].upper < upper_ns)
            low = middle + 1;
        else
            high = middle;
    }
    return &tb_values_block(v, low / TB_BLOCK_CELLS)[low % TB_BLOCK_CELLS];
}

uint64_t tb_values_sum_ns(const struct tb_snap_values *v, uint8_t bound_set)
{
    const struct cell_place *places = cell_places(bound_set);
    unsigned __int128 low = 0, high = 0;
    for (const struct tb_snap_block *b = v->blocks; b && b->octave < TB_OCTAVES; b = b->next) {
        for (size_t i = 0; i < TB_BLOCK_CELLS; i++) {
            const struct cell_place *p = &places[b->octave * TB_BLOCK_CELLS + i];
            low += (unsigned __int128)b->cells[i] * p->lower;
            high += (unsigned __int128)b->cells[i] * p->upper;
        }
    }
    if (v->sum_ns < low)
        return low > UINT64_MAX ? UINT64_MAX : (uint64_t)low;
    return v->sum_ns > high ? (uint64_t)high : v->sum_ns;
}

/* --- entries ---------------------------------------------------------------------------------------------------------
 */

struct tb_snap_service *tb_snapshot_find_service(struct tb_snapshot *s, const char *name, size_t len)
{
    uint32_t hash = hash_bytes(2166136261u, name, len);
    struct tb_snap_service *e = s->service_buckets[hash % TB_SERVICE_BUCKETS];
    while (e && (e->hash != hash || strlen(e->name) != len || memcmp(e->name, name, len) != 0))
        e = e->next_in_bucket;
    return e;
}

struct tb_snap_service *tb_snapshot_service(struct tb_snapshot *s, const char *name, size_t len)
{
    char *clean = len ? tb_label_clean(name, len) : tb_strndup("unknown", 7);
    struct tb_snap_service *e = tb_snapshot_find_service(s, clean, strlen(clean)), **bucket;
    if (e) {
        free(clean);
        return e;
    }
    e = tb_alloc(sizeof *e);
    e->name = clean;
    e->hash = hash_bytes(2166136261u, clean, strlen(clean));
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
    uint8_t small[6] = {k->family, k->role, k->method, k->bound_set, (uint8_t)k->status, (uint8_t)(k->status >> 8)};
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

/* --- a collection ----------------------------------------------------------------------------------------------------
 */

void tb_snapshot_begin(struct tb_snapshot *s, uint64_t now_ns)
{
    s->now_ns = now_ns;
    free_regions(s);
    for (size_t i = 0; i < sizeof s->user_buckets / sizeof *s->user_buckets; i++)
        for (struct tb_snap_user *u = s->user_buckets[i]; u; u = u->next_in_bucket)
            u->unopened = u->left_out_entry = 0;
    for (size_t i = 0; i < s->series_count; i++) {
        tb_values_zero(&s->series[i]->total);
        tb_values_add(&s->series[i]->total, &s->series[i]->base);
    }
    for (size_t i = 0; i < s->service_count; i++) {
        struct tb_snap_service *e = s->services[i];
        memcpy(e->counters, e->base_counters, sizeof e->counters);
        e->must_restart = e->is_off = false;
        e->regions = e->apart = e->processes = 0;
        e->in_flight = e->oldest_ns = e->unobservable = e->requests = 0;
        memset(e->agent_versions, 0, sizeof e->agent_versions);
    }
}

int tb_series_compare(const struct tb_snap_series *a, const struct tb_snap_series *b)
{
    int d;
    if (a->key.family != b->key.family)
        return a->key.family < b->key.family ? -1 : 1;
    if (a->key.role != b->key.role)
        return a->key.role < b->key.role ? -1 : 1;
    if (a->service != b->service)
        return strcmp(a->service->name, b->service->name);
    if (a->key.method != b->key.method)
        return a->key.method < b->key.method ? -1 : 1;
    if ((d = strcmp(a->key.route, b->key.route)) != 0)
        return d;
    if ((d = strcmp(a->key.target, b->key.target)) != 0)
        return d;
    if (a->key.status != b->key.status)
        return a->key.status < b->key.status ? -1 : 1;
    if (a->key.bound_set != b->key.bound_set)
        return a->key.bound_set < b->key.bound_set ? -1 : 1;
    return strcmp(a->key.ext, b->key.ext);
}

int tb_series_compare_entries(const void *left, const void *right)
{
    return tb_series_compare(*(struct tb_snap_series *const *)left, *(struct tb_snap_series *const *)right);
}

static int compare_services(const void *left, const void *right)
{
    const struct tb_snap_service *a = *(struct tb_snap_service *const *)left;
    const struct tb_snap_service *b = *(struct tb_snap_service *const *)right;
    return strcmp(a->name, b->name);
}

static void find_falling(struct tb_snapshot *s)
{
    for (size_t i = 0; i < s->series_count; i++) {
        struct tb_snap_series *e = s->series[i];
        e->count = e->total.untimed + tb_values_timed(&e->total);
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

size_t tb_snapshot_finish(struct tb_snapshot *s)
{
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
    for (size_t i = 0; i < s->service_count; i++)
        memcpy(s->services[i]->served_counters, s->services[i]->counters, sizeof s->services[i]->counters);
    if (!s->is_sorted) {
        if (s->series_count)
            qsort(s->series, s->series_count, sizeof(struct tb_snap_series *), tb_series_compare_entries);
        if (s->service_count)
            qsort(s->services, s->service_count, sizeof(struct tb_snap_service *), compare_services);
        s->is_sorted = true;
    }
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
    char *clean = tb_utf8_clean(service, strlen(service));
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

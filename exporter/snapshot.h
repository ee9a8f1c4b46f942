/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What all regions and the ledger say together: services, their series, the regions themselves. The collector fills it,
 * renderers and the command read it. It lives as long as its process: a series found once keeps its entry (and its
 * rendered labels), only the numbers are new in each collection.
 *
 * Numbers are modulo 2^64 on purpose: after a region is lost the base of its service becomes minus what the other
 * regions hold, so that the served totals restart at 0 and rise from there.
 *
 * One thread at a time. All memory is owned by the snapshot; pointers stay valid until tb_snapshot_free.
 */
#ifndef TB_SNAPSHOT_H
#define TB_SNAPSHOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/core.h"
#include "agent/histogram.h"
#include "agent/layout.h"
#include "bounds.h"
#include "marker_file.h"
#include "names.h"

/* The cells of one octave (histogram.h). */
struct tb_snap_block {
    uint64_t octave;
    uint64_t cells[TB_BLOCK_CELLS];
};

struct tb_snap_values {
    uint64_t sum_ns;
    uint64_t first_byte_ns;
    uint64_t rx_bytes;
    uint64_t tx_bytes;
    uint64_t incomplete;
    uint64_t untimed;
    uint64_t retired; /* timed ones that no cell has any more: counted before their bounds came back into force */
    struct tb_snap_block *blocks; /* ascending octaves; in one piece, since a scrape reads all of them */
    size_t block_count;
};

/* tb_blocks_end - behind the last of v->blocks. */
static inline const struct tb_snap_block *tb_blocks_end(const struct tb_snap_values *v)
{
    return v->block_count ? v->blocks + v->block_count : v->blocks;
}

struct tb_snap_service;
struct tb_snap_user; /* users.h */

/* What names a series. Strings are valid UTF-8, NUL-terminated; route, target and ext may be "". */
struct tb_snap_key {
    uint8_t family;     /* enum tb_family */
    uint8_t role;       /* enum tb_role */
    uint8_t method;     /* enum tb_method */
    uint16_t bound_set; /* bounds.h */
    uint16_t status;    /* 100..999; enum tb_abort for TB_FAMILY_ABORTED */
    const char *route;
    const char *target;
    const char *ext;
};

/* The slowest request of a classic bucket in the last one or two minutes that has a trace. */
struct tb_snap_exemplar {
    uint64_t value_ns;
    uint64_t time_ms; /* CLOCK_REALTIME; 0 = none */
    uint64_t trace[2];
};

/*
 * Series that differ in nothing but their bound set are one series to whoever scrapes: its counters are the sums of all
 * of them (`whole`), its histogram is that of the one whose set is in force (is_current).
 */
struct tb_snap_series {
    struct tb_snap_service *service;
    struct tb_snap_key key;
    struct tb_snap_values base;  /* from the ledger, or minus what was there when the service restarted */
    struct tb_snap_values total; /* base + every readable region: what is served */
    uint64_t count;              /* of total: untimed, retired and all cells */
    uint64_t chosen_ns;          /* of struct tb_series, the latest */
    uint64_t base_chosen_ns;     /* the ledger's */
    uint32_t group;              /* of the first of a group: how many */
    bool is_current;             /* finished: what is to be shown of those that differ in their bound set only */
    struct {
        uint64_t count, timed, first_byte_ns, incomplete, created_ns; /* of all those; of the current one only */
    } whole;
    struct tb_snap_exemplar *exemplars; /* NULL, or one for each bucket of its set */
    uint64_t served_count;              /* highest values given out since created_ns */
    uint64_t served_sum_ns;
    uint64_t created_ns; /* CLOCK_REALTIME */
    bool is_served;      /* it has counted something, once */
    bool is_stale;       /* total and count are still those of the collection before */
    uint32_t hash;
    uint32_t serial; /* no other of this snapshot has had it */
    char *labels;    /* `service="…",method="…",route="…",status="…"`, escaped: as every line of it begins */
    uint32_t labels_len;
    uint32_t pairs_len;
    char *help;  /* of a program's own metric, as it says; NULL = it does not. Owned */
    char *pairs; /* the same as pairs (label_pairs.h), made when first asked for; NULL = not yet */
    struct tb_snap_series *next_in_bucket;
    /* shown.h's */
    struct tb_snap_series *shown; /* what it is shown as: itself, a row of sums, or none; NULL = not decided */
    struct tb_snap_series *next_shown;
    uint64_t changed_ns, changed_count;
    uint32_t cost; /* samples that it has at most */
    bool is_sum;   /* a row of sums, which is in no snapshot */
};

struct tb_snap_service {
    char *name;
    char *instance; /* labels that tell programs of one name apart (split.h), escaped; "" = none */
    char *label;    /* `service="…"` and those, escaped */
    uint32_t label_len;
    uint32_t hash;
    struct tb_snap_user *user; /* whose regions count under this name; NULL = nobody's yet */
    size_t series_count;
    uint64_t shown_series; /* shown.h's */
    uint64_t created_ns;   /* CLOCK_REALTIME: when its totals last began at 0 */
    uint64_t base_counters[TB_COUNTER_COUNT];
    uint64_t counters[TB_COUNTER_COUNT]; /* counters.def; base + regions */
    uint64_t served_counters[TB_COUNTER_COUNT];
    uint64_t requests; /* of TB_FAMILY_REQUESTS, role server */
    bool must_restart; /* a region that was served is gone */
    bool is_forgotten; /* not to be written into the ledger (forget.h) */

    /* of this collection; live owners only */
    uint32_t regions;
    uint32_t apart; /* of other users that claim the name; their numbers are in services of their own */
    uint32_t processes;
    uint64_t in_flight;
    uint64_t connections;
    uint64_t oldest_ns;    /* age of the oldest request in flight, 0 = none */
    uint64_t unobservable; /* owners' bits, ORed */
    bool is_off;           /* switched off: a region of it, or by a marker */
    char agent_versions[4][32];
    struct tb_snap_service *next_in_bucket;
};

/* Why a region (or a directory) could not be read; the label of tickbird_unreadable_regions. */
enum tb_unreadable {
    TB_READABLE,
    TB_UNREADABLE_DIRECTORY,  /* the directory may not be listed */
    TB_UNREADABLE_PERMISSION, /* the file may not be opened */
    TB_UNREADABLE_FORMAT,     /* not a region */
    TB_UNREADABLE_NEWER,      /* a layout that this exporter does not know yet */
    TB_UNREADABLE_INVALID,    /* contradicts itself */
    TB_UNREADABLE_TRUNCATED,  /* shorter than it says, or cut while it was read */
    TB_UNREADABLE_TOO_LARGE,
    TB_UNREADABLE_QUOTA, /* the user has too many (users.h); one entry stands for all in its directory */
    TB_UNREADABLE_ERROR, /* a system call failed otherwise */
    TB_UNREADABLE_COUNT
};
const char *tb_unreadable_name(enum tb_unreadable why);

/* tb_unobservable_name - the reason of a bit of tb_owner.unobservable; "other" for one of a newer agent. */
const char *tb_unobservable_name(unsigned bit);

/* tb_abort_name - the reason label of an aborted series; "" when unknown. */
const char *tb_abort_name(uint16_t status);

/* tb_reason_name - the reason label of a series that has one instead of a status (a result: `answered` or `failed`);
 * NULL: it has a status, or neither. */
struct tb_snap_key;
const char *tb_reason_name(const struct tb_snap_key *key);

/* tb_is_exchange_family - about exchanges, which have a method, a route and a status; not about calls to a target or
 * invocations of a function. */
static inline bool tb_is_exchange_family(uint8_t family)
{
    return (family < TB_FAMILY_CALL_ERRORS || family > TB_FAMILY_CALL_RESULT) && family < TB_FAMILY_INVOCATION;
}

/* tb_custom_why_name - the reason label of TB_FAMILY_UNREADABLE (enum tb_custom_why); "" when unknown. */
const char *tb_custom_why_name(uint16_t why);

/* One region file as last read. */
struct tb_snap_region {
    char *path;
    enum tb_unreadable unreadable; /* if not TB_READABLE, only path, layout_version and file_uid are known */
    uint32_t layout_version;
    uint32_t file_uid;
    uint32_t left_out; /* TB_UNREADABLE_QUOTA: so many files */
    struct tb_snap_service *service;
    uint64_t region_id;
    uint64_t generation;
    uint32_t state; /* enum tb_region_state */
    bool is_live;   /* some process has it mapped */
    bool is_folded; /* its totals are in the ledger already; nothing was added from here */
    bool is_off;    /* switched off */
    uint32_t uid;
    uint32_t pid;          /* the maker's or last adopter's, as it saw itself */
    uint64_t command_hash; /* of its command line */
    uint32_t processes;
    uint64_t pidns_inode;             /* of its pids, 0 = unknown */
    bool is_near;                     /* its pids are of this pid namespace */
    uint32_t pids[8];                 /* the first of them */
    uint64_t alive[TB_OWNERS / 64];   /* a bit for each owner slot whose process lives */
    uint32_t rules_length, rules_tag; /* of the set in force, as tb_rules_head has them; 0 = none */
    uint64_t created_ns;
    uint64_t adopted_ns;
    uint64_t requests; /* server role, of this life of the region */
    uint64_t in_flight;
    uint64_t connections; /* open ones that were accepted and spoke HTTP */
    uint64_t oldest_ns;
    uint64_t unobservable;
    uint32_t series_used;
    uint32_t series_skipped; /* slots with keys or bounds that make no sense */
    uint64_t counters[TB_COUNTER_COUNT];
    char agent_version[32]; /* printable ASCII */
    char host[64];
    char program[256];
    char *labels; /* TICKBIRD_LABELS, as it is; owned, NULL = none */
};

/* A marker of the kill switch (agent/marker.h): what starts later is switched off too. */
struct tb_snap_marker {
    char *dir;
    struct tb_marker marker;
};

/* A service that has programs which listen and are not recorded (unobserved.h). */
struct tb_snap_unobserved {
    char *name;  /* owned, cleaned */
    char *label; /* `service="..."`, escaped; owned */
    const char *reason;
};

#define TB_SNAP_UNOBSERVED_MAX 256u /* beyond, the service is `_other` */
#define TB_SNAP_BUCKETS 4096u
#define TB_SERVICE_BUCKETS 2048u

struct tb_snapshot {
    uint64_t id; /* no other of this process has had it; another one when entries are freed */
    uint32_t next_serial;
    struct tb_snap_service **services; /* by name */
    size_t service_count, service_space;
    struct tb_snap_marker *markers; /* of this collection */
    size_t marker_count, marker_space;
    struct tb_snap_series *
        *series; /* sorted by tb_snapshot_sort: family, role, service, method, route, status, target */
    size_t series_count, series_space;
    struct tb_snap_region *regions; /* of this collection */
    size_t region_count, region_space;
    struct tb_snap_unobserved *unobserved; /* by name and reason, each once */
    size_t unobserved_count, unobserved_space;
    bool is_sorted;
    bool has_collected;
    bool has_new_bases;                /* the last tb_snapshot_finish changed some: the ledger does not have them */
    uint64_t now_ns;                   /* CLOCK_REALTIME of this collection */
    uint64_t before_ns;                /* and of the one before; 0 = there was none */
    char *label_names[TB_LABEL_COUNT]; /* NULL: left out */
    struct tb_snap_user *user_buckets[64];
    struct tb_snap_service *service_buckets[TB_SERVICE_BUCKETS];
    struct tb_snap_series **series_buckets; /* TB_SNAP_BUCKETS */
};

struct tb_snapshot *tb_snapshot_new(void);
void tb_snapshot_free(struct tb_snapshot *s);

/* tb_snapshot_names - what labels are called from now on (names.h); copied. */
void tb_snapshot_names(struct tb_snapshot *s, const char *const names[TB_LABEL_COUNT]);
bool tb_snapshot_has_names(const struct tb_snapshot *s, const char *const names[TB_LABEL_COUNT]);

/* tb_snapshot_service - the entry of a name (any bytes; made valid UTF-8, "" becomes "unknown"), made when new. */
struct tb_snap_service *tb_snapshot_service(struct tb_snapshot *s, const char *name, size_t len);

/* tb_snapshot_instance - one of several entries of a name that is valid UTF-8 and not empty; made when new. */
struct tb_snap_service *tb_snapshot_instance(struct tb_snapshot *s, const char *name, const char *instance);

/* tb_snapshot_compare_services - by name, then by what tells entries of one name apart. */
int tb_snapshot_compare_services(const struct tb_snap_service *a, const struct tb_snap_service *b);

/* tb_service_add_region - the gauges of a region count under its service. */
void tb_service_add_region(struct tb_snap_service *service, const struct tb_snap_region *r);

/* tb_snapshot_find_service - the same, NULL when there is none. @name is valid UTF-8 and not empty. */
struct tb_snap_service *tb_snapshot_find_service(struct tb_snapshot *s, const char *name, size_t len);

/*
 * tb_snapshot_series - the entry of a key, made when new with base and total 0; NULL when the service's user has too
 * many (users.h).
 * @key  its strings are borrowed and may hold any bytes; they are made valid UTF-8 first
 */
struct tb_snap_series *tb_snapshot_series(struct tb_snapshot *s, struct tb_snap_service *service,
                                          const struct tb_snap_key *key);

/* tb_snapshot_refresh - before a collection adds to @e for the first time: its total and count become the base's. Only
 * then, so that what they lie in is fetched from memory once. */
void tb_snapshot_start_at_base(struct tb_snap_series *e);
static inline void tb_snapshot_refresh(struct tb_snap_series *e)
{
    if (e->is_stale)
        tb_snapshot_start_at_base(e);
}

/* tb_snapshot_begin - a new collection: totals become the bases, gauges 0, regions none. */
void tb_snapshot_begin(struct tb_snapshot *s, uint64_t now_ns);

/* tb_snapshot_region - append an entry, zeroed but for its path (copied). Valid until the next call. */
struct tb_snap_region *tb_snapshot_region(struct tb_snapshot *s, const char *path);

/* tb_snapshot_marker - append a marker found in @dir (copied). */
void tb_snapshot_marker(struct tb_snapshot *s, const char *dir, const struct tb_marker *marker);

/* tb_snapshot_drop_gone - before tb_snapshot_finish: entries of services without a region in this collection are freed,
 * with their series. If there are any, the snapshot is another one from now on (id). */
void tb_snapshot_drop_gone(struct tb_snapshot *s);

/* tb_snapshot_finish - restarts services whose totals would fall, and histograms whose bounds came back into force;
 * notes what is served now, sorts. Returns the number of services that restarted. */
size_t tb_snapshot_finish(struct tb_snapshot *s);

/* tb_snapshot_is_shown - of a finished snapshot: does this series stand for itself in what is served? */
static inline bool tb_snapshot_is_shown(const struct tb_snap_series *e)
{
    return e->is_current && e->is_served;
}

/* tb_snapshot_compare_labels - the order of series of one family and role, but for bound sets. */
int tb_snapshot_compare_labels(const struct tb_snap_series *a, const struct tb_snap_series *b);
static inline bool tb_snapshot_same_labels(const struct tb_snap_series *a, const struct tb_snap_series *b)
{
    return a->key.role == b->key.role && tb_snapshot_compare_labels(a, b) == 0;
}

/* tb_snapshot_same_route - of one service, method, route (and target)? Then they lie side by side, by status. */
bool tb_snapshot_same_route(const struct tb_snap_series *a, const struct tb_snap_series *b);

/* tb_series_whole - sets e->whole as if no series differed from @e in its bound set only; its count is known. */
void tb_series_whole(struct tb_snap_series *e);

/* tb_has_fallen - a total has fallen, or is below 0: then the base of a restarted service is larger than what its
 * regions hold by now. */
static inline bool tb_has_fallen(uint64_t now, uint64_t served)
{
    return now < served || now > INT64_MAX;
}

/* tb_series_compare - the order of tb_snapshot.series. */
int tb_series_compare(const struct tb_snap_series *a, const struct tb_snap_series *b);
int tb_series_compare_entries(const void *left, const void *right); /* for qsort of pointers to them */

/* tb_snapshot_unobserved_begin - none any more; then one call for each. @service may hold any bytes; @reason is kept.
 */
void tb_snapshot_unobserved_begin(struct tb_snapshot *s);
void tb_snapshot_unobserved(struct tb_snapshot *s, const char *service, const char *reason);

/* tb_cell_bound - inclusive upper bound of a cell in ticks, UINT64_MAX for the last; never falls from cell to cell. */
uint64_t tb_cell_bound(uint16_t bound_set, uint32_t octave, size_t cell);

/* tb_values_cell - the cell of a bound set that values of @upper ticks are counted in; its block is made when missing.
 */
uint64_t *tb_values_cell(struct tb_snap_values *v, uint16_t bound_set, uint64_t upper);

/* tb_values_find - the number of the block of @octave, looked for from number @from up; it is made when missing, which
 * moves the others. */
size_t tb_values_find(struct tb_snap_values *v, size_t from, uint32_t octave);

/* Sums over values. The block of @octave is made when missing; valid until another one is. */
uint64_t *tb_values_block(struct tb_snap_values *v, uint32_t octave);
void tb_values_add(struct tb_snap_values *to, const struct tb_snap_values *from);
void tb_values_subtract(struct tb_snap_values *to, const struct tb_snap_values *from);
void tb_values_zero(struct tb_snap_values *v);
void tb_values_free(struct tb_snap_values *v);
uint64_t tb_values_timed(const struct tb_snap_values *v);
uint64_t tb_values_count(const struct tb_snap_values *v); /* timed ones, untimed ones and those no cell has any more */

/*
 * tb_values_classic - how many of the timed ones fell into each classic bucket of a set, not cumulative; the last is
 * the one above every bound. @ret has TB_BOUNDS_MAX + 1 entries. Returns their number.
 */
size_t tb_values_classic(const struct tb_snap_values *v, uint16_t bound_set, uint64_t *ret);

/*
 * tb_values_sum - the sum of durations in ns, of sizes in bytes, as the cells allow it. A writer adds to cell and sum
 * one after the other, so that a copy between the two is off by one exchange; then the nearest possible sum is given.
 * It never falls while the values rise, since both limits only rise.
 */
uint64_t tb_values_sum(const struct tb_snap_values *v, uint16_t bound_set);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent core's private state in one process, and what its host (the shim, a test, a fuzzer) provides.
 * Freestanding: time, pid and system calls come through struct tb_env.
 *
 * Fork story: private, copied by fork. The host calls tb_core_forked() in the child (or finds out through the
 * wipe-on-fork word) before the next event; the region stays mapped, the owner slot is claimed anew.
 */
#ifndef TB_CORE_H
#define TB_CORE_H

#include "atomics.h"
#include "bytes.h"
#include "histogram.h"
#include "attempts.h"
#include "invocation.h"
#include "layout.h"
#include "rules_format.h"

enum tb_counter {
#define COUNTER(id, family, reason, help) TB_COUNTER_##id,
#include "counters.def"
#undef COUNTER
    TB_COUNTER_COUNT
};
_Static_assert(TB_COUNTER_COUNT <= TB_COUNTERS_MAX, "counters.def");

enum tb_method {
    TB_METHOD_OTHER = 0,
#define METHOD(id, name) TB_METHOD_##id,
#include "methods.def"
#undef METHOD
    TB_METHOD_COUNT
};

struct tb_env {
    /*
     * A raw system call: result or -errno, errno untouched. NULL-safe to call at any time: the host returns -ENOSYS
     * when none is allowed any more (the program installed a seccomp filter). Numbers: <sys/syscall.h>.
     */
    long (*syscall)(long nr, long a, long b, long c, long d, long e, long f);
    /* CLOCK_MONOTONIC in ns; 0 = no clock may be read now (then exchanges are counted untimed). */
    uint64_t (*monotonic_ns)(void);
    uint64_t page_size; /* AT_PAGESZ */
    uint32_t pid;       /* of this process; the host keeps it right across fork */
};

/* What tells this thread from the others that live. gcc has the built-in for x86 since 11 only. */
static inline uint64_t tb_thread_pointer(void)
{
#ifdef __x86_64__
    uint64_t thread;
    __asm__("mov %%fs:0, %0" : "=r"(thread));
    return thread;
#else
    return (uint64_t)(uintptr_t)__builtin_thread_pointer();
#endif
}

#define TB_PATH_MAX 1024u     /* bytes of a path that are looked at; what follows does not shape the route */
#define TB_ROUTE_CACHE 1024u  /* whole paths whose route this process remembers */
#define TB_CELL_CACHE 1024u   /* cells of series that this process remembers */
#define TB_ROUTE_SETS 64u     /* routes whose bound set this process remembers */
#define TB_CUSTOM_ROUTES 64u  /* routes of which it remembers what custom metrics are about them */
#define TB_CUSTOM_SERIES 512u /* values of labels of custom metrics whose series it remembers */
#define TB_PATH_BLOCKS 64u
#define TB_QUEUE_BLOCKS 128u
#define TB_QUEUE_PER_BLOCK 21u

/* One request waiting for its response (queue.c). */
struct tb_pending {
    uint64_t start_ns;        /* CLOCK_MONOTONIC of its first byte; 0 = untimed */
    uint32_t route;           /* handle of route.h */
    uint32_t target;          /* string reference: of the key (layout.h); or enum tb_runtime_call */
    uint16_t inflight;        /* index + 1 in the in-flight table, 0 = none */
    uint16_t owner;           /* owner slot + 1 that in_flight was added to, 0 = none */
    uint8_t method;           /* enum tb_method */
    uint8_t flags;            /* exchange.c */
    uint16_t fork_generation; /* low bits of core->fork_generation when it was queued */
};
_Static_assert(sizeof(struct tb_pending) == 24, "one is in every connection");

struct tb_queue_block {
    struct tb_pending entries[TB_QUEUE_PER_BLOCK];
    uint32_t next; /* block + 1, 0 = none */
    uint32_t reserved;
};
_Static_assert(sizeof(struct tb_queue_block) * TB_QUEUE_BLOCKS <= (64u << 10), "the queue pool is bounded");

/* Bounds in force somewhere in the region, fit for use (bound_sets.h); never changed once ready. */
struct tb_set {
    struct tb_histogram histogram;
    uint64_t at_most[TB_BOUNDS_MAX]; /* the classic bounds, in ticks */
    uint8_t unit, count;
};

#define TB_OWN_NAMES 128u    /* metrics of a process's own */
#define TB_OWN_METRICS 2048u /* places for series of theirs: near twice as many as a service may have (own.h) */

/* One series of a metric of the program's own (own.h). Complete before kind is stored, then constant but for the last
 * two. */
struct tb_own {
    uint32_t state;    /* enum tb_slot_state */
    uint8_t kind;      /* enum tb_own_kind; 0 = none */
    uint8_t bound_set; /* of histograms */
    uint16_t reserved;
    uint64_t *words;          /* what is added to: a counter's number, a gauge's value */
    struct tb_record *record; /* of those that have one */
    uint32_t ext, help;       /* of its key */
    struct tb_owner *owner;   /* of a gauge of processes: whose value words is */
    uint32_t moving;          /* somebody finds words and owner anew: in which life of the process, + 1; 0: nobody */
    uint32_t reserved1[5];
};
_Static_assert(sizeof(struct tb_own) == 64, "found by dividing");

/* What is kept of a request for measures.h beside its entry in the in-flight table, under the same number. */
struct tb_opened {
    uint64_t start_ns; /* of the request that it is about */
    uint64_t rx_body;  /* of its connection when its head was complete */
    uint64_t trace[2]; /* 0: none */
};

/* What is looked at in a request's head, or noted when it is complete, beside what pairing needs. */
#define TB_CAPTURES 64u        /* exchanges that rules look into at one time */
#define TB_CAPTURE_BYTES 4096u /* of each */
enum { TB_HEAD_HOST = 1, TB_HEAD_TRACE = 2, TB_HEAD_SIZE = 4, TB_HEAD_PROBE = 8, TB_HEAD_CUSTOM = 16 };

struct tb_route_head; /* route_learner.h */

struct tb_core {
    struct tb_env env;

    /* The mapped region; base NULL = no region, nothing is recorded. Set once per process. */
    uint8_t *base;
    struct tb_region_header *header;
    uint64_t *counters; /* of this process's shard */
    struct tb_owner *owners;
    struct tb_inflight *inflight;
    struct tb_rules_head *rules;
    uint16_t *index;
    uint8_t *strings;
    struct tb_series *series;
    uint8_t *learner;
    uint8_t *cells;

    struct tb_owner *owner; /* this process's slot, NULL = not yet claimed */
    uint32_t owner_slot;
    uint32_t shard;  /* owner slot mod TB_SHARDS */
    bool is_foreign; /* this process is in another pid namespace than the region's maker */
    uint64_t
        unobservable; /* bits for the owner slot, whenever this process has one (unobservable.def); kept over forks */
    uint32_t is_tls_followed;  /* what a TLS library of this process decrypts is seen: TLS on a socket is no loss */
    uint64_t tls_unobservable; /* else, more bits to tell of when it answers TLS; set at the start */
    uint32_t fork_generation;  /* raised on both sides of each fork that was seen */
    uint32_t birth_generation; /* fork_generation when this process was forked (or its exec failed); 0 = neither */

    /* series.c: the index once this process has an owner slot and its pages are reserved, else NULL. */
    uint16_t *ready_index;
    uint32_t record_link;        /* where this process's shard is in a struct tb_series; valid with ready_index */
    uint32_t reserve_skip;       /* pages refused: so many more attempts fail without asking the kernel */
    uint64_t realtime_offset_ns; /* CLOCK_REALTIME - CLOCK_MONOTONIC when the region was opened */
    /* One bit per page of the region that this process knows to be reserved. */
    uint64_t reserved_pages[TB_REGION_BYTES / TB_PAGE / 64];

    /* Whole paths (route_cache.h); route_head is NULL until the learner's first pages have memory. */
    struct tb_route_head *route_head;
    uint64_t route_seed;
    uint64_t route_cache[TB_ROUTE_CACHE];
    /* For exchange_kept.c: route_head, but NULL while more is wanted of a request's head. */
    struct tb_route_head *kept_head;

    /* Rules (rules.h). rules_word: the off word and generation that this process knows, as they lie in the region. */
    uint64_t rules_word;
    struct tb_rules_view *rules_view; /* in force; NULL = none */
    uint32_t rules_adopting;
    uint8_t wants_head; /* TB_HEAD_: what the rules in force look at in a request's head */
    struct tb_rules_view rules_views[2];

    uint64_t cell_cache[TB_CELL_CACHE]; /* cell_cache.h */
    uint64_t cell_base;                 /* of its keys under the rules in force */

    /* measures.h */
    uint32_t measures;  /* TB_MEASURE_: what is recorded beside counts and durations of the default bounds */
    uint64_t chosen_ns; /* CLOCK_REALTIME since when the rules in force are; with TB_MEASURE_SETS */
    uint64_t route_sets[TB_ROUTE_SETS];
    uint64_t custom_routes[TB_CUSTOM_ROUTES]; /* custom.c */
    uint64_t custom_series[TB_CUSTOM_SERIES]; /* custom_labels.c */
    uint32_t sets_ready;                      /* bit per set that can be used; of the others no page is touched */
    struct tb_set sets[TB_SETS];
    struct tb_opened opened[TB_SHARDS * TB_INFLIGHT_PER_SHARD];

    struct tb_invoked invoked;
    struct tb_attempt attempts[TB_ATTEMPTS];
    struct tb_names_known names;

    /* own.h */
    uint64_t own_names[TB_OWN_NAMES];
    struct tb_own own[TB_OWN_METRICS];

    /* Pools (exchange.c); a set bit is a taken block. */
    uint64_t path_taken;
    uint64_t queue_taken[TB_QUEUE_BLOCKS / 64];
    uint8_t path_blocks[TB_PATH_BLOCKS][TB_PATH_MAX];
    struct tb_queue_block queue_blocks[TB_QUEUE_BLOCKS]; /* 61 KiB */

    /* exchange_caught.h: struct tb_capture each; no page of them is touched unless rules look into exchanges. */
    uint32_t captures_used; /* taken ones; a fork may leave some in the child's copy */
    uint64_t captures[TB_CAPTURES][TB_CAPTURE_BYTES / 8];
};

static inline void tb_count(struct tb_core *core, enum tb_counter what)
{
    uint64_t *counters = tb_load_relaxed(&core->counters);
    if (counters)
        tb_add_relaxed(&counters[what], 1);
}

/* Bits of tb_core.unobservable and of owner slots: what a process does that the agent cannot see (unobservable.def). */
enum {
#define UNOBSERVABLE(id, reason, help) TB_UNOBSERVABLE_BIT_##id,
#include "unobservable.def"
#undef UNOBSERVABLE
};
enum tb_unobservable {
#define UNOBSERVABLE(id, reason, help) TB_UNOBSERVABLE_##id = 1u << TB_UNOBSERVABLE_BIT_##id,
#include "unobservable.def"
#undef UNOBSERVABLE
};

/* tb_core_unobservable - this process does that: now, and in whatever owner slot it gets later. Context: any. */
static inline void tb_core_unobservable(struct tb_core *core, uint64_t reason)
{
    tb_fetch_or_relaxed(&core->unobservable, reason);
    struct tb_owner *owner = tb_load_acquire(&core->owner);
    if (owner)
        tb_fetch_or_relaxed(&owner->unobservable, reason);
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The region: the shared-memory format, layout version 1. Structs, constants and asserted offsets, nothing else.
 *
 * One file per program (service and uid). Writers are the observed processes (same uid), which only add;
 * readers are the exporter and the command, which trust nothing. Offsets are bytes from the start of the
 * file, never pointers. Everything is little-endian as the machine has it; all integers that two processes
 * touch are naturally aligned and accessed with the operations of atomics.h.
 *
 * Sparse: a page that was never needed is a hole. A page is reserved (see region.h) before it is written.
 */
#ifndef TB_LAYOUT_H
#define TB_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

#define TB_AT(type, field, offset)                                                                                     \
    _Static_assert(offsetof(type, field) == (offset), #type "." #field " moved: raise TB_LAYOUT_VERSION")
#define TB_SIZE(type, size) _Static_assert(sizeof(type) == (size), #type " changed size: raise TB_LAYOUT_VERSION")

#define TB_LAYOUT_MAGIC UINT64_C(0x314e4f4947455254) /* "TREGION1" */
#define TB_LAYOUT_VERSION 1u
#define TB_PAGE 4096u /* granule of every section; a larger machine page is handled when reserving */
#define TB_SHARDS 4u
#define TB_REGION_BYTES (3u << 20) /* apparent size; the hard cap of a service */

/* header.state: changes only under flock LOCK_EX on the file (region.h) */
enum tb_region_state {
    TB_REGION_INIT = 0,    /* being made, under a temporary name */
    TB_REGION_LIVE = 1,    /* counts; with or without owners */
    TB_REGION_FOLDING = 2, /* its totals are being added to the ledger */
    /* Emptied; the next program of the same service may adopt it, and resets cells_used, series_used, arena_at. */
    TB_REGION_FREE = 3
};

enum tb_section_type {
    TB_SEC_COUNTERS = 1, /* uint64_t[TB_SHARDS][TB_COUNTERS_MAX]: counters.def, writers add, readers sum the shards */
    TB_SEC_OWNERS = 2,   /* struct tb_owner[TB_OWNERS] */
    TB_SEC_INFLIGHT = 3, /* struct tb_inflight[TB_SHARDS][TB_INFLIGHT_PER_SHARD] */
    TB_SEC_STRINGS = 4,  /* struct tb_strings_head, index, then struct tb_string entries */
    TB_SEC_INDEX = 5,    /* uint16_t[TB_INDEX_SLOTS]: hash -> series slot, 0 = empty */
    TB_SEC_SERIES = 6,   /* struct tb_series[TB_SERIES_MAX], used from 1 up; 0 stays empty */
    TB_SEC_CELLS = 7,    /* arenas of records and cell blocks */
    TB_SEC_LEARNER = 8,  /* route.c owns the format; its own version is the section's version */
    TB_SEC_RULES = 9     /* struct tb_rules_head and two buffers (rules_format.h) */
};
#define TB_SECTIONS_MAX 24u

struct tb_section {
    uint32_t type;
    uint32_t version;  /* of the section's own format */
    uint64_t offset;   /* multiple of TB_PAGE */
    uint64_t reserved; /* bytes set aside */
};
TB_SIZE(struct tb_section, 24);

/* One page. Written by the maker before the region is published, but for state, generation and the words noted. */
struct tb_region_header {
    uint64_t magic;
    uint32_t layout_version;
    uint32_t header_size;
    uint32_t state;         /* enum tb_region_state; under LOCK_EX */
    uint32_t section_count; /* at most TB_SECTIONS_MAX */
    uint64_t generation;    /* raised by each fold, under LOCK_EX */
    uint64_t region_id;     /* random; (region_id, generation) names one life in the ledger */
    uint64_t file_size;
    /* identity */
    uint8_t boot_id[16];
    uint64_t pidns_inode;  /* of the maker's pid namespace, 0 = unknown */
    uint64_t created_ns;   /* CLOCK_REALTIME, of this life: set when made, adopted when FREE */
    uint64_t adopted_ns;   /* CLOCK_REALTIME of the last start of a program on this region */
    uint64_t command_hash; /* of the command line: two different ones under one name are a collision */
    uint32_t uid;
    uint32_t pid;          /* the maker's or last adopter's */
    uint32_t bound_set;    /* 0; which set is in force is a matter of the rules, and of each series */
    uint32_t cells_used;   /* bytes of TB_SEC_CELLS handed out, in chunks; only rises in a life */
    uint32_t series_used;  /* slots handed out, at most TB_SERIES_MAX */
    uint32_t series_limit; /* at most TB_SERIES_MAX */
    char agent_version[32];
    char host[64];
    char service[128];
    char program[256]; /* path of the executable */
    char labels[1024]; /* TICKBIRD_LABELS: k=v,k=v */
    struct tb_section sections[TB_SECTIONS_MAX];
    uint32_t
        arena_at[TB_SHARDS]; /* where each shard's next object goes in TB_SEC_CELLS; on a page boundary = no room */
    /* Of a function (invocation.h), whose processes write them; 0 in regions of older agents. */
    uint32_t runtime_asked; /* how often it asked for work; added after all that the invocation before counts */
    uint32_t runtime_begun; /* how often it got some */
    uint64_t invocation_ns; /* CLOCK_MONOTONIC when it got what it is working on; 0: nothing */
};
TB_AT(struct tb_region_header, state, 16);
TB_AT(struct tb_region_header, generation, 24);
TB_AT(struct tb_region_header, boot_id, 48);
TB_AT(struct tb_region_header, uid, 96);
TB_AT(struct tb_region_header, cells_used, 108);
TB_AT(struct tb_region_header, agent_version, 120);
TB_AT(struct tb_region_header, sections, 1624);
TB_AT(struct tb_region_header, arena_at, 2200);
TB_AT(struct tb_region_header, runtime_asked, 2216);
TB_AT(struct tb_region_header, invocation_ns, 2224);
_Static_assert(sizeof(struct tb_region_header) <= TB_PAGE, "the header is one page");
/* header_size of the first agents: what came behind it since is 0 there. */
#define TB_HEADER_SIZE_MIN 2216u

#define TB_COUNTERS_MAX 128u

/*
 * One process. Claimed by compare-and-swap of pid 0 -> pid; cleared by itself at exit, by the next fork of its
 * family or by an exporter that can tell that the process is gone. in_flight dies with the slot.
 */
struct tb_owner {
    uint32_t pid; /* as the process sees it; 0 = free */
    uint32_t flags;
    uint64_t start_ns;    /* CLOCK_MONOTONIC when claimed */
    uint64_t start_ticks; /* of /proc/PID/stat field 22 when known, else 0 */
    int64_t in_flight;    /* requests received, not yet answered; any thread of the process adds */
    int64_t connections;  /* accepted ones that spoke HTTP and are open; as in_flight */
    uint64_t reserved1;
    uint64_t unobservable;   /* bit per reason (limits.md): io_uring seen, seccomp installed, ... */
    uint64_t inflight_pages; /* bit per page of its shard's in-flight table that this process may have entries in */
};
TB_SIZE(struct tb_owner, 64); /* one cache line: two workers never write the same */
#define TB_OWNERS 256u
/* flags */
#define TB_OWNER_SHARED 1u  /* several processes share this slot; in_flight cannot be cleaned */
#define TB_OWNER_FOREIGN 2u /* in another pid namespace than header.pidns_inode: the pid means nothing there */

/*
 * One request being answered. start_ns 0 = free; claimed by compare-and-swap of start_ns, freed by storing 0. Its low
 * 8 bits are the number of the owner slot, not time: so an entry never exists without its owner, whoever is killed
 * when.
 */
struct tb_inflight {
    uint64_t start_ns; /* CLOCK_MONOTONIC, to 256 ns; see TB_INFLIGHT_OWNER */
    uint64_t thread;   /* the thread pointer of the thread that received it */
    uint32_t route;    /* route handle, for the stack sampler */
    uint16_t owner;    /* slot number when claimed */
    uint8_t method;
    uint8_t flags; /* processes that left it unanswered after a fork, see below */
    /* Gauges that it is counted in (TB_CUSTOM_IN_FLIGHT): string references / 8 of their names, 0 = none. All 0 while
       the entry is free. */
    uint16_t gauges[4];
};
TB_SIZE(struct tb_inflight, 32);
#define TB_INFLIGHT_OWNER(start_ns) ((uint32_t)((start_ns)&0xffu))
_Static_assert(TB_OWNERS <= 256u, "an owner slot fits the low byte of start_ns");
/* A request that was open at forks: 0 to CHILDREN_MAX children have left it; above, the process that made it has too,
 * and LEFT - flags children remain. */
#define TB_INFLIGHT_CHILDREN_MAX 0x3fu
#define TB_INFLIGHT_LEFT 0x80u
#define TB_INFLIGHT_PER_PAGE (TB_PAGE / 32u)
#define TB_INFLIGHT_PAGES_PER_SHARD 8u
#define TB_INFLIGHT_PER_SHARD (TB_INFLIGHT_PER_PAGE * TB_INFLIGHT_PAGES_PER_SHARD)

/* Interned strings: append-only. A reference is the entry's byte offset in the section; 0 = none. */
struct tb_strings_head {
    uint32_t used; /* bytes handed out, this head and the index included; writers fetch_add */
    uint32_t reserved[15];
};
TB_SIZE(struct tb_strings_head, 64);
#define TB_STRINGS_INDEX 4096u /* uint32_t references behind the head, open addressing by hash */
struct tb_string {
    uint32_t hash;
    uint16_t len;   /* bytes, at most TB_STRING_MAX */
    uint16_t state; /* enum tb_slot_state; release after bytes are written */
    char bytes[];   /* len bytes, valid UTF-8, and a NUL; entries are 8-byte aligned */
};
#define TB_STRING_MAX 512u
/* Fixed references, written by the maker right behind the index. */
#define TB_STR_FIRST (64u + TB_STRINGS_INDEX * 4u)
#define TB_STR_OTHER TB_STR_FIRST             /* "_other" */
#define TB_STR_UNMATCHED (TB_STR_FIRST + 16u) /* "_unmatched": 8 + 10 + NUL */
#define TB_STR_FREE (TB_STR_UNMATCHED + 24u)

enum tb_slot_state { TB_SLOT_EMPTY = 0, TB_SLOT_CLAIMED = 1, TB_SLOT_PUBLISHED = 2 };

enum tb_family {
    TB_FAMILY_REQUESTS = 1, /* http_requests_total and http_request_duration_seconds (role decides the name) */
    TB_FAMILY_ABORTED = 2,  /* http_requests_aborted_total; status holds enum tb_abort */
    TB_FAMILY_STREAM = 3,   /* lifetime of streams without end: http_stream_duration_seconds */
    /* Custom metrics (custom.h) and a program's own (own.h); ext is a string reference: how to read it, name and
       labels. role is SERVER; target, of a program's own: a string reference to the metric's help. */
    TB_FAMILY_RULE = 4,
    /* Where the rules ask for them, beside a series of TB_FAMILY_REQUESTS and with its key but for family and set: */
    TB_FAMILY_REQUEST_SIZE = 5,  /* bytes of request bodies; sum_ns of its records is in bytes */
    TB_FAMILY_RESPONSE_SIZE = 6, /* bytes of response bodies, as above */
    TB_FAMILY_FIRST_BYTE = 7,    /* time to the first byte of the response */
    TB_FAMILY_EXEMPLARS = 8,     /* its blocks are struct tb_exemplar, two for each classic bucket of its set */
    /* Of calls that the program makes, with role client and target, route 0 and method 0 (dependency.h): */
    TB_FAMILY_CALL_ERRORS = 9,   /* calls without an answer; status holds enum tb_call_error */
    TB_FAMILY_CALL_CONNECT = 10, /* time to connect */
    TB_FAMILY_CALL_TLS = 11,     /* time of TLS handshakes */
    TB_FAMILY_CALL_RESULT = 12,  /* status holds enum tb_call_result, chosen_ns when the last one was */
    /* Gauges and sketches of custom metrics, beside TB_FAMILY_RULE: block 0 of a record is words of tb_gauge_words, no
       cells. */
    TB_FAMILY_RULE_GAUGE = 17,
    TB_FAMILY_RULE_DISTINCT = 18,
    TB_FAMILY_UNREADABLE = 16, /* what custom metrics could not read: ext is the metric's name, status the reason */
    /* Of a function that is handed its work by the Runtime API of AWS Lambda (invocation.h), with role server: */
    TB_FAMILY_INVOCATION = 19,        /* invocations that ended, and how long they took */
    TB_FAMILY_INVOCATION_ERRORS = 20, /* those that failed; status holds enum tb_invocation_error */
    TB_FAMILY_OWN_GAUGE = 21 /* a program's own, of each of its processes: see below; ext as for TB_FAMILY_RULE */
};

/* Words of those blocks. */
enum tb_gauge_words {
    TB_GAUGE_VALUE = 0, /* a gauge's, in 10^-9 */
    TB_GAUGE_AT = 1,    /* CLOCK_REALTIME in ns when it was that; 0 = never */
    /* a sketch's: where struct tb_distinct lies in TB_SEC_CELLS, set once by compare-and-swap from 0; ns of its window
     */
    TB_GAUGE_SKETCH = 0,
    TB_GAUGE_WINDOW = 1
};
#define TB_SKETCH_SLICES 30u /* of a window (distinct.h) */

/*
 * The gauge of each process of a shard (TB_FAMILY_OWN_GAUGE): owner slot n has two words of block n / 4 / 4 of shard
 * n % 4, from word n / 4 % 4 * 2 on: the bits of a double, and start_ns of the owner whose value it is. So a value dies
 * with its owner, and nobody need clean up.
 */
#define TB_OWN_GAUGE_OWNERS (TB_BLOCK_CELLS / 2) /* in a block */
#define TB_OWN_GAUGE_BLOCKS (TB_OWNERS / TB_SHARDS / TB_OWN_GAUGE_OWNERS)

enum tb_role { TB_ROLE_UNKNOWN = 0, TB_ROLE_SERVER = 1, TB_ROLE_CLIENT = 2 };

enum tb_abort {
    TB_ABORT_CLIENT_CLOSED = 1,
    TB_ABORT_SERVER_CLOSED = 2,
    TB_ABORT_INCOMPLETE_REQUEST = 3,
    TB_ABORT_NEVER_ANSWERED = 4
};

/* Why a call got no answer (dependency.h). */
enum tb_call_error {
    TB_CALL_REFUSED = 1,
    TB_CALL_TIMEOUT = 2,
    TB_CALL_RESET = 3,
    TB_CALL_DNS = 4,
    TB_CALL_TLS = 5,
    TB_CALL_CLOSED = 6,
    TB_CALL_PROTOCOL = 7
};

enum tb_call_result { TB_CALL_ANSWERED = 1, TB_CALL_FAILED = 2 };

/* Why an invocation failed. */
enum tb_invocation_error {
    TB_INVOCATION_FUNCTION = 1,   /* the function said so (.../error) */
    TB_INVOCATION_REFUSED = 2,    /* its response was not taken: too large, too late */
    TB_INVOCATION_UNFINISHED = 3, /* the next one came and this had not ended: a crash, a time-out */
    TB_INVOCATION_INIT = 4        /* the function could not be made ready; no invocation */
};

/*
 * Bound sets: which classic bounds the cells of a series are cut at (histogram.h). A set's number means the same bounds
 * as long as the region has series of it. Those from TB_SET_FIRST up are entries of a table behind the two buffers of
 * the rules section, found by contents; a set of series that counts no cells is 0.
 */
enum tb_unit { TB_UNIT_SECONDS = 0, TB_UNIT_BYTES = 1, TB_UNITS };
enum tb_bound_set { TB_SET_DURATION = 0, TB_SET_SIZE = 1, TB_SET_FIRST = 2, TB_SETS = 16 };
#define TB_BOUNDS_MAX 40u
struct tb_bounds_entry {
    uint32_t state; /* enum tb_slot_state; one left CLAIMED by a killed writer is skipped */
    uint8_t unit;   /* enum tb_unit */
    uint8_t count;
    uint16_t reserved;
    uint64_t at_most[TB_BOUNDS_MAX]; /* ticks of the unit (histogram.h), ascending */
};
TB_SIZE(struct tb_bounds_entry, 328);

/* 24 bytes, compared as three 64-bit words; unused fields are 0. */
struct tb_series_key {
    uint8_t family;    /* enum tb_family */
    uint8_t role;      /* enum tb_role */
    uint8_t method;    /* methods.def id + 1; 0 = _OTHER */
    uint8_t bound_set; /* enum tb_bound_set, or a number from the table */
    uint16_t status;   /* 100..999 as sent; enum tb_abort for TB_FAMILY_ABORTED; see TB_FAMILY_CALL_; 0 = none */
    uint16_t reserved0;
    uint32_t route;  /* string reference */
    uint32_t target; /* string reference: outgoing, the other server; else the host asked for, 0 = not wanted */
    uint32_t ext;    /* string reference or rule number */
    uint32_t reserved1;
};
TB_SIZE(struct tb_series_key, 24);

/* Read-only after publication but for records[], each set once by compare-and-swap from 0, and chosen_ns. */
struct tb_series {
    uint32_t state; /* enum tb_slot_state; a slot left CLAIMED by a killed writer is skipped */
    uint32_t hash;
    struct tb_series_key key;
    uint32_t records[TB_SHARDS]; /* offset / 8 of a struct tb_record in TB_SEC_CELLS, 0 = none yet */
    uint64_t created_ns;         /* CLOCK_REALTIME */
    uint64_t chosen_ns; /* CLOCK_REALTIME since when its bound set is in force, of the last to say so; 0: never another.
                           TB_FAMILY_CALL_RESULT: when the last one was */
};
TB_SIZE(struct tb_series, 64);
TB_AT(struct tb_series, key, 8);
TB_AT(struct tb_series, records, 32);
#define TB_SERIES_MAX 4096u
#define TB_SERIES_LIMIT 4000u /* default; the rest is kept for _OTHER/_other */
#define TB_INDEX_SLOTS 8192u

/*
 * What one shard of one series has counted. All fields only grow, relaxed adds.
 * count = untimed + the sum of all cells, so the two cannot disagree.
 */
struct tb_record {
    uint64_t sum_ns;        /* durations of the timed ones */
    uint64_t first_byte_ns; /* sum of times to the first response byte, of the timed ones */
    uint64_t rx_bytes;      /* request body bytes (as framed) */
    uint64_t tx_bytes;      /* response body bytes */
    uint64_t incomplete;    /* counted under their status, but cut short */
    uint64_t untimed;       /* counted without a duration */
    uint32_t blocks[3];     /* TB_BLOCK(octave, offset), 0 = none; set once by compare-and-swap */
    uint32_t more;          /* offset / 8 of a struct tb_record_more, 0 = none; set once by compare-and-swap */
};
TB_SIZE(struct tb_record, 64);
struct tb_record_more {
    uint32_t blocks[15];
    uint32_t more;
};
TB_SIZE(struct tb_record_more, 64);

/*
 * A block holds eight cells in a row, one octave of a bound set (histogram.h): uint64_t[TB_BLOCK_CELLS]. blocks[]
 * entries pack the octave's number (6 bits) above the byte offset / 8 in TB_SEC_CELLS (26 bits).
 */
#define TB_BLOCK(octave, offset) ((uint32_t)(octave) << 26 | (uint32_t)((offset) >> 3))
#define TB_BLOCK_OCTAVE(b) ((b) >> 26)
#define TB_BLOCK_OFFSET(b) (((b)&0x3ffffffu) << 3)
#define TB_BLOCK_CELLS 8u

/*
 * The slowest request of a classic bucket in a while, with the trace that it belongs to. A block has two, for even and
 * odd windows of TB_EXEMPLAR_WINDOW_MS since 1970. Writers store the words one after the other and never wait: an entry
 * whose check is wrong is two that were mixed, or half of one, and is none.
 */
struct tb_exemplar {
    uint64_t at;       /* CLOCK_REALTIME in ms above 20 bits that only make it differ; 0 = none */
    uint64_t trace[2]; /* the identifier's 32 hex digits, the upper 16 first */
    uint64_t value;    /* ns, at most 2^48 - 1, above 16 bits of check: tb_exemplar_check */
};
TB_SIZE(struct tb_exemplar, 32);
#define TB_EXEMPLAR_WINDOW_MS 60000u

/*
 * Arena chunks: each belongs to one shard, so two shards never share a cache line. The open chunk of a shard is in the
 * header, shared by its processes, so that short-lived programs do not leave a chunk behind each. Chunk 0 is never
 * used: offset 0 means none.
 */
#define TB_CHUNK_BYTES TB_PAGE

struct tb_rules_head {
    uint32_t off;        /* not 0: the agent does nothing (kill switch). Written by group tickbird. */
    uint32_t generation; /* raised after a buffer is complete (release); the core looks at it per exchange */
    uint32_t active;     /* 0 or 1: the buffer that generation speaks of */
    uint32_t length[2];  /* bytes used; 0: no rules */
    uint32_t hosts;      /* host names admitted as label values; writers add */
    uint32_t tags[2];    /* low bits of each set's checksum: who publishes need not read a set to know it */
    uint32_t bound_sets; /* not 0: the table of bound sets has entries */
    uint32_t targets;    /* other servers admitted as targets; writers add */
    uint32_t own_series; /* series of programs' own metrics that were admitted; writers add */
    uint32_t reserved[5];
};
TB_AT(struct tb_rules_head, generation, 4); /* off and generation are read as one word */
TB_SIZE(struct tb_rules_head, 64);
#define TB_RULES_BUFFER (28u << 10)
#define TB_RULES_BOUND_SETS (64u + 2u * TB_RULES_BUFFER) /* struct tb_bounds_entry[TB_SETS - TB_SET_FIRST] */

/* Where the sections of a default region lie. Readers use the table in the header, not these. */
#define TB_OFF_COUNTERS (1u * TB_PAGE)
#define TB_LEN_COUNTERS (1u * TB_PAGE)
_Static_assert(TB_SHARDS *TB_COUNTERS_MAX * 8u <= TB_LEN_COUNTERS, "counters");
#define TB_OFF_OWNERS (TB_OFF_COUNTERS + TB_LEN_COUNTERS)
#define TB_LEN_OWNERS (TB_OWNERS * 64u)
#define TB_OFF_INFLIGHT (TB_OFF_OWNERS + TB_LEN_OWNERS)
#define TB_LEN_INFLIGHT (TB_SHARDS * TB_INFLIGHT_PER_SHARD * 32u)
#define TB_OFF_RULES (TB_OFF_INFLIGHT + TB_LEN_INFLIGHT)
#define TB_LEN_RULES (16u * TB_PAGE)
_Static_assert(TB_RULES_BOUND_SETS + (TB_SETS - TB_SET_FIRST) * sizeof(struct tb_bounds_entry) <= TB_LEN_RULES,
               "rules");
#define TB_OFF_INDEX (TB_OFF_RULES + TB_LEN_RULES)
#define TB_LEN_INDEX (TB_INDEX_SLOTS * 2u)
#define TB_OFF_STRINGS (TB_OFF_INDEX + TB_LEN_INDEX)
#define TB_LEN_STRINGS (192u << 10)
#define TB_OFF_SERIES (TB_OFF_STRINGS + TB_LEN_STRINGS)
#define TB_LEN_SERIES (TB_SERIES_MAX * 64u)
#define TB_OFF_LEARNER (TB_OFF_SERIES + TB_LEN_SERIES)
#define TB_LEN_LEARNER (1024u << 10)
#define TB_OFF_CELLS (TB_OFF_LEARNER + TB_LEN_LEARNER)
#define TB_LEN_CELLS (TB_REGION_BYTES - TB_OFF_CELLS)
_Static_assert(TB_OFF_CELLS % TB_PAGE == 0 && TB_LEN_CELLS >= (1u << 20), "cells");

#endif

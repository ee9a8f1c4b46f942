/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compiled rules: what config.yml says about the routes of one service, as the core reads it from the rules area of its
 * region; and the bundle, a file of such sets for services that have no region yet. Written by exporter/rules_compile.c
 * and rules_bundle.c. Format version 1; little-endian; offsets are bytes from the start of the set, numbers of nodes,
 * edges and entries count from 0. Readers skip section types that they do not know.
 *
 * A set is a tree of path segments. Node 0 is the root. A text is one byte of length and the bytes.
 */
#ifndef TB_RULES_FORMAT_H
#define TB_RULES_FORMAT_H

#include "custom_format.h"
#include "layout.h"

#define TB_RULES_MAGIC UINT64_C(0x3153454c55524254) /* "TBRULES1" */
#define TB_RULES_VERSION 1u
#define TB_RULES_ENTRIES_MAX 1024u
#define TB_RULES_LABEL_MAX 200u /* bytes of a route label, as in route_learner.h */
#define TB_RULES_DEPTH_MAX 19u  /* segments of a pattern; a deeper path has :rest */
#define TB_RULES_HOST_MAX 253u  /* bytes of a host name (RFC 1035) */

enum tb_rules_section {
    TB_RULES_NODES = 0,
    TB_RULES_EDGES = 1,
    TB_RULES_ENTRIES = 2,
    TB_RULES_TEXTS = 3,
    TB_RULES_HOSTS = 4, /* uint16_t: texts of globs; none = every host */
    TB_RULES_BOUNDS = 5,
    TB_RULES_AT_MOST = 6, /* uint64_t: ticks (histogram.h) */
    TB_RULES_CUSTOM = 7,  /* custom_format.h */
    /* From here on only where the head has room for them: it ends where the nodes begin. */
    TB_RULES_TARGETS = 8,
    TB_RULES_LIMITS = 9, /* uint32_t by enum tb_rules_limit; missing ones are 0 */
    TB_RULES_SECTIONS = 16
};
#define TB_RULES_SECTIONS_FIRST 8u /* every set's head has these */

enum tb_rules_limit { TB_RULES_MAX_TARGETS = 0 /* 0 = default */ };

/* flags of a set */
#define TB_RULES_HOST_LABEL 1u /* requests carry the host as a label */
#define TB_RULES_HOST_RULES 2u /* some entry asks for a host */
#define TB_RULES_SHAPES 64u    /* no pattern tells numbers, UUIDs or other hexadecimal values apart */
/* what else is recorded (measures.h) */
#define TB_RULES_REQUEST_SIZE 4u
#define TB_RULES_RESPONSE_SIZE 8u
#define TB_RULES_FIRST_BYTE 16u
#define TB_RULES_EXEMPLARS 32u
#define TB_RULES_PROBES 128u /* requests of probes are asked for by TB_PROBE_PATH (probe.h) */

enum tb_rules_route { TB_RULES_INFERRED = 0, TB_RULES_PATH = 1, TB_RULES_NONE = 2 };

/* Who put a set into a region: rules of `tickbird run` end with a start without them, an exporter's stay. */
enum tb_rules_origin { TB_RULES_FROM_RUN = 1, TB_RULES_FROM_EXPORTER = 2 };

struct tb_rules_part {
    uint32_t offset, length;
};

struct tb_rules_set {
    uint64_t magic;
    uint32_t version;
    uint32_t length;   /* of all, a multiple of 8, at most TB_RULES_BUFFER */
    uint64_t checksum; /* tb_rules_checksum of everything behind this field */
    uint32_t flags;
    uint8_t route;  /* enum tb_rules_route: what no entry matches */
    uint8_t origin; /* enum tb_rules_origin */
    uint16_t max_hosts;
    uint32_t max_routes; /* 0 = default, as the next */
    uint32_t max_series;
    struct tb_rules_part parts[TB_RULES_SECTIONS];
};
TB_SIZE(struct tb_rules_set, 168);
#define TB_RULES_HEAD_MIN (40u + TB_RULES_SECTIONS_FIRST * 8u)
TB_AT(struct tb_rules_set, parts, 40);
#define TB_RULES_CHECKED 24u /* bytes of the head that the checksum does not cover */
TB_AT(struct tb_rules_set, flags, TB_RULES_CHECKED);
/* Whoever writes a set into a region makes the checksum there 0 first: a core may still read what lay there before. */
TB_AT(struct tb_rules_set, checksum, 16);

struct tb_rules_node {
    uint16_t edges;    /* the first: literals by rising hash, then globs, then the parameter */
    uint16_t literals; /* numbers of each */
    uint8_t globs;
    uint8_t params;
    uint16_t entries; /* the first: those that end here, then those that end here with a wildcard */
    uint8_t ends;
    uint8_t wilds;
};
TB_SIZE(struct tb_rules_node, 10);

struct tb_rules_edge {
    uint32_t hash; /* of a literal (tb_segment_hash) */
    uint16_t text; /* literal or glob */
    uint16_t node;
};
TB_SIZE(struct tb_rules_edge, 8);

/* flags of an entry */
#define TB_RULES_DROP 1u        /* not counted */
#define TB_RULES_WHOLE_LABEL 2u /* label is the whole route, not the names of the path's parameters */
#define TB_RULES_OPENAPI 4u     /* came from an OpenAPI file */

struct tb_rules_entry {
    uint16_t label; /* text: the parameters' names as they stand in the route, separated by slashes */
    uint8_t method; /* enum tb_method + 1, 0 = any */
    uint8_t flags;
    uint16_t host;   /* text: glob, 0 = any */
    uint16_t source; /* line of the file; 0xffff = that or a later one */
};
TB_SIZE(struct tb_rules_entry, 8);

/* The bounds of a histogram. The first that is about a route counts. */
enum tb_rules_measure { TB_RULES_OF_DURATION = 0, TB_RULES_OF_REQUEST_SIZE = 1, TB_RULES_OF_RESPONSE_SIZE = 2 };
struct tb_rules_bounds {
    uint16_t route;  /* text: glob of routes as they are served; 0 = all that no other is about. Durations only */
    uint8_t measure; /* enum tb_rules_measure */
    uint8_t count;
    uint16_t first; /* of AT_MOST */
    uint16_t reserved;
};
TB_SIZE(struct tb_rules_bounds, 8);
#define TB_RULES_BOUNDS_COUNT 32u /* of a set; more are not looked at */

/* What another server that programs call is to be called. The first that matches counts. */
struct tb_rules_target {
    uint16_t glob; /* text: of the target as it would be called otherwise */
    uint16_t name; /* text */
};
TB_SIZE(struct tb_rules_target, 4);

/* The bundle: this head, its rows, the sets (each at a multiple of 8). The first row whose glob matches counts. */
#define TB_RULES_BUNDLE_MAGIC UINT64_C(0x31444e4255524254) /* "TBRUBND1" */
#define TB_RULES_ROWS_MAX 256u
struct tb_rules_bundle {
    uint64_t magic;
    uint32_t version;
    uint32_t count;
};
TB_SIZE(struct tb_rules_bundle, 16);
struct tb_rules_row {
    uint32_t offset, length; /* of the set; length 0: no rules */
    char service[120];       /* glob, NUL-terminated */
};
TB_SIZE(struct tb_rules_row, 128);
#define TB_RULES_FILE "rules" /* name of the bundle that an exporter leaves in a region directory */

static inline uint64_t tb_rules_checksum(const void *bytes, size_t len)
{
    const uint8_t *p = bytes;
    uint64_t h = len;
    for (size_t i = 0; i + 8 <= len; i += 8) {
        uint64_t word;
        __builtin_memcpy(&word, p + i, 8);
        h = (h ^ word) * UINT64_C(0x9fb21c651e98df25);
        h ^= h >> 29;
    }
    return h;
}

/* What a process knows of the set in force: private memory, so that it says the same while the set is rewritten. */
struct tb_rules_view {
    uint64_t checksum; /* of the set, as it was found right */
    uint32_t at;       /* of the set in the rules section */
    uint32_t flags;
    uint32_t max_routes, max_series, max_hosts;
    uint8_t route;
    uint32_t none;     /* as made, of _none */
    uint8_t set_of[3]; /* bound set by enum tb_rules_measure, of routes not in bounds */
    uint8_t bound_count;
    struct {
        uint16_t route;
        uint8_t set;
    } bounds[TB_RULES_BOUNDS_COUNT]; /* of durations, by route */
    struct tb_custom custom;
    struct tb_rules_part parts[TB_RULES_SECTIONS]; /* inside the set; length in elements, TEXTS in bytes */
    uint32_t made[TB_RULES_ENTRIES_MAX]; /* learner node of each entry; above it, low 16 bits of the generation */
};

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Custom metrics as they are compiled: the section TB_RULES_CUSTOM of a set of rules. A head, then arrays of rules,
 * fields, labels, matches and bounds, then texts; each array begins where the one before ends, all but the texts have
 * sizes that are multiples of 8. A text is one byte of length and the bytes; 0 is the empty text. Written by
 * exporter/rules_custom.c, read by agent/custom.c. Little-endian; hostile input.
 *
 * A rule says which exchanges it is about, what it makes of each, and with which labels. What it needs of heads and
 * bodies are fields: each is looked for once, whichever rules ask for it.
 */
#ifndef TB_CUSTOM_FORMAT_H
#define TB_CUSTOM_FORMAT_H

#include "layout.h"
#include "pick.h"

#define TB_CUSTOM_VERSION 1u
#define TB_CUSTOM_RULES 32u   /* of a service: one bit each */
#define TB_CUSTOM_FIELDS 32u  /* one bit each */
#define TB_CUSTOM_LABELS 128u /* of all rules */
#define TB_CUSTOM_MATCHES 128u
#define TB_CUSTOM_BOUNDS 256u
#define TB_CUSTOM_TEXTS 6144u    /* bytes */
#define TB_CUSTOM_VALUE_MAX 64u  /* bytes of a label's value; a longer one is the label's other */
#define TB_CUSTOM_STATUSES 4u    /* ranges of statuses of a rule */
#define TB_CUSTOM_NO_FIELD 0xffu /* no number of a field */

struct tb_custom_head {
    uint16_t version;
    uint16_t bounds, texts; /* texts in bytes */
    uint8_t rules, fields, labels, matches;
    uint8_t reserved[6];
};
TB_SIZE(struct tb_custom_head, 16);

enum tb_custom_kind {
    TB_CUSTOM_COUNTER = 1,
    TB_CUSTOM_HISTOGRAM = 2,
    TB_CUSTOM_GAUGE = 3,    /* the last number of a field */
    TB_CUSTOM_DISTINCT = 4, /* how many different values a field had in a window: kept as hashes only */
    TB_CUSTOM_KINDS
};
#define TB_CUSTOM_SKETCHES 2u   /* rules of TB_CUSTOM_DISTINCT in a set */
#define TB_CUSTOM_IN_FLIGHTS 4u /* of TB_CUSTOM_IN_FLIGHT: as many as an entry in flight has room for */

/* What is counted, or put into the histogram. */
enum tb_custom_value {
    TB_CUSTOM_ONE = 0, /* counters: 1 for each exchange */
    TB_CUSTOM_DURATION = 1,
    TB_CUSTOM_FIRST_BYTE = 2,
    TB_CUSTOM_REQUEST_SIZE = 3,
    TB_CUSTOM_RESPONSE_SIZE = 4,
    TB_CUSTOM_NUMBER = 5,    /* of a field */
    TB_CUSTOM_IN_FLIGHT = 6, /* gauges: how many requests are open; known when the head of a request is complete */
    TB_CUSTOM_VALUES
};

/* Where the value of a label comes from, or what a match looks at. */
enum tb_custom_source {
    TB_CUSTOM_METHOD = 1,
    TB_CUSTOM_ROUTE = 2,
    TB_CUSTOM_STATUS = 3,
    TB_CUSTOM_STATUS_CLASS = 4, /* 2xx */
    TB_CUSTOM_TARGET = 5,       /* of outgoing requests, the other server */
    TB_CUSTOM_PATH = 6,         /* as sent, without the query; matches only */
    TB_CUSTOM_FIELD = 7,
    TB_CUSTOM_PRESENCE = 8, /* of a field: yes or no */
    TB_CUSTOM_SOURCES
};

enum tb_custom_place {
    TB_CUSTOM_REQUEST_HEADER = 1,
    TB_CUSTOM_RESPONSE_HEADER = 2,
    TB_CUSTOM_QUERY = 3,
    TB_CUSTOM_COOKIE = 4,
    TB_CUSTOM_HOST = 5, /* the host asked for, without port */
    TB_CUSTOM_REQUEST_JSON = 6,
    TB_CUSTOM_RESPONSE_JSON = 7,
    TB_CUSTOM_REQUEST_FORM = 8,
    TB_CUSTOM_PLACES
};

/* Why a value could not be read; status of TB_FAMILY_UNREADABLE. */
enum tb_custom_why {
    TB_CUSTOM_WHY_COMPRESSED = 1, /* the body begins as no text does: it has a content coding */
    TB_CUSTOM_WHY_TOO_LONG = 2,   /* the value is, or the body goes on behind what is looked at */
    TB_CUSTOM_WHY_NOT_UTF8 = 3,
    TB_CUSTOM_WHY_MALFORMED = 4, /* no JSON, no form */
    TB_CUSTOM_WHY_MISSING = 5,   /* not in the body */
    TB_CUSTOM_WHY_TYPE = 6,      /* the body is of another type; an object or a list is no value; no number */
    TB_CUSTOM_WHY_UNSEEN = 7,    /* the body was sent by the kernel, nobody had its bytes */
    TB_CUSTOM_WHY_NO_MEMORY = 8, /* too many exchanges at one time */
    TB_CUSTOM_WHYS
};

/*
 * The text `metric` begins with a letter that says how its series are to be read, then the name as it is served:
 * c counts exchanges, s sums of values in 10^-9, b of whole values, h a histogram, g a gauge, i requests in flight, d
 * different values.
 */
struct tb_custom_rule {
    uint64_t methods;                         /* bit by enum tb_method; 0 = any */
    uint16_t statuses[TB_CUSTOM_STATUSES][2]; /* first and last of a range, 0 = none; no range: any status */
    uint16_t metric;
    uint8_t kind;    /* enum tb_custom_kind */
    uint8_t roles;   /* bit by enum tb_role; 0 = any */
    uint8_t value;   /* enum tb_custom_value */
    uint8_t field;   /* of TB_CUSTOM_NUMBER */
    int8_t scale;    /* the number is multiplied by 10^scale: -9 to 9 */
    uint8_t unit;    /* enum tb_unit: of the bounds */
    uint16_t bounds; /* the first; of TB_CUSTOM_DISTINCT: seconds of its window */
    uint8_t bound_count;
    uint8_t labels, label_count; /* in ascending order of their names */
    uint8_t matches, match_count;
    uint8_t reserved;
};
TB_SIZE(struct tb_custom_rule, 40);

struct tb_custom_field {
    uint8_t place;     /* enum tb_custom_place */
    uint8_t is_hashed; /* its value is never kept, only a hash of it */
    uint16_t name; /* text: of headers, and cookies behind "cookie:" (header_pick.h), a path for JSON (json_pick.h) */
    uint32_t reserved1;
};
TB_SIZE(struct tb_custom_field, 8);

struct tb_custom_label {
    uint32_t id; /* hash of metric and label: whose values are counted together against max */
    uint16_t name;
    uint16_t other; /* the value in place of one that is not admitted */
    uint16_t allow; /* the first of allow_count globs, texts one behind the other; none: all */
    uint16_t max;   /* different values that are admitted; 0 = any number */
    uint8_t allow_count;
    uint8_t source;          /* enum tb_custom_source */
    uint8_t field, fallback; /* the second where the first has no value */
};
TB_SIZE(struct tb_custom_label, 16);

/* All matches of a rule must hold; one does when some of its globs fits. */
struct tb_custom_match {
    uint16_t globs; /* the first of count texts, one behind the other */
    uint8_t count;
    uint8_t source; /* enum tb_custom_source */
    uint8_t field;
    uint8_t is_not; /* holds when none fits */
    uint8_t reserved[2];
};
TB_SIZE(struct tb_custom_match, 8);

/* What a process knows of them: private memory. Numbers inside are checked once more wherever they are used, since
 * another thread may be filling it anew. */
struct tb_custom {
    uint32_t rules, fields; /* how many */
    uint32_t generation;    /* of the rules; set last, 0 while they are read. What is remembered of them is under it */
    uint32_t methods[64];   /* rules that are about it: a bit each */
    uint32_t classes[6];    /* by status / 100 */
    uint32_t roles[4];      /* by enum tb_role */
    uint32_t captures;      /* rules that need fields, or the path */
    uint32_t in_flight;     /* rules of TB_CUSTOM_IN_FLIGHT: no class of status is theirs */
    uint32_t at_head;       /* both */
    uint32_t paths;         /* of those, the ones that ask for the path */
    uint32_t at_end;        /* rules that also ask for a status within a class, a target or a field */
    bool is_for_any;        /* of at_head, one about GETs that a server answers is about every route and path */
    bool has_size;          /* some rule is about the size of requests */
    uint16_t places[TB_CUSTOM_RULES];         /* where each looks for fields: a bit by tb_custom_set_of */
    uint8_t sets[TB_CUSTOM_RULES];            /* bound sets of histograms */
    uint8_t pick[TB_CUSTOM_FIELDS];           /* the number of each in the set of its place */
    struct tb_pick_set set[TB_CUSTOM_PLACES]; /* what is looked for in each place */
    struct tb_custom_rule rule[TB_CUSTOM_RULES];
    struct tb_custom_field field[TB_CUSTOM_FIELDS];
    struct tb_custom_label label[TB_CUSTOM_LABELS];
    struct tb_custom_match match[TB_CUSTOM_MATCHES];
    uint64_t at_most[TB_CUSTOM_BOUNDS + TB_BOUNDS_MAX];
    uint8_t text[TB_CUSTOM_TEXTS + 256]; /* any offset has a whole text behind it */
};

/*
 * Values that labels with a max have admitted, of all processes of the service: words behind the bound sets, each once
 * set by compare-and-swap. The upper 16 bits are the label's, the lower ones a hash of the value. One is admitted when
 * fewer than max of its label stand before it.
 */
#define TB_RULES_ADMITTED (TB_RULES_BOUND_SETS + (TB_SETS - TB_SET_FIRST) * (uint32_t)sizeof(struct tb_bounds_entry))
#define TB_CUSTOM_ADMITTED 440u
_Static_assert(TB_RULES_ADMITTED % 8 == 0 && TB_RULES_ADMITTED + TB_CUSTOM_ADMITTED * 8 <= TB_LEN_RULES, "room");

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One path segment looked at alone: what it is made of, and whether its form alone says that it is a value (a number, a
 * UUID, a token) or a version. Pure functions of bytes; no state, no learning.
 */
#ifndef TB_ROUTE_SEGMENT_H
#define TB_ROUTE_SEGMENT_H

#include "bytes.h"

/* The kinds of a segment; those after TB_KIND_LITERAL are placeholders. Stored in the learner: append only. */
enum tb_route_kind {
    TB_KIND_LITERAL = 0,
    TB_KIND_ID,    /* :id     a number, or a short code with digits */
    TB_KIND_UUID,  /* :uuid */
    TB_KIND_HASH,  /* :hash   hexadecimal, 8 digits or more */
    TB_KIND_DATE,  /* :date */
    TB_KIND_EMAIL, /* :email */
    TB_KIND_IP,    /* :ip */
    TB_KIND_HOST,  /* :host */
    TB_KIND_FILE,  /* :file   a file name; the extension is kept */
    TB_KIND_TOKEN, /* :token  random-looking, base62 or base64 */
    TB_KIND_NAME,  /* :name   a word that is a value, or bytes that no literal has */
    TB_KIND_REST,  /* :rest   everything from here on (too deep, too long) */
    TB_KIND_COUNT
};

#define TB_SEGMENT_PARTS 6u /* words of a compound segment that are looked at */

struct tb_segment {
    struct tb_bytes text; /* borrowed, as it shall stand in a label when it is a literal (percent-decoded) */
    uint32_t hash;        /* of text */
    uint8_t kind;         /* enum tb_route_kind: the placeholder it would get */
    bool is_value;        /* the form alone decides: a value */
    bool is_version;      /* the form alone decides: a literal (v1, 2.0) */
    bool is_plain;        /* may stand in a label: letters, digits, - _ . and a few marks */
    uint8_t digits;       /* all counts saturate at 255 */
    uint8_t uppers;
    uint8_t lowers;
    uint8_t marks;   /* - _ . and other separators */
    uint8_t suffix;  /* bytes of ".ext" at the end when it is a known file extension, else 0 */
    uint8_t letters; /* longest run of letters */
};

/* tb_segment_scan - look at one segment; @text has no slash and may be empty. Context: any. */
void tb_segment_scan(struct tb_bytes text, struct tb_segment *ret);

/* tb_segment_placeholder - its text with the colon, NUL-terminated, static. */
const char *tb_segment_placeholder(enum tb_route_kind kind);

/* tb_segment_hash - 32 bits of a text; seeded, never 0. */
uint32_t tb_segment_hash(struct tb_bytes text);

#endif

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
    TB_KIND_ID,     /* :id     a number, or a short code with digits */
    TB_KIND_UUID,   /* :uuid */
    TB_KIND_HASH,   /* :hash   hexadecimal, 8 digits or more */
    TB_KIND_DATE,   /* :date */
    TB_KIND_EMAIL,  /* :email */
    TB_KIND_IP,     /* :ip */
    TB_KIND_HOST,   /* :host */
    TB_KIND_FILE,   /* :file   a file name; the extension is kept */
    TB_KIND_TOKEN,  /* :token  random-looking, base62 or base64 */
    TB_KIND_NAME,   /* :name   a word that is a value, or bytes that no literal has */
    TB_KIND_REST,   /* :rest   everything from here on (too deep, too long) */
    TB_KIND_LOCALE, /* :locale en-US, pt_BR, zh-Hans */
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

#define TB_SEGMENT_MIX UINT64_C(0x9fb21c651e98df25)

/* The hash of a text, block by block: 8 bytes at a time, the last block zero-padded (also when it is full). */
static inline uint64_t tb_segment_hash_block(uint64_t h, uint64_t block)
{
    h = (h ^ block) * TB_SEGMENT_MIX;
    return h ^ h >> 29;
}

static inline uint32_t tb_segment_hash_end(uint64_t h, size_t len)
{
    h = (h ^ len) * TB_SEGMENT_MIX;
    h ^= h >> 32;
    return (uint32_t)h ? (uint32_t)h : 1;
}

/* tb_segment_hash - 32 bits of a text; never 0. */
uint32_t tb_segment_hash(struct tb_bytes text);

/* A segment as it is met on the way through a path: how long, its hash, and whether it is all digits. */
struct tb_segment_met {
    size_t len;
    uint64_t sum; /* of its bytes: nothing of them is lost but by chance */
    uint32_t hash;
    bool number;
};

/* tb_segment_meet - the segment at @p, which ends at a slash or after @left bytes; 8 bytes at a time. */
static inline struct tb_segment_met tb_segment_meet(const uint8_t *p, size_t left)
{
    struct tb_segment_met m = {.number = true};
    uint64_t h = 0;
    for (;;) {
        size_t n = left - m.len;
        uint64_t x = n >= 8 ? tb_load_8(p + m.len) : tb_load_few(p + m.len, n);
        n = n >= 8 ? 8 : n;
        uint64_t slash = x ^ TB_EACH_BYTE('/');
        slash = (slash - TB_EACH_BYTE(1)) & ~slash & TB_EACH_BYTE(0x80); /* the lowest set bit is exact */
        if (slash) {
            n = (size_t)__builtin_ctzll(slash) / 8;
            x &= n ? ~UINT64_C(0) >> (64 - 8 * n) : 0;
        }
        uint64_t pad = n < 8 ? TB_EACH_BYTE('0') << 8 * n : 0; /* behind the end: digits */
        m.number = m.number && (((x | pad) & TB_EACH_BYTE(0xf0)) == TB_EACH_BYTE(0x30)) &&
                   ((((x | pad) + TB_EACH_BYTE(6)) & TB_EACH_BYTE(0xf0)) == TB_EACH_BYTE(0x30));
        m.len += n;
        if (n < 8 || m.len == left) {
            if (n || !m.len) /* a text that ends with a full block has no empty one behind it */
                h = tb_segment_hash_block(h, x);
            break;
        }
        h = tb_segment_hash_block(h, x);
    }
    m.sum = h;
    m.hash = tb_segment_hash_end(h, m.len);
    return m;
}

#endif

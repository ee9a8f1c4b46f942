/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the readers of bodies, queries and header sections (json_pick.h, form_pick.h, header_pick.h) have in common: a
 * set of what is wanted, and the values found. A value is a short text, or only a keyed hash of it: what is counted by
 * number of different values is never kept. The first of several values of one name counts.
 *
 * Private memory of fixed size, no allocation, no I/O. Context: any; one stream is read by one thread at a time, a set
 * may be shared once it is made.
 */
#ifndef TB_PICK_H
#define TB_PICK_H

#include "bytes.h"
#include "siphash.h"

#define TB_PICKS 8u        /* values of one set */
#define TB_PICK_TEXT 64u   /* longest text that is kept; a longer one is TB_PICK_TOO_LONG */
#define TB_PICK_POOL 264u  /* bytes of all texts of a stream; what finds no place is TB_PICK_TOO_LONG, too */
#define TB_PICK_BYTES 256u /* of the names or paths of a set */

/* What is wanted. Zero is the empty set. */
struct tb_pick_set {
    uint8_t count;
    uint8_t hashed; /* bit per value: only its hash is kept */
    uint16_t used;  /* of bytes */
    uint8_t len[TB_PICKS];
    uint16_t at[TB_PICKS]; /* in bytes: a name, or a compiled path (json_pick.h) */
    uint64_t key[2];       /* of the hashes; random, the same in all processes whose hashes are compared */
    uint8_t bytes[TB_PICK_BYTES];
};

enum tb_pick_kind {
    TB_PICK_NONE, /* not seen */
    TB_PICK_STRING,
    TB_PICK_NUMBER, /* of JSON; its text as it stands there (decimal.h) */
    TB_PICK_TRUE,
    TB_PICK_FALSE,
    TB_PICK_NULL,
    TB_PICK_OBJECT, /* there, but no single value: no text */
    TB_PICK_ARRAY,
    TB_PICK_TOO_LONG, /* no text */
    TB_PICK_NO_TEXT   /* not valid UTF-8, or an escaped half of a surrogate pair: no text */
};

/* The values of one stream. Zero is the start. */
struct tb_picks {
    struct {
        uint8_t kind; /* enum tb_pick_kind */
        uint8_t len;
        uint16_t at; /* in text */
    } values[TB_PICKS];
    uint16_t used;     /* of text */
    uint16_t open_len; /* of the value being read */
    uint8_t found;     /* bit per value whose kind is known */
    uint8_t open;      /* bit per value that is being read */
    bool is_odd;       /* it has a byte above 0x7f */
    bool is_bad;       /* it is no text */
    struct tb_siphash hash;
    uint8_t text[TB_PICK_POOL + 8]; /* texts are written a word at a time */
};

/*
 * tb_pick_set_add - one more wanted value: its number is set->count before the call. @item is copied.
 * Returns false, and changes nothing, when the set is full.
 */
bool tb_pick_set_add(struct tb_pick_set *set, struct tb_bytes item, bool is_hashed);

/* tb_pick_text - the text of value @i (UTF-8), in @p; of a hashed one the 8 bytes of its hash. Empty when there is
 * none. */
static inline struct tb_bytes tb_pick_text(const struct tb_picks *p, uint32_t i)
{
    return tb_bytes(p->text + p->values[i].at, p->values[i].len);
}

/* tb_pick_hash - of a value that is hashed and was found with a text, else 0. */
uint64_t tb_pick_hash(const struct tb_picks *p, const struct tb_pick_set *set, uint32_t i);

/* Every value of the set is known. */
static inline bool tb_pick_is_complete(const struct tb_picks *p, const struct tb_pick_set *set)
{
    return p->found == (1u << set->count) - 1;
}

/* ---- for the readers ---- */

/* tb_pick_begin - a value starts that is wanted under the numbers @which (bits), none of them found. */
void tb_pick_begin(struct tb_picks *p, const struct tb_pick_set *set, uint8_t which);
/* tb_pick_add - more of its text. */
void tb_pick_add(struct tb_picks *p, const struct tb_pick_set *set, struct tb_bytes in);
/* tb_pick_opened - its text so far; longer than TB_PICK_TEXT (then without bytes): too long. */
static inline struct tb_bytes tb_pick_opened(const struct tb_picks *p)
{
    return tb_bytes(p->open_len <= TB_PICK_TEXT ? p->text + p->used : NULL, p->open_len);
}
/* tb_pick_end - it is over; @kind is what it is if it is a text at all. */
void tb_pick_end(struct tb_picks *p, const struct tb_pick_set *set, enum tb_pick_kind kind);
/* tb_pick_drop - it counts for nothing. */
void tb_pick_drop(struct tb_picks *p);
/* tb_pick_mark - a value without a text. */
void tb_pick_mark(struct tb_picks *p, uint8_t which, enum tb_pick_kind kind);

/* tb_utf8_is_valid - RFC 3629: no surrogates, no longer forms than needed, nothing above U+10FFFF. */
bool tb_utf8_is_valid(struct tb_bytes text);

/* tb_utf8_write - @code (at most 0x10ffff) at @to, which has room for 4 bytes. Returns how many. */
size_t tb_utf8_write(uint8_t *to, uint32_t code);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Single values out of a header section (RFC 9112 section 5) that comes in pieces: fields by name, in any case, and
 * cookies by name (RFC 6265). Of several fields of one name the first counts. A field's value is without the blanks
 * around it; a cookie's is as sent, without the quotes around it. A line of no wanted name costs a look at its first
 * byte and the search for its end.
 *
 * Pure functions of bytes and of struct tb_header_pick: no allocation, no I/O. The answer does not depend on where the
 * input is cut. Context: any; linear in the input.
 */
#ifndef TB_HEADER_PICK_H
#define TB_HEADER_PICK_H

#include "pick.h"

#define TB_HEADER_COOKIE "cookie:" /* before the name of a cookie in a set */

/* The state of one section. Zero is its start. */
struct tb_header_pick {
    struct tb_picks picks;
    uint8_t state;   /* header_pick.c */
    uint8_t pending; /* bit per name that the line, or the cookie, may be of */
    uint8_t at;      /* bytes of it compared */
    bool is_blank;   /* there was one inside the value */
    bool is_quoted;  /* cookie: its value began with a quote */
};

/*
 * tb_header_set_add - one more name: of a field, or "cookie:" and the name of a cookie. Fields in any case, cookies as
 * they are. False, and nothing changed: not a name, the field Cookie as a whole, or the set is full.
 */
bool tb_header_set_add(struct tb_pick_set *set, struct tb_bytes name, bool is_hashed);

/*
 * tb_header_feed - more of the section: field lines, or the start line before them, which is passed over as if it were
 * one.
 *
 * Returns TB_PARSE_OK at the empty line that ends it, or when every value is known; else TB_PARSE_PARTIAL.
 */
enum tb_parse tb_header_feed(struct tb_header_pick *h, const struct tb_pick_set *set, struct tb_bytes in);

/* What X-Cache, CF-Cache-Status, X-Proxy-Cache, Cache-Status (RFC 9211) and their like say. */
enum tb_cache_word {
    TB_CACHE_NONE,
    TB_CACHE_HIT,
    TB_CACHE_MISS,
    TB_CACHE_OTHER /* a status that is neither: BYPASS */
};

/*
 * tb_cache_word - of a field's value. The last member of a list is the cache next to the client and decides. A word
 * that ends with HIT or begins with it, or says that it was served from the cache (STALE, UPDATING, REVALIDATED), is a
 * hit.
 */
enum tb_cache_word tb_cache_word(struct tb_bytes value);

#endif

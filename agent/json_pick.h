/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Single values out of a JSON text (RFC 8259) that comes in pieces, by paths: order.payment_method, items[0].price.
 * What does not lie on a path is passed over 64 bytes a step; there only strings are told apart and brackets are
 * counted, so a text with an error in such a place is read on. Of a valid text the values are those that any other
 * reader gives, but that of several members with one name the first that has the whole path counts.
 *
 * Pure functions of bytes and of struct tb_json_pick: no allocation, no I/O, no recursion. The answer does not depend
 * on where the input is cut. Context: any; linear in the input.
 */
#ifndef TB_JSON_PICK_H
#define TB_JSON_PICK_H

#include "pick.h"

#define TB_JSON_STEPS 8u  /* of a path */
#define TB_JSON_KEY 62u   /* bytes of a name in a path: two quotes with it are less than 64 apart */
#define TB_JSON_DEPTH 64u /* open brackets; a deeper text is TB_PARSE_BAD */

/* A compiled path is a row of steps: a byte with the length of a member's name and the name (UTF-8, no control
 * characters), or TB_JSON_INDEX and two bytes with the number of an element, low byte first. */
#define TB_JSON_INDEX 0xffu

/* The state of one text. Zero is its start. */
struct tb_json_pick {
    struct tb_picks picks;
    uint16_t index[TB_JSON_STEPS]; /* element that is being read, of each array on a path */
    uint8_t step_at[TB_PICKS];     /* in its path: the step that comes next */
    uint8_t matched[TB_PICKS];     /* open brackets that the path went through */
    uint8_t state;                 /* json_pass_impl.h */
    uint8_t depth;                 /* open brackets */
    uint8_t level;                 /* of these, that lie on a path */
    uint8_t objects;               /* of these, the innermost lowest; 1 = of an object */
    uint8_t live;                  /* bit per path that may go on in the innermost of those */
    uint8_t pending;               /* bit per path that goes on with the next value */
    uint8_t key_at;                /* bytes of a name compared */
    uint8_t escape;                /* how far inside an escape: json_pass_impl.h */
    bool is_escaped;               /* inside a string that is passed over: the next byte means itself */
    uint16_t unit;                 /* of an escape, so far */
    uint16_t high;                 /* first half of a surrogate pair, 0 = none */
};
_Static_assert(TB_JSON_STEPS <= 8, "bits of objects");
_Static_assert(sizeof(struct tb_json_pick) <= 512, "one of these for each body that is looked into");

/* tb_json_set_add - one more path, compiled. False, and nothing changed: not a path, or the set is full. */
bool tb_json_set_add(struct tb_pick_set *set, struct tb_bytes path, bool is_hashed);

/*
 * tb_json_feed - more of the text.
 *
 * @set  paths; the same in each call for one text
 *
 * Returns TB_PARSE_OK: every value is known, or the text is over; nothing more needs to be fed. TB_PARSE_PARTIAL: more.
 * TB_PARSE_BAD: not JSON, or nested too deeply; what was found before stays found.
 */
enum tb_parse tb_json_feed(struct tb_json_pick *j, const struct tb_pick_set *set, struct tb_bytes in);

/* The same, one per instruction set; tb_json_feed chooses as the head parser does (tb_http1_select). */
typedef enum tb_parse tb_json_feed_fn(struct tb_json_pick *j, const struct tb_pick_set *set, struct tb_bytes in);
tb_json_feed_fn tb_json_feed_avx2, tb_json_feed_base, tb_json_feed_portable;

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Single values out of application/x-www-form-urlencoded (WHATWG URL section 5.1): bodies and the query of a target, in
 * pieces. A name without '=' has an empty value; a '%' without two hex digits means itself. The set holds names as they
 * are when decoded. Of several values of one name the first counts.
 *
 * Pure functions of bytes and of struct tb_form_pick: no allocation, no I/O. The answer does not depend on where the
 * input is cut. Context: any; linear in the input.
 */
#ifndef TB_FORM_PICK_H
#define TB_FORM_PICK_H

#include "pick.h"

/* The state of one text. Zero is its start. */
struct tb_form_pick {
    struct tb_picks picks;
    uint8_t state;     /* form_pick.c */
    uint8_t pending;   /* bit per name that may be the one being read */
    uint8_t name_at;   /* bytes of it compared */
    uint8_t escape[2]; /* of a cut %XX: what was seen of it */
    uint8_t escape_len;
};

/*
 * tb_form_feed - more of the text. Returns TB_PARSE_OK when every value is known, else TB_PARSE_PARTIAL; there is no
 * text that is none.
 */
enum tb_parse tb_form_feed(struct tb_form_pick *f, const struct tb_pick_set *set, struct tb_bytes in);

/* tb_form_end - the text is over: the value that it ends with counts. Not to be called when the text was cut short. */
void tb_form_end(struct tb_form_pick *f, const struct tb_pick_set *set);

#endif

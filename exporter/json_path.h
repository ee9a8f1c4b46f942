/* SPDX-License-Identifier: Apache-2.0 */
/* Paths into JSON as people write them, made into what agent/json_pick.h reads. */
#ifndef TB_JSON_PATH_H
#define TB_JSON_PATH_H

#include "agent/json_pick.h"

#define TB_JSON_PATH_MAX 255u /* bytes of a compiled path */

/*
 * tb_json_path_compile - a path such as order.payment_method, items[0].price, ["odd.key"][2] or [0].
 *
 * A plain name goes to the next '.' or '['; in brackets stands a number up to 65534, or a name in quotes, in which \"
 * and \\ stand for the quote and the backslash.
 *
 * @ret_path  TB_JSON_PATH_MAX bytes; @ret_len: how many of them
 *
 * Returns NULL, or what is wrong (static text); *ret_at is then the byte of @text where. Pure.
 */
const char *tb_json_path_compile(struct tb_bytes text, uint8_t *ret_path, size_t *ret_len, size_t *ret_at);

#endif

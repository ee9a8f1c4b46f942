/* SPDX-License-Identifier: Apache-2.0 */
/* A request path cut into normalised segments. */
#ifndef TB_ROUTE_PATH_H
#define TB_ROUTE_PATH_H

#include "route_learner.h"

#define TB_ROUTE_DECODED 256u    /* bytes for percent-decoded segments of one path */
#define TB_ROUTE_LITERAL_MAX 64u /* a longer segment is a value */

struct tb_route_path {
    struct tb_segment segments[TB_ROUTE_DEPTH];
    uint32_t count;
    bool has_rest; /* too deep, or cut: :rest follows the last segment */
    uint32_t decoded_len;
    uint8_t decoded[TB_ROUTE_DECODED];
};

/*
 * tb_route_split - normalise: a percent-encoded byte is decoded, duplicate slashes and "." vanish, ".." removes a
 * segment, a trailing slash and matrix parameters (";x=y") are dropped, case is kept. Bytes that no literal has (after
 * decoding: controls, spaces, slashes, non-ASCII) make their segment a value.
 *
 * @path  as tb_route_begin has it; borrowed by @ret as long as that is used
 */
void tb_route_split(struct tb_bytes path, bool is_cut, struct tb_route_path *ret);

/* tb_route_cut - the same, but of each segment only its text is set. */
void tb_route_cut(struct tb_bytes path, bool is_cut, struct tb_route_path *ret);

#endif

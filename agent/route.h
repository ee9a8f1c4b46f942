/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Routes: a request path becomes a low-cardinality template (/users/:id). State: the learner section of the region,
 * shared by all workers of the service, lock-free, bounded; plus the region's interned strings for templates that got a
 * series.
 */
#ifndef TB_ROUTE_H
#define TB_ROUTE_H

#include "core.h"

#define TB_ROUTE_OTHER 0u            /* handle: counts as _other, learns nothing */
#define TB_ROUTE_IGNORED 0xc0000000u /* handle: the rules say not to count it */
#define TB_STR_IGNORED 1u            /* what tb_route_end gives for it; no string reference */

/*
 * tb_route_begin - classify a request path when its request line is complete.
 *
 * @path  origin-form path: the target cut at '?' and '#', scheme and authority of absolute-form removed, at most
 * TB_PATH_MAX bytes (is_cut says that it was longer); "*" for asterisk-form. Borrowed. Hostile bytes.
 *
 * Returns a handle for tb_route_end, valid in this region's life. Raw values are never stored. Context: any thread,
 * signal handlers.
 */
uint32_t tb_route_begin(struct tb_core *core, uint8_t method, struct tb_bytes path, bool is_cut);

/* tb_route_begin_at - the same for a request to @host (lower case, without port; empty: none, or not looked at). */
uint32_t tb_route_begin_at(struct tb_core *core, uint8_t method, struct tb_bytes host, struct tb_bytes path,
                           bool is_cut);

/*
 * tb_route_end - the route label of an exchange, now that its status is known (0 = aborted, never answered).
 * Returns a string reference: the template, TB_STR_UNMATCHED (404, or aborted, on a route that never answered
 * otherwise) or TB_STR_OTHER (past a cap).
 */
uint32_t tb_route_end(struct tb_core *core, uint32_t handle, uint8_t method, uint16_t status);

/*
 * tb_route_text - the template as it stands now for @handle (before any cap or 404 rule), for `tickbird routes --stdin`
 * and the stack sampler. Writes at most @len bytes to @ret (no NUL); returns its length.
 */
size_t tb_route_text(struct tb_core *core, uint32_t handle, char *ret, size_t len);

/*
 * tb_route_line - one request of a list, as if it were served now: begin, end, and the text of its route at that moment
 * (_unmatched for a 404 as in tb_route_end; no cap). For `tickbird routes --stdin` and benches, on a region of
 * their own (tb_region_format into memory, tb_region_bind).
 *
 * @path  a request target; the query is cut here
 *
 * Writes at most @len bytes to @ret (no NUL); returns its length.
 */
size_t tb_route_line(struct tb_core *core, uint8_t method, struct tb_bytes path, uint16_t status, char *ret,
                     size_t len);

#endif

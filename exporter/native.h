/* SPDX-License-Identifier: Apache-2.0 */
/* Cells of a series -> buckets of a native histogram, schema 3 (base 2^(1/8)): every such bucket is a sum of cells. */
#ifndef TB_NATIVE_H
#define TB_NATIVE_H

#include "exposition.h"
#include "snapshot.h"

/*
 * tb_native_cells - the buckets that hold something, ascending, in seconds or bytes; what lies above every bound is in
 * the bucket after the last.
 * @ret  TB_EXPOSED_CELLS_MAX of them
 * Returns their number.
 */
size_t tb_native_cells(const struct tb_snap_values *v, uint16_t bound_set, struct tb_exposed_cell *ret,
                       uint64_t *ret_zero);

#endif

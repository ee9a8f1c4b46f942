/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows of sums: a series that is in no snapshot, but looks like one (is_sum). Its total is its base and what it is the
 * sum of; a total that would fall begins at 0 again. For shown.c alone; one thread.
 */
#ifndef TB_SHOWN_ROWS_H
#define TB_SHOWN_ROWS_H

#include "snapshot.h"

/* A scrape: begin; add each series that is current in its group; finish. */
void tb_row_begin(struct tb_snap_series *row);
void tb_row_add(struct tb_snap_series *row, const struct tb_snap_series *e);
void tb_row_finish(struct tb_snap_series *row, uint64_t now_ns);

/* Rows that are shown no more, the oldest first. To a server one of the same labels is the same: it must not fall, nor
 * jump by what it had left behind when it began anew. Zero-initialise. */
#define TB_ROWS_ENDED 1024u /* beyond, the oldest are forgotten */
struct tb_rows_ended {
    struct tb_snap_series *rows[TB_ROWS_ENDED]; /* owned; their service may be gone */
    size_t count;
};

/* tb_rows_end - @row, which it takes over, is shown no more. */
void tb_rows_end(struct tb_rows_ended *ended, struct tb_snap_series *row);

/* tb_rows_resume - @row is new; it goes on where one of its labels ended, if there is one. */
void tb_rows_resume(struct tb_rows_ended *ended, struct tb_snap_series *row);

void tb_rows_free(struct tb_rows_ended *ended);

#endif

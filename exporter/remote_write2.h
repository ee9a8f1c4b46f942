/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A request of Prometheus remote write 2.0 being made: series name their labels by numbers of texts, each of which is
 * in the request once. Which series there are is remote_write.c's matter.
 *
 * Pure, one thread.
 */
#ifndef TB_REMOTE_WRITE2_H
#define TB_REMOTE_WRITE2_H

#include "push_points.h"

#define TB_WRITE2_TEXTS_MAX 16384u /* of a request; a point may bring TB_WRITE2_TEXTS_MORE beyond it */
#define TB_WRITE2_TEXTS_MORE 4096u

/* What a body in this version begins with: the tag of its first text. One in version 1 begins otherwise. */
#define TB_WRITE2_TAG (4 << 3 | 2)

/* One series with one sample. All is borrowed. */
struct tb_write_series {
    const struct tb_point *point;
    const struct tb_point_label *labels; /* sorted by name, __name__ among them */
    size_t label_count;
    uint64_t time_ms;
    double value;    /* unless it is native */
    bool is_native;  /* the point's cells, as a native histogram; with all exemplars */
    bool is_bucket;  /* a classic one; with its exemplars */
    uint32_t bucket; /* its number */
};

struct tb_write2;

struct tb_write2 *tb_write2_new(void);
void tb_write2_free(struct tb_write2 *w); /* NULL: nothing to free */

/* tb_write2_add - one more series. */
void tb_write2_add(struct tb_write2 *w, const struct tb_write_series *s);

/* tb_write2_is_full - the request is to be taken before another point. */
bool tb_write2_is_full(const struct tb_write2 *w);

/* tb_write2_body - what there is so far; who takes it out of the buffer begins another request by tb_write2_restart. */
struct tb_buffer *tb_write2_body(struct tb_write2 *w);
void tb_write2_restart(struct tb_write2 *w);

/* tb_write2_is_native - can the point be a native histogram: are its cells all of it, in the unit of its name? */
bool tb_write2_is_native(const struct tb_point *p);

#endif

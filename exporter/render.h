/* SPDX-License-Identifier: Apache-2.0 */
/* Snapshot -> exposition. Pure: no I/O, no clock, nothing remembered; one function per format. */
#ifndef TB_RENDER_H
#define TB_RENDER_H

#include "buffer.h"
#include "snapshot.h"

#define TB_CONTENT_TYPE_TEXT "text/plain; version=0.0.4; charset=utf-8"

/*
 * tb_render_prometheus - append the snapshot in the Prometheus text format, version 0.0.4.
 * @s  finished (tb_snapshot_finish), hence sorted
 */
void tb_render_prometheus(const struct tb_snapshot *s, struct tb_buffer *out);

/* For other writers of the same format (self.c). */
void tb_render_head(struct tb_buffer *out, const char *family, const char *type, const char *help);
void tb_render_sample(struct tb_buffer *out, const char *name, const char *labels, uint64_t value);
void tb_render_seconds(struct tb_buffer *out, const char *name, const char *labels, uint64_t ns);

#endif

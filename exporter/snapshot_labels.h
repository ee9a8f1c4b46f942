/* SPDX-License-Identifier: Apache-2.0 */
/* The label texts of a snapshot: rendered once, when an entry is made or the labels' names change. For snapshot.c. */
#ifndef TB_SNAPSHOT_LABELS_H
#define TB_SNAPSHOT_LABELS_H

#include "buffer.h"
#include "snapshot.h"

/* tb_put_label - one more label at the end of a text of labels; nothing for a name of NULL. @value is not escaped. */
void tb_put_label(struct tb_buffer *text, const char *name, const char *value);

/* tb_labels_service, tb_labels_series - the text of an entry's labels, in place of the one that it has. */
void tb_labels_service(const struct tb_snapshot *s, struct tb_snap_service *e);
void tb_labels_series(const struct tb_snapshot *s, struct tb_snap_series *e);
void tb_labels_unobserved(const struct tb_snapshot *s, struct tb_snap_unobserved *e);

/* tb_labels_pairs - e->pairs is there. */
void tb_labels_pairs(struct tb_snap_series *e);

/* tb_labels_start - the default names. */
void tb_labels_start(struct tb_snapshot *s);
void tb_labels_free(struct tb_snapshot *s);

#endif

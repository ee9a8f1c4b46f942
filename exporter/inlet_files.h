/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An inlet of text files: every *.prom of a folder, read again when it changed. A file is taken whole or not at all; of
 * one that is refused nothing is shown until it changes. Blocks as long as the file system does.
 */
#ifndef TB_INLET_FILES_H
#define TB_INLET_FILES_H

#include "inlet.h"

#define TB_INLET_FILES_MAX 100u
#define TB_INLET_FILE_BYTES ((size_t)1 << 20)

struct tb_inlet_files;

struct tb_inlet_files *tb_inlet_files_new(const struct tb_inlet_config *c); /* borrowed */
void tb_inlet_files_free(struct tb_inlet_files *f);                         /* NULL does nothing */

/* tb_inlet_files_read - looks into the folder. Returns whether @set was made anew. */
bool tb_inlet_files_read(struct tb_inlet_files *f, struct tb_inlet_set *set, struct tb_inlet_stats *stats);

/* tb_inlet_files_expose - when each file was changed last, in the family begun last. */
void tb_inlet_files_expose(struct tb_exposition *x, const struct tb_inlet_files *f);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* A scrape as a file, for the textfile collector of node_exporter: whoever reads it sees the old one or the new one. */
#ifndef TB_TEXTFILE_H
#define TB_TEXTFILE_H

#include <stddef.h>

/*
 * tb_textfile_write - replace @path by @len bytes of @data: written beside it under another name, then renamed. Mode
 * 0644. Returns 0, or -errno with nothing changed and nothing left.
 */
int tb_textfile_write(const char *path, const char *data, size_t len);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streamed compression: one gzip member (ISA-L's igzip, or zlib where it was not there at build time) or one zstd
 * frame. One thread at a time.
 */
#ifndef TB_COMPRESS_H
#define TB_COMPRESS_H

#include <stdbool.h>

#include "accept.h"
#include "buffer.h"

struct tb_compressor;

/* tb_compressor_new - @coding is not identity. Takes up to 400 KiB until tb_compressor_free. */
struct tb_compressor *tb_compressor_new(enum tb_coding coding);
void tb_compressor_free(struct tb_compressor *c);

/*
 * tb_compress - append to @out what @len more bytes give; it may be nothing yet.
 * @is_last  no more will come: everything that is held back is appended, and the end
 */
void tb_compress(struct tb_compressor *c, const char *data, size_t len, bool is_last, struct tb_buffer *out);

/* tb_gzip - all of it at once, appended to @out. */
void tb_gzip(const char *data, size_t len, struct tb_buffer *out);

#endif

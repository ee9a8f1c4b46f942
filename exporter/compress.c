/* SPDX-License-Identifier: Apache-2.0 */
/* Which library compresses (compress.h). Levels: the fastest of each; an exposition repeats itself, they are enough. */
#include "compress.h"

#include <stdlib.h>
#include <zstd.h>

#if TB_HAS_ISAL
#include <isa-l/igzip_lib.h>
#else
#include <zlib.h>
#endif

#define PIECE 32768u /* room made at a time for what comes out */

struct tb_compressor {
    ZSTD_CCtx *zstd; /* NULL: gzip */
#if TB_HAS_ISAL
    struct isal_zstream gzip;
    uint8_t level_buffer[ISAL_DEF_LVL1_DEFAULT];
#else
    z_stream gzip;
#endif
};

#if TB_HAS_ISAL
static void start_gzip(struct tb_compressor *c)
{
    isal_deflate_init(&c->gzip);
    c->gzip.gzip_flag = IGZIP_GZIP;
    c->gzip.level = 1;
    c->gzip.level_buf = c->level_buffer;
    c->gzip.level_buf_size = sizeof c->level_buffer;
}

static void end_gzip(struct tb_compressor *c)
{
    (void)c;
}

static void gzip(struct tb_compressor *c, const char *data, size_t len, bool is_last, struct tb_buffer *out)
{
    c->gzip.next_in = (uint8_t *)(uintptr_t)data;
    c->gzip.avail_in = (uint32_t)len;
    c->gzip.end_of_stream = is_last;
    do {
        c->gzip.next_out = (uint8_t *)tb_buffer_room(out, PIECE);
        c->gzip.avail_out = PIECE;
        isal_deflate(&c->gzip);
        out->len += PIECE - c->gzip.avail_out;
    } while (c->gzip.avail_out == 0);
}
#else
static void start_gzip(struct tb_compressor *c)
{
    const int with_gzip_header = 15 + 16;
    if (deflateInit2(&c->gzip, 1, Z_DEFLATED, with_gzip_header, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        tb_out_of_memory(sizeof *c);
}

static void end_gzip(struct tb_compressor *c)
{
    deflateEnd(&c->gzip);
}

static void gzip(struct tb_compressor *c, const char *data, size_t len, bool is_last, struct tb_buffer *out)
{
    c->gzip.next_in = (Bytef *)(uintptr_t)data;
    c->gzip.avail_in = (uInt)len;
    do {
        c->gzip.next_out = (Bytef *)tb_buffer_room(out, PIECE);
        c->gzip.avail_out = PIECE;
        deflate(&c->gzip, is_last ? Z_FINISH : Z_NO_FLUSH);
        out->len += PIECE - c->gzip.avail_out;
    } while (c->gzip.avail_out == 0);
}
#endif

static void zstd(struct tb_compressor *c, const char *data, size_t len, bool is_last, struct tb_buffer *out)
{
    ZSTD_inBuffer in = {data, len, 0};
    size_t left;
    do {
        ZSTD_outBuffer to = {tb_buffer_room(out, PIECE), PIECE, 0};
        left = ZSTD_compressStream2(c->zstd, &to, &in, is_last ? ZSTD_e_end : ZSTD_e_continue);
        out->len += to.pos;
    } while (!ZSTD_isError(left) && (is_last ? left != 0 : in.pos < in.size));
}

struct tb_compressor *tb_compressor_new(enum tb_coding coding)
{
    struct tb_compressor *c = tb_alloc(sizeof *c);
    if (coding == TB_CODING_ZSTD) {
        c->zstd = ZSTD_createCCtx();
        if (!c->zstd)
            tb_out_of_memory(sizeof *c);
        ZSTD_CCtx_setParameter(c->zstd, ZSTD_c_compressionLevel, 1);
        ZSTD_CCtx_setParameter(c->zstd, ZSTD_c_windowLog, 17); /* bounds what reader and writer keep */
    } else {
        start_gzip(c);
    }
    return c;
}

void tb_compressor_free(struct tb_compressor *c)
{
    if (!c)
        return;
    if (c->zstd)
        ZSTD_freeCCtx(c->zstd);
    else
        end_gzip(c);
    free(c);
}

void tb_compress(struct tb_compressor *c, const char *data, size_t len, bool is_last, struct tb_buffer *out)
{
    if (c->zstd)
        zstd(c, data, len, is_last, out);
    else
        gzip(c, data, len, is_last, out);
}

void tb_gzip(const char *data, size_t len, struct tb_buffer *out)
{
    struct tb_compressor *c = tb_compressor_new(TB_CODING_GZIP);
    tb_compress(c, data, len, true, out);
    tb_compressor_free(c);
}

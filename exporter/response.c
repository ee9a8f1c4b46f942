/* SPDX-License-Identifier: Apache-2.0 */
/* Encoder and compressor behind one pull function (response.h). */
#include "response.h"

#include <stdlib.h>
#include <time.h>

#include "boot.h"
#include "compress.h"

/* Encoded at a time: small enough to be still in the processor's cache when it is compressed or copied. */
#define PIECE 65536u
#define COMPRESSOR_BYTES ((size_t)800 << 10) /* of either library, at most */

struct tb_response {
    struct tb_exposition exposition;
    struct tb_encoder encoder;
    struct tb_compressor *compressor; /* NULL = identity */
    struct tb_buffer text;            /* encoded, not compressed yet */
    struct tb_buffer ready;           /* compressed; without a compressor unused */
    size_t taken;                     /* of what is ready (or of the text), given out already */
    bool is_encoded;                  /* to the end */
    struct tb_response_totals *totals;
};

struct tb_response *tb_response_new(struct tb_exposition *x, const struct tb_response_options *options)
{
    struct tb_response *r = tb_alloc(sizeof *r);
    r->exposition = *x;
    *x = (struct tb_exposition){0};
    tb_encoder_start(&r->encoder, options->encoding, &r->exposition);
    r->encoder.has_created_lines = options->has_created_lines;
    if (options->coding != TB_CODING_IDENTITY)
        r->compressor = tb_compressor_new(options->coding);
    r->totals = options->totals;
    return r;
}

void tb_response_free(struct tb_response *r)
{
    if (!r)
        return;
    tb_compressor_free(r->compressor);
    tb_buffer_free(&r->text);
    tb_buffer_free(&r->ready);
    tb_exposition_free(&r->exposition);
    free(r);
}

/* Makes the next piece, when the last one is all given out. */
static struct tb_buffer *piece(struct tb_response *r)
{
    struct tb_buffer *given = r->compressor ? &r->ready : &r->text;
    if (r->taken < given->len)
        return given;
    r->taken = given->len = 0;
    while (!given->len && !r->is_encoded) { /* a compressor may hold back all of it */
        uint64_t start_ns = tb_clock_ns(CLOCK_MONOTONIC);
        r->text.len = 0;
        r->is_encoded = !tb_encoder_next(&r->encoder, &r->text, PIECE);
        if (r->compressor)
            tb_compress(r->compressor, r->text.data, r->text.len, r->is_encoded, &r->ready);
        if (r->totals) {
            r->totals->rendered_bytes += r->text.len;
            r->totals->encode_ns += tb_clock_ns(CLOCK_MONOTONIC) - start_ns;
        }
    }
    return given;
}

size_t tb_response_size(const struct tb_response *r)
{
    return r->exposition.records.len + 2 * PIECE + (r->compressor ? COMPRESSOR_BYTES : 0);
}

bool tb_response_whole(struct tb_response *r, struct tb_buffer *ret)
{
    struct tb_buffer *first = piece(r);
    if (!r->is_encoded)
        return false;
    if (r->totals)
        r->totals->sent_bytes += first->len;
    *ret = *first;
    *first = (struct tb_buffer){0};
    return true;
}

size_t tb_response_read(struct tb_response *r, char *to, size_t space)
{
    size_t len = 0;
    while (len < space) {
        const struct tb_buffer *from = piece(r);
        size_t n = from->len - r->taken < space - len ? from->len - r->taken : space - len;
        if (!n)
            break;
        memcpy(to + len, from->data + r->taken, n);
        r->taken += n;
        len += n;
    }
    if (r->totals)
        r->totals->sent_bytes += len;
    return len;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* From records to the functions of a format (render.h). */
#include "render.h"

#include <stdint.h>

void tb_encoder_start(struct tb_encoder *e, const struct tb_encoding *encoding, const struct tb_exposition *x)
{
    e->encoding = encoding;
    e->is_done = e->has_created_lines = false;
    tb_reader_start(&e->reader, x);
}

bool tb_encoder_next(struct tb_encoder *e, struct tb_buffer *out, size_t enough)
{
    while (out->len < enough && !e->is_done) {
        switch (tb_reader_next(&e->reader)) {
        case TB_EXPOSED_END:
            if (e->encoding->end)
                e->encoding->end(e, out);
            e->is_done = true;
            break;
        case TB_EXPOSED_FAMILY:
            e->encoding->family(e, out);
            break;
        case TB_EXPOSED_BOUNDS:
            e->encoding->bounds(e);
            break;
        case TB_EXPOSED_VALUE:
            e->encoding->value(e, out);
            break;
        case TB_EXPOSED_SUMMARY:
            e->encoding->summary(e, out);
            break;
        case TB_EXPOSED_HISTOGRAM:
            e->encoding->histogram(e, out);
            break;
        }
    }
    return !e->is_done;
}

void tb_render(const struct tb_encoding *encoding, const struct tb_exposition *x, struct tb_buffer *out)
{
    struct tb_encoder e;
    tb_encoder_start(&e, encoding, x);
    tb_encoder_next(&e, out, SIZE_MAX);
}

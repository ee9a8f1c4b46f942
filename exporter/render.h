/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Exposition -> bytes of a format. Pure: no I/O, no clock. A format is a struct tb_encoding, one file each; an encoder
 * goes through an exposition piece by piece, so that neither text nor compressed bytes are ever held as a whole.
 */
#ifndef TB_RENDER_H
#define TB_RENDER_H

#include "buffer.h"
#include "exposition.h"

struct tb_encoder;

/* A format. Each function appends to @out what one record gives; the record is in e->reader. */
struct tb_encoding {
    bool has_point;  /* whole numbers of bounds are 1.0 */
    bool has_native; /* it has native histograms */
    bool has_pairs;  /* it wants expositions that have pairs (exposition.h) */
    void (*family)(struct tb_encoder *e, struct tb_buffer *out);
    void (*bounds)(struct tb_encoder *e);
    void (*value)(struct tb_encoder *e, struct tb_buffer *out);
    void (*summary)(struct tb_encoder *e, struct tb_buffer *out);
    void (*histogram)(struct tb_encoder *e, struct tb_buffer *out);
    void (*end)(struct tb_encoder *e, struct tb_buffer *out); /* NULL = nothing */
};

extern const struct tb_encoding tb_encoding_text;         /* Prometheus text, 0.0.4 and 1.0.0 */
extern const struct tb_encoding tb_encoding_openmetrics;  /* 0.0.1 and 1.0.0 */
extern const struct tb_encoding tb_encoding_openmetrics2; /* 2.0.0 */
extern const struct tb_encoding tb_encoding_protobuf;     /* delimited */

/* Where the zero bucket of native histograms ends: 2^-20 seconds. */
#define TB_ZERO_THRESHOLD 0x1p-20
#define TB_ZERO_THRESHOLD_TEXT "9.5367431640625e-07"

/* A piece of text that is made once and copied for many samples. */
struct tb_piece {
    size_t len;
    char text[40];
};

/* The state of one response. No memory of its own. The exposition must stay until the last byte. */
struct tb_encoder {
    const struct tb_encoding *encoding;
    struct tb_reader reader;
    bool is_done;
    bool has_created_lines;                /* OpenMetrics 1.0: set after tb_encoder_start for `_created` samples */
    struct tb_piece le[TB_BOUNDS_MAX + 1]; /* of the bounds in force, as the format has them; the last is +Inf */
};

void tb_encoder_start(struct tb_encoder *e, const struct tb_encoding *encoding, const struct tb_exposition *x);

/*
 * tb_encoder_next - append the next records to @out until it holds @enough bytes or all is rendered. It ends at the end
 * of a record, hence some KiB later at most. Returns false when nothing is left.
 */
bool tb_encoder_next(struct tb_encoder *e, struct tb_buffer *out, size_t enough);

/* tb_render - all of it at once. */
void tb_render(const struct tb_encoding *encoding, const struct tb_exposition *x, struct tb_buffer *out);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* A snapshot as text, for tests that look into it. */
#ifndef TB_TEST_RENDERED_H
#define TB_TEST_RENDERED_H

#include "exporter/families.h"
#include "exporter/render.h"

/* Appends @s in @encoding, under the default names. */
static inline void rendered_as(const struct tb_encoding *encoding, const struct tb_snapshot *s, struct tb_buffer *out)
{
    struct tb_exposition x = {.has_pairs = encoding->has_pairs};
    tb_expose_snapshot(&x, s, &(struct tb_expose_options){.metrics = tb_metrics_default});
    tb_render(encoding, &x, out);
    tb_exposition_free(&x);
}

static inline void rendered(const struct tb_snapshot *s, struct tb_buffer *out)
{
    rendered_as(&tb_encoding_text, s, out);
}

#endif

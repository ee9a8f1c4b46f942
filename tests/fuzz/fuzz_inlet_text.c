/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text files of any bytes. One is refused with a reason and nothing of it stays, or it can be shown: what the renderer
 * writes of it is taken again and comes out as the same bytes.
 */
#include <stdlib.h>
#include <string.h>

#include "exporter/inlet_text.h"
#include "exporter/render.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void render(const struct tb_inlet_set *set, struct tb_buffer *out)
{
    struct tb_exposition x = {0};
    const struct tb_inlet_set none = {0};
    tb_inlet_set_expose(&x, set, &none);
    tb_render(&tb_encoding_text, &x, out);
    tb_exposition_free(&x);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tb_inlet_set set = {0}, again = {0};
    struct tb_buffer first = {0}, second = {0};
    struct tb_inlet_fault fault;
    size_t lines, more;
    if (!tb_inlet_text((const char *)data, size, &set, &lines, &fault)) {
        if (fault.reason >= TB_INLET_REASONS || !fault.line || set.count || set.families)
            abort();
        return 0;
    }
    render(&set, &first);
    if (!tb_inlet_text(first.data ? first.data : "", first.len, &again, &more, &fault) || more != lines)
        abort();
    render(&again, &second);
    if (first.len != second.len || (first.len && memcmp(first.data, second.data, first.len) != 0))
        abort();
    tb_inlet_set_free(&set);
    tb_inlet_set_free(&again);
    tb_buffer_free(&first);
    tb_buffer_free(&second);
    return 0;
}

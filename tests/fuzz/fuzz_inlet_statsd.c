/* SPDX-License-Identifier: Apache-2.0 */
/*
 * StatsD datagrams of any bytes. Lines are refused with a reason or taken; whatever was taken can be shown: the text of
 * it is read again by the reader of text files, without a fault.
 */
#include <stdlib.h>
#include <string.h>

#include "exporter/inlet_statsd.h"
#include "exporter/inlet_text.h"
#include "exporter/render.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct tb_inlet_config config = {.bounds = {0.1, 1}, .bound_count = 2};
    struct tb_inlet_set set = {0}, again = {0};
    const struct tb_inlet_set none = {0};
    struct tb_inlet_stats stats = {0};
    struct tb_exposition x = {0};
    struct tb_buffer text = {0};
    struct tb_inlet_fault fault;
    size_t lines;
    struct tb_statsd *s = tb_statsd_new(&config, &set, &stats);
    char *datagram = tb_alloc(size + 1);
    memcpy(datagram, data, size);
    (void)tb_statsd_add(s, datagram, size);
    tb_statsd_tick(s, 1);
    tb_inlet_set_hide(&set, tb_names_default(), NULL, 0, &(const char *){NULL});
    tb_inlet_set_expose(&x, &set, &none);
    tb_render(&tb_encoding_text, &x, &text);
    if (text.len && !tb_inlet_text(text.data, text.len, &again, &lines, &fault) && fault.reason != TB_INLET_VALUE)
        abort();
    tb_statsd_free(s);
    tb_inlet_set_free(&set);
    tb_inlet_set_free(&again);
    tb_exposition_free(&x);
    tb_buffer_free(&text);
    free(datagram);
    return 0;
}

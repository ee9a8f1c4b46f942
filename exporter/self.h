/* SPDX-License-Identifier: Apache-2.0 */
/* The exporter about itself: tickbird_exporter_* and process_*. */
#ifndef TB_SELF_H
#define TB_SELF_H

#include "buffer.h"
#include "collect.h"
#include "ledger.h"

#define TB_SELF_CODES 8u

/* Scrapes so far, by the status they were answered with. Zero-initialise. */
struct tb_self {
    struct {
        unsigned code;
        uint64_t count;
    } scrapes[TB_SELF_CODES];
    uint64_t duration_sum_ns; /* collecting and rendering */
    uint64_t duration_count;
    uint64_t bytes;
};

void tb_self_count_scrape(struct tb_self *self, unsigned code);

/* tb_self_render - append all of it in the text format. @ledger may be NULL. */
void tb_self_render(const struct tb_self *self, const struct tb_collector *collector, const struct tb_ledger *ledger,
                    struct tb_buffer *out);

#endif

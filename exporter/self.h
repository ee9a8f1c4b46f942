/* SPDX-License-Identifier: Apache-2.0 */
/* The exporter about itself: tickbird_exporter_* and process_*. */
#ifndef TB_SELF_H
#define TB_SELF_H

#include "collect.h"
#include "exposition.h"
#include "http_guard.h"
#include "ledger.h"
#include "response.h"
#include "web.h"

#ifndef TB_REVISION /* the build says */
#define TB_REVISION "unknown"
#endif

#define TB_SELF_CODES 8u

/* Scrapes so far, by the status they were answered with, and where else to look. Zero-initialise. */
struct tb_self {
    struct {
        unsigned code;
        uint64_t count;
    } scrapes[TB_SELF_CODES];
    uint64_t collect_ns; /* collecting */
    uint64_t collections;
    struct tb_response_totals responses;
    const struct tb_guard *guard; /* borrowed; NULL = not serving */
    const struct tb_web *web;     /* borrowed; NULL = no web configuration */
};

void tb_self_count_scrape(struct tb_self *self, unsigned code);

/* tb_self_expose - append all of it. @ledger may be NULL; @metrics as in families.h. */
void tb_self_expose(struct tb_exposition *x, const struct tb_self *self, const struct tb_collector *collector,
                    const struct tb_ledger *ledger, const struct tb_metric *metrics);

/* tb_self_started_ns - when this process started: the time from which its counters count. CLOCK_REALTIME; 0 = unknown.
 */
uint64_t tb_self_started_ns(void);

#endif

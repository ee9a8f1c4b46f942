/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Does a request come from a probe: Kubernetes, a load balancer's health check, a scraper? Told by the start of its
 * User-Agent, read only where the rules want it (TB_RULES_PROBES). Hostile input; what is not well formed is no probe.
 */
#ifndef TB_PROBE_H
#define TB_PROBE_H

#include "bytes.h"

/* What is asked of the rules instead of a probe's path: they say which route it has, or that it is not counted. */
#define TB_PROBE_PATH "/.tickbird-probe"

/* Reads header lines, cut anywhere. Zero is the start of a header section. */
struct tb_probe {
    uint8_t state; /* probe.c */
    uint8_t len;   /* of the name, then of the value, so far */
    uint16_t fits; /* a bit for each known agent that may still be meant */
    bool is_probe;
};

/* tb_probe_feed - more bytes of the header section. What is said in @p->is_probe stays so. */
void tb_probe_feed(struct tb_probe *p, struct tb_bytes in);

#endif

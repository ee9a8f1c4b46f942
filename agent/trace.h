/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The trace that a request belongs to, read only where the rules want exemplars: `traceparent` (W3C Trace Context),
 * else `b3`, else `X-B3-TraceId` (B3). Only a sampled one counts: of another there is nothing to look up. Hostile
 * input; what is not well formed is no trace.
 */
#ifndef TB_TRACE_H
#define TB_TRACE_H

#include "bytes.h"

#define TB_TRACE_VALUE 56u /* longest value that matters, a traceparent's 55, and one that tells that there is more */

/* Reads header lines, cut anywhere. Zero is the start of a header section. */
struct tb_trace {
    uint64_t id[2]; /* the 32 hex digits, the upper 16 first */
    uint8_t state;  /* trace.c */
    uint8_t names;  /* candidates: bits; then the header whose value is being read */
    uint8_t len;    /* of the name, then of the value, so far */
    uint8_t from;   /* which header id is of: the larger one counts; 0 = none */
    bool is_denied; /* a header says that it is not sampled, or there are two of one kind */
    uint8_t text[TB_TRACE_VALUE];
};

/* tb_trace_feed - more bytes of the header section. */
void tb_trace_feed(struct tb_trace *t, struct tb_bytes in);

/* tb_trace_id - the identifier, when the section is over; zeroes when there is none. */
void tb_trace_id(struct tb_trace *t, uint64_t ret[2]);

#endif

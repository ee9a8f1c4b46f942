/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connection's private state. Whoever stores connections (the shim's slab, tests) needs only its size; the fields
 * belong to exchange.c and queue.c.
 *
 * Two halves. The request half is touched by the direction that carries requests, the response half by the other; each
 * half has a try-flag. Fields say whose they are.
 */
#ifndef TB_CONN_H
#define TB_CONN_H

#include "core.h"
#include "http1.h"

#define TB_CONN_BYTES 120u /* plus 8 in the fd index: 128 per open connection */

struct tb_queue {
    uint16_t pushed;     /* request half writes (release), response half reads */
    uint16_t popped;     /* response half writes (release), request half reads */
    uint16_t inline_seq; /* which push the inline entry is */
    uint8_t head;        /* block + 1 that is read, 0 = none; response half, request half when empty */
    uint8_t tail;        /* block + 1 that is written; request half */
    uint8_t head_at;     /* entry of the head block read next; response half */
    uint8_t tail_at;     /* entry of the tail block written next; request half */
    uint8_t overflow;    /* 1: from chain's end on, pushes are only counted; request half, cleared when empty */
    uint8_t overflow_method;
};

struct tb_conn {
    uint8_t role;             /* enum tb_role, or TB_ROLE_GIVEN_UP; set once by either half */
    uint8_t request_busy;     /* try-flags; the other one is response_busy */
    uint16_t fork_generation; /* when the request head being received, or a response out of the ordinary, began */
    uint32_t route;           /* of a request whose head is not complete; request half */
    struct tb_message request;
    struct tb_message response;
    uint64_t start_ns;      /* first byte of the request head being received; request half */
    uint64_t first_ns;      /* first byte of the response head, start of a stream; response half */
    uint64_t rx_body;       /* request body bytes so far, over all exchanges; request half */
    uint64_t rx_counted;    /* of those, reported; response half */
    uint64_t tx_body;       /* of the response being sent; response half */
    uint8_t request_flags;  /* request half */
    uint8_t response_flags; /* response half */
    uint8_t path_block;     /* block + 1 that keeps a cut path; request half */
    uint8_t response_busy;
    struct tb_queue queue;
    struct tb_pending first; /* the inline entry */
};
_Static_assert(sizeof(struct tb_conn) == TB_CONN_BYTES, "the budget of a connection");

#endif

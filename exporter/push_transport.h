/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How requests of a kind of output (push_kind.h) are sent. A transport belongs to one output and is used by one thread
 * at a time; sending blocks, until it is told to stop or its time is over.
 */
#ifndef TB_PUSH_TRANSPORT_H
#define TB_PUSH_TRANSPORT_H

#include <stdatomic.h>

#include "push_kind.h"

enum tb_push_outcome {
    TB_PUSH_ACCEPTED,
    TB_PUSH_AGAIN,    /* it did not arrive, or was not taken: later */
    TB_PUSH_REFUSED,  /* it never will be taken */
    TB_PUSH_UNCERTAIN /* it may have been taken: no answer came */
};

/* What became of a request. */
struct tb_push_verdict {
    enum tb_push_outcome outcome;
    uint64_t wait_ns;  /* AGAIN: the receiver asks for so much time; 0 = it does not */
    uint32_t rejected; /* ACCEPTED: so many points were not */
    char why[200];
};

/* When sending is to end at once. */
struct tb_push_stop {
    atomic_bool is_told;
    _Atomic uint64_t after_ns; /* CLOCK_MONOTONIC; UINT64_MAX: at no time */
};

/* tb_push_must_stop - any thread. */
bool tb_push_must_stop(const struct tb_push_stop *s);

struct tb_push_transport {
    const char *type; /* of the kind */
    /* open - what is kept from one request to the next. @stop says when sending is to end; both are borrowed until
     * close.
     */
    void *(*open)(const struct tb_push_output_config *c, const struct tb_push_stop *stop);
    void (*send)(void *state, const struct tb_push_request *r, struct tb_push_verdict *ret);
    void (*close)(void *state);
};

const struct tb_push_transport *tb_push_transport_find(const struct tb_push_kind *kind);

extern const struct tb_push_transport tb_push_cloudwatch_transport;
extern const struct tb_push_transport tb_push_emf_transport;
extern const struct tb_push_transport tb_push_otlp_transport;
extern const struct tb_push_transport tb_push_remote_write_transport;

#endif

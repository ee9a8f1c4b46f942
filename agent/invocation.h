/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Invocations of a function on AWS Lambda. A function is no server: it asks the Runtime API for work (GET .../next) and
 * posts what came of it (POST .../response or .../error). An invocation lasts from the end of the answer to `next` to
 * the last byte of that post, and is counted when the post is answered. None of these requests is a call to another
 * server: they are in no http_client_ metric, only the user's own rules can be about them.
 *
 * A program is a function when its environment names the Runtime API; a request belongs to it by its host and path.
 * The state that lasts is in the header of the region, so that a runtime of several processes in a row (a shell with
 * curl) is followed as well. There is one invocation at a time; where the environment says that there may be several,
 * they are counted without a duration.
 *
 * Context of all: any thread, signal handlers; no allocation, no lock, no errno, no system call. Fork story: a post is
 * finished by the process that began it.
 */
#ifndef TB_INVOCATION_H
#define TB_INVOCATION_H

#include "bytes.h"
#include "layout.h"

struct tb_core;
struct tb_conn;

#define TB_RUNTIME_API_MAX 64u

/* What a request to the Runtime API is: stands where else the target of a call would (struct tb_pending). */
enum tb_runtime_call {
    TB_RUNTIME_NONE, /* it is to somebody else */
    TB_RUNTIME_NEXT,
    TB_RUNTIME_RESPONSE,
    TB_RUNTIME_ERROR,
    TB_RUNTIME_INIT_ERROR,
    TB_RUNTIME_OTHER,
    TB_RUNTIME_CALLS
};
_Static_assert((uint32_t)TB_RUNTIME_CALLS < TB_STR_FIRST, "none is a string reference");

/* Of this process. */
struct tb_invoked {
    uint8_t api[TB_RUNTIME_API_MAX]; /* authority of the Runtime API, as tb_host_authority gives it */
    uint32_t api_len;                /* 0: this is no function */
    uint32_t is_concurrent;          /* it may work on several invocations at a time */
    const struct tb_conn *conn;      /* on which the outcome is being posted */
    uint64_t sent_ns;                /* CLOCK_MONOTONIC of the last bytes of it */
};

static inline bool tb_runtime_is(uint32_t target)
{
    return target - 1 < TB_RUNTIME_CALLS - 1;
}

/*
 * tb_invocation_start - this process is a function.
 * @api          HOST:PORT, as AWS_LAMBDA_RUNTIME_API has it; what is no such thing makes it none
 * @concurrency  AWS_LAMBDA_MAX_CONCURRENCY, empty when it is not set
 * At the start, before anything else runs in the core.
 */
void tb_invocation_start(struct tb_core *core, struct tb_bytes api, struct tb_bytes concurrency);

/* tb_invocation_call - what a request for @path at @authority is. Pure. */
enum tb_runtime_call tb_invocation_call(const struct tb_core *core, struct tb_bytes authority, struct tb_bytes path);

/* tb_invocation_asked - the head of such a request was sent on @c at @now_ns (0 = unknown). Returns what it is. */
enum tb_runtime_call tb_invocation_asked(struct tb_core *core, const struct tb_conn *c, struct tb_bytes authority,
                                         struct tb_bytes path, uint64_t now_ns);

/* tb_invocation_sent - more of the outcome was sent, on the connection that core->invoked names. */
void tb_invocation_sent(struct tb_core *core, uint64_t now_ns);

/* tb_invocation_answered - the Runtime API has answered @call, whole, with @status. */
void tb_invocation_answered(struct tb_core *core, enum tb_runtime_call call, uint16_t status, uint64_t now_ns);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The other servers that services call, added up from a snapshot and its history: one entry for each service and
 * target. Pure: no I/O, no clock. One thread at a time.
 */
#ifndef TB_DEPENDENCIES_H
#define TB_DEPENDENCIES_H

#include "history.h"
#include "snapshot.h"

struct tb_dependency {
    const struct tb_snap_service *service; /* borrowed from the snapshot, as target */
    const char *target;
    uint64_t answered, server_errors;          /* calls; those of them with a status from 500 up */
    uint64_t unanswered[TB_CALL_PROTOCOL + 1]; /* by enum tb_call_error */
    uint64_t timed, sum_ns;                    /* of those answered */
    double p95_ns;                             /* of the same; NAN when none was timed */
    uint64_t answered_ns, failed_ns;           /* CLOCK_REALTIME of the last of each, 0 = never */
    struct {
        uint64_t calls, failed; /* failed: with a status from 500 up, or not answered */
        double p95_ns;          /* of those answered; NAN when none was timed */
    } window;                   /* of tb_dependencies_window */
};

/* tb_dependencies - all of them, by service and target; the caller's to free. @s is finished. Returns their number. */
size_t tb_dependencies(const struct tb_snapshot *s, struct tb_dependency **ret);

/*
 * tb_dependencies_window - fill in what they did in the last minute.
 * @list, @count  as tb_dependencies gave them for @s
 * @now_ns        CLOCK_MONOTONIC of the collection of @s
 * Returns the seconds that the window covers, 0 when nothing is known yet.
 */
double tb_dependencies_window(struct tb_dependency *list, size_t count, const struct tb_snapshot *s,
                              const struct tb_history *h, uint64_t now_ns);

/* tb_dependency_calls, tb_dependency_failed - of all time: answered or not; with a status from 500 up, or not answered.
 */
uint64_t tb_dependency_unanswered(const struct tb_dependency *d);
static inline uint64_t tb_dependency_calls(const struct tb_dependency *d)
{
    return d->answered + tb_dependency_unanswered(d);
}
static inline uint64_t tb_dependency_failed(const struct tb_dependency *d)
{
    return d->server_errors + tb_dependency_unanswered(d);
}

/* tb_dependency_state - "up", "down" or, when no call has ended yet, "unknown". */
const char *tb_dependency_state(const struct tb_dependency *d);

/* tb_dependency_is_up - did it answer last? */
static inline bool tb_dependency_is_up(uint64_t answered_ns, uint64_t failed_ns)
{
    return answered_ns && answered_ns >= failed_ns;
}

#endif

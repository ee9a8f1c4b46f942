/* SPDX-License-Identifier: Apache-2.0 */
/* The other servers that services call, added up from a snapshot: one entry for each service and target. Pure. */
#ifndef TB_DEPENDENCIES_H
#define TB_DEPENDENCIES_H

#include "snapshot.h"

struct tb_dependency {
    const struct tb_snap_service *service; /* borrowed from the snapshot, as target */
    const char *target;
    uint64_t answered, server_errors;          /* calls; those of them with a status from 500 up */
    uint64_t unanswered[TB_CALL_PROTOCOL + 1]; /* by enum tb_call_error */
    uint64_t timed, sum_ns;                    /* of those answered */
    uint64_t answered_ns, failed_ns;           /* CLOCK_REALTIME of the last of each, 0 = never */
};

/* tb_dependencies - all of them, by service and target; the caller's to free. @s is finished. Returns their number. */
size_t tb_dependencies(const struct tb_snapshot *s, struct tb_dependency **ret);

/* tb_dependency_is_up - did it answer last? */
static inline bool tb_dependency_is_up(uint64_t answered_ns, uint64_t failed_ns)
{
    return answered_ns && answered_ns >= failed_ns;
}

#endif

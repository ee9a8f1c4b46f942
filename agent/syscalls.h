/* SPDX-License-Identifier: Apache-2.0 */
/* System calls of the core: always through the host's environment, which knows when none is allowed any more. */
#ifndef TB_SYSCALLS_H
#define TB_SYSCALLS_H

#include "core.h"

#include <errno.h>
#include <sys/syscall.h>

static inline long tb_syscall(const struct tb_core *core, long nr, long a, long b, long c, long d, long e, long f)
{
    return core->env.syscall ? core->env.syscall(nr, a, b, c, d, e, f) : -ENOSYS;
}

static inline uint64_t tb_monotonic_ns(const struct tb_core *core)
{
    return core->env.monotonic_ns ? core->env.monotonic_ns() : 0;
}

#endif

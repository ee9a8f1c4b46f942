/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The generator: hooks.def read once for each need (stand-ins, the table of real functions, their lookup, the
 * wrappers). A wrapper is the only place that decides whether anything is to be done; the bodies are in events.c and
 * process.c. Re-entry cannot happen: bodies call no libc function.
 *
 * Wrappers are defined under names of their own and get the hooked name as their symbol, so that no macro or inline of
 * the headers stands in the way. They have unwind tables and nothing to clean up: a cancelled thread passes through.
 */
#include "hooks.h"

#include <errno.h>

#include "calls.h"
#include "events.h"
#include "process.h"
#include "raw.h"
#include "resolve.h"
#include "streams.h"

long tb_raw_result(long result)
{
    if (result >= 0 || result < -4095)
        return result;
    if (__errno_location)
        *__errno_location() = (int)-result;
    return -1;
}

void *tb_late(const char *name)
{
    return tb_resolve_next(name);
}

/* Calls the real function if it can be found now; no system call alone can stand in for it. */
#define TB_LATE(name, args, otherwise)                                                                                 \
    ({                                                                                                                 \
        __typeof__(&name) late = (__typeof__(&name))tb_late(#name);                                                    \
        long late_ret = late ? (long)late args : (long)(otherwise);                                                    \
        late &&late_ret == -1 && __errno_location ? -(long)*__errno_location() : late_ret;                             \
    })

static long tb_raw_closefrom(int first)
{
    unsigned from = first < 0 ? 0 : (unsigned)first;
    if (TB_RAW3(SYS_close_range, from, ~0u, 0) == 0)
        return 0;
    for (unsigned fd = from; fd < TB_FD_MAX; fd++) /* before Linux 5.9 */
        TB_RAW1(SYS_close, fd);
    return 0;
}

/* ---- stand-ins ---- */

#define STAND_IN(type, name, params, raw)                                                                              \
    static type raw_##name params                                                                                      \
    {                                                                                                                  \
        return (type)tb_raw_result(raw);                                                                               \
    }
#define HOOK(type, name, params, args, raw, before, after) STAND_IN(type, name, params, raw)
#define HOOK_IO(type, name, params, args, raw, fd, after) STAND_IN(type, name, params, raw)
#define HOOK_SOCKET(type, name, params, args, raw, fd, after) STAND_IN(type, name, params, raw)
#define HOOK_ALWAYS(type, name, params, args, raw, after) STAND_IN(type, name, params, raw)
#define HOOK_VOID(type, name, params, args, raw, before)                                                               \
    static type raw_##name params                                                                                      \
    {                                                                                                                  \
        raw;                                                                                                           \
    }
#define HOOK_NORETURN(type, name, params, args, raw, before)                                                           \
    static _Noreturn type raw_##name params                                                                            \
    {                                                                                                                  \
        for (;;)                                                                                                       \
            raw;                                                                                                       \
    }
#define HOOK_MANUAL(type, name, params, stand_in) extern type stand_in params;
#include "hooks.def"
#include "hooks_undef.h"

/* ---- the table of real functions ---- */

#define REAL(name) .name = (__typeof__(&name))(void *)raw_##name,
#define HOOK(type, name, params, args, raw, before, after) REAL(name)
#define HOOK_IO(type, name, params, args, raw, fd, after) REAL(name)
#define HOOK_SOCKET(type, name, params, args, raw, fd, after) REAL(name)
#define HOOK_ALWAYS(type, name, params, args, raw, after) REAL(name)
#define HOOK_VOID(type, name, params, args, raw, before) REAL(name)
#define HOOK_NORETURN(type, name, params, args, raw, before) REAL(name)
#define HOOK_MANUAL(type, name, params, stand_in) .name = stand_in,
struct tb_real tb_real = {
#include "hooks.def"
};
#include "hooks_undef.h"

void tb_hooks_resolve(void)
{
    void *found;
#define RESOLVE(name)                                                                                                  \
    if ((found = tb_resolve_next(#name)))                                                                              \
        tb_real.name = (__typeof__(&name))found;
#define HOOK(type, name, params, args, raw, before, after) RESOLVE(name)
#define HOOK_IO(type, name, params, args, raw, fd, after) RESOLVE(name)
#define HOOK_SOCKET(type, name, params, args, raw, fd, after) RESOLVE(name)
#define HOOK_ALWAYS(type, name, params, args, raw, after) RESOLVE(name)
#define HOOK_VOID(type, name, params, args, raw, before) RESOLVE(name)
#define HOOK_NORETURN(type, name, params, args, raw, before) RESOLVE(name)
#define HOOK_MANUAL(type, name, params, stand_in) RESOLVE(name)
#include "hooks.def"
#include "hooks_undef.h"
}

/* ---- the wrappers ---- */

#define TB_CLOSE(fd)                                                                                                   \
    uint64_t word = tb_fd_word(fd);                                                                                    \
    if (word)                                                                                                          \
    tb_on_close(fd, word)
#define TB_SPLICE_WORDS uint64_t in_word = tb_fd_word(in), out_word = tb_fd_word(out)

#define IS_ASLEEP TB_LIKELY(!tb_load_relaxed(&tb_awake))
#define IS_IGNORED(word) (tb_fd_state(word) == TB_FD_IGNORED)
#define IS_CONN(word) TB_LIKELY(((word) & (TB_FD_STATE | TB_FD_CLIENT)) == TB_FD_CONN)

#define WRAPPER(type, name, params)                                                                                    \
    TB_EXPORT type hook_##name params __asm__(#name);                                                                  \
    type hook_##name params

#define HOOK(type, name, params, args, raw, before, after)                                                             \
    WRAPPER(type, name, params)                                                                                        \
    {                                                                                                                  \
        if (IS_ASLEEP)                                                                                                 \
            return tb_real.name args;                                                                                  \
        before;                                                                                                        \
        type ret = tb_real.name args;                                                                                  \
        after;                                                                                                         \
        return ret;                                                                                                    \
    }
/*
 * Each way is a function of its own, so that none keeps more than it needs over the real call: a jump to the real
 * function when there is nothing to do; a connection with a low number; any other descriptor; (HOOK_SOCKET) asleep.
 */
#define STRIP(...) __VA_ARGS__
#define AWAKE_WAYS(type, name, params, args, fd, after)                                                                \
    static __attribute__((noinline)) type conn_##name(STRIP params, uint64_t word)                                     \
    {                                                                                                                  \
        struct tb_at at = {fd, &tb_fd_low[fd], word};                                                                  \
        type ret = tb_real.name args;                                                                                  \
        if (!IS_CONN(word))                                                                                            \
            __builtin_unreachable();                                                                                   \
        after;                                                                                                         \
        return ret;                                                                                                    \
    }                                                                                                                  \
    static __attribute__((noinline)) type any_##name params                                                            \
    {                                                                                                                  \
        struct tb_at at = tb_at(fd);                                                                                   \
        type ret = tb_real.name args;                                                                                  \
        if (!IS_IGNORED(at.word)) {                                                                                    \
            after;                                                                                                     \
        }                                                                                                              \
        return ret;                                                                                                    \
    }
#define AWAKE(name, args, fd)                                                                                          \
    if (TB_LIKELY((uint32_t)(fd) < TB_FD_LOW)) {                                                                       \
        uint64_t word = tb_load_acquire(&tb_fd_low[fd]);                                                               \
        if (IS_CONN(word))                                                                                             \
            return conn_##name(STRIP args, word);                                                                      \
        if (IS_IGNORED(word))                                                                                          \
            return tb_real.name args;                                                                                  \
    }                                                                                                                  \
    return any_##name args
#define HOOK_IO(type, name, params, args, raw, fd, after)                                                              \
    AWAKE_WAYS(type, name, params, args, fd, after)                                                                    \
    WRAPPER(type, name, params)                                                                                        \
    {                                                                                                                  \
        if (IS_ASLEEP)                                                                                                 \
            return tb_real.name args;                                                                                  \
        AWAKE(name, args, fd);                                                                                         \
    }
#define HOOK_SOCKET(type, name, params, args, raw, fd, after)                                                          \
    AWAKE_WAYS(type, name, params, args, fd, after)                                                                    \
    static __attribute__((noinline)) type asleep_##name params                                                         \
    {                                                                                                                  \
        struct tb_at at = {fd, NULL, 0};                                                                               \
        type ret = tb_real.name args;                                                                                  \
        if (ret >= 0 && tb_wake()) {                                                                                   \
            after;                                                                                                     \
        }                                                                                                              \
        return ret;                                                                                                    \
    }                                                                                                                  \
    WRAPPER(type, name, params)                                                                                        \
    {                                                                                                                  \
        if (TB_UNLIKELY(!tb_load_relaxed(&tb_awake)))                                                                  \
            return asleep_##name args;                                                                                 \
        AWAKE(name, args, fd);                                                                                         \
    }
#define HOOK_ALWAYS(type, name, params, args, raw, after)                                                              \
    WRAPPER(type, name, params)                                                                                        \
    {                                                                                                                  \
        type ret = tb_real.name args;                                                                                  \
        after;                                                                                                         \
        return ret;                                                                                                    \
    }
#define HOOK_VOID(type, name, params, args, raw, before)                                                               \
    WRAPPER(type, name, params)                                                                                        \
    {                                                                                                                  \
        if (!IS_ASLEEP)                                                                                                \
            before;                                                                                                    \
        tb_real.name args;                                                                                             \
    }
#define HOOK_NORETURN(type, name, params, args, raw, before)                                                           \
    TB_EXPORT _Noreturn type hook_##name params __asm__(#name);                                                        \
    _Noreturn type hook_##name params                                                                                  \
    {                                                                                                                  \
        before;                                                                                                        \
        tb_real.name args;                                                                                             \
        __builtin_unreachable();                                                                                       \
    }
#define HOOK_MANUAL(type, name, params, stand_in)
#include "hooks.def"
#include "hooks_undef.h"

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * System calls without libc: errno untouched, no cancellation point, safe anywhere (signal handlers, before the
 * constructor, in a vfork child). The result is the kernel's: a value or -errno.
 */
#ifndef TB_RAW_H
#define TB_RAW_H

#include <fcntl.h>
#include <stdbool.h>
#include <sys/syscall.h>

#if defined(__x86_64__)
static inline long tb_raw(long nr, long a, long b, long c, long d, long e, long f)
{
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    long ret;
    __asm__ volatile("syscall"
                     : "=a"(ret)
                     : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return ret;
}
#elif defined(__aarch64__)
static inline long tb_raw(long nr, long a, long b, long c, long d, long e, long f)
{
    register long x8 __asm__("x8") = nr;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    register long x4 __asm__("x4") = e;
    register long x5 __asm__("x5") = f;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
    return x0;
}
#else
#error "no raw system call for this architecture"
#endif

#define TB_RAW0(nr) tb_raw((nr), 0, 0, 0, 0, 0, 0)
#define TB_RAW1(nr, a) tb_raw((nr), (long)(a), 0, 0, 0, 0, 0)
#define TB_RAW2(nr, a, b) tb_raw((nr), (long)(a), (long)(b), 0, 0, 0, 0)
#define TB_RAW3(nr, a, b, c) tb_raw((nr), (long)(a), (long)(b), (long)(c), 0, 0, 0)
#define TB_RAW4(nr, a, b, c, d) tb_raw((nr), (long)(a), (long)(b), (long)(c), (long)(d), 0, 0)
#define TB_RAW5(nr, a, b, c, d, e) tb_raw((nr), (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), 0)
#define TB_RAW6(nr, a, b, c, d, e, f) tb_raw((nr), (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))

/* Calls that only some architectures have under their own number. */
static inline long tb_raw_dup2(int from, int to)
{
#ifdef SYS_dup2
    return TB_RAW2(SYS_dup2, from, to);
#else
    if (from == to) {
        long flags = TB_RAW2(SYS_fcntl, from, F_GETFD);
        return flags < 0 ? flags : to;
    }
    return TB_RAW3(SYS_dup3, from, to, 0);
#endif
}

static inline long tb_raw_fork(void)
{
    return TB_RAW5(SYS_clone, 17 /* SIGCHLD */, 0, 0, 0, 0);
}

#ifndef SYS_close_range
#define SYS_close_range 436
#endif
#ifndef SYS_io_uring_setup
#define SYS_io_uring_setup 425
#endif
#define TB_ARCH_GET_CPUID 0x1011 /* arch_prctl: may this thread execute cpuid? (Linux 4.12, x86) */

#endif

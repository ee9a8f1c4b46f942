/* SPDX-License-Identifier: Apache-2.0 */
/*
 * System call filters (seccomp(2)) that the program inherited at its exec. One that answers with an error does no harm,
 * one that kills would kill the program for a call that it does not make by itself. What the filter does can't be asked
 * without privileges, so a child tries: a copy of this process that has all calls of the agent made with arguments that
 * do nothing, and ends. It sends no signal to anybody and is waited for at once.
 *
 * A copy, although that costs what a fork costs (docs/limits.md): of processes that share memory (CLONE_VM) the kernel
 * kills all when a filter kills one with a core, whatever its limit is, before Linux 5.16 (zap_threads() in
 * fs/coredump.c); and that no core is wanted (PR_SET_DUMPABLE) is said of the memory, so it would be the program's.
 *
 * Certain without trying are the calls that every dynamic program makes before its first instruction: openat, read,
 * close, fstat of one kind, mmap, mprotect. Assumed is what fork() needs (clone, wait4, rt_sigprocmask): whoever
 * forbids that on pain of death must switch the agent off (docs/limits.md).
 */
#include "filter.h"

#include <linux/futex.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "../agent/bytes.h"
#include "process.h"
#include "raw.h"
#include "resolve.h"

#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK 18
#endif
#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

/* glibc from 2.33 on has fstat as a function of its own, which is newfstatat of an empty path; so does its loader. */
long tb_filter_fstat(int fd, struct stat *ret)
{
    static uint32_t kind; /* 0: not asked yet */
    if (!tb_load_relaxed(&kind))
        tb_store_relaxed(&kind, tb_resolve_next("gnu_get_libc_version") && tb_resolve_next("fstat") ? 2 : 1);
    if (tb_load_relaxed(&kind) == 2)
        return TB_RAW4(SYS_newfstatat, fd, "", ret, AT_EMPTY_PATH);
    return TB_RAW2(SYS_fstat, fd, ret);
}

/* The number of threads is told by the links of their directory (proc(5)). */
bool tb_filter_is_alone(void)
{
    struct stat st = {0};
    long fd = TB_RAW4(SYS_openat, AT_FDCWD, "/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    if (fd < 0)
        return false;
    bool is_known = tb_filter_fstat((int)fd, &st) == 0;
    (void)TB_RAW1(SYS_close, fd);
    return is_known && st.st_nlink == 3; /* itself, its parent, one thread */
}

/* Is a filter in force for this thread? Yes when procfs does not say. */
static bool is_filtered(void)
{
    static const char key[] = "\nSeccomp:\t";
    static char text[4096]; /* a status file has about 1,400 bytes */
    long fd = TB_RAW4(SYS_openat, AT_FDCWD, "/proc/thread-self/status", O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0) /* before Linux 3.17 */
        fd = TB_RAW4(SYS_openat, AT_FDCWD, "/proc/self/status", O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0)
        return true;
    long len = TB_RAW3(SYS_read, fd, text, sizeof(text));
    TB_RAW1(SYS_close, fd);
    for (long i = 0; i + (long)sizeof(key) <= len; i++)
        if (tb_equal(text + i, key, sizeof(key) - 1))
            return text[i + (long)sizeof(key) - 1] != '0';
    return true;
}

/* Every system call of the shim and the agent, with the constants that a filter may look at. Only in the child. */
static void try_all(void)
{
    static uint32_t word;
    static char buf[512];
    TB_RAW0(SYS_getpid);
    TB_RAW0(SYS_getppid);
    TB_RAW0(SYS_geteuid);
    TB_RAW2(SYS_kill, TB_RAW0(SYS_getpid), 0);
    TB_RAW3(SYS_madvise, 0, 0, MADV_WIPEONFORK);
    TB_RAW2(SYS_prctl, PR_GET_TSC, buf);
    TB_RAW2(SYS_clock_gettime, 1, buf);
    TB_RAW6(SYS_futex, &word, FUTEX_WAKE_OP | FUTEX_PRIVATE_FLAG, 0, 0, &word, FUTEX_OP(FUTEX_OP_OR, 0, 0, 0));
    TB_RAW6(SYS_mmap, 0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    TB_RAW6(SYS_mmap, 0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, -1, 0);
    TB_RAW2(SYS_munmap, 0, 0);
    TB_RAW2(SYS_munlock, 0, 0);
    TB_RAW3(SYS_mprotect, 0, 0, PROT_READ | PROT_WRITE);
    TB_RAW3(SYS_getrandom, buf, 8, 1);
    TB_RAW1(SYS_uname, buf);
    TB_RAW4(SYS_openat, -1, "", O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0600);
    TB_RAW4(SYS_openat, -1, "", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
    TB_RAW4(SYS_openat, -1, "", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    TB_RAW2(SYS_fstat, -1, buf);
    TB_RAW4(SYS_newfstatat, -1, "", buf, AT_EMPTY_PATH);
    TB_RAW2(SYS_fstatfs, -1, buf);
    TB_RAW2(SYS_statfs, "", buf);
    TB_RAW4(SYS_readlinkat, -1, "", buf, 1);
    TB_RAW3(SYS_mkdirat, -1, "", 0700);
    TB_RAW3(SYS_fchmodat, -1, "", 0700);
    TB_RAW2(SYS_fchmod, -1, 0660);
    TB_RAW2(SYS_flock, -1, LOCK_SH | LOCK_NB);
    TB_RAW2(SYS_flock, -1, LOCK_EX | LOCK_NB);
    TB_RAW2(SYS_ftruncate, -1, 0);
    TB_RAW4(SYS_fallocate, -1, 3 /* punch a hole, keep the size */, 0, 4096);
    TB_RAW5(SYS_renameat2, -1, "", -1, "", 1);
    TB_RAW5(SYS_linkat, -1, "", -1, "", 0);
    TB_RAW3(SYS_unlinkat, -1, "", 0);
    TB_RAW3(SYS_fcntl, -1, F_GETFD, 0);
    TB_RAW5(SYS_getsockopt, -1, SOL_SOCKET, SO_TYPE, buf, buf);
#ifdef SYS_arch_prctl
    TB_RAW2(SYS_arch_prctl, TB_ARCH_GET_CPUID, 0);
#endif
    TB_RAW3(SYS_write, -1, "", 0);
}

/* Those that change the program's code (inline.c). Apart: whoever forbids them needs nothing else forbidden. */
static void try_code(void)
{
    TB_RAW4(SYS_pread64, -1, 0, 0, 0);
    TB_RAW6(SYS_mmap, 0, 0, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    TB_RAW3(SYS_mprotect, 0, 0, PROT_READ | PROT_EXEC);
    TB_RAW5(SYS_mremap, 0, 0, 0, MREMAP_MAYMOVE | MREMAP_FIXED, 0);
    TB_RAW2(SYS_munmap, 0, 0);
}

/* Should the filter kill, then without a core; where a program gets the cores the limit is not heeded. */
static void want_no_core(void)
{
    static const struct rlimit none = {0, 0};
    TB_RAW4(SYS_prlimit64, 0, RLIMIT_CORE, &none, 0);
    TB_RAW2(SYS_prctl, PR_SET_DUMPABLE, 0);
}

static bool try_in_child(void (*try)(void))
{
    long pid = TB_RAW5(SYS_clone, 0 /* no signal at its end */, 0, 0, 0, 0);
    if (pid == 0) {
        want_no_core();
        try();
        for (;;)
            TB_RAW1(SYS_exit_group, 0);
    }
    int status = -1;
    long got;
    do
        got = pid > 0 ? TB_RAW4(SYS_wait4, pid, &status, __WALL, 0) : -1;
    while (got == -4 /* EINTR */);
    return got == pid && status == 0;
}

bool tb_filter_permits(void)
{
    static uint32_t answer; /* 0: not asked; two threads may ask at once: the answer is the same */
    if (!tb_load_relaxed(&answer))
        tb_store_relaxed(&answer, !is_filtered() || try_in_child(try_all) ? 1 : 2);
    return tb_load_relaxed(&answer) == 1;
}

bool tb_filter_permits_code(void)
{
    return !is_filtered() || try_in_child(try_code);
}

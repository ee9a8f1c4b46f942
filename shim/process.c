/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The process around the hooks (process.h): constructor and destructor, waking up, the region's creation, fork, exec,
 * exit, system call filters. The only file that knows what the environment says.
 *
 * Start: one look for the select file (four calls when it is there) and one at fd 0; waking up: none, one when rules
 * about executables are left to ask; a region: about fifty, once.
 * Fork story: fork() is hooked; a fork that no hook saw (daemon(), a raw clone) is noticed by a word that the kernel
 * wipes in the child (MADV_WIPEONFORK); where it cannot, by its pid at the next accept.
 */
#include "process.h"

#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include "awaited.h"
#include "calls.h"
#include "clock.h"
#include "events.h"
#include "filter.h"
#include "http1.h"
#include "hooks.h"
#include "identity.h"
#include "raw.h"
#include "resolve.h"
#include "select.h"
#include "streams.h"
#include "tls.h"
#include "tls_inline.h"
#include "tls_slots.h"

#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK 18
#endif
#define PAGE_MAX 65536u /* largest machine page */

uint32_t tb_awake;
struct tb_core tb_core;

static uint32_t always_one = 1;
uint32_t *tb_fork_word = &always_one;
static uint8_t fork_page[2 * PAGE_MAX]; /* holds one whole page of the process's own */

static uint32_t is_started;     /* the constructor, or who came before it, has been here */
static uint32_t is_inert;       /* for good */
static uint32_t is_filtered;    /* the program installed a system call filter: no call of ours any more */
static uint32_t is_tsc_off;     /* some thread must not read the time stamp counter; never taken back */
static uint32_t region_started; /* somebody makes the region, or has tried */
static uint32_t is_others;      /* ... that a vfork child is about to install: its own, not ours */

static long env_syscall(long nr, long a, long b, long c, long d, long e, long f)
{
    return TB_UNLIKELY(tb_load_relaxed(&is_filtered)) ? -ENOSYS : tb_raw(nr, a, b, c, d, e, f);
}

/* ---- messages, only with TICKBIRD_DEBUG ---- */

static void debug(const char *what, const char *more)
{
    if (!tb_settings.is_debug)
        return;
    char line[512] = "tickbird: ";
    size_t len = 10;
    const char *const parts[] = {what, more, "\n"};
    for (size_t i = 0; i < 3; i++)
        for (const char *s = parts[i]; *s && len < sizeof(line) - 1; s++)
            line[len++] = *s;
    env_syscall(SYS_write, 2, (long)line, (long)len, 0, 0, 0);
}

static void become_inert(const char *why, const char *more)
{
    tb_store_relaxed(&is_inert, 1);
    tb_store_release(&tb_awake, 0);
    debug(why, more);
}

static const char *inert_text(enum tb_inert why)
{
    static const char *const texts[] = {
        [TB_INERT_NO_DIRECTORY] = "the region directory is missing and could not be made",
        [TB_INERT_BAD_DIRECTORY] = "the region directory is not safe (owner or mode)",
        [TB_INERT_NOT_TMPFS] = "the region directory is on a disk (TICKBIRD_DIR_FORCE=1 accepts it)",
        [TB_INERT_LOCK_LOST] = "the region directory's file system drops locks",
        [TB_INERT_FULL] = "the region directory is full",
        [TB_INERT_QUOTA] = "the region directory holds as many files as TICKBIRD_DIR_QUOTA allows",
        [TB_INERT_LIMIT] = "the resource limits leave no room",
        [TB_INERT_SYSCALL] = "a system call failed",
    };
    return (size_t)why < sizeof(texts) / sizeof(texts[0]) && texts[why] ? texts[why] : "unknown reason";
}

/* ---- waking up ---- */

/* Finds a whole page in fork_page, which is anonymous memory there, and asks the kernel to wipe it in children. */
static void watch_forks(void)
{
    uintptr_t page = tb_core.env.page_size;
    uintptr_t start = ((uintptr_t)fork_page + page - 1) & ~(page - 1);
    if (page > PAGE_MAX || env_syscall(SYS_madvise, (long)start, (long)page, MADV_WIPEONFORK, 0, 0, 0))
        return;
    uint32_t *word = (uint32_t *)start;
    tb_store_relaxed(word, 1);
    tb_store_release(&tb_fork_word, word);
}

/* The widest instruction set that the machine has, or the one asked for (to measure, to test). */
static void select_simd(void)
{
#ifdef SYS_arch_prctl
    /* where the program had cpuid forbidden, asking the machine would be a SIGSEGV */
    enum tb_simd simd = TB_RAW2(SYS_arch_prctl, TB_ARCH_GET_CPUID, 0) ? tb_scan_best() : TB_SIMD_SSE2;
#else
    enum tb_simd simd = tb_scan_best();
#endif
    if (tb_settings.simd[0] == 'p')
        simd = TB_SIMD_PORTABLE;
    else if (tb_settings.simd[0] == 's' && simd > TB_SIMD_SSE2)
        simd = TB_SIMD_SSE2;
    tb_exchange_select(simd);
}

bool tb_wake_slow(void)
{
    if (tb_load_relaxed(&is_inert) || tb_load_relaxed(&is_filtered))
        return false;
    /* Two threads may do this at once: every step has the same outcome. */
    if (!tb_select_finish()) {
        become_inert("not selected: ", tb_select_reason());
        return false;
    }
    tb_core.env.syscall = env_syscall;
    tb_core.env.monotonic_ns = tb_clock_monotonic_ns;
    unsigned long page = tb_auxval(AT_PAGESZ);
    tb_core.env.page_size = page ? page : 4096;
    tb_store_release(&tb_awake, 1);
    return true;
}

bool tb_is_socket(int fd)
{
    struct stat st = {0};
    return !tb_load_relaxed(&is_filtered) && tb_filter_fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode);
}

/* OpenSSL that came in the executable: this is the only moment at which its code can be changed. */
static void follow_own_tls(void)
{
    const char *why = "switched off by TICKBIRD_INLINE_HOOKS or a rule";
    tb_core.tls_unobservable = TB_UNOBSERVABLE_TLS_REFUSED;
    if (tb_settings.is_inline_allowed && !tb_select_keep_code())
        tb_core.tls_unobservable = tb_tls_inline_place(&why);
    if (tb_core.tls_unobservable)
        debug("what this program's own OpenSSL encrypts is not seen: ", why);
}

static void start(void)
{
    tb_settings_read();
    if (!__errno_location && !tb_settings.is_debug) {
        become_inert("", ""); /* no libc, so nobody who could call a hook (a Go program, linked by its own linker) */
        return;
    }
    tb_hooks_resolve();
    if (tb_auxval(AT_SECURE)) {
        tb_settings.is_debug = false; /* the environment is not to be trusted */
        become_inert("", "");
    } else if (!__errno_location) {
        become_inert("no C library in this process: nothing can be seen", "");
    } else if (tb_settings.is_disabled) {
        become_inert("switched off by TICKBIRD_DISABLE", "");
    } else if (tb_resolve_is_second_copy()) {
        become_inert("another copy is loaded already", "");
    } else if (!tb_select_start()) {
        become_inert("not selected: ", tb_select_reason());
    } else {
        tb_tls_start();
        if (TB_UNLIKELY(tb_tls_inline_is_there()) && tb_select_finish()) /* waking up says what it means if not */
            follow_own_tls();
        if (tb_is_socket(0)) {
            if (tb_wake_slow()) /* started by a super-server */
                tb_streams_watch();
        } else if (tb_settings.has_listen_fds) {
            tb_wake_slow(); /* started by systemd with sockets */
        }
    }
}

void tb_process_start(void)
{
    if (!tb_swap_acq_rel(&is_started, 1))
        start();
}

static __attribute__((constructor)) void constructor(void)
{
    tb_process_start();
}

static __attribute__((destructor)) void finish(void)
{
    if (!tb_streams_defer_end())
        tb_process_before_exit();
}

/* ---- the region ---- */

void tb_process_owner_slow(void)
{
    if (tb_core.base)
        tb_owner_claim(&tb_core);
}

static void know_clock(void)
{
    int tsc = 0;
    if (TB_RAW2(SYS_prctl, PR_GET_TSC, &tsc) == 0 && tsc == PR_TSC_SIGSEGV)
        tb_store_relaxed(&is_tsc_off, 1); /* since before its exec: threads and programs inherit it */
    tb_clock_init();
    tb_clock_use(TB_CLOCK_VDSO);
    /* read by an add, which is not done before the line above: another thread may say so at this moment */
    if (tb_fetch_add_relaxed(&is_tsc_off, 0))
        tb_clock_use(TB_CLOCK_KERNEL);
}

void tb_process_clock(void)
{
    if (!tb_load_relaxed(&is_inert) && !tb_load_relaxed(&is_filtered) && !tb_clock_monotonic_ns())
        know_clock();
}

/* What the process is, asked when it is certain to matter: not by programs that only show a socket. */
static void know_process(void)
{
    tb_core.env.pid = (uint32_t)TB_RAW0(SYS_getpid);
    know_clock();
    select_simd();
    watch_forks();
}

static bool make_region(bool is_server)
{
    struct tb_identity identity;
    enum tb_inert why = TB_INERT_SYSCALL;
    know_process();
    tb_identity_read(&tb_core, &identity);
    identity.is_server = is_server;
    if (tb_settings.runtime_api[0])
        tb_invocation_start(&tb_core, tb_bytes_str(tb_settings.runtime_api), tb_bytes_str(tb_settings.concurrency));
    if (tb_region_open(&tb_core, tb_settings.dir[0] ? tb_settings.dir : NULL, &identity, &why)) {
        become_inert("not recording: ", inert_text(why));
        return false;
    }
    debug("recording as service ", tb_core.header->service);
    return true;
}

/*
 * While the region is made descriptors are open for a moment. No signal is let in until they are closed: its handler
 * would see their numbers, and one that jumps away, or a cancellation, would leave them open for good.
 */
bool tb_process_region_slow(bool is_server)
{
    if (tb_load_relaxed(&is_inert) || tb_load_relaxed(&is_filtered) || tb_swap_acq_rel(&region_started, 1))
        return false;
    uint64_t all = ~UINT64_C(0), before = 0; /* the kernel's sigset_t */
    bool is_blocked = TB_RAW4(SYS_rt_sigprocmask, SIG_BLOCK, &all, &before, sizeof(all)) == 0;
    bool is_made = false;
    if (tb_filter_permits())
        is_made = make_region(is_server);
    else
        become_inert("a system call filter kills what a region needs, or no child can be made to try", "");
    if (is_blocked)
        TB_RAW4(SYS_rt_sigprocmask, SIG_SETMASK, &before, 0, sizeof(before));
    return is_made;
}

bool tb_process_region_comes(void)
{
    return tb_load_relaxed(&region_started) && !tb_load_relaxed(&is_inert) && !tb_load_relaxed(&is_filtered);
}

/* ---- system call filters ---- */

void tb_process_before_filter(void)
{
    /* Everything that has a fixed size, and room for cells: about 2 MiB, in programs that lock themselves in only. */
    static const uint32_t wanted[][2] = {
        {TB_OFF_COUNTERS, TB_LEN_COUNTERS}, {TB_OFF_OWNERS, TB_LEN_OWNERS},   {TB_OFF_INFLIGHT, TB_LEN_INFLIGHT},
        {TB_OFF_RULES, TB_LEN_RULES},       {TB_OFF_INDEX, TB_LEN_INDEX},     {TB_OFF_STRINGS, TB_LEN_STRINGS},
        {TB_OFF_SERIES, 64u << 10},         {TB_OFF_LEARNER, TB_LEN_LEARNER},
    };
    bool is_child = tb_load_relaxed(&tb_awake) && tb_process_is_other();
    tb_store_relaxed(&is_others, is_child);
    if (is_child || !tb_load_relaxed(&tb_awake) || !tb_core.base)
        return;
    tb_process_owner();
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
        tb_region_reserve(&tb_core, wanted[i][0], wanted[i][1]);
    uint32_t used = tb_load_relaxed(&tb_core.header->cells_used) & ~(TB_PAGE - 1);
    uint32_t left = used < TB_LEN_CELLS ? TB_LEN_CELLS - used : 0;
    if (left)
        tb_region_reserve(&tb_core, TB_OFF_CELLS + used, left < (256u << 10) ? left : 256u << 10);
}

void tb_process_filtered(void)
{
    if (tb_load_relaxed(&is_others))
        return;
    tb_store_relaxed(&is_filtered, 1);
    tb_clock_use(TB_CLOCK_NONE);
    tb_count(&tb_core, TB_COUNTER_SECCOMP);
    tb_process_unobservable(TB_UNOBSERVABLE_SECCOMP);
}

void tb_process_clock_off(void)
{
    tb_store_relaxed(&is_tsc_off, 1);
    if (!tb_load_relaxed(&is_filtered))
        tb_clock_use(TB_CLOCK_KERNEL);
}

/* ---- fork, exec, exit ---- */

/* Behind a filter a child cannot ask who it is: a number that no process has, which no cleaner takes for dead. */
#define PID_UNKNOWN 0x80000000u

static uint32_t own_pid(void)
{
    long pid = env_syscall(SYS_getpid, 0, 0, 0, 0, 0, 0);
    return pid > 0 ? (uint32_t)pid : PID_UNKNOWN;
}

void tb_process_forked(void)
{
    tb_store_relaxed(tb_fork_word, 1);
    tb_core_forked(&tb_core, own_pid());
    tb_tls_forked();
    if (!tb_core.base)
        tb_store_relaxed(&region_started, 0); /* it was a thread of the parent, which is not here, that makes it */
}

void tb_process_check_birth(void)
{
    tb_process_check_fork();
    if (!tb_load_relaxed(&tb_core.base)) /* nothing to inherit yet */
        return;
    if (TB_UNLIKELY(tb_fork_word == &always_one) && !tb_load_relaxed(&is_filtered) && own_pid() != tb_core.env.pid)
        tb_process_forked();
}

bool tb_process_is_other(void)
{
    tb_process_check_fork();
    if (tb_load_relaxed(&is_filtered) || !tb_load_relaxed(&tb_core.base))
        return false;
    return (uint32_t)TB_RAW0(SYS_getpid) != tb_core.env.pid;
}

static void after_fork_in_child(void)
{
    if (!tb_load_relaxed(&tb_core.base)) {
        tb_store_relaxed(&region_started, 0); /* it was a thread of the parent, which is not here, that makes it */
        tb_tls_forked();
    } else if (tb_fork_word == &always_one) {
        tb_process_forked();
    } else {
        tb_process_check_fork();
    }
    tb_tls_look_alone();
}

void tb_process_after_fork(long ret)
{
    if (!tb_load_relaxed(&tb_awake)) {
        if (ret == 0)
            tb_tls_forked(); /* it may wake up later */
        return;
    }
    if (ret > 0)
        tb_add_relaxed(&tb_core.fork_generation, 1);
    else if (ret == 0)
        after_fork_in_child();
}

void tb_process_before_exec(void)
{
    if (!tb_load_relaxed(&tb_awake) || !tb_core.base || tb_process_is_other())
        return;
    tb_fds_close_all(true);
    tb_awaited_close_all();
    tb_tls_close_all();
    tb_owner_release(&tb_core); /* the next program has the same pid; when exec fails it is claimed anew */
}

void tb_process_before_exit(void)
{
    if (!tb_load_relaxed(&tb_awake) || !tb_core.base || tb_process_is_other())
        return;
    tb_calls_end_all();
    tb_store_relaxed(&is_inert, 1);
    tb_fds_close_all(false);
    tb_awaited_close_all();
    tb_tls_close_all();
    tb_owner_release(&tb_core);
    tb_store_release(&tb_awake, 0);
}

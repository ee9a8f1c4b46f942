/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The clock: clock_gettime of the vDSO that the kernel maps into every process (vdso(7)), found through the auxiliary
 * vector; the system call where there is none. After the program has installed a system call filter neither is used:
 * the vDSO itself falls back to the system call on machines without a usable counter.
 */
#include <time.h>

#include "clock.h"
#include "process.h"
#include "raw.h"
#include "resolve.h"

#if defined(__x86_64__)
#define VDSO_NAME "__vdso_clock_gettime"
#else
#define VDSO_NAME "__kernel_clock_gettime"
#endif

typedef int clock_function(clockid_t, struct timespec *);

static int no_clock(clockid_t id, struct timespec *ret)
{
    (void)id;
    (void)ret;
    return -1;
}

static int kernel_clock(clockid_t id, struct timespec *ret)
{
    return (int)TB_RAW2(SYS_clock_gettime, id, ret);
}

static clock_function *vdso_clock;              /* NULL: there is none */
static clock_function *clock_in_use = no_clock; /* never NULL: one branch less in each read */

void tb_clock_init(void)
{
    unsigned long ehdr = tb_auxval(AT_SYSINFO_EHDR);
    uintptr_t base;
    const ElfW(Dyn) *dyn = ehdr ? tb_elf_dynamic(ehdr, &base) : NULL;
    if (dyn)
        vdso_clock = (clock_function *)tb_elf_symbol(base, dyn, VDSO_NAME);
}

void tb_clock_use(enum tb_clock which)
{
    clock_function *clock = no_clock;
    if (which != TB_CLOCK_NONE)
        clock = which == TB_CLOCK_VDSO && vdso_clock ? vdso_clock : kernel_clock;
    tb_store_relaxed(&clock_in_use, clock);
}

uint64_t tb_clock_monotonic_ns(void)
{
    struct timespec now;
    if (TB_UNLIKELY(tb_load_relaxed(&clock_in_use)(CLOCK_MONOTONIC, &now)))
        return 0;
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

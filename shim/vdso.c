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
static clock_function *vdso_clock;
static clock_function *found_clock;

void tb_clock_init(void)
{
    unsigned long ehdr = tb_auxval(AT_SYSINFO_EHDR);
    uintptr_t base;
    const ElfW(Dyn) *dyn = ehdr ? tb_elf_dynamic(ehdr, &base) : NULL;
    if (dyn)
        found_clock = (clock_function *)tb_elf_symbol(base, dyn, VDSO_NAME);
    tb_store_relaxed(&vdso_clock, found_clock);
}

void tb_clock_no_vdso(int is_forbidden)
{
    tb_store_relaxed(&vdso_clock, is_forbidden ? NULL : found_clock);
}

uint64_t tb_clock_monotonic_ns(void)
{
    struct timespec now;
    clock_function *clock = tb_load_relaxed(&vdso_clock);
    if (TB_LIKELY(clock != NULL)) {
        if (clock(CLOCK_MONOTONIC, &now))
            return 0;
    } else if (tb_core.env.syscall(SYS_clock_gettime, CLOCK_MONOTONIC, (long)&now, 0, 0, 0, 0)) {
        return 0;
    }
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* CLOCK_MONOTONIC without libc. */
#ifndef TB_CLOCK_H
#define TB_CLOCK_H

#include <stdint.h>

#pragma GCC visibility push(hidden)

/* tb_clock_init - looks for the clock in the vDSO; tb_clock_use puts it to use. No system call. */
void tb_clock_init(void);
/* tb_clock_monotonic_ns - now; 0 when no clock may be read. Context: any. */
uint64_t tb_clock_monotonic_ns(void);
/* tb_clock_use - which one to read from now on; the kernel is asked where there is no vDSO. */
enum tb_clock { TB_CLOCK_VDSO, TB_CLOCK_KERNEL, TB_CLOCK_NONE };
void tb_clock_use(enum tb_clock which);

#pragma GCC visibility pop
#endif

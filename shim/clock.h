/* SPDX-License-Identifier: Apache-2.0 */
/* CLOCK_MONOTONIC without libc. */
#ifndef TB_CLOCK_H
#define TB_CLOCK_H

#include <stdint.h>

#pragma GCC visibility push(hidden)

/* tb_clock_init - looks for the clock in the vDSO. No system call. */
void tb_clock_init(void);
/* tb_clock_monotonic_ns - now; 0 when no clock may be read. Context: any. */
uint64_t tb_clock_monotonic_ns(void);
/* tb_clock_no_vdso - from now on ask the kernel. */
void tb_clock_no_vdso(int is_forbidden);

#pragma GCC visibility pop
#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Which boot of which machine this is, and whether a process that a region names is still the one it meant. */
#ifndef TB_BOOT_H
#define TB_BOOT_H

#include <stdbool.h>
#include <stdint.h>

/* tb_boot_id - the kernel's boot id; 16 zero bytes when procfs cannot be read. */
void tb_boot_id(uint8_t ret[16]);

/* tb_pidns_inode - of this process's pid namespace, 0 = unknown. */
uint64_t tb_pidns_inode(void);

uint64_t tb_clock_ns(int clock_id);

/* tb_process_started_ns - when @pid started, on CLOCK_BOOTTIME, to a clock tick; 0 = not there or unknown, UINT64_MAX =
 * a zombie, which answers no request. With the pid it names a process: numbers are used again. */
uint64_t tb_process_started_ns(uint32_t pid);

/*
 * tb_process_is_alive - does @pid (of this pid namespace) exist, and did it start before it claimed its slot?
 * @claimed_ns  CLOCK_MONOTONIC; a process that started later has the number by reuse
 */
bool tb_process_is_alive(uint32_t pid, uint64_t claimed_ns);

/* tb_process_may_have - could a process that started then (CLOCK_BOOTTIME) have claimed its slot at that time? */
bool tb_process_may_have(uint64_t start_ns, uint64_t claimed_ns);

#endif

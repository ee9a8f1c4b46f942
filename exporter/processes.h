/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Processes that regions name, known from one collection to the next by a descriptor each (pidfd): one poll tells which
 * of them are gone, where procfs would be read for each. A descriptor means one process, also when its number is used
 * again. One thread at a time.
 */
#ifndef TB_PROCESSES_H
#define TB_PROCESSES_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TB_PROCESSES 2048u /* places; two whose numbers meet in one share it, and only the first is known */

struct tb_processes {
    struct pollfd fds[TB_PROCESSES]; /* fd -1: an empty place */
    struct {
        uint32_t pid;
        bool is_asked;     /* since the last look */
        uint64_t start_ns; /* CLOCK_BOOTTIME */
    } of[TB_PROCESSES];
    size_t count, max; /* descriptors; max 0 = nothing is remembered */
};

/* tb_processes_new - at most @max descriptors. */
struct tb_processes *tb_processes_new(size_t max);
void tb_processes_free(struct tb_processes *p); /* may be NULL */

/* tb_processes_look - forgets those that ended, and those that nobody asked for since the last look. */
void tb_processes_look(struct tb_processes *p);

/* tb_processes_let_go - closes all; half as many from now on. Returns whether there were any. */
bool tb_processes_let_go(struct tb_processes *p);

/*
 * tb_processes_is_alive - tb_process_is_alive (boot.h), as of the last look for a process that is known.
 * @p  may be NULL
 */
bool tb_processes_is_alive(struct tb_processes *p, uint32_t pid, uint64_t claimed_ns);

#endif

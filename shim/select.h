/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Is this process observed? Asked in the constructor, before anything else: TICKBIRD_INCLUDE and TICKBIRD_EXCLUDE, and
 * the select file that an administrator writes for a whole machine (agent/select.h has the rules). A process that is
 * left out stays asleep for good. A program that replaces this one decides for itself.
 */
#ifndef TB_SHIM_SELECT_H
#define TB_SHIM_SELECT_H

#include <stdbool.h>

#pragma GCC visibility push(hidden)

/*
 * tb_select_start - in the constructor, after the settings were read. One failed openat where there is no select file,
 * else four system calls (openat, fstat, read, close). Returns false when this process is left out.
 */
bool tb_select_start(void);

/*
 * tb_select_finish - before the process wakes up. One readlinkat, only when rules about executables are left that the
 * name did not answer; asking only then keeps it out of the start of programs that never show a socket. Returns false
 * when this process is left out. Two threads may ask at once: the answer is the same.
 */
bool tb_select_finish(void);

/*
 * tb_select_keep_code - do the rules say that this process's code is not to be changed? One readlinkat where there are
 * rules. In the constructor, of a process that is observed.
 */
bool tb_select_keep_code(void);

/* tb_select_reason - why, in a few words, for TICKBIRD_DEBUG. */
const char *tb_select_reason(void);

#pragma GCC visibility pop
#endif

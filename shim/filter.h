/* SPDX-License-Identifier: Apache-2.0 */
/* A system call filter that was there before the program: every container has one, some kill. */
#ifndef TB_FILTER_H
#define TB_FILTER_H

#include <stdbool.h>

#pragma GCC visibility push(hidden)

/*
 * tb_filter_permits - may this process make the agent's own system calls? True at once where no filter is in force (3
 * calls, all of them the loader's); else they are tried in a child that is thrown away. Asked once; the answer is kept.
 */
bool tb_filter_permits(void);

/* tb_filter_permits_code - the same for the calls that change the program's code. Not kept: asked once, at the start.
 */
bool tb_filter_permits_code(void);

/* tb_filter_fstat - fstat by the system call that the loader of this libc has just used. Returns 0 or -errno. */
struct stat;
long tb_filter_fstat(int fd, struct stat *ret);

/*
 * tb_filter_is_alone - has this process one thread? False also when that cannot be told. Three system calls of kinds
 * that the loader has just made and, in between, a descriptor: with signals blocked, or in the constructor.
 */
bool tb_filter_is_alone(void);

#pragma GCC visibility pop
#endif

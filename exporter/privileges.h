/* SPDX-License-Identifier: Apache-2.0 */
/* Giving up what the exporter does not need, once everything that needs it is open. */
#ifndef TB_PRIVILEGES_H
#define TB_PRIVILEGES_H

#include <stdbool.h>

/*
 * tb_privileges_directory - as root, before the user is changed: make @path, when it is missing, and give it to @user.
 * One that exists is left as it is. Returns 0 or -errno.
 */
int tb_privileges_directory(const char *path, const char *user);

/*
 * tb_privileges_become - go on as @user (a name or a number) with its groups, for good.
 * @ret_error  on failure `what: why: what to do`, the caller's to free; the caller must not go on then
 * Returns 0 or -errno.
 */
int tb_privileges_become(const char *user, char **ret_error);

/*
 * tb_privileges_limit - no new privileges from now on; with a filter, no system calls that change the machine, look
 * into other processes, or start a program or process (EPERM). Returns 0, or -errno when the kernel has no such filter:
 * nothing is wrong then, but less is held back.
 */
int tb_privileges_limit(bool has_filter);

#endif

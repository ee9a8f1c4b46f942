/* SPDX-License-Identifier: Apache-2.0 */
/* Passwords and tokens that stand in files of their own. Any thread. */
#ifndef TB_SECRET_H
#define TB_SECRET_H

#include <stddef.h>

/*
 * tb_secret_read - a file of at most 64 KiB, without line ends behind it.
 * @why  @why_size bytes: what is wrong, when something is
 * Returns the text, the caller's, or NULL.
 */
char *tb_secret_read(const char *path, char *why, size_t why_size);

#endif

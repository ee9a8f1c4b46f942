/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a system's loader takes an object without a word: tried with a program of that system. */
#ifndef TB_TRIAL_H
#define TB_TRIAL_H

#include <stddef.h>

/*
 * tb_trial_preload - starts a program that does nothing below @root ("" = this system), as it is and with
 * LD_PRELOAD=@line.
 *
 * @ret_said  what it or its loader printed, or why it cannot be tried; terminated
 *
 * Returns 0 when it ended well and printed the same (nothing, as a rule), -EIO when not, -ENOEXEC when no program of
 * the system would take anything from /etc/ld.so.preload (statically linked, musl), another -errno when no trial could
 * be made.
 */
int tb_trial_preload(const char *root, const char *line, char *ret_said, size_t size);

#endif

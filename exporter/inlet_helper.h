/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The process that starts the commands of inlets, since the exporter itself may start none (privileges.h). It is made
 * before rights end, as the same user; it knows the commands of then, and is told numbers of them alone: neither a
 * changed configuration nor whoever has taken the exporter over can have anything else started. It ends with the
 * exporter, as does what it started.
 *
 * For each run it has a process of its own, which waits for the command, keeps the start of its output, and ends its
 * process group: when the command is over, writes too much, or nobody waits for it any more.
 */
#ifndef TB_INLET_HELPER_H
#define TB_INLET_HELPER_H

#include <stddef.h>
#include <stdint.h>

#include "inlet_config.h"

#define TB_HELPER_OUTPUT_MAX ((size_t)256 << 10) /* bytes of a command's output */

struct tb_helper;

/* tb_helper_start - @configs: those of inlets with a command, copied. To be called before there is a thread. Returns
 * NULL with errno when there can be no such process. */
struct tb_helper *tb_helper_start(struct tb_pull_config *const *configs, size_t count);
/* tb_helper_stop - NULL does nothing. */
void tb_helper_stop(struct tb_helper *h);

/* tb_helper_find - the number of an inlet's command; -1: it had none then, or another, or @h is NULL. */
int tb_helper_find(const struct tb_helper *h, const struct tb_pull_config *c);

/*
 * tb_helper_run - start a command, unless it runs. One thread at a time.
 * Returns a descriptor, not blocking, the caller's: struct tb_helper_end and the output can be read from it when the
 * command is over; closing it before ends the command. Or -errno.
 */
int tb_helper_run(struct tb_helper *h, int number);

enum tb_helper_how {
    TB_HELPER_EXITED,    /* value: its status */
    TB_HELPER_KILLED,    /* value: the signal */
    TB_HELPER_TOO_MUCH,  /* it wrote more than TB_HELPER_OUTPUT_MAX */
    TB_HELPER_NO_PROGRAM /* value: errno */
};

/* How a run ended; behind it comes the output, @len bytes. */
struct tb_helper_end {
    uint32_t how;
    int32_t value;
    uint64_t len;
};

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* What the process does that starts commands. Part of inlet_helper.c. */
#ifndef TB_INLET_HELPER_MAIN_H
#define TB_INLET_HELPER_MAIN_H

#include <sys/types.h>

#include "inlet_config.h"

struct tb_helper_commands {
    char *names[TB_INLETS_MAX]; /* of their inlets; owned */
    char **argv[TB_INLETS_MAX]; /* each ended by NULL; owned */
    size_t count;
};

/* tb_helper_main - in the new process, whose parent is @exporter: takes numbers of commands from @socket, each with a
 * descriptor for its output, until the other end is closed. */
void tb_helper_main(const struct tb_helper_commands *c, int socket, pid_t exporter) __attribute__((noreturn));

#endif

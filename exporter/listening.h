/* SPDX-License-Identifier: Apache-2.0 */
/* Who listens on TCP: the socket tables of /proc, read once for each network namespace and not for each process. */
#ifndef TB_LISTENING_H
#define TB_LISTENING_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct tb_listening;

/* tb_listening_new - tables are read when first needed, and not again. */
struct tb_listening *tb_listening_new(void);

/* tb_listening_of - how many listening TCP sockets @pid holds; 0 also when this user may not look. */
size_t tb_listening_of(struct tb_listening *all, pid_t pid, bool *ret_has_uring);

/* tb_listening_free - @ret_hidden (may be NULL): listening sockets that no process asked for holds. */
void tb_listening_free(struct tb_listening *all, size_t *ret_hidden);

#endif

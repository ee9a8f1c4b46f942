/* SPDX-License-Identifier: Apache-2.0 */
/* Which sockets a process holds and which of them listen, from /proc. */
#ifndef TB_SOCKETS_H
#define TB_SOCKETS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Socket inodes, ascending after tb_inodes_sort. @inodes is the caller's to free. */
struct tb_inodes {
    unsigned long *inodes;
    size_t count;
};

/* tb_sockets_of - the sockets among the descriptors of @pid. Returns 0 or -errno (-EACCES: no right to look). */
int tb_sockets_of(pid_t pid, struct tb_inodes *ret_inodes, bool *ret_has_uring);

/* tb_sockets_listening - the listening TCP (and Unix stream) sockets of the network namespace of @pid. */
void tb_sockets_listening(pid_t pid, bool with_unix, struct tb_inodes *ret_inodes);

/* tb_inodes_common - how many are in both; both as returned above. */
size_t tb_inodes_common(const struct tb_inodes *a, const struct tb_inodes *b);

#endif

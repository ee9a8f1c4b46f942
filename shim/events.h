/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From hook arguments to the core: bytes received and sent, descriptors born, joined and closed. Called by the wrappers
 * with the result of the real call; nothing here changes errno, blocks, allocates from the host or calls libc.
 * Context: any thread, signal handlers, vfork children.
 *
 * @word is the descriptor's word (fdtable.h) from before the real call: when another identity stands there afterwards,
 * the number was closed and reused while the call waited, and its bytes belong to nobody.
 */
#ifndef TB_EVENTS_H
#define TB_EVENTS_H

#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "fdtable.h"
#include "process.h"

/* @ret bytes crossed, of a buffer of @len bytes; 0 with a non-empty buffer is the end when receiving. @flags: MSG_*. */
void tb_on_rx(int fd, uint64_t word, const void *buf, ssize_t ret, size_t len, int flags);
void tb_on_tx(int fd, uint64_t word, const void *buf, ssize_t ret, int flags);
void tb_on_rxv(int fd, uint64_t word, const struct iovec *iov, size_t count, ssize_t ret);
void tb_on_txv(int fd, uint64_t word, const struct iovec *iov, size_t count, ssize_t ret);
void tb_on_rxmsg(int fd, uint64_t word, const struct msghdr *msg, ssize_t ret, int flags);
void tb_on_txmsg(int fd, uint64_t word, const struct msghdr *msg, ssize_t ret, int flags);
void tb_on_rxmmsg(int fd, uint64_t word, const struct mmsghdr *vec, long ret, int flags);
void tb_on_txmmsg(int fd, uint64_t word, const struct mmsghdr *vec, long ret, int flags);
/* Bytes that only the kernel saw: sendfile, splice. */
void tb_on_tx_length(int fd, uint64_t word, ssize_t ret);
void tb_on_splice(int from, uint64_t from_word, int to, uint64_t to_word, ssize_t ret, size_t len);

void tb_on_socket(int fd, int domain, int type);
void tb_on_accept(int listener, int fd);
void tb_on_listen(int fd, int ret);
void tb_on_connect(int fd, int ret);
void tb_on_shutdown(int fd, int how, int ret);
void tb_on_dup(int from, int to);
void tb_on_close(int fd, uint64_t word);
void tb_on_close_range(unsigned first, unsigned last, unsigned flags);

/* tb_fds_close_all - every stream ends for this process: at exit, or at exec (then only those that do not survive it).
 */
void tb_fds_close_all(bool is_exec);

#endif

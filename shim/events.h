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

#pragma GCC visibility push(hidden)

/* The uncommon cases of tb_io: anything but a connection whose word is as it was; a failed call; nothing left to count.
 */
void tb_io_slow(int fd, uint64_t before, enum tb_direction direction, const struct tb_bytes *ranges, size_t count,
                size_t total);
void tb_io_failed(int fd, uint64_t before);
void tb_io_done(int fd, uint64_t word);

/* tb_io - @total bytes crossed, in @count ranges; 0 received is the end. Inline: it is in the path of every request. */
static inline void tb_io(int fd, uint64_t word, enum tb_direction direction, const struct tb_bytes *ranges,
                         size_t count, size_t total)
{
    if (TB_UNLIKELY((word & (TB_FD_STATE | TB_FD_CLIENT)) != TB_FD_CONN || tb_load_relaxed(tb_fd_slot(fd)) != word ||
                    !tb_load_relaxed(tb_fork_word))) {
        tb_io_slow(fd, word, direction, ranges, count, total);
        return;
    }
    struct tb_conn *conn = tb_fd_conn(word);
    tb_exchange_io(&tb_core, conn, direction, ranges, count, total);
    if (TB_UNLIKELY(tb_exchange_is_done(conn)))
        tb_io_done(fd, word);
}

/* @ret bytes crossed, of a buffer of @len bytes; 0 with a non-empty buffer is the end when receiving. @flags: MSG_*. */
static inline void tb_on_rx(int fd, uint64_t word, const void *buf, ssize_t ret, size_t len, int flags)
{
    if (TB_UNLIKELY(flags & (MSG_PEEK | MSG_OOB | MSG_ERRQUEUE | MSG_TRUNC))) {
        if (flags & (MSG_PEEK | MSG_OOB | MSG_ERRQUEUE))
            return;
        buf = NULL; /* MSG_TRUNC on a stream: the bytes were thrown away */
    }
    struct tb_bytes range = {buf, (size_t)ret};
    if (TB_UNLIKELY(ret < 0))
        tb_io_failed(fd, word);
    else if (TB_LIKELY(ret > 0) || len)
        tb_io(fd, word, TB_RECEIVED, &range, 1, (size_t)ret);
}

static inline void tb_on_tx(int fd, uint64_t word, const void *buf, ssize_t ret, int flags)
{
    struct tb_bytes range = {buf, (size_t)ret};
    if (TB_UNLIKELY(flags & MSG_OOB))
        return;
    if (TB_LIKELY(ret > 0))
        tb_io(fd, word, TB_SENT, &range, 1, (size_t)ret);
    else if (ret < 0)
        tb_io_failed(fd, word);
}

/* Bytes that only the kernel saw: sendfile, splice. */
static inline void tb_on_tx_length(int fd, uint64_t word, ssize_t ret)
{
    tb_on_tx(fd, word, NULL, ret, 0);
}

/* Is there room in a vector? An empty one is read with 0 bytes, which is no end. */
static inline bool tb_has_room(const struct iovec *iov, size_t count)
{
    while (count && !iov->iov_len)
        iov++, count--;
    return count != 0;
}

/* A struct iovec is a list of ranges (asserted in events.c). */
static inline void tb_on_rxv(int fd, uint64_t word, const struct iovec *iov, size_t count, ssize_t ret)
{
    if (TB_UNLIKELY(ret < 0))
        tb_io_failed(fd, word);
    else if (TB_LIKELY(ret > 0) || tb_has_room(iov, count))
        tb_io(fd, word, TB_RECEIVED, (const struct tb_bytes *)iov, count, (size_t)ret);
}

static inline void tb_on_txv(int fd, uint64_t word, const struct iovec *iov, size_t count, ssize_t ret)
{
    if (TB_LIKELY(ret > 0))
        tb_io(fd, word, TB_SENT, (const struct tb_bytes *)iov, count, (size_t)ret);
    else if (ret < 0)
        tb_io_failed(fd, word);
}

void tb_on_rxmsg(int fd, uint64_t word, const struct msghdr *msg, ssize_t ret, int flags);
void tb_on_txmsg(int fd, uint64_t word, const struct msghdr *msg, ssize_t ret, int flags);
void tb_on_rxmmsg(int fd, uint64_t word, const struct mmsghdr *vec, long ret, int flags);
void tb_on_txmmsg(int fd, uint64_t word, const struct mmsghdr *vec, long ret, int flags);
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

#pragma GCC visibility pop
#endif

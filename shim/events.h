/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From hook arguments to the core: bytes received and sent, descriptors born, joined and closed. Called by the wrappers
 * with the result of the real call; nothing here changes errno, blocks, allocates from the host or calls libc.
 * Context: any thread, signal handlers, vfork children.
 *
 * @at and @before are what stood for the descriptor (its word, fdtable.h) before the real call: when another identity
 * stands there afterwards, the number was closed and reused while the call waited, and its bytes belong to nobody.
 */
#ifndef TB_EVENTS_H
#define TB_EVENTS_H

#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "fdtable.h"
#include "process.h"

#pragma GCC visibility push(hidden)

/* What stood for a descriptor before the real call. */
struct tb_at {
    int fd;
    const uint64_t *slot; /* NULL: nothing was ever known of it */
    uint64_t word;
};

static inline struct tb_at tb_at(int fd)
{
    const uint64_t *slot = tb_fd_slot(fd);
    return (struct tb_at){fd, slot, TB_LIKELY(slot != NULL) ? tb_load_acquire(slot) : 0};
}

/* Bytes crossed, or the end was received (@total 0), in whatever situation. */
void tb_io(int fd, uint64_t before, enum tb_direction direction, const struct tb_bytes *ranges, size_t count,
           size_t total);
/* A call that was to move bytes in @direction failed (errno). */
void tb_io_failed(int fd, uint64_t before, enum tb_direction direction);
/* The rare results and flags of the functions below. */
void tb_rx_odd(int fd, uint64_t before, const void *buf, ssize_t ret, size_t len, int flags);
void tb_tx_odd(int fd, uint64_t before, const void *buf, ssize_t ret, int flags);

/* The common case, inline because it is in the path of every request: a connection whose word is as it was, in a
 * process that did not just fork. */
static inline bool tb_is_settled(struct tb_at at)
{
    return TB_LIKELY((at.word & (TB_FD_STATE | TB_FD_CLIENT)) == TB_FD_CONN) &&
           TB_LIKELY(tb_load_relaxed(at.slot) == at.word) && TB_LIKELY(tb_load_relaxed(tb_fork_word) != 0);
}

#define TB_ODD_FLAGS (MSG_PEEK | MSG_OOB | MSG_ERRQUEUE | MSG_TRUNC)

/* @ret bytes crossed, of a buffer of @len bytes; 0 with a non-empty buffer is the end when receiving. @flags: MSG_*. */
static inline void tb_on_rx(struct tb_at at, const void *buf, ssize_t ret, size_t len, int flags)
{
    if (TB_LIKELY(ret > 0) && TB_LIKELY(!(flags & TB_ODD_FLAGS)) && tb_is_settled(at) &&
        TB_LIKELY(tb_exchange_rx(&tb_core, tb_fd_conn(at.word), buf, (size_t)ret)))
        return;
    tb_rx_odd(at.fd, at.word, buf, ret, len, flags);
}

static inline void tb_on_tx(struct tb_at at, const void *buf, ssize_t ret, int flags)
{
    if (TB_LIKELY(ret > 0) && TB_LIKELY(!(flags & MSG_OOB)) && tb_is_settled(at) &&
        TB_LIKELY(tb_exchange_tx(&tb_core, tb_fd_conn(at.word), buf, (size_t)ret)))
        return;
    tb_tx_odd(at.fd, at.word, buf, ret, flags);
}

/* Bytes that only the kernel saw: sendfile, splice. */
static inline void tb_on_tx_length(struct tb_at at, ssize_t ret)
{
    if (TB_LIKELY(ret > 0) && tb_is_settled(at) &&
        TB_LIKELY(tb_exchange_tx_length(&tb_core, tb_fd_conn(at.word), (size_t)ret)))
        return;
    tb_tx_odd(at.fd, at.word, NULL, ret, 0);
}

/* Is there room in a vector? An empty one is read with 0 bytes, which is no end. */
static inline bool tb_has_room(const struct iovec *iov, size_t count)
{
    while (count && !iov->iov_len)
        iov++, count--;
    return count != 0;
}

/* A struct iovec is a list of ranges (asserted in events.c). */
static inline void tb_on_rxv(struct tb_at at, const struct iovec *iov, size_t count, ssize_t ret)
{
    if (TB_UNLIKELY(ret < 0)) {
        tb_io_failed(at.fd, at.word, TB_RECEIVED);
    } else if (TB_LIKELY(ret > 0) || tb_has_room(iov, count)) {
        if (ret > 0 && iov->iov_len >= (size_t)ret && tb_is_settled(at) &&
            TB_LIKELY(tb_exchange_rx(&tb_core, tb_fd_conn(at.word), iov->iov_base, (size_t)ret)))
            return;
        tb_io(at.fd, at.word, TB_RECEIVED, (const struct tb_bytes *)iov, count, (size_t)ret);
    }
}

static inline void tb_on_txv(struct tb_at at, const struct iovec *iov, size_t count, ssize_t ret)
{
    if (TB_LIKELY(ret > 0)) {
        if (iov->iov_len >= (size_t)ret && tb_is_settled(at) &&
            TB_LIKELY(tb_exchange_tx(&tb_core, tb_fd_conn(at.word), iov->iov_base, (size_t)ret)))
            return;
        tb_io(at.fd, at.word, TB_SENT, (const struct tb_bytes *)iov, count, (size_t)ret);
    } else if (ret < 0) {
        tb_io_failed(at.fd, at.word, TB_SENT);
    }
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
#define TB_CLOSE_FROM                                                                                                  \
    (1u << 31) /* among close_range's flags: closefrom, which finds another way when there is no such call */
void tb_on_close_range(unsigned first, unsigned last, unsigned flags);

/* tb_fds_close_all - every stream ends for this process: at exit, or at exec (then only those that do not survive it).
 */
void tb_fds_close_all(bool is_exec);

#pragma GCC visibility pop
#endif

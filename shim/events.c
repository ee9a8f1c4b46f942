/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What descriptors do, told to the core (events.h). Three parts: identities (birth, promotion to a connection, close),
 * bytes (one function, io(), that all receiving and sending hooks end in), and whole-table walks.
 *
 * An identity is taken up when it is certain to matter: an accepted socket at its first bytes, a socket made by the
 * program, or a number of unseen birth, only when its first bytes look like HTTP. pipe(), open() and socketpair() are
 * not hooked: what they make is unknown, and a few looks later ignored.
 */
#include "events.h"

#include "awaited.h"
#include "calls.h"
#include "raw.h"
#include "resolve.h"
#include "streams.h"
#include "tls_slots.h"

#include <errno.h>
#include <stddef.h>
#include <sys/stat.h>

_Static_assert(sizeof(struct tb_bytes) == sizeof(struct iovec) && offsetof(struct iovec, iov_base) == 0 &&
                   offsetof(struct iovec, iov_len) == offsetof(struct tb_bytes, len),
               "an iovec is a list of ranges");

/* Looks at a number of unseen birth that were not HTTP, after which it is ignored until a birth. */
#define LOOKS_MAX 8u
#define NO_FLAGS 0

/* ---- identities ---- */

static void count_no_state(void)
{
    tb_count(&tb_core, TB_COUNTER_GIVEUP_NO_STATE);
}

/* Ends the stream of a word that was taken out of the table. */
static void end_conn(uint64_t word, enum tb_close_how how)
{
    struct tb_conn *conn = tb_fd_conn(word);
    if (tb_exchange_close(&tb_core, conn, word & TB_FD_SHARED ? TB_CLOSE_FORGET : how))
        tb_conn_free(conn); /* else a thread is inside it, and its memory is given up */
}

/* Takes the identity at @slot out of the table. A connection that has another number only loses this one. */
static void end_identity(int fd, uint64_t *slot, enum tb_close_how how)
{
    uint64_t word = tb_load_acquire(slot);
    if (how == TB_CLOSE_LOCAL && tb_fd_state(word) == TB_FD_CONN && !(word & (TB_FD_DUP | TB_FD_SHARED)) &&
        TB_UNLIKELY(tb_exchange_is_awaited(tb_fd_conn(word))) && tb_awaited_keep(fd, slot, word))
        return;
    do {
        if (!word)
            return;
    } while (!tb_cas_acq_rel(slot, &word, 0));
    if (TB_UNLIKELY(word & TB_FD_CLIENT))
        tb_calls_closed(fd, word);
    if (tb_fd_state(word) == TB_FD_CONN && (!(word & TB_FD_DUP) || !tb_fd_has_other(slot, tb_fd_conn(word))))
        end_conn(word, how);
}

/* A new identity for @fd: whatever stood there is over, seen or not. */
static void birth(int fd, uint64_t state_and_flags)
{
    uint64_t *slot = tb_fd_slot_make(fd);
    if (!slot) {
        if (tb_fd_state(state_and_flags) == TB_FD_BORN)
            count_no_state();
        return;
    }
    uint64_t before = tb_load_relaxed(slot);
    if (TB_UNLIKELY(tb_fd_state(before) == TB_FD_CONN || before & TB_FD_CLIENT))
        end_identity(fd, slot, TB_CLOSE_LOCAL);
    tb_store_release(slot, state_and_flags | tb_fd_new_birth());
}

/*
 * From born to connection, as whatever is known of its role (enum tb_role); of a socket that the program made it is
 * known once that is proven to be HTTP. Returns the word, or 0 when there is no state to be had (then it is ignored).
 * @is_answer: to a request of this process, whose thread may be making the region in order to note it.
 */
static uint64_t promote(int fd, uint64_t *slot, uint64_t word, uint8_t role, bool is_answer)
{
    const uint64_t before = word, proven = role ? word & TB_FD_CLIENT : 0, rest = word & ~(TB_FD_STATE | proven);
    bool is_possible = tb_process_region(false) || (is_answer && tb_process_region_comes());
    struct tb_conn *conn = is_possible ? tb_conn_alloc() : NULL;
    if (!conn) {
        count_no_state();
        tb_cas_acq_rel(slot, &word, rest | TB_FD_IGNORED);
        return 0;
    }
    tb_process_owner();
    tb_conn_open_as(conn, role);
    if (proven) /* before others can find it */
        tb_calls_carries(fd, word, conn, false);
    uint64_t next = rest | TB_FD_CONN | (uintptr_t)conn;
    if (tb_cas_acq_rel(slot, &word, next))
        return next;
    if (proven)
        tb_attempt_forget(&tb_core, conn);
    tb_conn_free(conn); /* another thread was faster, or it was closed */
    return tb_fd_state(word) == TB_FD_CONN && tb_fd_same_birth(word, before) ? word : 0;
}

/* Is it a stream socket? One system call for each descriptor of unseen birth whose bytes look like HTTP. */
static bool is_stream(int fd)
{
    int type = 0;
    socklen_t len = sizeof(type);
    return tb_core.env.syscall(SYS_getsockopt, fd, SOL_SOCKET, SO_TYPE, (long)&type, (long)&len, 0) == 0 &&
           type == SOCK_STREAM;
}

/* The first range that is not empty, as far as bytes crossed. */
static struct tb_bytes first_of(const struct tb_bytes *ranges, size_t count, size_t total)
{
    while (count && !ranges->len)
        ranges++, count--;
    if (!count || !total || !ranges->ptr)
        return tb_bytes(NULL, 0);
    return tb_bytes(ranges->ptr, ranges->len < total ? ranges->len : total);
}

/* A handshake record of TLS (RFC 8446, section 5.1) */
static bool is_handshake(const struct tb_bytes *ranges, size_t count, size_t total)
{
    return count && total >= 2 && ranges->len >= 2 && ranges->ptr && ranges->ptr[0] == 0x16 && ranges->ptr[1] == 3;
}

/* Bytes on a number of unseen birth. Returns its word when it was taken up now. */
static uint64_t take_up(int fd, const struct tb_bytes *ranges, size_t count, size_t total)
{
    bool is_http = tb_exchange_looks_http(first_of(ranges, count, total));
    uint64_t *slot = tb_fd_slot_make(fd);
    if (!slot || !total)
        return 0;
    uint64_t word = tb_load_acquire(slot);
    if (tb_fd_state(word) != TB_FD_UNKNOWN)
        return 0;
    if (!is_http) {
        uint64_t looks = (word >> TB_FD_BIRTH_SHIFT) + 1;
        tb_cas_acq_rel(slot, &word, looks < LOOKS_MAX ? looks << TB_FD_BIRTH_SHIFT : TB_FD_IGNORED);
        return 0;
    }
    if (!is_stream(fd)) {
        tb_cas_acq_rel(slot, &word, TB_FD_IGNORED);
        return 0;
    }
    uint64_t next = TB_FD_BORN | TB_FD_UNSEEN | tb_fd_new_birth();
    return tb_cas_acq_rel(slot, &word, next) ? next : 0;
}

/* ---- bytes ---- */

/* Nothing will be counted on this stream any more: free its memory, pass through from now on. */
static void io_done(int fd, uint64_t word)
{
    uint64_t *slot = tb_fd_slot(fd);
    if (slot && !(word & TB_FD_DUP) && tb_cas_acq_rel(slot, &word, TB_FD_IGNORED | (word & TB_FD_BIRTH_MASK)))
        end_conn(word, TB_CLOSE_FORGET);
}

static uint64_t inode_of(int fd)
{
    struct stat st;
    return tb_core.env.syscall(SYS_fstat, fd, (long)&st, 0, 0, 0, 0) == 0 && S_ISSOCK(st.st_mode) ? st.st_ino : 0;
}

/* A program started by a super-server reads the request on fd 0 and answers on fd 1: numbers of one socket share a
 * stream. */
static void join_standard(int fd)
{
    uint64_t inode = inode_of(fd);
    for (int other = 0; inode && other <= 2; other++)
        if (other != fd && tb_fd_word(other) == 0 && inode_of(other) == inode)
            tb_on_dup(fd, other);
}

/* First bytes of a socket that the program made itself: followed only when they look like HTTP. Returns the word, of a
 * connection, or 0. */
static uint64_t prove_made(int fd, uint64_t *slot, uint64_t word, enum tb_direction direction, struct tb_bytes first,
                           bool is_tls)
{
    bool is_http = tb_exchange_looks_http(first), is_born = tb_fd_state(word) == TB_FD_BORN;
    if (is_http && is_born) {
        uint8_t role = tb_exchange_role_of_made(direction, first);
        return promote(fd, slot, word, role, direction == TB_RECEIVED && role == TB_ROLE_CLIENT);
    }
    if (is_http) { /* a connection because it has two numbers */
        tb_calls_carries(fd, word, tb_fd_conn(word), false);
        uint64_t next = word & ~TB_FD_CLIENT;
        return tb_cas_acq_rel(slot, &word, next) ? next : 0;
    }
    if (!is_born)
        return 0;
    tb_calls_carries(fd, word, NULL, is_tls);
    tb_cas_acq_rel(slot, &word, TB_FD_IGNORED | (word & TB_FD_BIRTH_MASK) | (is_tls ? TB_FD_CLIENT : 0));
    return 0;
}

/* Returns the word of a connection, or 0 when there is nothing to do. */
static uint64_t reach_conn(int fd, uint64_t before, enum tb_direction direction, const struct tb_bytes *ranges,
                           size_t count, size_t total)
{
    uint64_t word = tb_fd_word(fd);
    bool is_tls = tb_fd_state(word) != TB_FD_CONN && is_handshake(ranges, count, total);
    if (is_tls)
        tb_tls_noticed(); /* whose library decrypts it? */
    if (tb_fd_state(before) == TB_FD_UNKNOWN) {
        if (tb_fd_state(word) == TB_FD_UNKNOWN)
            word = take_up(fd, ranges, count, total);
        else if (!(word & TB_FD_UNSEEN))
            return 0;
    } else if (!tb_fd_same_birth(before, word)) {
        return 0;
    }
    if (!word || tb_fd_state(word) == TB_FD_IGNORED)
        return 0;
    uint64_t *slot = tb_fd_slot(fd);
    if (word & TB_FD_CLIENT)
        word = total ? prove_made(fd, slot, word, direction, first_of(ranges, count, total), is_tls) : 0;
    else if (tb_fd_state(word) == TB_FD_BORN)
        word = total ? promote(fd, slot, word, TB_ROLE_UNKNOWN, false) : 0;
    if (word & TB_FD_UNSEEN && fd <= 2 && !(word & TB_FD_DUP)) {
        join_standard(fd);
        word = tb_load_acquire(slot);
    }
    return tb_fd_state(word) == TB_FD_CONN ? word : 0;
}

void tb_io(int fd, uint64_t before, enum tb_direction direction, const struct tb_bytes *ranges, size_t count,
           size_t total)
{
    struct tb_at at = {fd, tb_fd_slot(fd), before};
    uint64_t word = before;
    if (!tb_is_settled(at)) {
        tb_process_check_fork();
        word = reach_conn(fd, before, direction, ranges, count, total);
        if (!word && direction == TB_SENT && !tb_fd_same_birth(before, tb_fd_word(fd)))
            tb_awaited_sent(fd, before, ranges, count, total);
        if (!word)
            return;
    }
    struct tb_conn *conn = tb_fd_conn(word);
    if (TB_UNLIKELY(!tb_load_acquire(&tb_core.base))) {
        if (direction == TB_RECEIVED)
            tb_exchange_early(&tb_core, conn, ranges, count, total);
        return;
    }
    tb_exchange_io_selected(&tb_core, conn, direction, ranges, count, total);
    if (TB_UNLIKELY(tb_exchange_is_client(conn)) && is_handshake(ranges, count, total))
        tb_tls_look(); /* in the tunnel of a CONNECT */
    if (TB_UNLIKELY(tb_exchange_is_done(conn)))
        io_done(fd, word);
}

void tb_rx_odd(int fd, uint64_t before, const void *buf, ssize_t ret, size_t len, int flags)
{
    if (flags & (MSG_PEEK | MSG_OOB | MSG_ERRQUEUE))
        return;
    /* MSG_TRUNC on a stream: the bytes were thrown away */
    struct tb_bytes range = {flags & MSG_TRUNC ? NULL : buf, (size_t)ret};
    if (ret < 0)
        tb_io_failed(fd, before, TB_RECEIVED);
    else if (ret > 0 || len)
        tb_io(fd, before, TB_RECEIVED, &range, 1, (size_t)ret);
}

void tb_tx_odd(int fd, uint64_t before, const void *buf, ssize_t ret, int flags)
{
    struct tb_bytes range = {buf, (size_t)ret};
    if (flags & MSG_OOB)
        return;
    if (ret > 0)
        tb_io(fd, before, TB_SENT, &range, 1, (size_t)ret);
    else if (ret < 0)
        tb_io_failed(fd, before, TB_SENT);
}

/* When the peer is gone for good that is the end of what it sends, and nobody will read what was sent; but what it said
 * before may still be read. */
void tb_io_failed(int fd, uint64_t before, enum tb_direction direction)
{
    int error = __errno_location ? *__errno_location() : 0;
    if (TB_UNLIKELY(before & TB_FD_CLIENT))
        tb_calls_failed(fd, before, error);
    else if (tb_fd_state(before) != TB_FD_CONN || (error != ECONNRESET && error != EPIPE && error != ETIMEDOUT))
        return;
    uint64_t word = tb_fd_word(fd);
    if (tb_fd_state(word) != TB_FD_CONN || !tb_fd_same_birth(before, word))
        return;
    if (tb_exchange_is_client(tb_fd_conn(word))) {
        tb_process_check_fork();
        tb_exchange_failed(&tb_core, tb_fd_conn(word), direction, error == ETIMEDOUT ? TB_CALL_TIMEOUT : TB_CALL_RESET);
        if (direction == TB_SENT)
            return;
    }
    tb_io(fd, before, TB_RECEIVED, NULL, 0, 0);
}

/* Calls @visit for each descriptor in the control data of a message (cmsg(3), SCM_RIGHTS). */
static void each_right(const struct msghdr *msg, void (*visit)(int fd))
{
    const uint8_t *at = msg->msg_control;
    size_t left = at ? msg->msg_controllen : 0;
    while (left >= sizeof(struct cmsghdr)) {
        const struct cmsghdr *c = (const struct cmsghdr *)(const void *)at;
        size_t len = c->cmsg_len;
        if (len < sizeof(*c) || len > left)
            return;
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
            for (size_t i = sizeof(*c); i + sizeof(int) <= len; i += sizeof(int))
                visit(*(const int *)(const void *)(at + i));
        size_t step = (len + sizeof(size_t) - 1) & ~(sizeof(size_t) - 1);
        if (step > left)
            return;
        at += step;
        left -= step;
    }
}

/* A descriptor of any kind came from another process: whatever had this number is over. */
static void right_received(int fd)
{
    if (!tb_wake())
        return;
    uint64_t *slot = tb_fd_slot(fd);
    if (slot && tb_load_relaxed(slot))
        end_identity(fd, slot, TB_CLOSE_LOCAL);
}

/* The connection lives on elsewhere: closing it here is no end. */
static void right_sent(int fd)
{
    uint64_t *slot = tb_fd_slot(fd);
    if (slot && tb_fd_state(tb_load_relaxed(slot)) == TB_FD_CONN)
        tb_fetch_or_relaxed(slot, TB_FD_SHARED);
}

void tb_on_rxmsg(int fd, uint64_t word, const struct msghdr *msg, ssize_t ret, int flags)
{
    if (ret < 0) { /* @msg may be what was wrong */
        tb_io_failed(fd, word, TB_RECEIVED);
        return;
    }
    struct tb_at at = {fd, tb_fd_slot(fd), word};
    if (TB_UNLIKELY(msg->msg_controllen) && !(flags & MSG_ERRQUEUE))
        each_right(msg, right_received);
    if (flags & (MSG_PEEK | MSG_OOB | MSG_ERRQUEUE))
        return;
    if (flags & MSG_TRUNC)
        tb_rx_odd(fd, word, NULL, ret, 1, NO_FLAGS);
    else
        tb_on_rxv(at, msg->msg_iov, msg->msg_iovlen, ret);
}

void tb_on_txmsg(int fd, uint64_t word, const struct msghdr *msg, ssize_t ret, int flags)
{
    if (ret < 0) {
        tb_io_failed(fd, word, TB_SENT);
        return;
    }
    struct tb_at at = {fd, tb_fd_slot(fd), word};
    if (TB_UNLIKELY(msg->msg_controllen))
        each_right(msg, right_sent);
    if (!(flags & MSG_OOB))
        tb_on_txv(at, msg->msg_iov, msg->msg_iovlen, ret);
}

void tb_on_rxmmsg(int fd, uint64_t word, const struct mmsghdr *vec, long ret, int flags)
{
    for (long i = 0; i < ret; i++)
        tb_on_rxmsg(fd, word, &vec[i].msg_hdr, (ssize_t)vec[i].msg_len, flags);
    if (ret < 0)
        tb_io_failed(fd, word, TB_RECEIVED);
}

void tb_on_txmmsg(int fd, uint64_t word, const struct mmsghdr *vec, long ret, int flags)
{
    for (long i = 0; i < ret; i++)
        tb_on_txmsg(fd, word, &vec[i].msg_hdr, (ssize_t)vec[i].msg_len, flags);
    if (ret < 0)
        tb_io_failed(fd, word, TB_SENT);
}

void tb_on_splice(int from, uint64_t from_word, int to, uint64_t to_word, ssize_t ret, size_t len)
{
    if (tb_fd_state(from_word) == TB_FD_CONN || tb_fd_state(from_word) == TB_FD_BORN)
        tb_rx_odd(from, from_word, NULL, ret, len, NO_FLAGS);
    if (ret > 0 && (tb_fd_state(to_word) == TB_FD_CONN || tb_fd_state(to_word) == TB_FD_BORN))
        tb_tx_odd(to, to_word, NULL, ret, NO_FLAGS);
}

/* ---- births and ends ---- */

void tb_on_socket(int fd, int domain, int type)
{
    if (fd < 0)
        return;
    bool is_followed = (type & ~(SOCK_NONBLOCK | SOCK_CLOEXEC)) == SOCK_STREAM &&
                       (domain == AF_INET || domain == AF_INET6 || domain == AF_UNIX);
    if (is_followed ? !tb_wake() : !tb_load_relaxed(&tb_awake))
        return;
    tb_process_check_fork();
    birth(fd, is_followed ? TB_FD_BORN | TB_FD_CLIENT : TB_FD_IGNORED);
}

void tb_on_accept(int listener, int fd)
{
    if (fd < 0 || !tb_wake())
        return;
    tb_process_check_birth();
    bool is_other_kind = tb_fd_state(tb_fd_word(listener)) == TB_FD_IGNORED;
    if (!is_other_kind)
        tb_process_region(true);
    birth(fd, is_other_kind ? TB_FD_IGNORED : TB_FD_BORN);
    if (TB_UNLIKELY(fd <= 2)) /* the standard streams' */
        tb_streams_watch();
}

void tb_on_listen(int fd, int ret)
{
    if (ret == 0 && tb_wake() && tb_fd_state(tb_fd_word(fd)) != TB_FD_IGNORED && tb_process_region(true))
        tb_tls_look();
}

void tb_on_connect(int fd, int ret)
{
    if (ret < 0 && (!__errno_location || *__errno_location() != EINPROGRESS))
        return;
    /* A socket that was joined to a peer before starts over; one of unseen birth stays unknown, it may be no stream. */
    uint64_t *slot = tb_load_relaxed(&tb_awake) ? tb_fd_slot(fd) : NULL;
    if (slot && tb_fd_state(tb_load_relaxed(slot)) == TB_FD_CONN)
        birth(fd, TB_FD_BORN | TB_FD_CLIENT);
}

void tb_on_shutdown(int fd, int how, int ret)
{
    uint64_t word = tb_fd_word(fd);
    if (ret || tb_fd_state(word) != TB_FD_CONN)
        return;
    if (how == SHUT_WR || how == SHUT_RDWR)
        tb_exchange_shutdown(&tb_core, tb_fd_conn(word), TB_SENT);
    if (how == SHUT_RD || how == SHUT_RDWR)
        tb_exchange_shutdown(&tb_core, tb_fd_conn(word), TB_RECEIVED);
}

/*
 * @to is now @from. dup2 closes the old @to and puts the new one there in one step, so that its old identity can be
 * ended afterwards: nobody else can have been given the number in between.
 */
void tb_on_dup(int from, int to)
{
    if (to < 0 || from == to)
        return;
    tb_process_check_fork();
    uint64_t *source = tb_fd_slot(from), word = source ? tb_load_acquire(source) : 0;
    uint64_t *target = tb_fd_slot(to);
    bool has_old = target && tb_load_relaxed(target);
    if (!has_old && !word)
        return;
    /* A vfork child arranges its own descriptors. No need to ask when all that can be lost is a connection at rest. */
    uint64_t old = has_old ? tb_load_acquire(target) : 0;
    bool is_at_rest = tb_fd_state(old) != TB_FD_CONN || !(old & TB_FD_DUP || tb_exchange_is_open(tb_fd_conn(old)));
    if ((word || !is_at_rest) && tb_process_is_other())
        return;
    if (has_old)
        end_identity(to, target, TB_CLOSE_LOCAL);
    if (!tb_core.base) /* this may be a vfork child, which was not asked: taken up when its bytes look like HTTP */
        return;
    target = tb_fd_slot_make(to);
    if (!target || tb_fd_state(word) == TB_FD_UNKNOWN)
        return;
    if (tb_fd_state(word) == TB_FD_BORN && tb_core.base)
        word = promote(from, source, word, TB_ROLE_UNKNOWN, false);
    while (tb_fd_state(word) == TB_FD_CONN && !tb_cas_acq_rel(source, &word, word | TB_FD_DUP))
        ;
    if (tb_fd_state(word) == TB_FD_CONN)
        word |= TB_FD_DUP;
    tb_store_release(target, word);
    if (to <= 2 && tb_fd_state(word) >= TB_FD_BORN)
        tb_streams_watch();
}

/* Before the real call: afterwards the number may be another thread's. */
void tb_on_close(int fd, uint64_t word)
{
    uint64_t *slot = tb_fd_slot(fd);
    if (tb_fd_state(word) == TB_FD_CONN) {
        tb_process_check_fork();
        if ((word & TB_FD_DUP || tb_exchange_is_open(tb_fd_conn(word))) && tb_process_is_other())
            return;
    }
    end_identity(fd, slot, TB_CLOSE_LOCAL);
}

/* A kernel or a filter without the call closes nothing, and the program goes on to close them one by one. An empty
 * range is refused by whoever has the call. It is the call that the program itself makes next. */
static bool has_close_range(void)
{
    return TB_RAW3(SYS_close_range, 1, 0, 0) == -EINVAL;
}

void tb_on_close_range(unsigned first, unsigned last, unsigned flags)
{
    uint32_t end = tb_fd_limit();
    const bool is_certain = flags & TB_CLOSE_FROM;
    if ((flags & ~TB_CLOSE_FROM & ~2u /* CLOSE_RANGE_UNSHARE */) || first > last || first >= end)
        return;
    tb_process_check_fork();
    bool is_asked = false;
    for (uint32_t fd = first; fd < end && fd <= last; fd++) {
        uint64_t *slot = tb_fd_slot((int)fd);
        if (!slot) {
            fd |= TB_FD_PER_LEAF - 1;
            continue;
        }
        if (!tb_load_relaxed(slot))
            continue;
        if (!is_asked && (tb_process_is_other() || (!is_certain && !has_close_range())))
            return;
        is_asked = true;
        end_identity((int)fd, slot, TB_CLOSE_LOCAL);
    }
}

/* ---- the whole table ---- */

void tb_fds_close_all(bool is_exec)
{
    uint32_t end = tb_fd_limit();
    for (uint32_t fd = 0; fd < end; fd++) {
        uint64_t *slot = tb_fd_slot((int)fd);
        if (!slot) {
            fd |= TB_FD_PER_LEAF - 1;
            continue;
        }
        uint64_t word = tb_load_acquire(slot);
        if (tb_fd_state(word) != TB_FD_CONN)
            continue;
        if (is_exec && tb_exchange_is_open(tb_fd_conn(word))) {
            long flags = tb_core.env.syscall(SYS_fcntl, fd, F_GETFD, 0, 0, 0, 0);
            end_identity((int)fd, slot, flags >= 0 && flags & FD_CLOEXEC ? TB_CLOSE_LOCAL : TB_CLOSE_FORGET);
        } else if (!is_exec) {
            end_identity((int)fd, slot, TB_CLOSE_LOCAL);
        }
    }
}

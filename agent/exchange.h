/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One connection: pairs requests with responses in both roles and counts each exchange when its response is complete.
 * Two halves: received bytes touch one, sent bytes the other; the queue between them is single-producer
 * single-consumer. Each half has a try-flag; when it is taken (two threads, a signal handler inside, a longjmp) the
 * stream is abandoned and counted.
 */
#ifndef TB_EXCHANGE_H
#define TB_EXCHANGE_H

#include "core.h"
#include "scan.h"

struct tb_conn; /* conn.h */

enum tb_direction { TB_RECEIVED = 0, TB_SENT = 1 };

enum tb_close_how {
    TB_CLOSE_LOCAL, /* this process closed its last descriptor, or exits; or its end was not seen (fd number reused) */
    TB_CLOSE_FORGET /* it lives on in another process or program: what is unanswered is no abort */
};

typedef void tb_exchange_io_fn(struct tb_core *core, struct tb_conn *c, enum tb_direction direction,
                               const struct tb_bytes *ranges, size_t count, size_t total);
tb_exchange_io_fn tb_exchange_io_avx2, tb_exchange_io_base, tb_exchange_io_portable, tb_exchange_io_looking,
    tb_exchange_io_looking_avx2;
extern tb_exchange_io_fn *tb_exchange_io_selected; /* the machine's baseline until tb_exchange_select */

/*
 * tb_exchange_rx, _tx, _tx_length - the shortest way (exchange_kept.c): one range was received or sent. False: nothing
 * was done, call tb_exchange_io_selected. For received bytes @p is not NULL. @len is not 0. Context as tb_exchange_io.
 */
bool tb_exchange_rx(struct tb_core *core, struct tb_conn *c, const uint8_t *p, size_t len);
bool tb_exchange_tx(struct tb_core *core, struct tb_conn *c, const uint8_t *p, size_t len);
bool tb_exchange_tx_length(struct tb_core *core, struct tb_conn *c, size_t len); /* bytes that only the kernel saw */

/* tb_exchange_select - the instruction set of the parsers; at start-up and in tests, when nothing else runs in the
 * core. */
void tb_exchange_select(enum tb_simd simd);

/* tb_exchange_look - from now on rules look into exchanges, or do not. Context: as tb_rules_adopt. */
void tb_exchange_look(bool is_looking);

/* tb_conn_open - a new stream. @c is memory of any content. No system call. */
void tb_conn_open(struct tb_conn *c);

/* tb_conn_open_as - the same where the role is known (enum tb_role), so that the first bytes do not decide it. */
void tb_conn_open_as(struct tb_conn *c, uint8_t role);

/*
 * tb_exchange_role_of_made - what the program is on a stream that it made itself, by its first bytes: a client, unless
 * they are a request that it received or a response that it sent. A client that writes in one thread and reads in
 * another may be seen to receive the answer first. Pure.
 */
uint8_t tb_exchange_role_of_made(enum tb_direction direction, struct tb_bytes first);

/*
 * tb_exchange_io - @total bytes crossed in @direction, in @count ranges (a struct iovec array; the ranges may hold more
 * than @total). A range with a NULL pointer has only a length. Called after the real call succeeded. @total 0 with
 * TB_RECEIVED is end of stream. Context: any thread, signal handlers; no allocation, no lock, no errno; at most one
 * clock read.
 */
static inline void tb_exchange_io(struct tb_core *core, struct tb_conn *c, enum tb_direction direction,
                                  const struct tb_bytes *ranges, size_t count, size_t total)
{
    if (count == 1 && total && total <= ranges->len) {
        bool is_done = false;
        if (direction == TB_RECEIVED)
            is_done = ranges->ptr && tb_exchange_rx(core, c, ranges->ptr, total);
        else
            is_done = ranges->ptr ? tb_exchange_tx(core, c, ranges->ptr, total) : tb_exchange_tx_length(core, c, total);
        if (is_done)
            return;
    }
    tb_exchange_io_selected(core, c, direction, ranges, count, total);
}

/* tb_exchange_early - bytes that a client received while another thread, which sent the request, makes the region. */
void tb_exchange_early(struct tb_core *core, struct tb_conn *c, const struct tb_bytes *ranges, size_t count,
                       size_t total);

/* tb_exchange_failed - receiving from, or sending to, the server of a client's connection failed: what waits for an
 * answer will get none, for the reason @why. */
void tb_exchange_failed(struct tb_core *core, struct tb_conn *c, enum tb_direction direction, enum tb_call_error why);

/* tb_exchange_is_client - is it a connection of the program's own making that carries requests? */
bool tb_exchange_is_client(const struct tb_conn *c);

/* tb_exchange_shutdown - shutdown(2) of one side (TB_SENT: SHUT_WR). */
void tb_exchange_shutdown(struct tb_core *core, struct tb_conn *c, enum tb_direction direction);

/*
 * tb_exchange_close - the stream is over for this process. What was left open is counted: a response cut short under
 * its status, an unanswered request as aborted; but an exchange that was open at a fork and is closed here unanswered
 * belongs to the other side, until that side closes it unanswered too.
 *
 * Returns true when @c may be reused; false when another thread is inside it at this moment (then the memory must never
 * be given to another connection).
 */
bool tb_exchange_close(struct tb_core *core, struct tb_conn *c, enum tb_close_how how);

/*
 * tb_exchange_is_awaited - a client's connection with an answer whose request is yet to be noted, or with a thread
 * inside at this moment, which may be noting it: whoever closes it may keep it until then.
 */
bool tb_exchange_is_awaited(const struct tb_conn *c);

/* tb_conn_wipe - after tb_exchange_close: nothing of what the stream carried stays in @c. */
void tb_conn_wipe(struct tb_conn *c);

/* tb_exchange_is_open - a request is partly received or unanswered, or a response unfinished: close needs care. */
bool tb_exchange_is_open(const struct tb_conn *c);

/* tb_exchange_is_done - nothing on this stream will ever be counted again (not HTTP, given up, tunnel closed): the
 * caller may mark the fd as ignored. A tunnel is not done until closed (its lifetime is counted). */
bool tb_exchange_is_done(const struct tb_conn *c);

/*
 * tb_exchange_looks_http - could these be the first bytes of a request or response (or a PROXY head)? For fds of unseen
 * birth, before anything is asked of the kernel. Pure, a few instructions for the common no.
 */
bool tb_exchange_looks_http(struct tb_bytes in);

#endif

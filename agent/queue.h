/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests of one connection that wait for their responses, in order. One producer (the request half), one consumer
 * (the response half), no lock. The first waiting request lies in the connection; pipelined ones in blocks of a pool of
 * the process; when the pool is empty they are only counted (same method in one run), so that pairing goes on.
 */
#ifndef TB_QUEUE_H
#define TB_QUEUE_H

#include "conn.h"

static inline bool tb_queue_is_empty(const struct tb_conn *c)
{
    /* acquire: pairs with the releases of push and pop */
    return tb_load_acquire(&c->queue.pushed) == tb_load_acquire(&c->queue.popped);
}

/*
 * tb_queue_push - request half. Returns false when the entry cannot be kept without breaking pairing (pool empty and
 * methods of different framing, or 60,000 waiting). *ret_kept false: only its method counts, the entry was not stored.
 */
bool tb_queue_push(struct tb_core *core, struct tb_conn *c, const struct tb_pending *entry, bool *ret_kept);

/* tb_queue_push_first - request half: the same when nothing waits and nothing is to be cleaned up; else false and
 * nothing done. */
static inline bool tb_queue_push_first(struct tb_conn *c, const struct tb_pending *entry)
{
    struct tb_queue *q = &c->queue;
    uint16_t pushed = q->pushed;
    if (TB_UNLIKELY(pushed != tb_load_acquire(&q->popped) || q->head))
        return false;
    tb_store_relaxed(&q->overflow, 0);
    tb_store_relaxed(&q->inline_seq, pushed);
    c->first = *entry;
    tb_store_release(&q->pushed, (uint16_t)(pushed + 1));
    return true;
}

/* tb_queue_is_first, tb_queue_pop_first - response half: is the oldest entry c->first? Then drop it. */
static inline bool tb_queue_is_first(const struct tb_conn *c)
{
    return !tb_queue_is_empty(c) && c->queue.popped == tb_load_relaxed(&c->queue.inline_seq);
}
static inline void tb_queue_pop_first(struct tb_conn *c)
{
    tb_store_release(&c->queue.popped, (uint16_t)(c->queue.popped + 1));
}

/* tb_queue_peek - response half: the oldest entry, copied to @ret. Returns false when empty. */
bool tb_queue_peek(struct tb_core *core, const struct tb_conn *c, struct tb_pending *ret);

/* tb_queue_peek_second - the one behind it, when the oldest is the inline entry. False: none, or it is only counted. */
bool tb_queue_peek_second(struct tb_core *core, const struct tb_conn *c, struct tb_pending *ret);

/* tb_queue_pop - response half: drop the oldest entry; the queue is not empty. */
void tb_queue_pop(struct tb_core *core, struct tb_conn *c);

/* tb_queue_free - at close, both halves held: give the blocks back. */
void tb_queue_free(struct tb_core *core, struct tb_conn *c);

/* tb_path_take, tb_path_free - a block of TB_PATH_MAX bytes for the path of a cut request line. Returns block + 1, 0 =
 * none left. */
uint8_t tb_path_take(struct tb_core *core);
void tb_path_free(struct tb_core *core, uint8_t block);

#endif

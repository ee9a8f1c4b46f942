/* SPDX-License-Identifier: Apache-2.0 */
/* The request queue of a connection and the two pools of a process (queue.h). Blocks are taken and given back by bit.
 */
#include "queue.h"

#define WAITING_MAX 60000u

static uint32_t take(uint64_t *words, uint32_t count)
{
    for (uint32_t w = 0; w < count; w++) {
        uint64_t seen = tb_load_relaxed(&words[w]);
        while (~seen) {
            uint32_t bit = (uint32_t)__builtin_ctzll(~seen);
            /* acquire: pairs with the release of give_back(); the last owner is done with the block */
            if (!(tb_fetch_or_acquire(&words[w], UINT64_C(1) << bit) >> bit & 1))
                return w * 64 + bit + 1;
            seen = tb_load_relaxed(&words[w]);
        }
    }
    return 0;
}

static void give_back(uint64_t *words, uint32_t block)
{
    block--;
    tb_fetch_and_release(&words[block / 64], ~(UINT64_C(1) << (block % 64)));
}

uint8_t tb_path_take(struct tb_core *core)
{
    uint32_t block = take(&core->path_taken, 1);
    if (!block)
        tb_count(core, TB_COUNTER_POOL_PATH);
    return (uint8_t)block;
}

void tb_path_free(struct tb_core *core, uint8_t block)
{
    tb_zero(core->path_blocks[block - 1], TB_PATH_MAX); /* what was read may have come encrypted */
    give_back(&core->path_taken, block);
}

static struct tb_queue_block *block_at(struct tb_core *core, uint32_t block)
{
    return &core->queue_blocks[block - 1];
}

static void free_chain(struct tb_core *core, struct tb_queue *q)
{
    uint32_t block = q->head;
    while (block) {
        uint32_t next = block_at(core, block)->next;
        give_back(core->queue_taken, block);
        block = next;
    }
    q->head = q->tail = q->head_at = q->tail_at = 0;
}

/* Room for one more at the chain's end? */
static bool extend(struct tb_core *core, struct tb_queue *q)
{
    if (q->tail && q->tail_at < TB_QUEUE_PER_BLOCK)
        return true;
    uint32_t block = take(core->queue_taken, TB_QUEUE_BLOCKS / 64);
    if (!block)
        return false;
    block_at(core, block)->next = 0;
    if (q->tail)
        tb_store_relaxed(&block_at(core, q->tail)->next, block); /* read after the acquire of pushed */
    else
        q->head = (uint8_t)block;
    tb_store_relaxed(&q->tail_at, 0);
    tb_store_relaxed(&q->tail, (uint8_t)block);
    return true;
}

static bool has_body_of_its_own_framing(uint8_t method)
{
    return method == TB_METHOD_HEAD || method == TB_METHOD_CONNECT;
}

bool tb_queue_push(struct tb_core *core, struct tb_conn *c, const struct tb_pending *entry, bool *ret_kept)
{
    struct tb_queue *q = &c->queue;
    uint16_t pushed = q->pushed;
    uint16_t popped = tb_load_acquire(&q->popped);
    uint16_t waiting = (uint16_t)(pushed - popped);

    *ret_kept = true;
    if (TB_LIKELY(waiting == 0)) {
        if (TB_UNLIKELY(q->head))
            free_chain(core, q);
        tb_store_relaxed(&q->overflow, 0);
        tb_store_relaxed(&q->inline_seq, pushed);
        c->first = *entry;
    } else {
        if (waiting >= WAITING_MAX)
            return false;
        /* the inline entry is long gone: keep its number behind the numbers that wrap round */
        if ((uint16_t)(pushed - q->inline_seq) > WAITING_MAX)
            tb_store_relaxed(&q->inline_seq, (uint16_t)(popped - 1));
        if (!q->overflow && extend(core, q)) {
            block_at(core, q->tail)->entries[q->tail_at] = *entry;
            tb_store_relaxed(&q->tail_at, (uint8_t)(q->tail_at + 1));
        } else if (!q->overflow) {
            q->overflow_method = entry->method;
            tb_store_release(&q->overflow, 1);
            *ret_kept = false;
        } else {
            if (q->overflow_method != entry->method) {
                if (has_body_of_its_own_framing(q->overflow_method) || has_body_of_its_own_framing(entry->method))
                    return false;
                q->overflow_method = TB_METHOD_OTHER;
            }
            *ret_kept = false;
        }
        if (!*ret_kept)
            tb_count(core, TB_COUNTER_POOL_QUEUE);
    }
    tb_store_release(&q->pushed, (uint16_t)(pushed + 1));
    return true;
}

/*
 * Something waits and it is not the inline entry: is it in the chain? Always, unless pushes are only counted by now;
 * from then on the producer leaves the chain alone, so that its end can be compared. (While it appends, tail and
 * tail_at change one after the other.)
 */
static bool chain_has_one(struct tb_core *core, const struct tb_queue *q)
{
    /* acquire: pairs with the release in tb_queue_push() */
    if (TB_LIKELY(!tb_load_acquire(&q->overflow)))
        return true;
    if (!q->head)
        return false;
    if (q->head_at < TB_QUEUE_PER_BLOCK)
        return q->head != tb_load_relaxed(&q->tail) || q->head_at < tb_load_relaxed(&q->tail_at);
    return tb_load_relaxed(&block_at(core, q->head)->next) != 0;
}

/* The first entry of the chain, which has one. */
static struct tb_pending chain_first(struct tb_core *core, const struct tb_queue *q)
{
    const struct tb_queue_block *b = block_at(core, q->head);
    return q->head_at < TB_QUEUE_PER_BLOCK ? b->entries[q->head_at] : block_at(core, b->next)->entries[0];
}

bool tb_queue_peek_second(struct tb_core *core, const struct tb_conn *c, struct tb_pending *ret)
{
    const struct tb_queue *q = &c->queue;
    /* acquire: pairs with the release in tb_queue_push() */
    if ((uint16_t)(tb_load_acquire(&q->pushed) - q->popped) < 2 || !chain_has_one(core, q))
        return false;
    *ret = chain_first(core, q);
    return true;
}

bool tb_queue_peek(struct tb_core *core, const struct tb_conn *c, struct tb_pending *ret)
{
    const struct tb_queue *q = &c->queue;

    if (tb_queue_is_empty(c))
        return false;
    if (TB_LIKELY(q->popped == tb_load_relaxed(&q->inline_seq))) {
        *ret = c->first;
    } else if (chain_has_one(core, q)) {
        *ret = chain_first(core, q);
    } else {
        *ret = (struct tb_pending){.method = q->overflow_method, .fork_generation = (uint16_t)core->fork_generation};
    }
    return true;
}

void tb_queue_pop(struct tb_core *core, struct tb_conn *c)
{
    struct tb_queue *q = &c->queue;

    if (q->popped != tb_load_relaxed(&q->inline_seq) && chain_has_one(core, q)) {
        if (q->head_at == TB_QUEUE_PER_BLOCK) {
            uint32_t done = q->head;
            q->head = (uint8_t)block_at(core, done)->next;
            q->head_at = 0;
            give_back(core->queue_taken, done);
        }
        q->head_at++;
    }
    tb_store_release(&q->popped, (uint16_t)(q->popped + 1));
}

void tb_queue_free(struct tb_core *core, struct tb_conn *c)
{
    free_chain(core, &c->queue);
    c->queue = (struct tb_queue){0};
}

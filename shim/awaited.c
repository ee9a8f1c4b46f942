/* SPDX-License-Identifier: Apache-2.0 */
/* Connections that are closed before their request was noted (awaited.h). */
#include "awaited.h"

#include "../agent/attempts.h"
#include "process.h"

#define PLACES 64u
#define TAKEN UINT64_C(1) /* a place that one thread fills or empties; never a key, for no birth is 0 */

static struct {
    uint64_t key; /* 0: free; release: the connection is there */
    struct tb_conn *conn;
} places[PLACES];

/* The one place that the connection of @word may have: two threads that close it do not keep it twice, and one that
 * waits in vain is in nobody's way for long. */
static uint32_t place_of(uint64_t word)
{
    return (uint32_t)(word >> TB_FD_BIRTH_SHIFT) % PLACES;
}

static uint64_t key_of(int fd, uint64_t word)
{
    return tb_attempt_key(fd, word & TB_FD_BIRTH_MASK);
}

static void end_conn(struct tb_conn *conn)
{
    if (tb_exchange_close(&tb_core, conn, TB_CLOSE_LOCAL))
        tb_conn_free(conn); /* else a thread is inside it, and its memory is given up */
}

/* Empties place @i if it has @key. */
static struct tb_conn *take(uint32_t i, uint64_t key)
{
    if (key <= TAKEN || !tb_cas_acq_rel(&places[i].key, &key, TAKEN))
        return NULL;
    struct tb_conn *conn = tb_load_relaxed(&places[i].conn);
    tb_store_release(&places[i].key, 0);
    return conn;
}

/* Closes the one in place @i if it has @key. */
static void end(uint32_t i, uint64_t key)
{
    struct tb_conn *conn = take(i, key);
    if (conn)
        end_conn(conn);
}

/* Closes what needs not be kept any more: @is_all, or what has met its request. */
static void sweep(bool is_all)
{
    for (uint32_t i = 0; i < PLACES; i++) {
        uint64_t key = tb_load_acquire(&places[i].key);
        if (key > TAKEN && (is_all || !tb_exchange_is_awaited(tb_load_relaxed(&places[i].conn))))
            end(i, key);
    }
}

bool tb_awaited_keep(int fd, uint64_t *slot, uint64_t word)
{
    const uint64_t key = key_of(fd, word);
    const uint32_t i = place_of(word);
    uint64_t there, none = 0;

    sweep(false);
    there = tb_load_acquire(&places[i].key);
    if (there == key)
        return false; /* another thread closes it as well */
    end(i, there);
    if (!tb_cas_acq_rel(&places[i].key, &none, TAKEN))
        return false;
    tb_store_relaxed(&places[i].conn, tb_fd_conn(word));
    tb_store_release(&places[i].key, key); /* before the word goes: who misses that finds this */
    if (tb_cas_acq_rel(slot, &word, 0))
        return true;
    (void)take(i, key); /* closed by another thread as well */
    return false;
}

void tb_awaited_sent(int fd, uint64_t before, const struct tb_bytes *ranges, size_t count, size_t total)
{
    /* without a region (it could not be made) nothing is noted: it waits on, for the end of the process */
    struct tb_conn *conn = tb_load_acquire(&tb_core.base) ? take(place_of(before), key_of(fd, before)) : NULL;
    if (!conn)
        return;
    tb_exchange_io_selected(&tb_core, conn, TB_SENT, ranges, count, total);
    end_conn(conn);
}

void tb_awaited_close_all(void)
{
    sweep(true);
}

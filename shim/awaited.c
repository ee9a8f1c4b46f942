/* SPDX-License-Identifier: Apache-2.0 */
/* Connections that are closed before their request was noted (awaited.h). */
#include "awaited.h"

#include "../agent/attempts.h"
#include "process.h"

#define PLACES 32u
#define TAKEN UINT64_C(1) /* a place that one thread fills or empties; never a key, for no birth is 0 */

static struct {
    uint64_t key; /* 0: free; release: the connection is there */
    struct tb_conn *conn;
} places[PLACES];

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
    struct tb_conn *conn = places[i].conn;
    tb_store_release(&places[i].key, 0);
    return conn;
}

/* Closes what needs not be kept any more: @is_all, or what has met its request. */
static void sweep(bool is_all)
{
    for (uint32_t i = 0; i < PLACES; i++) {
        uint64_t key = tb_load_acquire(&places[i].key);
        if (key <= TAKEN || (!is_all && tb_exchange_is_awaited(places[i].conn)))
            continue;
        struct tb_conn *conn = take(i, key);
        if (conn)
            end_conn(conn);
    }
}

bool tb_awaited_keep(int fd, uint64_t *slot, uint64_t word)
{
    sweep(false);
    for (uint32_t i = 0; i < PLACES; i++) {
        uint64_t none = 0, key = tb_attempt_key(fd, word & TB_FD_BIRTH_MASK);
        if (!tb_cas_acq_rel(&places[i].key, &none, TAKEN))
            continue;
        places[i].conn = tb_fd_conn(word);
        tb_store_release(&places[i].key, key); /* before the word goes: who misses that finds this */
        if (tb_cas_acq_rel(slot, &word, 0))
            return true;
        (void)take(i, key); /* closed by another thread as well */
        return false;
    }
    return false;
}

void tb_awaited_sent(int fd, uint64_t before, const struct tb_bytes *ranges, size_t count, size_t total)
{
    const uint64_t key = tb_attempt_key(fd, before & TB_FD_BIRTH_MASK);
    for (uint32_t i = 0; i < PLACES; i++) {
        struct tb_conn *conn = tb_load_acquire(&places[i].key) == key ? take(i, key) : NULL;
        if (!conn)
            continue;
        tb_exchange_io_selected(&tb_core, conn, TB_SENT, ranges, count, total);
        end_conn(conn);
        return;
    }
}

void tb_awaited_close_all(void)
{
    sweep(true);
}

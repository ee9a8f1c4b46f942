/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections that are closed while a request of theirs is yet to be noted: where one thread writes and another reads,
 * the answer can be read, and the descriptor closed, before the write's hook has gone on. They are kept under what
 * their descriptor was (number and birth) until that hook comes.
 *
 * A fixed table, lock-free; one that is in a later one's place is closed as any other, and its answer counts without
 * its request. Context of all: any thread, signal handlers. Fork story: private, copied; of what was open at the fork a
 * child counts nothing.
 */
#ifndef TB_AWAITED_H
#define TB_AWAITED_H

#include "fdtable.h"

#pragma GCC visibility push(hidden)

/* tb_awaited_keep - instead of closing: takes the connection of @word out of the table at @slot and keeps it. False: it
 * does not, and nothing was done. */
bool tb_awaited_keep(int fd, uint64_t *slot, uint64_t word);

/* tb_awaited_sent - a write to what @before was (its word) is noted now, and that descriptor is closed. */
void tb_awaited_sent(int fd, uint64_t before, const struct tb_bytes *ranges, size_t count, size_t total);

/* tb_awaited_close_all - the process ends, nothing is awaited any more. */
void tb_awaited_close_all(void);

#pragma GCC visibility pop
#endif

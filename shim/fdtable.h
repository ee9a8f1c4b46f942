/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What each descriptor number stands for, and where its connection lies. One 64-bit word per number: everything about
 * an identity changes by one compare-and-swap, so threads, signal handlers and killed writers need no lock.
 *
 *   bits 0-1 state   bit 2 and 48-50 flags below   bits 3-47 the connection's address (8-byte aligned)
 *   bits 51-63 birth: changes with each identity of the number
 *
 * A connection that was closed is not given to another one at once: the last TB_CONN_REST freed ones rest, so that a
 * thread that was overtaken by a close between its look at the word and the connection's try-flag finds nobody
 * else's state there. (A program that does this has a race of its own; we only must not add to it.)
 *
 * Bounds: numbers from TB_FD_MAX on are not observed. Low numbers and the first connections live in .bss, the rest in
 * pages mapped on first touch and kept: 8 bytes a number, TB_CONN_BYTES a connection, never more than TB_CHUNKS chunks.
 * Fork story: private, copied.
 */
#ifndef TB_FDTABLE_H
#define TB_FDTABLE_H

#pragma GCC visibility push(hidden) /* the core is in this object too */
#include "../agent/atomics.h"
#include "../agent/bytes.h"
#include "../agent/conn.h"
#include "../agent/exchange.h"

#define TB_FD_MAX (1u << 20)
#define TB_FD_LOW 4096u     /* numbers served from .bss */
#define TB_FD_PER_LEAF 512u /* numbers in one 4 KiB page */
#define TB_CHUNK_CONNS 546u /* connections in one 64 KiB chunk */
#define TB_CHUNKS 2048u
#define TB_CONN_REST 64u

enum tb_fd_state {
    TB_FD_UNKNOWN = 0, /* birth not seen; bits 51.. count looks that were not HTTP */
    TB_FD_IGNORED = 1, /* no stream, or nothing to count on it, until the next birth */
    TB_FD_BORN = 2,    /* a stream socket that has carried nothing yet */
    TB_FD_CONN = 3     /* bits 3-47 are its connection's address */
};
#define TB_FD_STATE UINT64_C(3)
#define TB_FD_CLIENT (UINT64_C(1) << 2)  /* made by socket(): not observed until its first bytes look like HTTP */
#define TB_FD_DUP (UINT64_C(1) << 48)    /* another number may stand for the same connection */
#define TB_FD_SHARED (UINT64_C(1) << 49) /* sent to another process */
#define TB_FD_UNSEEN (UINT64_C(1) << 50) /* birth not seen; taken up when its bytes looked like HTTP */
#define TB_FD_ADDRESS UINT64_C(0x0000fffffffffff8)
#define TB_FD_BIRTH_SHIFT 51
#define TB_FD_BIRTH_MASK (UINT64_C(0x1fff) << TB_FD_BIRTH_SHIFT)

extern uint64_t tb_fd_low[TB_FD_LOW];

uint64_t *tb_fd_high_slot(uint32_t fd);

/* tb_fd_slot - the word of @fd, or NULL when nothing was ever known of it (or it is out of bounds). */
static inline uint64_t *tb_fd_slot(int fd)
{
    return TB_LIKELY((uint32_t)fd < TB_FD_LOW) ? &tb_fd_low[fd] : tb_fd_high_slot((uint32_t)fd);
}

/* tb_fd_word - the word itself; 0 (unknown) when there is none. */
static inline uint64_t tb_fd_word(int fd)
{
    const uint64_t *slot = tb_fd_slot(fd);
    return TB_LIKELY(slot != NULL) ? tb_load_acquire(slot) : 0;
}

static inline enum tb_fd_state tb_fd_state(uint64_t word)
{
    return (enum tb_fd_state)(word & TB_FD_STATE);
}

static inline struct tb_conn *tb_fd_conn(uint64_t word)
{
    return (struct tb_conn *)(uintptr_t)(word & TB_FD_ADDRESS);
}

static inline bool tb_fd_same_birth(uint64_t a, uint64_t b)
{
    return !((a ^ b) & TB_FD_BIRTH_MASK);
}

/* tb_fd_slot_make - the word of @fd, with memory behind it. NULL: out of bounds, or no memory to be had. */
uint64_t *tb_fd_slot_make(int fd);

/* tb_fd_new_birth - the birth bits of a new identity; never 0. */
uint64_t tb_fd_new_birth(void);

/* tb_fd_limit - one more than the highest number that ever had a word. */
uint32_t tb_fd_limit(void);

/* tb_fd_has_other - does a number other than the one at @slot stand for connection @conn? Walks the table: for dup
 * only. */
bool tb_fd_has_other(const uint64_t *slot, const struct tb_conn *conn);

/*
 * tb_map_once - memory of @len zeroes that stays, published in *@at; when another thread was first, its mapping is
 * returned and ours goes. NULL: none to be had. Up to three system calls. Context: any.
 */
void *tb_map_once(void **at, size_t len);

/*
 * tb_conn_alloc - memory for a connection, uninitialised. NULL when the bound is reached or no memory can be mapped.
 * Lock-free; signal-safe. Freed ones are reused first.
 */
struct tb_conn *tb_conn_alloc(void);
void tb_conn_free(struct tb_conn *conn);

#pragma GCC visibility pop
#endif

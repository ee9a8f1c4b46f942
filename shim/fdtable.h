/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What each descriptor number stands for, and where its connection lies. One 64-bit word per number: everything about
 * an identity changes by one compare-and-swap, so threads, signal handlers and killed writers need no lock.
 *
 *   bits 0-1   state              bits 2-6   flags below       bits 8-12  users: calls that are inside the connection
 *   bits 13-33 connection         bits 34-53 birth: changes with each identity of the number
 *   bits 54-63 the process's fork generation at birth
 *
 * Users keep a connection's memory from being reused while a call works on it. A close that finds users only marks the
 * word CLOSING; the last of them ends the connection.
 *
 * Bounds: numbers from TB_FD_MAX on are not observed. Low numbers and the first connections live in .bss, the rest in
 * pages mapped on first touch and kept: 8 bytes a number, TB_CONN_BYTES a connection, never more than TB_CHUNKS chunks.
 * Fork story: private, copied; a word whose users were threads of the parent keeps them, so it is never freed twice.
 */
#ifndef TB_FDTABLE_H
#define TB_FDTABLE_H

#include "../agent/atomics.h"
#include "../agent/bytes.h"
#include "../agent/conn.h"
#include "../agent/exchange.h"

#define TB_FD_MAX (1u << 20)
#define TB_FD_LOW 4096u     /* numbers served from .bss */
#define TB_FD_PER_LEAF 512u /* numbers in one 4 KiB page */
#define TB_CHUNK_CONNS 546u /* connections in one 64 KiB chunk */
#define TB_CHUNKS 2048u

enum tb_fd_state {
    TB_FD_UNKNOWN = 0, /* birth not seen; bits 34.. count looks that were not HTTP */
    TB_FD_IGNORED = 1, /* no stream, or nothing to count on it, until the next birth */
    TB_FD_BORN = 2,    /* a stream socket that has carried nothing yet */
    TB_FD_CONN = 3     /* bits 13-33 are its connection */
};
#define TB_FD_STATE UINT64_C(3)
#define TB_FD_CLIENT (UINT64_C(1) << 2)  /* made by socket(): not observed until its first bytes look like HTTP */
#define TB_FD_DUP (UINT64_C(1) << 3)     /* another number may stand for the same connection */
#define TB_FD_SHARED (UINT64_C(1) << 4)  /* sent to another process */
#define TB_FD_CLOSING (UINT64_C(1) << 5) /* closed while users were inside */
#define TB_FD_UNSEEN (UINT64_C(1) << 6)  /* birth not seen; taken up when its bytes looked like HTTP */
#define TB_FD_USER (UINT64_C(1) << 8)
#define TB_FD_USERS (UINT64_C(31) << 8)
#define TB_FD_CONN_SHIFT 13
#define TB_FD_CONN_MASK (UINT64_C(0x1fffff) << TB_FD_CONN_SHIFT)
#define TB_FD_BIRTH_SHIFT 34
#define TB_FD_BIRTH_MASK (UINT64_C(0xfffff) << TB_FD_BIRTH_SHIFT)
#define TB_FD_FORK_SHIFT 54

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

static inline uint32_t tb_fd_conn(uint64_t word)
{
    return (uint32_t)((word & TB_FD_CONN_MASK) >> TB_FD_CONN_SHIFT);
}

static inline bool tb_fd_same_birth(uint64_t a, uint64_t b)
{
    return !((a ^ b) & TB_FD_BIRTH_MASK);
}

/* tb_fd_slot_make - the word of @fd, with memory behind it. NULL: out of bounds, or no memory to be had. */
uint64_t *tb_fd_slot_make(int fd);

/* tb_fd_new_birth - the birth and fork bits of a new identity. */
uint64_t tb_fd_new_birth(uint32_t fork_generation);

/* tb_fd_limit - one more than the highest number that ever had a word. */
uint32_t tb_fd_limit(void);

/* tb_fd_has_other - does a number other than the one at @slot stand for connection @conn? Walks the table: for dup
 * only. */
bool tb_fd_has_other(const uint64_t *slot, uint32_t conn);

/*
 * tb_conn_alloc - memory for a connection, uninitialised. Returns its index + 1, or 0 when the bound is reached or no
 * memory can be mapped. Lock-free; signal-safe. Freed ones are reused first.
 */
uint32_t tb_conn_alloc(void);
void tb_conn_free(uint32_t conn);
struct tb_conn *tb_conn_at(uint32_t conn);

#endif

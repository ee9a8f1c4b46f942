/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The descriptor table and the memory of connections. Two levels of words above the low numbers, chunks of connections
 * with a free list whose head carries a tag (a list head that was taken and put back in between is noticed).
 * It knows nothing of sockets or HTTP; events.c gives the words their meaning. Memory comes from tb_core's system call,
 * so none is taken once the program has installed a filter.
 */
#include "fdtable.h"

#include <sys/mman.h>

#include "process.h"
#include "raw.h"

#define CHUNK_BYTES 65536u
_Static_assert(TB_CHUNK_CONNS *TB_CONN_BYTES <= CHUNK_BYTES && TB_CONN_BYTES % 8 == 0, "a chunk");

uint64_t tb_fd_low[TB_FD_LOW];
static uint64_t *leaves[TB_FD_MAX / TB_FD_PER_LEAF]; /* [0 .. TB_FD_LOW) is unused */
static uint32_t limit;
static uint32_t births;

static _Alignas(64) uint8_t first_chunk[CHUNK_BYTES];
static uint8_t *chunks[TB_CHUNKS]; /* [0] is first_chunk, not stored here */
static uint32_t fresh;             /* connections ever handed out for the first time */
/* Address / 8 of the first free connection (45 bits; 0 = none) below a tag. The next one's is in the freed memory. */
static uint64_t free_head;
#define FREE_ADDRESS (TB_FD_ADDRESS >> 3)
#define FREE_TAG (UINT64_C(1) << 45)
static struct tb_conn *resting[TB_CONN_REST];
static uint32_t rests;

uint64_t *tb_fd_high_slot(uint32_t fd)
{
    if (fd >= TB_FD_MAX)
        return NULL;
    uint64_t *leaf = tb_load_acquire(&leaves[fd / TB_FD_PER_LEAF]);
    return leaf ? &leaf[fd % TB_FD_PER_LEAF] : NULL;
}

void *tb_map_once(void **at, size_t len)
{
    long got = tb_core.env.syscall(SYS_mmap, 0, (long)len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (got < 0 && got > -4096)
        return NULL;
    tb_core.env.syscall(SYS_munlock, got, (long)len, 0, 0, 0, 0); /* not from the program's RLIMIT_MEMLOCK */
    void *mine = (void *)got, *found = NULL;
    if (!((uintptr_t)mine & ~TB_FD_ADDRESS) && tb_cas_acq_rel(at, &found, mine))
        return mine;
    tb_core.env.syscall(SYS_munmap, got, (long)len, 0, 0, 0, 0);
    return found;
}

static void raise_limit(uint32_t to)
{
    uint32_t seen = tb_load_relaxed(&limit);
    while (seen < to && !tb_cas_relaxed(&limit, &seen, to))
        ;
}

uint64_t *tb_fd_slot_make(int fd)
{
    if ((uint32_t)fd >= TB_FD_MAX)
        return NULL;
    uint64_t *slot = tb_fd_slot(fd);
    if (TB_UNLIKELY(!slot)) {
        uint64_t *leaf =
            tb_map_once((void **)&leaves[(uint32_t)fd / TB_FD_PER_LEAF], TB_FD_PER_LEAF * sizeof(uint64_t));
        if (!leaf)
            return NULL;
        slot = &leaf[(uint32_t)fd % TB_FD_PER_LEAF];
    }
    if (TB_UNLIKELY((uint32_t)fd >= tb_load_relaxed(&limit)))
        raise_limit((uint32_t)fd + 1);
    return slot;
}

uint64_t tb_fd_new_birth(void)
{
    uint64_t birth;
    do /* 0 is never a birth: an unknown number has it */
        birth = (uint64_t)(tb_fetch_add_relaxed(&births, 1) + 1) << TB_FD_BIRTH_SHIFT & TB_FD_BIRTH_MASK;
    while (!birth);
    return birth;
}

uint32_t tb_fd_limit(void)
{
    return tb_load_relaxed(&limit);
}

bool tb_fd_has_other(const uint64_t *slot, const struct tb_conn *conn)
{
    uint32_t end = tb_fd_limit();
    for (uint32_t fd = 0; fd < end; fd++) {
        const uint64_t *other = tb_fd_slot((int)fd);
        if (!other) {
            fd |= TB_FD_PER_LEAF - 1;
            continue;
        }
        uint64_t word = tb_load_relaxed(other);
        if (other != slot && tb_fd_state(word) == TB_FD_CONN && tb_fd_conn(word) == conn)
            return true;
    }
    return false;
}

static struct tb_conn *take_freed(void)
{
    uint64_t head = tb_load_acquire(&free_head);
    while (head & FREE_ADDRESS) {
        uint64_t *freed = (uint64_t *)(uintptr_t)((head & FREE_ADDRESS) << 3);
        /* May read memory that another thread has taken meanwhile: then the tag differs and the swap fails. */
        uint64_t next = tb_load_relaxed(freed) & FREE_ADDRESS;
        if (tb_cas_acq_rel(&free_head, &head, ((head & ~FREE_ADDRESS) + FREE_TAG) | next))
            return (struct tb_conn *)(void *)freed;
    }
    return NULL;
}

struct tb_conn *tb_conn_alloc(void)
{
    struct tb_conn *freed = take_freed();
    if (freed)
        return freed;
    uint32_t n = tb_load_relaxed(&fresh);
    uint8_t *chunk;
    do {
        uint32_t at = n / TB_CHUNK_CONNS;
        if (at >= TB_CHUNKS)
            return NULL;
        chunk = at ? tb_load_acquire(&chunks[at]) : first_chunk;
        if (!chunk && !(chunk = tb_map_once((void **)&chunks[at], CHUNK_BYTES)))
            return NULL;
    } while (!tb_cas_relaxed(&fresh, &n, n + 1));
    return (struct tb_conn *)(void *)(chunk + n % TB_CHUNK_CONNS * TB_CONN_BYTES);
}

void tb_conn_free(struct tb_conn *conn)
{
    conn = tb_swap_acq_rel(&resting[tb_fetch_add_relaxed(&rests, 1) % TB_CONN_REST], conn);
    if (!conn)
        return;
    uint64_t head = tb_load_relaxed(&free_head);
    do
        tb_store_relaxed((uint64_t *)(void *)conn, head & FREE_ADDRESS);
    while (!tb_cas_acq_rel(&free_head, &head, ((head & ~FREE_ADDRESS) + FREE_TAG) | (uintptr_t)conn >> 3));
}

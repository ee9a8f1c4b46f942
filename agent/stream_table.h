/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streams that a program knows by an address of its own (a TLS session), not by a descriptor: a hash table from that
 * address to a word. Fixed size, lock-free, safe in signal handlers; an entry never moves while it is in use.
 *
 * Buckets of eight on three levels: the first lies in the owner's memory, each further one is mapped when a bucket of
 * the one before is full. Past them (some 139,000 streams) there is no entry to be had.
 *
 * The address of one stream is used by one thread at a time, or by threads that agree, as the libraries demand: two
 * that enter one new address at the same moment may get an entry each, and tb_stream_remove must be called until it
 * finds none. Fork story: private memory, copied.
 */
#ifndef TB_STREAM_TABLE_H
#define TB_STREAM_TABLE_H

#include "atomics.h"
#include "bytes.h"

#define TB_STREAM_LEVELS 3u
#define TB_STREAM_WAYS 8u
#define TB_STREAM_FIRST 64u /* buckets of the first level: 512 streams, 16 KiB */

/* What is kept of a stream; only its owner gives it a meaning. All zero when entered. */
struct tb_stream {
    uint64_t word;
    uint64_t begun_ns; /* CLOCK_MONOTONIC of its handshake's begin; 0: not seen */
    int32_t fd;        /* the descriptor below it, + 1; 0: unknown */
    uint32_t flags;
};

struct tb_stream_bucket {
    uint64_t keys[TB_STREAM_WAYS]; /* 0: free */
    struct tb_stream streams[TB_STREAM_WAYS];
};
_Static_assert(sizeof(struct tb_stream_bucket) == 256, "the keys are one cache line");

struct tb_stream_table {
    struct tb_stream_bucket *levels[TB_STREAM_LEVELS]; /* [0] is set by the owner; NULL: not mapped yet */
};

/* Buckets of a level: 64, 1,024, 16,384. */
static inline unsigned tb_stream_bits(unsigned level)
{
    return 6 + 4 * level;
}

static inline struct tb_stream_bucket *tb_stream_bucket_of(struct tb_stream_bucket *level, unsigned number,
                                                           uint64_t key)
{
    return &level[key * UINT64_C(0x9e3779b97f4a7c15) >> (64 - tb_stream_bits(number))];
}

/* tb_stream_find - the entry of @key (never 0), or NULL. Context: any. */
static inline struct tb_stream *tb_stream_find(struct tb_stream_table *t, uint64_t key)
{
    for (unsigned n = 0; n < TB_STREAM_LEVELS; n++) {
        struct tb_stream_bucket *level = tb_load_acquire(&t->levels[n]);
        if (!level)
            return NULL;
        struct tb_stream_bucket *b = tb_stream_bucket_of(level, n, key);
        for (unsigned i = 0; i < TB_STREAM_WAYS; i++)
            if (tb_load_acquire(&b->keys[i]) == key)
                return &b->streams[i];
    }
    return NULL;
}

/*
 * tb_stream_enter - the entry of @key (never 0), made now if there was none; NULL when there is no room.
 *
 * @map  memory for a further level: that many bytes of zeroes that stay, or NULL
 */
struct tb_stream *tb_stream_enter(struct tb_stream_table *t, uint64_t key, void *(*map)(void **at, size_t len));

/* tb_stream_remove - an entry of @key is free from now on. Returns false when there was none. Its word must be 0. */
bool tb_stream_remove(struct tb_stream_table *t, uint64_t key);

/* tb_stream_each - calls @visit for each entry, those that come or go meanwhile perhaps. */
void tb_stream_each(struct tb_stream_table *t, void (*visit)(struct tb_stream *s, void *arg), void *arg);

#endif

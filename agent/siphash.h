/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SipHash-1-3 (Aumasson, Bernstein: "SipHash: a fast short-input PRF"; the reduced rounds that hash tables use), fed in
 * pieces. Without the key nobody can tell which value a hash is of. Pure; no allocation. Context: any.
 */
#ifndef TB_SIPHASH_H
#define TB_SIPHASH_H

#include "bytes.h"

struct tb_siphash {
    uint64_t v[4];
    uint64_t tail; /* the last len % 8 bytes, the first of them lowest */
    uint64_t len;  /* bytes so far */
};

static inline uint64_t tb_rotate_left(uint64_t x, unsigned bits)
{
    return x << bits | x >> (64 - bits);
}

static inline void tb_siphash_round(uint64_t v[4])
{
    v[0] += v[1], v[2] += v[3];
    v[1] = tb_rotate_left(v[1], 13) ^ v[0], v[3] = tb_rotate_left(v[3], 16) ^ v[2];
    v[0] = tb_rotate_left(v[0], 32);
    v[2] += v[1], v[0] += v[3];
    v[1] = tb_rotate_left(v[1], 17) ^ v[2], v[3] = tb_rotate_left(v[3], 21) ^ v[0];
    v[2] = tb_rotate_left(v[2], 32);
}

/* tb_siphash_begin - an empty text under @key. */
static inline void tb_siphash_begin(struct tb_siphash *s, const uint64_t key[2])
{
    *s = (struct tb_siphash){.v = {key[0] ^ UINT64_C(0x736f6d6570736575), key[1] ^ UINT64_C(0x646f72616e646f6d),
                                   key[0] ^ UINT64_C(0x6c7967656e657261), key[1] ^ UINT64_C(0x7465646279746573)}};
}

static inline void tb_siphash_word(struct tb_siphash *s, uint64_t word)
{
    s->v[3] ^= word;
    tb_siphash_round(s->v);
    s->v[0] ^= word;
}

/* tb_siphash_add - more of the text. */
static inline void tb_siphash_add(struct tb_siphash *s, struct tb_bytes in)
{
    for (size_t i = 0; i < in.len; i++) {
        unsigned at = (unsigned)(s->len++ % 8);
        s->tail |= (uint64_t)in.ptr[i] << 8 * at;
        if (at == 7) {
            tb_siphash_word(s, s->tail);
            s->tail = 0;
        }
    }
}

/* tb_siphash_end - the hash of all that was added. */
static inline uint64_t tb_siphash_end(struct tb_siphash *s)
{
    tb_siphash_word(s, s->len << 56 | s->tail);
    s->v[2] ^= 0xff;
    for (unsigned i = 0; i < 3; i++)
        tb_siphash_round(s->v);
    return s->v[0] ^ s->v[1] ^ s->v[2] ^ s->v[3];
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TB_BYTES_H
#define TB_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A borrowed range. Same layout as struct iovec (asserted in the shim). @ptr NULL with @len > 0 means
 * that the bytes exist but cannot be looked at (sendfile, splice): only their number counts.
 */
struct tb_bytes {
    const uint8_t *ptr;
    size_t len;
};

/* The result of a parser that may be given a cut input. */
enum tb_parse {
    TB_PARSE_OK,
    TB_PARSE_PARTIAL, /* call again with more */
    TB_PARSE_BAD      /* never again for this stream */
};

#define TB_LIKELY(x) __builtin_expect(!!(x), 1)
#define TB_UNLIKELY(x) __builtin_expect(!!(x), 0)

/* Freestanding mem*: the object links against nothing. Context: any. */
static inline void tb_copy(void *to, const void *from, size_t len)
{
    uint8_t *t = to;
    const uint8_t *f = from;
    for (; len >= 8; len -= 8, t += 8, f += 8)
        __builtin_memcpy(t, f, 8); /* a load and a store: no call */
    while (len--)
        *t++ = *f++;
}

static inline void tb_zero(void *to, size_t len)
{
    uint8_t *t = to;
    for (; len >= 8; len -= 8, t += 8)
        __builtin_memset(t, 0, 8);
    while (len--)
        *t++ = 0;
}

static inline bool tb_equal(const void *a, const void *b, size_t len)
{
    const uint8_t *x = a, *y = b;
    while (len--)
        if (*x++ != *y++)
            return false;
    return true;
}

/* Length of a string, at most @max. */
static inline size_t tb_strnlen(const char *s, size_t max)
{
    size_t n = 0;
    while (n < max && s[n])
        n++;
    return n;
}

struct tb_unaligned_64 {
    uint64_t value;
} __attribute__((packed, may_alias));

struct tb_unaligned_32 {
    uint32_t value;
} __attribute__((packed, may_alias));

static inline uint64_t tb_load_8(const uint8_t *p)
{
    return ((const struct tb_unaligned_64 *)p)->value;
}

/* At most 8 bytes, little-endian and zero-padded, without a loop and without reading past them. */
static inline uint64_t tb_load_few(const uint8_t *p, size_t len)
{
    if (len >= 4)
        return ((const struct tb_unaligned_32 *)p)->value |
               (uint64_t)((const struct tb_unaligned_32 *)(p + len - 4))->value << (len - 4) * 8;
    return len ? (uint64_t)p[0] | (uint64_t)p[len / 2] << len / 2 * 8 | (uint64_t)p[len - 1] << (len - 1) * 8 : 0;
}

#define TB_EACH_BYTE(x) (UINT64_C(0x0101010101010101) * (x))

/* tb_same - tb_equal for short texts: a word at a time. */
static inline bool tb_same(const uint8_t *a, const uint8_t *b, size_t len)
{
    for (; len > 8; len -= 8, a += 8, b += 8)
        if (tb_load_8(a) != tb_load_8(b))
            return false;
    return tb_load_few(a, len) == tb_load_few(b, len);
}

/* Words as they lie in memory, from any address. */
static inline uint64_t tb_read64(const uint8_t *p)
{
    uint64_t v;
    __builtin_memcpy(&v, p, 8);
    return v;
}

static inline uint32_t tb_read32(const uint8_t *p)
{
    uint32_t v;
    __builtin_memcpy(&v, p, 4);
    return v;
}

static inline struct tb_bytes tb_bytes(const void *ptr, size_t len)
{
    return (struct tb_bytes){ptr, len};
}

static inline struct tb_bytes tb_bytes_str(const char *s)
{
    return (struct tb_bytes){(const uint8_t *)s, tb_strnlen(s, (size_t)1 << 30)};
}

static inline uint8_t tb_lower(uint8_t c)
{
    return (uint8_t)(c - 'A') < 26 ? (uint8_t)(c | 0x20) : c;
}

/* tb_hex - the value of a hex digit, or 255. */
static inline uint8_t tb_hex(uint8_t c)
{
    if ((uint8_t)(c - '0') < 10)
        return (uint8_t)(c - '0');
    c = tb_lower(c);
    return (uint8_t)(c - 'a') < 6 ? (uint8_t)(c - 'a' + 10) : 255;
}

#endif

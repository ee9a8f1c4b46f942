/* SPDX-License-Identifier: Apache-2.0 */
/* Varints: 7 bits a byte, the lowest first; the high bit of a byte says that more follow. As protobuf has them. */
#ifndef TB_VARINT_H
#define TB_VARINT_H

#include <stddef.h>
#include <stdint.h>

#define TB_VARINT_MAX 10u /* bytes of 2^64 - 1 */

static inline size_t tb_varint_len(uint64_t n)
{
    return (size_t)(63 - __builtin_clzll(n | 1)) / 7 + 1;
}

/* tb_varint_write - Returns the end of what was written. */
static inline char *tb_varint_write(char *to, uint64_t n)
{
    for (; n >= 0x80; n >>= 7)
        *to++ = (char)(n | 0x80);
    *to++ = (char)n;
    return to;
}

/* tb_varint_read - moves *@at behind it. Only for what was written here: no end is looked for. */
static inline uint64_t tb_varint_read(const unsigned char **at)
{
    const unsigned char *p = *at;
    uint64_t n = *p & 0x7f;
    for (unsigned shift = 7; *p++ >= 0x80; shift += 7)
        n |= (uint64_t)(*p & 0x7f) << shift;
    *at = p;
    return n;
}

#endif

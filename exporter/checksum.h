/* SPDX-License-Identifier: Apache-2.0 */
/* The checksum of files that this exporter writes: FNV-1a, 64 bits. It finds what was cut or mixed, not what was
 * forged. */
#ifndef TB_CHECKSUM_H
#define TB_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

static inline uint64_t tb_checksum(const char *bytes, size_t len)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < len; i++)
        h = (h ^ (unsigned char)bytes[i]) * UINT64_C(0x100000001b3);
    return h;
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TB_METHODS_H
#define TB_METHODS_H

#include "core.h"

#define TB_HASH_START UINT64_C(0xcbf29ce484222325)

/* One step of FNV-1a, so that a method that arrives byte by byte needs no buffer. */
static inline uint64_t tb_hash_step(uint64_t hash, uint8_t byte)
{
    return (hash ^ byte) * UINT64_C(0x100000001b3);
}

/* tb_method_by_hash - the id of a method token given its FNV-1a hash and length; TB_METHOD_OTHER when unknown. */
uint8_t tb_method_by_hash(uint64_t hash, size_t len);

/* tb_method_name - "GET" ... or "_OTHER" (also for ids out of range). Static. */
const char *tb_method_name(uint8_t method);

/* RFC 9110 section 5.6.2: characters of a token. */
bool tb_is_token(uint8_t c);

#endif

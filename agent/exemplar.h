/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Exemplars: the slowest request of each classic bucket in a while, with its trace (struct tb_exemplar of layout.h).
 * The series of an exemplar has the key of the requests' but for its family; block number b is bucket b.
 */
#ifndef TB_EXEMPLAR_H
#define TB_EXEMPLAR_H

#include "core.h"

/* tb_exemplar_note - an exchange of @duration_ns under @key (bound set included) belongs to @trace. It stands if no
 * slower one of its bucket does for this window. Context: any thread, signal handlers; no waiting. */
void tb_exemplar_note(struct tb_core *core, const struct tb_series_key *key, uint64_t duration_ns,
                      const uint64_t trace[2]);

/* tb_exemplar_check - 16 bits that depend on every other bit of the entry. */
static inline uint64_t tb_exemplar_check(const struct tb_exemplar *e)
{
    uint64_t h = e->at * UINT64_C(0x9e3779b97f4a7c15);
    h = (h ^ h >> 29 ^ e->trace[0]) * UINT64_C(0xbf58476d1ce4e5b9);
    h = (h ^ h >> 31 ^ e->trace[1]) * UINT64_C(0x94d049bb133111eb);
    h = (h ^ h >> 30 ^ e->value >> 16) * UINT64_C(0x9e3779b97f4a7c15);
    return h >> 48;
}

/* tb_exemplar_is_whole - of a copy: is it what one writer wrote? */
static inline bool tb_exemplar_is_whole(const struct tb_exemplar *e)
{
    return e->at && (e->trace[0] | e->trace[1]) && (e->value & 0xffff) == tb_exemplar_check(e);
}

#define TB_EXEMPLAR_TIME_MS(at) ((at) >> 20)
#define TB_EXEMPLAR_VALUE_NS(value) ((value) >> 16)

#endif

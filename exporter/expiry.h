/* SPDX-License-Identifier: Apache-2.0 */
/* Services whose programs have been gone for too long are forgotten (forget.h). */
#ifndef TB_EXPIRY_H
#define TB_EXPIRY_H

#include "collect.h"

struct tb_expiry;
struct tb_expiry *tb_expiry_new(void);
void tb_expiry_free(struct tb_expiry *expiry);

/*
 * tb_expiry_run - forget what has had no program for @after_ns (0: never), after a collection. The time counts from
 * when this process first found a service without one, so a restart begins it anew. Only the holder of the ledger's
 * lock forgets. Returns how many were forgotten; the collector's snapshot is then another one.
 *
 * @now_ns  CLOCK_BOOTTIME
 */
size_t tb_expiry_run(struct tb_expiry *expiry, struct tb_collector *c, uint64_t after_ns, uint64_t now_ns);

#endif

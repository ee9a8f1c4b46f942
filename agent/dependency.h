/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls that the program makes: which server each is for (its target), whether it was answered, how long connecting
 * took. Everything is counted under role client and the target; the exchanges themselves are exchange.c's.
 *
 * A target is the authority asked for, in lower case, without the ports 80 and 443; or what the rules call it. So many
 * of them a service, all others are `_other`.
 *
 * Context of all: any thread, signal handlers; no allocation, no lock, no errno.
 */
#ifndef TB_DEPENDENCY_H
#define TB_DEPENDENCY_H

#include "core.h"

struct tb_conn;
struct tb_host;

#define TB_TARGETS_DEFAULT 100u

/* tb_dependency_target - string reference of the target for @authority: its own or the rules' name for it when it is
 * among those admitted or there is room for one more, else TB_STR_OTHER. */
uint32_t tb_dependency_target(struct tb_core *core, struct tb_bytes authority);

/* tb_dependency_known - the same for what need not be HTTP: 0 unless it was a target before, or the rules name it. */
uint32_t tb_dependency_known(struct tb_core *core, struct tb_bytes authority);

/* tb_dependency_asked - the target of a request that is being sent on @c. @host: what its head says. */
uint32_t tb_dependency_asked(struct tb_core *core, const struct tb_conn *c, struct tb_host *host);

/*
 * tb_dependency_answered - an exchange with @target ended at @now_ns (CLOCK_MONOTONIC, 0 = unknown) with @status. A
 * status from 500 up is no success: the server says itself that it failed.
 */
void tb_dependency_answered(struct tb_core *core, uint32_t target, uint16_t status, uint64_t now_ns);

/* tb_dependency_failed - a call to @target got no answer. */
void tb_dependency_failed(struct tb_core *core, uint32_t target, enum tb_call_error why);

/* tb_dependency_took - connecting to @target, or a handshake with it (TB_FAMILY_CALL_CONNECT, _TLS), took so long. */
void tb_dependency_took(struct tb_core *core, enum tb_family family, uint32_t target, uint64_t duration_ns);

#endif

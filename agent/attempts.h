/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections that the program is making, from connect() until it is known whether they succeeded and what they are
 * for. What a failed attempt was for is its name (resolved.h), else its address; a connection's first request says it
 * itself, and only then is the time to connect counted.
 *
 * An attempt is known by a key: of its descriptor, and once its first bytes were a request, of its connection. A fixed
 * table, lock-free: one that finds no place is not followed, and neither its failure nor its time is counted. Only what
 * is HTTP is counted.
 *
 * Context of all: any thread, signal handlers. Fork story: private, copied; of an inherited one nothing is counted.
 */
#ifndef TB_ATTEMPTS_H
#define TB_ATTEMPTS_H

#include "layout.h"
#include "resolved.h"

struct tb_conn;

#define TB_ATTEMPTS 256u

struct tb_attempt {
    uint64_t key; /* 0: free */
    uint64_t start_ns;
    uint64_t connect_ns; /* how long it took; 0: pending, unknown, or counted */
    int32_t fd;
    uint32_t target; /* of requests that name none: string reference, 0 = not yet asked for */
    struct tb_name_ref name;
    struct tb_address address;
    uint16_t port;
    uint16_t fork_generation;
    uint8_t is_pending;
};

/* tb_attempt_key - of a descriptor and the birth of its identity (any number but 0 that differs). */
static inline uint64_t tb_attempt_key(int fd, uint64_t birth)
{
    return birth | (uint32_t)fd << 1 | 1; /* odd: never a connection's */
}

/* tb_attempt_is_http_port - is @port one that HTTP servers have by habit? */
bool tb_attempt_is_http_port(uint16_t port);

/* tb_address_of - what a struct sockaddr of @size bytes says; returns its port. Neither IPv4 nor IPv6: family 0. */
uint16_t tb_address_of(const void *socket_address, size_t size, struct tb_address *ret);

/* tb_attempt_begin - connect() was called at @start_ns (0 = unknown), and is pending or has succeeded. */
void tb_attempt_begin(struct tb_core *core, uint64_t key, int fd, const struct tb_address *address, uint16_t port,
                      uint64_t start_ns);

/*
 * tb_attempt_ended - it succeeded (@why 0) or failed. tb_attempt_left - the descriptor is being closed. Both do nothing
 * for a key that is not followed, or whose attempt has succeeded before.
 */
void tb_attempt_ended(struct tb_core *core, uint64_t key, enum tb_call_error why);
void tb_attempt_left(struct tb_core *core, uint64_t key);

/* tb_attempt_is_pending, tb_attempt_port - of a key; false and 0 when it is not followed. */
bool tb_attempt_is_pending(struct tb_core *core, uint64_t key);
uint16_t tb_attempt_port(struct tb_core *core, uint64_t key);

/* tb_attempt_carries - the first bytes that were sent there: those of @c if they are a request, of TLS if @is_tls, else
 * of no interest. */
void tb_attempt_carries(struct tb_core *core, uint64_t key, const struct tb_conn *c, bool is_tls);

/* tb_attempt_shaken - a TLS handshake there took @duration_ns (0 = unknown), and succeeded or not. */
void tb_attempt_shaken(struct tb_core *core, uint64_t key, uint64_t duration_ns, bool is_done);

/* tb_attempt_asked - the target of @c's request: @target, or if that is 0 what its address says. With the first
 * request the time to connect is counted. */
uint32_t tb_attempt_asked(struct tb_core *core, const struct tb_conn *c, uint32_t target);

/* tb_attempt_forget - connection @c is over. */
void tb_attempt_forget(struct tb_core *core, const struct tb_conn *c);

/* tb_attempt_unresolved - no address was found for @name. @port 0: unknown. */
void tb_attempt_unresolved(struct tb_core *core, struct tb_bytes name, uint16_t port);

/* tb_attempt_resolved - these were. */
void tb_attempt_resolved(struct tb_core *core, struct tb_bytes name, const struct tb_address *addresses, size_t count);

/* tb_attempt_end_all - the process ends: what is held is certain. */
void tb_attempt_end_all(struct tb_core *core);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names that the program looked up, and the addresses they gave: who connects to an address is after the name that was
 * looked up last and gave it; or after what requests to that address asked for before. And the attempts to connect to a
 * name's addresses, of which one that fails is an error only when none of the others succeeds.
 *
 * A small table of the process; the oldest entry gives way. It is entered by a try-flag that is taken a bounded number
 * of times; who does not get it goes on without a name. Private memory, copied by fork.
 */
#ifndef TB_RESOLVED_H
#define TB_RESOLVED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bytes.h"

struct tb_core;

#define TB_NAMES 32u
#define TB_NAME_BYTES 104u /* longer names are not kept */
#define TB_NAME_ADDRESSES 8u

struct tb_address {
    uint8_t family; /* 4 or 6; 0: none. An IPv4 address in an IPv6 one is 4 */
    uint8_t bytes[16];
};

struct tb_name {
    uint64_t won_ns;  /* CLOCK_MONOTONIC of the last attempt that succeeded */
    uint64_t held_ns; /* of the first failure that is held */
    uint32_t serial;  /* of the name that stands here; 0 = none */
    uint16_t pending; /* attempts */
    uint16_t port;    /* of the failures that are held */
    uint16_t only;    /* learned: text is a whole authority, at this port of its address alone; 0: it was looked up */
    uint8_t why;      /* enum tb_call_error of the last of them */
    uint8_t len, count;
    uint8_t fails[TB_NAME_ADDRESSES]; /* held, by address; at most 255 */
    struct tb_address at[TB_NAME_ADDRESSES];
    uint8_t text[TB_NAME_BYTES];
};

struct tb_names_known {
    uint32_t busy;
    uint32_t serials; /* the last one given */
    struct tb_name names[TB_NAMES];
};

/* A name that an attempt is after. */
struct tb_name_ref {
    uint32_t serial; /* 0: none */
    uint8_t number, address;
    bool is_whole; /* its text is a whole authority */
};

/* Errors that are certain now: so many calls to @name and @port failed for the reason @why. */
struct tb_name_errors {
    uint32_t count;
    uint16_t port; /* 0: the name is a whole authority */
    uint8_t why, len;
    uint8_t name[TB_NAME_BYTES];
};

/* tb_name_resolved - @text gave these addresses. Literal addresses are no names. @ret: what is certain by now. */
void tb_name_resolved(struct tb_core *core, struct tb_bytes text, const struct tb_address *addresses, size_t count,
                      uint64_t now_ns, struct tb_name_errors *ret);

/* tb_name_learned - a request for @authority went to @address and @port, for which no name was looked up. */
void tb_name_learned(struct tb_core *core, struct tb_bytes authority, const struct tb_address *address, uint16_t port);

/* tb_name_attempt - an attempt to connect to @address and @port begins. False: nothing is known of it. */
bool tb_name_attempt(struct tb_core *core, const struct tb_address *address, uint16_t port, struct tb_name_ref *ret);

/*
 * tb_name_ended - the attempt, begun at @start_ns, succeeded (@why 0), failed, or (@is_left) was left by the program
 * while it was pending, which is no failure if another one succeeded since.
 */
void tb_name_ended(struct tb_core *core, const struct tb_name_ref *ref, uint8_t why, bool is_left, uint16_t port,
                   uint64_t start_ns, uint64_t now_ns, struct tb_name_errors *ret);

/* tb_name_held - the failures of name @number (below TB_NAMES) that are still held: at the process's end. */
void tb_name_held(struct tb_core *core, uint32_t number, struct tb_name_errors *ret);

/* tb_names_forked - in a child: whoever was in the table is not here, and pending attempts are the parent's. */
void tb_names_forked(struct tb_names_known *k);

/* tb_name_text - the name; @ret has TB_NAME_BYTES. Returns its length, 0 = it is known no more. */
size_t tb_name_text(struct tb_core *core, const struct tb_name_ref *ref, uint8_t *ret);

#endif

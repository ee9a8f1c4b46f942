/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host that a request asks for: of an absolute target, else of the Host header, read only where the rules want it.
 * A head that comes in pieces keeps what is known in its path block, so nothing is needed in a connection.
 */
#ifndef TB_HOST_H
#define TB_HOST_H

#include "rules_format.h"
#include "core.h"
#include "probe.h"
#include "trace.h"

/* Reads header lines, cut anywhere. Zero is the start of a header section. */
struct tb_host {
    uint8_t state;     /* host.c */
    uint8_t len;       /* bytes in text */
    uint8_t is_fixed;  /* found: what follows changes nothing */
    uint8_t is_bad;    /* no name can be told */
    uint8_t is_given;  /* there is a target in absolute or authority form, or the header with a value */
    uint8_t port_at;   /* where the port's colon is in text when done; text ends there for tb_host_text */
    uint8_t port_len;  /* with the colon */
    uint8_t text[256]; /* lower case, without trailing dot when done */
};

/* tb_host_target - the host of a target in absolute form fixes the answer; other forms have none. */
void tb_host_target(struct tb_host *h, struct tb_bytes target);
/* tb_host_connect - the same of a CONNECT's target, which is an authority. */
void tb_host_connect(struct tb_host *h, struct tb_bytes target);
/* tb_host_feed - more bytes of the header section (field lines, or what follows them). */
void tb_host_feed(struct tb_host *h, struct tb_bytes in);
/* tb_host_text - the name so far; empty when there is none or it is not one. */
struct tb_bytes tb_host_text(struct tb_host *h);
/* tb_host_authority - the name with its port, unless that is 80 or 443; empty as above. Writes to @h: the last to ask.
 */
struct tb_bytes tb_host_authority(struct tb_host *h);

/* tb_host_label - string reference of the label value for @host: itself when the rules in force allow it and its number
 * is within the cap, else TB_STR_OTHER. */
uint32_t tb_host_label(struct tb_core *core, struct tb_bytes host);

/* A request head in pieces: lies in the path block of its connection, behind the path. */
#define TB_HOST_PATH_MAX (TB_PATH_MAX - 360u)
struct tb_host_block {
    uint8_t path[TB_HOST_PATH_MAX];
    uint16_t path_len;
    uint8_t is_cut;
    uint8_t method;
    struct tb_host host;
    struct tb_trace trace;
    struct tb_probe probe;
};
_Static_assert(sizeof(struct tb_host_block) <= TB_PATH_MAX, "it lies in a path block");

#endif

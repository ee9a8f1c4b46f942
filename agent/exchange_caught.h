/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What rules of custom metrics look for in heads and bodies, gathered while an exchange passes: header values, query
 * parameters and cookies when heads are read, single values out of JSON and forms as bodies stream by. Nothing is
 * copied but the values, nothing is looked at that no rule asks for, and only of exchanges that a rule may be about: by
 * role, method, path and route.
 *
 * State lies in captures, a fixed number for a process, found by connection and number of the request on it. When none
 * is free the exchange is counted as ever, and its rules as unreadable (no_memory).
 *
 * Threads: the parts of the request are written by the request half under the capture's flag, those of the response by
 * the response half, which reads all at the end and frees it; a request that goes on after its answer finds nothing.
 * Fork story: private and copied; a child's captures of connections that it never closes are taken back when no other
 * is free.
 */
#ifndef TB_EXCHANGE_CAUGHT_H
#define TB_EXCHANGE_CAUGHT_H

#include "custom.h"
#include "form_pick.h"
#include "header_pick.h"
#include "http1.h"
#include "json_pick.h"

#define TB_LOOK_BYTES (64u << 10) /* of a body that are looked at; a value behind them is too_long */

struct tb_capture {
    uint64_t key; /* connection and number of the request; 0 = free. Claimed by compare-and-swap, freed by storing 0 */
    uint32_t generation;                  /* of the rules */
    uint32_t rules;                       /* a bit for each that may be about it */
    uint32_t request_seen, response_seen; /* bytes of bodies looked at */
    uint16_t fork_generation;
    uint8_t request_busy;                      /* its parts are being written, or it is being freed */
    uint8_t request_body_is, response_body_is; /* exchange_caught.c: how they are read */
    uint8_t request_why, response_why;         /* enum tb_custom_why: they cannot be read */
    struct tb_header_pick request_head, response_head;
    struct tb_form_pick query;
    struct tb_json_pick response_json;
    struct tb_json_pick request_json;
    struct tb_form_pick request_form;
};
_Static_assert(sizeof(struct tb_capture) <= TB_CAPTURE_BYTES, "what an exchange may cost");

#endif

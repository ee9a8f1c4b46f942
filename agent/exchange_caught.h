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

/* A body, as far as it was looked into. */
struct tb_looked {
    uint32_t seen; /* bytes */
    uint8_t is;    /* exchange_caught.c: how it is read */
    uint8_t why;   /* enum tb_custom_why: it cannot be read; 0: nothing hinders */
};

struct tb_capture {
    uint64_t key; /* connection and number of the request; 0 = free. Claimed by compare-and-swap, freed by storing 0 */
    uint32_t generation;      /* of the rules */
    uint32_t rules;           /* a bit for each that may be about it */
    uint16_t places;          /* a bit for each set (tb_custom_set_of) that they look for something of; only then the
                                 set's reader below is one */
    uint16_t fork_generation; /* of the process when it was claimed */
    uint8_t request_busy;     /* its parts are being written, or it is being freed */
    struct tb_looked request, response;
    struct tb_header_pick request_head, response_head;
    struct tb_form_pick query;
    struct tb_json_pick response_json;
    struct tb_json_pick request_json;
    struct tb_form_pick request_form;
};
_Static_assert(sizeof(struct tb_capture) <= TB_CAPTURE_BYTES, "what an exchange may cost");

/* tb_capture_asks - is something of @set looked for in it? */
static inline bool tb_capture_asks(const struct tb_capture *cap, enum tb_custom_place set)
{
    return cap->places >> set & 1;
}

/* tb_capture_picks - what was found of @set; NULL: nothing was looked for. */
static inline const struct tb_picks *tb_capture_picks(const struct tb_capture *cap, enum tb_custom_place set)
{
    static const uint16_t at[TB_CUSTOM_PLACES] = {
        [TB_CUSTOM_REQUEST_HEADER] = offsetof(struct tb_capture, request_head.picks),
        [TB_CUSTOM_RESPONSE_HEADER] = offsetof(struct tb_capture, response_head.picks),
        [TB_CUSTOM_QUERY] = offsetof(struct tb_capture, query.picks),
        [TB_CUSTOM_REQUEST_JSON] = offsetof(struct tb_capture, request_json.picks),
        [TB_CUSTOM_REQUEST_FORM] = offsetof(struct tb_capture, request_form.picks),
        [TB_CUSTOM_RESPONSE_JSON] = offsetof(struct tb_capture, response_json.picks)};
    return tb_capture_asks(cap, set) ? (const struct tb_picks *)(const void *)((const uint8_t *)cap + at[set]) : NULL;
}

/* tb_capture_why - why what was not found of @set was not (enum tb_custom_why); 0: it is as it may be. */
static inline uint8_t tb_capture_why(const struct tb_capture *cap, enum tb_custom_place set)
{
    if (set < TB_CUSTOM_REQUEST_JSON)
        return 0;
    uint8_t why = set == TB_CUSTOM_RESPONSE_JSON ? cap->response.why : cap->request.why;
    return why ? why : TB_CUSTOM_WHY_MISSING;
}

#endif

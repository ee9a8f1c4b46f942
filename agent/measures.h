/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the rules may ask for beside counts and durations of the default bounds: other bounds, for all routes or some;
 * sizes of bodies; the time to the first byte as a histogram; exemplars. Without such rules core->measures is 0, and
 * the short way of an ordinary exchange (exchange_kept.c) does not know of any of this.
 */
#ifndef TB_MEASURES_H
#define TB_MEASURES_H

#include "series.h"

/* core->measures */
enum {
    TB_MEASURE_SETS = 1,   /* the region has series of several bound sets: note which is in force */
    TB_MEASURE_ROUTES = 2, /* some route has a bound set of its own */
    TB_MEASURE_REQUEST_SIZE = 4,
    TB_MEASURE_RESPONSE_SIZE = 8,
    TB_MEASURE_FIRST_BYTE = 16,
    TB_MEASURE_EXEMPLARS = 32,
    TB_MEASURE_CUSTOM = 64 /* custom.h */
};

/* What an exchange was beside an observation. */
struct tb_capture; /* exchange_caught.h */
struct tb_measured {
    uint64_t request_bytes; /* of its bodies, as transferred: content codings are in, framing is not */
    uint64_t response_bytes;
    uint64_t trace[2];               /* 0: none, or not sampled */
    const struct tb_capture *caught; /* for custom metrics; NULL: nothing was looked for */
    bool is_endless;                 /* its response has no end: no size either */
    bool is_hidden;                  /* no metric but custom ones is about it */
};

/*
 * tb_measures_read - find the numbers of the bound sets that a set of rules names, into @view (its section was read by
 * tb_rules_read). Hostile input. Context: as tb_rules_adopt.
 */
void tb_measures_read(struct tb_core *core, struct tb_rules_view *view);

/* tb_measures_use - from now on what @view (NULL: no rules) asks for, and nothing else, is recorded. */
void tb_measures_use(struct tb_core *core, const struct tb_rules_view *view, uint32_t generation);

/* tb_measures_set - the bound set for durations of a route (string reference). With TB_MEASURE_ROUTES only. */
uint8_t tb_measures_set(struct tb_core *core, uint32_t route);

/* tb_measures_took - one duration that is no exchange's, under the bounds that durations have. @key's bound set is
 * filled in. Context: as tb_series_add. */
void tb_measures_took(struct tb_core *core, struct tb_series_key key, uint64_t duration_ns);

/* tb_measures_observe - tb_series_observe and all else that is in force for it. @key is of TB_FAMILY_REQUESTS, its
 * bound set is filled in. Context: as tb_series_observe. */
void tb_measures_observe(struct tb_core *core, const struct tb_series_key *key, const struct tb_observation *o,
                         const struct tb_measured *m);

#endif

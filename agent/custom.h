/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Custom metrics: which of the rules in force an exchange is about, and what each counts of it. The rules are those of
 * custom_format.h; the series they count in are of TB_FAMILY_RULE, named by their metric and labels as text.
 *
 * Without such rules core->measures has no TB_MEASURE_CUSTOM and nothing here is called. With them, exchanges that no
 * rule is about are still counted in the short way (exchange_kept.c): only those come into its table of cells.
 */
#ifndef TB_CUSTOM_H
#define TB_CUSTOM_H

#include "measures.h"

struct tb_capture; /* exchange_caught.h */

/* One exchange at its end. */
struct tb_custom_exchange {
    const struct tb_series_key *key; /* of TB_FAMILY_REQUESTS */
    const struct tb_observation *o;
    const struct tb_measured *m;
    const struct tb_capture *caught; /* what was found in it, borrowed; NULL: nothing was looked for */
};

/* tb_custom_read - the section of @view's set, which tb_rules_read has found, into view->custom. False: it contradicts
 * itself. Hostile input. Pure but for loads from the section. */
bool tb_custom_read(const uint8_t *section, struct tb_rules_view *view);

/* tb_custom_sets - numbers for the bounds that the rules name; they are those of @generation. Context: as
 * tb_rules_adopt. */
void tb_custom_sets(struct tb_core *core, struct tb_rules_view *view, uint32_t generation);

/* tb_custom_observe - what every rule makes of an exchange. With TB_MEASURE_CUSTOM only. Context: as
 * tb_series_observe. */
void tb_custom_observe(struct tb_core *core, const struct tb_custom_exchange *x);

/* tb_custom_text - the text at @offset of private memory; "" past its end. */
struct tb_bytes tb_custom_text(const struct tb_custom *c, uint32_t offset);

/* tb_custom_fits - does some of @count globs, one behind the other from @offset on, fit @text? *@steps as in
 * tb_glob_within. */
bool tb_custom_fits(const struct tb_custom *c, uint32_t offset, uint32_t count, struct tb_bytes text, uint32_t *steps);

/* tb_custom_set_of - the place whose set of picks a field is in: hosts and cookies are in a header. */
static inline uint8_t tb_custom_set_of(uint8_t place)
{
    return place == TB_CUSTOM_HOST || place == TB_CUSTOM_COOKIE ? TB_CUSTOM_REQUEST_HEADER : place;
}

/* tb_custom_pick - a text of @picks, empty when there is none; whatever another thread writes there. */
struct tb_bytes tb_custom_pick(const struct tb_picks *picks, uint32_t number);

/* tb_custom_value - the value of a field. False: there is none, *ret_why is enum tb_custom_why, or 0 where that is as
 * it may be. @caught may be NULL. */
bool tb_custom_value(const struct tb_custom *c, const struct tb_capture *caught, uint32_t field, struct tb_bytes *ret,
                     uint8_t *ret_why);

/* tb_custom_of_path - of @rules, those whose conditions on the path hold. */
uint32_t tb_custom_of_path(const struct tb_custom *c, uint32_t rules, struct tb_bytes path);

/* tb_custom_ask_route, tb_custom_ask_handle - custom_hot.h: of all rules, those whose conditions on the route hold, by
 * its label (remembered from now on), or as a handle that has none looks now. */
uint32_t tb_custom_ask_route(struct tb_core *core, const struct tb_custom *c, uint32_t label);
uint32_t tb_custom_ask_handle(struct tb_core *core, const struct tb_custom *c, uint32_t handle);

/* tb_custom_looks - may some rule look into a GET of this path, whose node of the learner it is? Then its requests are
 * not to take the short way. */
bool tb_custom_looks(struct tb_core *core, struct tb_bytes path, uint32_t node);

/*
 * tb_custom_series - custom_labels.c: the string reference that names the series of @rule for this exchange. 0: there
 * is no room for one. *ret_why is set where a label's value could not be read (enum tb_custom_why).
 */
uint32_t tb_custom_series(struct tb_core *core, const struct tb_custom *c, uint32_t rule,
                          const struct tb_custom_exchange *x, uint8_t *ret_why);

/* tb_custom_count - for a rule of TB_CUSTOM_COUNTER: one more in the series of this exchange, @value added to its sum.
 * *ret_why as above. Context: as tb_series_observe. */
void tb_custom_count(struct tb_core *core, const struct tb_custom *c, uint32_t rule, const struct tb_custom_exchange *x,
                     uint64_t value, uint8_t *ret_why);

/*
 * tb_custom_open - custom_gauge.c: a request of @key (its status is not known) is in flight from now on, under @entry
 * of the in-flight table: it is counted in the gauges of those of @rules that are about it. False: in none.
 * tb_inflight_leave_gauges ends it.
 */
bool tb_custom_open(struct tb_core *core, uint32_t rules, const struct tb_custom_exchange *x,
                    struct tb_inflight *entry);

/* tb_custom_is_about_all - what only heads, bodies and the end of the exchange tell: does it hold for rule @r? *ret_why
 * as tb_custom_value. */
bool tb_custom_is_about_all(struct tb_core *core, const struct tb_custom *c, const struct tb_custom_rule *r,
                            const struct tb_custom_exchange *x, uint8_t *ret_why);

/* tb_custom_hash - the keyed hash of a field that is kept as such. False: as tb_custom_value. */
bool tb_custom_hash(const struct tb_custom *c, const struct tb_capture *caught, uint32_t field, uint64_t *ret,
                    uint8_t *ret_why);

/* tb_custom_set_gauge, tb_custom_add_distinct - custom_gauge.c: in the series of @key, of those families. Context: as
 * tb_series_observe. */
void tb_custom_set_gauge(struct tb_core *core, const struct tb_series_key *key, int64_t nano);
void tb_custom_add_distinct(struct tb_core *core, const struct tb_series_key *key, uint64_t window_ns, uint64_t hash);

/* tb_custom_unreadable - a rule could not read what it needs, and why. */
void tb_custom_unreadable(struct tb_core *core, const struct tb_custom *c, uint32_t rule, uint8_t why);

#endif

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

/* Texts of fields that were found in an exchange, as custom_capture.c gathers them. */
#define TB_CAUGHT_TEXT 1024u
struct tb_caught {
    uint32_t rules;                /* a bit for each whose request it was */
    uint32_t has;                  /* a bit for each field that has a value */
    uint32_t unreadable;           /* and for each that has one which cannot be used */
    uint16_t used;                 /* bytes of text */
    uint16_t at[TB_CUSTOM_FIELDS]; /* of each value */
    uint8_t len[TB_CUSTOM_FIELDS]; /* at most TB_CUSTOM_VALUE_MAX */
    uint8_t text[TB_CAUGHT_TEXT];
};

/* One exchange at its end. */
struct tb_custom_exchange {
    const struct tb_series_key *key; /* of TB_FAMILY_REQUESTS */
    const struct tb_observation *o;
    const struct tb_measured *m;
    const struct tb_caught *caught; /* NULL: nothing was looked for */
};

/* tb_custom_read - the section of @view's set, which tb_rules_read has found, into view->custom. False: it contradicts
 * itself. Hostile input. Pure but for loads from the section. */
bool tb_custom_read(const uint8_t *section, struct tb_rules_view *view);

/* tb_custom_sets - numbers for the bounds that the rules name. Context: as tb_rules_adopt. */
void tb_custom_sets(struct tb_core *core, struct tb_rules_view *view);

/* tb_custom_is_about - a bit for each rule that counts exchanges of this key, whatever their fields are. */
uint32_t tb_custom_is_about(struct tb_core *core, const struct tb_custom *c, const struct tb_series_key *key);

/* tb_custom_counts - does some rule count exchanges of this key of which nothing was looked for? With
 * TB_MEASURE_CUSTOM only. */
bool tb_custom_counts(struct tb_core *core, const struct tb_series_key *key);

/* tb_custom_observe - what every rule makes of an exchange. With TB_MEASURE_CUSTOM only. Context: as
 * tb_series_observe. */
void tb_custom_observe(struct tb_core *core, const struct tb_custom_exchange *x);

/* tb_custom_text - the text at @offset of private memory; "" past its end. */
struct tb_bytes tb_custom_text(const struct tb_custom *c, uint32_t offset);

/* tb_custom_fits - does some of @count globs, one behind the other from @offset on, fit @text? *@steps as in
 * tb_glob_within. */
bool tb_custom_fits(const struct tb_custom *c, uint32_t offset, uint32_t count, struct tb_bytes text, uint32_t *steps);

/* tb_custom_caught - the value of a field, empty when there is none. */
struct tb_bytes tb_custom_caught(const struct tb_caught *caught, uint32_t field);

/*
 * tb_custom_series - custom_labels.c: the string reference that names the series of @rule for this exchange. 0: there
 * is no room for one.
 */
uint32_t tb_custom_series(struct tb_core *core, const struct tb_custom *c, uint32_t rule,
                          const struct tb_custom_exchange *x);

/*
 * tb_custom_number - a decimal number as text, times 10^@scale, in 10^-9. Digits beyond are cut. False: it is none, or
 * too large for 63 bits. An exponent may follow. Pure.
 */
bool tb_custom_number(struct tb_bytes text, int scale, int64_t *ret_nano);

#endif

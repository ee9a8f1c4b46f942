/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of custom series as they stand in regions and in the ledger: a letter that says how to read what they count,
 * the metric's name, its labels as the text format has them: `corders_created_total{status="paid"}`; a capital one is
 * a metric of the program's own. Regions may say anything: only what makes a sound exposition is taken.
 */
#ifndef TB_RULES_EXT_H
#define TB_RULES_EXT_H

#include "exposition.h"
#include "names.h"

enum tb_ext_shape {
    TB_EXT_COUNT = 'c',     /* a counter of exchanges */
    TB_EXT_SUM = 's',       /* a counter of values in 10^-9 */
    TB_EXT_BYTES = 'b',     /* a counter of whole values */
    TB_EXT_HISTOGRAM = 'h', /* a histogram; its bound set says in what */
    TB_EXT_GAUGE = 'g',     /* the last number, in 10^-9 */
    TB_EXT_IN_FLIGHT = 'i', /* requests that are open */
    TB_EXT_DISTINCT = 'd',  /* different values in a window */
    /* of a program's own only, as the bits of a double: */
    TB_EXT_LAST = 'l',     /* the last that a process set */
    TB_EXT_OWN_GAUGE = 'v' /* the sum of what each process has */
};

#define TB_EXT_HELP "Counted by a rule."
#define TB_EXT_OWN_HELP "Counted by the program itself."

struct tb_ext {
    char shape;       /* enum tb_ext_shape */
    bool is_own;      /* the program said it (agent/own.h): a capital letter */
    const char *name; /* not terminated, as labels; both in the text that was read */
    size_t name_len;
    const char *labels; /* between the braces */
    size_t labels_len;
};

/* tb_ext_read - false: it is no sound name. Labels come in strictly ascending order of their names, so that two texts
 * never are one series. Pure. */
bool tb_ext_read(const char *text, struct tb_ext *ret);

/* tb_ext_shape - of a text that is such a name. */
static inline char tb_ext_shape(const char *text)
{
    return (char)(*text | 0x20);
}

/* tb_ext_family - enum tb_family of series of a shape. tb_ext_is_family - is a family one of those? */
uint8_t tb_ext_family(char shape);
static inline bool tb_ext_is_family(uint8_t family)
{
    return family == TB_FAMILY_RULE || family == TB_FAMILY_RULE_GAUGE || family == TB_FAMILY_RULE_DISTINCT ||
           family == TB_FAMILY_OWN_GAUGE;
}

/* tb_ext_label - `name="value"` at @p, the name perhaps in quotes: the length of its name, and its end in *ret_end. 0:
 * it is none. */
size_t tb_ext_label(const char *p, const char **ret_end);

/* tb_ext_has_label - is @name, or what becomes it once escaped, among labels as text of labels has them (exposition.h)?
 */
bool tb_ext_has_label(const char *labels, const char *name);

/* tb_ext_collide - tb_names_collide, at once for names that have nothing in common. */
bool tb_ext_collide(const struct tb_metric *a, const struct tb_metric *b);

/* tb_ext_metric - the family of series of this shape. Strings are borrowed. */
struct tb_metric tb_ext_metric(char shape, const char *name, const char *help);

#endif

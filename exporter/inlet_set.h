/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an inlet has taken in: families of counters, gauges, summaries and histograms that others measured, checked so
 * that they can stand in a scrape. Values are doubles, as in the formats that they came in.
 *
 * One thread at a time.
 */
#ifndef TB_INLET_SET_H
#define TB_INLET_SET_H

#include "exposition.h"
#include "names.h"
#include "snapshot.h"

/* What an inlet refuses, by the word of the label `reason`. */
enum tb_inlet_reason {
#define INLET_REASON(id, word) TB_INLET_##id,
#include "inlet_reasons.def"
#undef INLET_REASON
    TB_INLET_REASONS
};
const char *tb_inlet_reason(enum tb_inlet_reason reason);

#define TB_INLET_FAMILIES_MAX 500u  /* of an inlet */
#define TB_INLET_SAMPLES_MAX 10000u /* of an inlet */
#define TB_INLET_LABELS_MAX 32u     /* of a sample */
#define TB_INLET_VALUE_MAX 1024u    /* bytes of a label's value */

struct tb_inlet_sample {
    char *labels;   /* owned: as the text format has them between the braces, names ascending */
    double value;   /* of a counter or gauge; the sum of others */
    uint64_t count; /* of a summary */
    /* of a histogram, else NULL; owned */
    uint64_t *bounds;  /* bits of doubles, ascending, without the infinite one */
    uint64_t *buckets; /* bound_count + 1, not cumulative */
    size_t bound_count;
};

struct tb_inlet_family {
    char *name, *help; /* owned */
    enum tb_metric_type type;
    bool is_hidden;                  /* it would be mistaken for another */
    struct tb_inlet_sample *samples; /* owned */
    size_t count, space;
};

/* Zero-initialise. */
struct tb_inlet_set {
    struct tb_inlet_family *families; /* owned */
    size_t count, space;
    size_t samples; /* of all families */
};

void tb_inlet_set_free(struct tb_inlet_set *s);

/* tb_inlet_set_find - NULL: there is none of that name. */
struct tb_inlet_family *tb_inlet_set_find(const struct tb_inlet_set *s, const char *name);

/* tb_inlet_set_add - a family that is not there yet; both texts are copied. Valid until the next is added. */
struct tb_inlet_family *tb_inlet_set_add(struct tb_inlet_set *s, const char *name, const char *help,
                                         enum tb_metric_type type);

/* tb_inlet_family_add - a zeroed sample; takes over @labels. Valid until the next is added. */
struct tb_inlet_sample *tb_inlet_family_add(struct tb_inlet_set *s, struct tb_inlet_family *f, char *labels);

/* tb_inlet_is_name - a name as Prometheus' data model has it, of at most 200 bytes. */
bool tb_inlet_is_name(const char *name);

/*
 * tb_inlet_labels - pairs as one text: sorted, escaped, those without a value left out.
 * @names, @values  terminated; @count of each, at most TB_INLET_LABELS_MAX; reordered
 * Returns the text, the caller's, or NULL with *ret_reason.
 */
char *tb_inlet_labels(const char **names, const char **values, size_t count, enum tb_inlet_reason *ret_reason);

/*
 * tb_inlet_set_merge - the families of @from into @to, samples in order. Both have theirs in order of labels; @from is
 * empty afterwards. Returns false, and nothing has changed, when a sample is in both or types differ: *ret_reason.
 */
bool tb_inlet_set_merge(struct tb_inlet_set *to, struct tb_inlet_set *from, enum tb_inlet_reason *ret_reason);

/* tb_inlet_set_replace - @by instead of what is in @s; what was hidden stays so until it is looked for again. @by is
 * empty afterwards. */
void tb_inlet_set_replace(struct tb_inlet_set *s, struct tb_inlet_set *by);

/*
 * tb_inlet_set_hide - sets is_hidden of each family that would be mistaken for one of the exporter's own (@names), one
 * of @before, which come first in a scrape, or one before it in @s. Returns how many samples became hidden, those of
 * _created not counted; the last family that did is *ret_name.
 */
size_t tb_inlet_set_hide(struct tb_inlet_set *s, const struct tb_names *names, const struct tb_inlet_set *const *before,
                         size_t count, const char **ret_name);

/* tb_inlet_set_of_rules - the families, without samples, that regions have of the user's own metrics: these keep their
 * names. @ret is empty. */
void tb_inlet_set_of_rules(const struct tb_snapshot *s, struct tb_inlet_set *ret);

/* tb_inlet_set_expose - append all of it that is not hidden, nor would be mistaken for a family of @beside. */
void tb_inlet_set_expose(struct tb_exposition *x, const struct tb_inlet_set *s, const struct tb_inlet_set *beside);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An exposition: metric families and their samples, as yet in no format. It is a copy, so that a response can be
 * encoded piece by piece (render.h) while the next collection changes the snapshot, and small: a histogram takes little
 * more than its label text (numbers are varints, buckets without what lies below).
 *
 * Writers call tb_expose_family, then one call for each sample of it; readers take the same records in order. Label
 * text is as the text format has it between the braces: `service="a",method="GET"`, valid UTF-8, escaped; "" = none.
 * Names that are no identifiers stand in quotes, `"service.name"="a"`, in labels without any other escaping.
 *
 * One thread at a time for writing; once written, any number of readers.
 */
#ifndef TB_EXPOSITION_H
#define TB_EXPOSITION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/histogram.h"
#include "buffer.h"
#include "escape.h"
#include "filter.h"
#include "metrics.h"

#define TB_EXPOSED_CELLS_MAX TB_EXPONENTIAL_BOUNDS

struct tb_labels {
    const char *text; /* not terminated */
    size_t len;
    bool is_pairs; /* made already: only for an exposition that has pairs and no constant labels */
};

/* Zero-initialise. */
struct tb_exposition {
    bool has_pairs; /* set before anything is written: labels are kept as pairs (label_pairs.h), not as text */
    /* set before anything is written: what becomes of names that are no identifiers, of families and of labels */
    enum tb_escaping escaping, label_escaping;
    struct tb_buffer records;
    const uint64_t *bounds; /* of the last histogram written: they are recorded when they change */
    size_t families, samples;
    struct tb_labels constant;      /* behind the labels of every sample; borrowed while it is written */
    const struct tb_filter *filter; /* borrowed while it is written; NULL = every family */
};

/* One measured value of a bucket, with what leads to it. */
struct tb_exposed_exemplar {
    uint32_t bucket;         /* of the classic ones */
    struct tb_labels labels; /* `trace_id="..."` */
    uint64_t value;          /* unit of the family */
    uint64_t time_ns;        /* CLOCK_REALTIME; 0 = unknown */
};

/* One bucket of a native histogram (schema 3): values above 2^((index-1)/8) seconds, up to 2^(index/8). */
struct tb_exposed_cell {
    int32_t index;
    uint64_t count;
};

/* tb_exposed_run - how many of @cells, from the first, are neighbours. @count is not 0. */
static inline size_t tb_exposed_run(const struct tb_exposed_cell *cells, size_t count)
{
    size_t run = 1;
    while (run < count && cells[run].index == cells[run - 1].index + 1)
        run++;
    return run;
}

struct tb_exposed_histogram {
    const uint64_t *bounds; /* inclusive upper bounds, ascending, without the infinite one; in the unit of the family */
    size_t bound_count;     /* at most TB_BOUNDS_MAX */
    const uint64_t *buckets; /* bound_count + 1 of them, not cumulative */
    uint64_t sum;
    uint64_t created_ns; /* CLOCK_REALTIME of when it was 0; 0 = unknown */
    /* the native part, where it is wanted: ascending, at most TB_EXPOSED_CELLS_MAX */
    bool is_native;
    uint64_t zero_count; /* up to 2^-20 s */
    const struct tb_exposed_cell *cells;
    size_t cell_count;
    const struct tb_exposed_exemplar *exemplars; /* ascending buckets, at most one each */
    size_t exemplar_count;
};

void tb_exposition_free(struct tb_exposition *x);

/* tb_expose_family - begin a family. Its strings are copied. Returns false, and nothing is to be written, when it is
 * one that is not exposed. */
bool tb_expose_family(struct tb_exposition *x, const struct tb_metric *m);

/* tb_expose_value - a sample of a counter or gauge. @created_ns counters: as for histograms; 0 for gauges. */
void tb_expose_value(struct tb_exposition *x, struct tb_labels labels, uint64_t value, uint64_t created_ns);

/* tb_expose_summary - a summary without quantiles. */
void tb_expose_summary(struct tb_exposition *x, struct tb_labels labels, uint64_t count, uint64_t sum,
                       uint64_t created_ns);
/* tb_expose_histogram - everything is copied. Histograms of one family may differ in their bounds. */
void tb_expose_histogram(struct tb_exposition *x, struct tb_labels labels, const struct tb_exposed_histogram *h);

/* tb_expose_single - a family of one sample without labels. */
void tb_expose_single(struct tb_exposition *x, const struct tb_metric *m, uint64_t value, uint64_t created_ns);

/* tb_labels - of a terminated text. */
static inline struct tb_labels tb_labels(const char *text)
{
    return (struct tb_labels){text, strlen(text), false};
}

/* --- reading ---------------------------------------------------------------------------------------------------------
 */

enum tb_exposed_kind {
    TB_EXPOSED_END,
    TB_EXPOSED_FAMILY,
    TB_EXPOSED_BOUNDS,
    TB_EXPOSED_VALUE,
    TB_EXPOSED_SUMMARY,
    TB_EXPOSED_HISTOGRAM
};

/*
 * A reader, and what it read last. Strings point into the exposition, which must stay as it is meanwhile. Going back to
 * a place between a family and its first sample is setting .at.
 */
struct tb_reader {
    const unsigned char *at, *end;
    struct tb_metric metric; /* of the family that the samples belong to */
    bool is_quoted;          /* its name is no identifier */
    struct tb_labels labels;
    uint64_t value; /* or the count of a summary or histogram */
    uint64_t sum;   /* of a summary */
    uint64_t created_ns;
    /* a histogram; its arrays are the reader's own, below */
    struct tb_exposed_histogram histogram;
    uint64_t bounds[TB_BOUNDS_MAX];
    size_t bound_count;
    uint64_t buckets[TB_BOUNDS_MAX + 1];
    struct tb_exposed_cell cells[TB_EXPOSED_CELLS_MAX];
    struct tb_exposed_exemplar exemplars[TB_BOUNDS_MAX + 1];
};

void tb_reader_start(struct tb_reader *r, const struct tb_exposition *x);
/* tb_reader_next - the next record; TB_EXPOSED_END again and again at the end. */
enum tb_exposed_kind tb_reader_next(struct tb_reader *r);

/* tb_reader_at_family - is the next record a family? There must be a next one. */
static inline bool tb_reader_at_family(const struct tb_reader *r)
{
    return *r->at == TB_EXPOSED_FAMILY;
}

#endif

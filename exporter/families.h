/* SPDX-License-Identifier: Apache-2.0 */
/* Snapshot -> exposition: which families there are, in which order, with which samples. Pure: no I/O, no clock. */
#ifndef TB_FAMILIES_H
#define TB_FAMILIES_H

#include "exposition.h"
#include "snapshot.h"

/* What the exchanges of a role are called: enum tb_metric_id of each. */
struct tb_role_families {
    size_t requests, duration, first_byte, request_size, response_size, incomplete;
};

/* tb_role_families - those of @role; NULL: it has none. */
const struct tb_role_families *tb_role_families(enum tb_role role);

struct tb_expose_options {
    const struct tb_metric *metrics; /* TB_FAMILIES of them, as tb_metrics_default */
    bool has_native;                 /* histograms have their native part as well */
    const struct tb_metric *custom;  /* those that `rules` of the configuration have; NULL, 0 = none */
    size_t custom_count;
};

/* tb_families_labels - the labels of a series, in the form that @x has them. */
struct tb_labels tb_families_labels(const struct tb_exposition *x, struct tb_snap_series *e);

/* tb_expose_series_histogram - the histogram of one series, in the family begun last. */
void tb_expose_series_histogram(struct tb_exposition *x, struct tb_snap_series *e, bool has_native);

/* tb_expose_custom - every family of the user's own metrics. */
void tb_expose_custom(struct tb_exposition *x, const struct tb_snapshot *s, const struct tb_expose_options *options);

/*
 * tb_expose_series - append every family of the series of @s. tb_expose_in_flight - what is open now, by service.
 * tb_expose_services - every other family of it.
 * @s  finished (tb_snapshot_finish), hence sorted
 */
void tb_expose_series(struct tb_exposition *x, const struct tb_snapshot *s, const struct tb_expose_options *options);
void tb_expose_in_flight(struct tb_exposition *x, const struct tb_snapshot *s, const struct tb_metric *metrics);
void tb_expose_services(struct tb_exposition *x, const struct tb_snapshot *s, const struct tb_expose_options *options);

/* tb_expose_snapshot - all of them. */
static inline void tb_expose_snapshot(struct tb_exposition *x, const struct tb_snapshot *s,
                                      const struct tb_expose_options *options)
{
    tb_expose_series(x, s, options);
    tb_expose_in_flight(x, s, options->metrics);
    tb_expose_services(x, s, options);
}

#endif

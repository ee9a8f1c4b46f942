/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which series a scrape shows, and under which labels: each as it is, or summed with others into one row, when labels
 * are left out or a limit is reached. What is beyond a limit goes into method `_OTHER`, route `_other` and its status,
 * so that the sums over all series stay exact. What was shown once stays shown; what is older comes first, so that the
 * same regions and ledger give the same series after a restart.
 *
 * One thread at a time, that of the snapshot.
 */
#ifndef TB_SHOWN_H
#define TB_SHOWN_H

#include "exposition.h"
#include "names.h"
#include "snapshot.h"

/* 0 = no limit. */
struct tb_shown_limits {
    uint64_t samples; /* of a whole scrape */
    uint64_t series;
    uint64_t service_series; /* of one service */
    uint64_t idle_ns;        /* a series that has not changed for so long is not shown until it does */
};

/* Why a series is not shown by itself; labels of tickbird_exporter_left_out_series. */
enum tb_left_out {
    TB_LEFT_OUT_SERVICE, /* summed: the service has enough */
    TB_LEFT_OUT_SERIES,  /* summed: there are enough */
    TB_LEFT_OUT_SAMPLES, /* summed: the scrape is large enough */
    TB_LEFT_OUT_NO_ROOM, /* nowhere: there was no room for a row of sums either */
    TB_LEFT_OUT_IDLE,    /* nowhere, for now */
    TB_LEFT_OUT_COUNT
};
const char *tb_left_out_name(enum tb_left_out why);

/* What is shown of a snapshot; its pointers are valid until the next call. */
struct tb_shown_list {
    struct tb_snap_series **series; /* in the order of tb_snapshot_sort */
    size_t count;
    uint64_t left_out[TB_LEFT_OUT_COUNT];
};

struct tb_shown;
struct tb_shown *tb_shown_new(const struct tb_shown_limits *limits);
void tb_shown_free(struct tb_shown *shown);
/* tb_shown_set_limits - other ones from the next choice on. What is shown is then decided anew; sums that stay go on.
 */
void tb_shown_set_limits(struct tb_shown *shown, const struct tb_shown_limits *limits);
const struct tb_shown_limits *tb_shown_limits(const struct tb_shown *shown);

/*
 * tb_shown_choose - what to show of @s.
 * @s      finished; its labels are called as in @names
 * @fixed  samples that the scrape has besides those of series, at most
 */
struct tb_shown_list tb_shown_choose(struct tb_shown *shown, struct tb_snapshot *s, const struct tb_names *names,
                                     uint64_t fixed);

/* tb_shown_expose - append how many series are not shown by themselves. @s: for what labels are called. */
void tb_shown_expose(struct tb_exposition *x, const struct tb_shown_list *list, const struct tb_snapshot *s,
                     const struct tb_metric *metrics);

#endif

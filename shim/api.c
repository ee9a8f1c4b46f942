/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The functions of tickbird.h: what a program says of itself. The only exported ones that are no hooks. The first that
 * asks for a metric wakes the process up and has its region made, whether it serves or not; later calls are the core's
 * (agent/own.h).
 *
 * Fork story: handles are copied and right in a child. A library's constructor may come here before this object's own.
 */
#define TICKBIRD_DEFINES
#include "tickbird.h"

#include "../agent/own.h"
#include "process.h"
#include "raw.h"

_Static_assert(sizeof(tickbird_label) == sizeof(struct tb_own_label) &&
                   offsetof(tickbird_label, value) == offsetof(struct tb_own_label, value),
               "one layout");

#define WAIT_STEPS 20000u /* of sched_yield, while another thread makes the region: it takes some milliseconds */

/* A region to count in. False: there will be none. */
static bool prepare(void)
{
    tb_process_start();
    if (!tb_wake())
        return false;
    tb_process_check_fork();
    for (uint32_t i = 0; !tb_process_region(false); i++) {
        if (!tb_process_region_comes() || i == WAIT_STEPS) /* behind a filter of the program's no call is safe */
            return false;
        TB_RAW0(SYS_sched_yield);
    }
    tb_process_owner();
    return true;
}

static tickbird_metric *get(const struct tb_own_metric *m)
{
    return prepare() ? (tickbird_metric *)tb_own_get(&tb_core, m) : NULL;
}

#define GET(is)                                                                                                        \
    get(&(struct tb_own_metric){.kind = (is),                                                                          \
                                .name = name,                                                                          \
                                .help = help,                                                                          \
                                .labels = (const struct tb_own_label *)labels,                                         \
                                .label_count = count})

tickbird_metric *tickbird_counter(const char *name, const char *help, const tickbird_label *labels, size_t count)
{
    return GET(TB_OWN_COUNTER);
}

tickbird_metric *tickbird_sum(const char *name, const char *help, const tickbird_label *labels, size_t count)
{
    return GET(TB_OWN_SUM);
}

tickbird_metric *tickbird_gauge(const char *name, const char *help, const tickbird_label *labels, size_t count)
{
    return GET(TB_OWN_GAUGE);
}

tickbird_metric *tickbird_last(const char *name, const char *help, const tickbird_label *labels, size_t count)
{
    return GET(TB_OWN_LAST);
}

tickbird_metric *tickbird_histogram(const char *name, const char *help, const tickbird_label *labels, size_t count,
                                    const double *bounds, size_t bound_count)
{
    return get(&(struct tb_own_metric){TB_OWN_HISTOGRAM, name, help, (const struct tb_own_label *)labels, count, bounds,
                                       bound_count});
}

/* ---- values: without a metric there is nothing to be done; what is one has a region ---- */

void tickbird_counter_add(tickbird_metric *counter, uint64_t by)
{
    if (TB_LIKELY(counter != NULL))
        tb_own_count(&tb_core, (struct tb_own *)counter, by);
}

void tickbird_sum_add(tickbird_metric *sum, double by)
{
    if (TB_LIKELY(sum != NULL))
        tb_own_sum(&tb_core, (struct tb_own *)sum, by);
}

void tickbird_histogram_observe(tickbird_metric *histogram, double value)
{
    if (TB_LIKELY(histogram != NULL))
        tb_own_observe(&tb_core, (struct tb_own *)histogram, value);
}

void tickbird_gauge_set(tickbird_metric *gauge, double value)
{
    tb_process_check_fork();
    if (TB_LIKELY(gauge != NULL))
        tb_own_set(&tb_core, (struct tb_own *)gauge, value);
}

void tickbird_gauge_add(tickbird_metric *gauge, double by)
{
    tb_process_check_fork();
    if (TB_LIKELY(gauge != NULL))
        tb_own_change(&tb_core, (struct tb_own *)gauge, by);
}

void tickbird_last_set(tickbird_metric *last, double value)
{
    if (TB_LIKELY(last != NULL))
        tb_own_last(&tb_core, (struct tb_own *)last, value);
}

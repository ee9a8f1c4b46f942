/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Metrics of a program's own: what it says by tickbird.h. A metric's series has a name as text, as those of rules have
 * (custom.h), with a capital letter in front, so that readers can tell who said it. The program holds a handle, which
 * knows where the series counts: an addition is a few checks and one or two atomic adds.
 *
 * Whatever the program passes is hostile: names, values and handles are checked, and what is not right is counted
 * (TB_COUNTER_API_*). Handles are never taken back. Fork story: a child's handles are its parent's and count in the
 * parent's shard, which is exact; gauges find the child's own words at their first use.
 *
 * Context: any thread, signal handlers. No allocation, no lock, no system call but to give new pages memory.
 */
#ifndef TB_OWN_H
#define TB_OWN_H

#include "core.h"

#define TB_OWN_SERIES 1000u /* of all processes of a service; then `_other` in every label */
#define TB_OWN_LABELS 8u
#define TB_OWN_NAME_MAX 100u  /* bytes of a metric's or a label's name */
#define TB_OWN_VALUE_MAX 100u /* bytes of a label's value; a longer one is `_other` */
#define TB_OWN_HELP_MAX 200u
#define TB_OWN_MOST 9e18 /* of one value, in 10^-9, or whole where the bounds are */

/* The letter that names of their series begin with. */
enum tb_own_kind {
    TB_OWN_COUNTER = 'C',   /* whole numbers; TB_FAMILY_RULE, its count */
    TB_OWN_SUM = 'S',       /* numbers, in 10^-9; TB_FAMILY_RULE, rx_bytes */
    TB_OWN_HISTOGRAM = 'H', /* TB_FAMILY_RULE */
    TB_OWN_GAUGE = 'V',     /* of each process; TB_FAMILY_OWN_GAUGE */
    TB_OWN_LAST = 'L'       /* the last of any process, as the bits of a double; TB_FAMILY_RULE_GAUGE */
};

struct tb_own_label { /* as struct tickbird_label */
    const char *name, *value;
};

struct tb_own_metric {
    enum tb_own_kind kind;
    const char *name, *help; /* borrowed; help may be NULL */
    const struct tb_own_label *labels;
    size_t label_count;
    const double *bounds; /* of histograms: rising upper bounds; none: those of durations */
    size_t bound_count;
};

/* tb_own_get - the handle of a series; the same one when it is asked for again. NULL, and counted: what is asked for is
 * not right, or there is no room. Needs a region and an owner slot. Some 2,000 instructions. */
struct tb_own *tb_own_get(struct tb_core *core, const struct tb_own_metric *metric);

/* tb_own_refuse - counts what is not right. */
__attribute__((cold)) void tb_own_refuse(struct tb_core *core, enum tb_counter why);

/* tb_own_may_add - is it a handle of this kind, and the region switched on? Handles are the program's to mix up. */
static inline bool tb_own_may_add(struct tb_core *core, const struct tb_own *own, enum tb_own_kind kind)
{
    uintptr_t at = (uintptr_t)own - (uintptr_t)core->own;
    if (TB_UNLIKELY(at >= sizeof core->own) || TB_UNLIKELY(at % sizeof *own) ||
        TB_UNLIKELY(tb_load_acquire(&own->kind) != kind)) {
        tb_own_refuse(core, TB_COUNTER_API_HANDLE);
        return false;
    }
    return TB_LIKELY(!tb_load_relaxed(&core->rules->off));
}

/* tb_own_count, _sum, _observe, _set, _last, _change - @own may be anything; nothing is done while the region is
 * switched off. Gauges: the process has looked whether it was forked (tb_process_check_fork). */
static inline void tb_own_count(struct tb_core *core, struct tb_own *own, uint64_t by)
{
    if (tb_own_may_add(core, own, TB_OWN_COUNTER))
        tb_add_relaxed(own->words, by);
}
void tb_own_sum(struct tb_core *core, struct tb_own *own, double by);
void tb_own_observe(struct tb_core *core, struct tb_own *own, double value);
void tb_own_set(struct tb_core *core, struct tb_own *own, double value);
void tb_own_change(struct tb_core *core, struct tb_own *own, double by);
void tb_own_last(struct tb_core *core, struct tb_own *own, double value);

/* tb_own_text - own_name.c: the name of a metric's series with its labels in order, as it stands in the region; every
 * value `_other` where @is_other. @ret has TB_STRING_MAX bytes. Returns its length; 0, and counted: it is not right. */
size_t tb_own_text(struct tb_core *core, const struct tb_own_metric *metric, bool is_other, char *ret);

/* tb_own_help - a help text that can be shown; empty: it is none. */
struct tb_bytes tb_own_help(const char *help);

#endif

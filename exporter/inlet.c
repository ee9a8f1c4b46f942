/* SPDX-License-Identifier: Apache-2.0 */
/* The inlets of a configuration together (inlet.h). */
#include "inlet.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "boot.h"
#include "inlet_files.h"
#include "inlet_pull.h"
#include "inlet_statsd.h"
#include "log.h"
#include "self.h"
#include "snapshot_labels.h"

#define TICK_BYTES (256u << 10) /* of datagrams taken at once, so that nobody else waits */
#define SCRAPE_BYTES (4u << 20) /* before a scrape, so that it has what was sent before it */

struct inlet {
    struct tb_inlet_config config; /* what is in it is the inlet's */
    struct tb_inlet_set set;
    struct tb_inlet_stats stats;
    struct tb_inlet_files *files; /* of text files; else NULL */
    struct tb_statsd *statsd;     /* of StatsD; else NULL */
    struct tb_pull *pull;         /* of those that ask; else NULL */
};

struct tb_inlets {
    struct inlet *items[TB_INLETS_MAX]; /* owned */
    size_t count;
    const struct tb_names *names; /* that collisions were last looked for with; only compared */
    bool is_changed;              /* since then */
    struct tb_puller *puller;
};

struct tb_inlets *tb_inlets_new(void)
{
    struct tb_inlets *i = tb_alloc(sizeof *i);
    i->puller = tb_puller_new();
    return i;
}

static void free_inlet(struct inlet *e)
{
    if (!e)
        return;
    tb_inlet_files_free(e->files);
    tb_statsd_free(e->statsd);
    tb_puller_remove(e->pull);
    tb_inlet_set_free(&e->set);
    tb_inlet_config_free(&e->config);
    free(e);
}

void tb_inlets_free(struct tb_inlets *i)
{
    if (!i)
        return;
    for (size_t k = 0; k < i->count; k++)
        free_inlet(i->items[k]);
    tb_puller_free(i->puller);
    free(i);
}

/* Takes over what is in @c. */
static struct inlet *new_inlet(struct tb_inlets *i, const struct tb_inlet_config *c)
{
    struct inlet *e = tb_alloc(sizeof *e);
    e->config = *c;
    if (c->type == TB_INLET_TEXTFILE)
        e->files = tb_inlet_files_new(&e->config);
    else if (c->type == TB_INLET_STATSD)
        e->statsd = tb_statsd_new(&e->config, &e->set, &e->stats);
    else
        e->pull = tb_puller_add(i->puller, c->pull);
    e->config.pull = NULL; /* it has gone over */
    return e;
}

/* The one of before that @c describes, taken out; NULL: there is none. */
static struct inlet *take_same(struct tb_inlets *i, const struct tb_inlet_config *c)
{
    for (size_t k = 0; k < i->count; k++) {
        struct inlet *e = i->items[k];
        if (e && e->config.hash == c->hash && strcmp(e->config.name, c->name) == 0) {
            i->items[k] = NULL;
            return e;
        }
    }
    return NULL;
}

void tb_inlets_use(struct tb_inlets *i, struct tb_inlet_list *list)
{
    struct inlet *now[TB_INLETS_MAX];
    for (size_t k = 0; k < list->count; k++) {
        now[k] = take_same(i, &list->items[k]);
        if (now[k])
            tb_inlet_config_free(&list->items[k]);
        else
            now[k] = new_inlet(i, &list->items[k]);
    }
    for (size_t k = 0; k < i->count; k++)
        free_inlet(i->items[k]);
    i->count = list->count;
    memcpy(i->items, now, list->count * sizeof(struct inlet *));
    i->names = NULL;
    list->count = 0; /* what was in the entries has gone over */
    tb_inlet_list_free(list);
}

/* The first inlet keeps a name that two have. */
static void hide(struct tb_inlets *i, const struct tb_names *names)
{
    const struct tb_inlet_set *before[TB_INLETS_MAX];
    const char *name = NULL;
    for (size_t k = 0; k < i->count; k++) {
        struct inlet *e = i->items[k];
        const size_t samples = tb_inlet_set_hide(&e->set, names, before, k, &name);
        before[k] = &e->set;
        e->stats.refused[TB_INLET_COLLISION] += samples;
        if (samples)
            tb_log(TB_LOG_WARN, "inlet has a metric whose name or label is another's: it is not shown", "inlet",
                   e->config.name, "metric", name, NULL);
    }
    i->names = names;
    i->is_changed = false;
}

size_t tb_inlets_poll(struct tb_inlets *i, struct pollfd *ret)
{
    size_t count = 0;
    for (size_t k = 0; k < i->count; k++)
        if (i->items[k]->statsd)
            ret[count++] = (struct pollfd){.fd = tb_statsd_fd(i->items[k]->statsd), .events = POLLIN};
    return count;
}

void tb_inlets_take(struct tb_inlets *i)
{
    for (size_t k = 0; k < i->count; k++)
        if (i->items[k]->statsd) {
            tb_statsd_tick(i->items[k]->statsd, tb_clock_ns(CLOCK_MONOTONIC));
            i->is_changed |= tb_statsd_take(i->items[k]->statsd, TICK_BYTES);
        }
}

void tb_inlets_fork(struct tb_inlets *i)
{
    tb_puller_fork(i->puller);
}

void tb_inlets_start(struct tb_inlets *i)
{
    tb_puller_start(i->puller);
}

void tb_inlets_settle(struct tb_inlets *i)
{
    tb_puller_settle(i->puller);
}

void tb_inlets_read(struct tb_inlets *i, const struct tb_names *names)
{
    i->is_changed |= i->names != names;
    for (size_t k = 0; k < i->count; k++) {
        struct inlet *e = i->items[k];
        if (e->files)
            i->is_changed |= tb_inlet_files_read(e->files, &e->set, &e->stats);
        if (e->statsd) {
            i->is_changed |= tb_statsd_take(e->statsd, SCRAPE_BYTES);
            tb_statsd_tick(e->statsd, tb_clock_ns(CLOCK_MONOTONIC));
        }
        if (e->pull)
            i->is_changed |= tb_pull_take(e->pull, &e->set, &e->stats);
    }
    if (i->is_changed)
        hide(i, names);
}

/* --- into a scrape ---------------------------------------------------------------------------------------------------
 */

static void expose_of(struct tb_exposition *x, const struct inlet *e, const char *reason, uint64_t value,
                      uint64_t created_ns)
{
    struct tb_buffer labels = {0};
    tb_put_label(&labels, "inlet", e->config.name);
    if (reason)
        tb_put_label(&labels, "reason", reason);
    tb_expose_value(x, (struct tb_labels){.text = labels.data, .len = labels.len}, value, created_ns);
    tb_buffer_free(&labels);
}

static void expose_stats(struct tb_exposition *x, const struct tb_inlets *i, const struct tb_metric *metrics)
{
    const uint64_t start = tb_self_started_ns();
    if (tb_expose_family(x, &metrics[TB_M_INLET_ACCEPTED]))
        for (size_t k = 0; k < i->count; k++)
            expose_of(x, i->items[k], NULL, i->items[k]->stats.accepted, start);
    if (tb_expose_family(x, &metrics[TB_M_INLET_REFUSED]))
        for (size_t k = 0; k < i->count; k++)
            for (size_t reason = 0; reason < TB_INLET_REASONS; reason++)
                expose_of(x, i->items[k], tb_inlet_reason(reason), i->items[k]->stats.refused[reason], start);
    if (tb_expose_family(x, &metrics[TB_M_INLET_SUCCESS]))
        for (size_t k = 0; k < i->count; k++)
            if (i->items[k]->stats.success_ns)
                expose_of(x, i->items[k], NULL, i->items[k]->stats.success_ns, 0);
    if (tb_expose_family(x, &metrics[TB_M_INLET_UP]))
        for (size_t k = 0; k < i->count; k++)
            if (i->items[k]->stats.duration_ns)
                expose_of(x, i->items[k], NULL, i->items[k]->stats.is_up, 0);
    if (tb_expose_family(x, &metrics[TB_M_INLET_DURATION]))
        for (size_t k = 0; k < i->count; k++)
            if (i->items[k]->stats.duration_ns)
                expose_of(x, i->items[k], NULL, i->items[k]->stats.duration_ns, 0);
    if (tb_expose_family(x, &metrics[TB_M_INLET_FILE_TIME]))
        for (size_t k = 0; k < i->count; k++)
            if (i->items[k]->files)
                tb_inlet_files_expose(x, i->items[k]->files);
}

void tb_inlets_expose(struct tb_exposition *x, const struct tb_inlets *i, const struct tb_snapshot *s,
                      const struct tb_metric *metrics)
{
    struct tb_inlet_set rules = {0};
    if (!i->count)
        return;
    tb_inlet_set_of_rules(s, &rules);
    for (size_t k = 0; k < i->count; k++)
        tb_inlet_set_expose(x, &i->items[k]->set, &rules);
    tb_inlet_set_free(&rules);
    expose_stats(x, i, metrics);
}

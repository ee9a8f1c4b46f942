/* SPDX-License-Identifier: Apache-2.0 */
/* All outputs of a configuration (push.h), and what they tell about themselves. */
#include "push.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "boot.h"
#include "log.h"
#include "self.h"

#define ATTEMPTS_ONCE 5u

struct tb_push {
    struct tb_push_config *config;
    struct tb_push_output **outputs;
    size_t count;
};

struct tb_push *tb_push_new(struct tb_push_config *c, const char *dir, bool is_once, char **ret_error)
{
    struct tb_push *p = tb_alloc(sizeof *p);
    int r = 0;
    p->config = c;
    p->outputs = tb_alloc(c->count * sizeof(struct tb_push_output *));
    for (size_t i = 0; i < c->count && !r; i++) {
        r = tb_push_output_new(&c->outputs[i], dir, is_once, &p->outputs[i]);
        p->count += !r;
        if (!r && !is_once)
            r = tb_push_output_start(p->outputs[i]);
        if (r)
            *ret_error = tb_format("push output %s: its state in %s: %s: see that this user may write there",
                                   c->outputs[i].name, dir, strerror(-r));
    }
    if (!r)
        return p;
    tb_push_free(p);
    return NULL;
}

void tb_push_free(struct tb_push *p)
{
    if (!p)
        return;
    for (size_t i = 0; i < p->count; i++)
        tb_push_output_free(p->outputs[i]);
    free(p->outputs);
    tb_push_config_free(p->config);
    free(p);
}

const struct tb_push_config *tb_push_config(const struct tb_push *p)
{
    return p->config;
}

static struct tb_push_snapshot copy_snapshot(const struct tb_exposition *x, uint64_t time_ns)
{
    struct tb_push_snapshot s = {.time_ns = time_ns};
    tb_put(&s.exposition.records, x->records.data, x->records.len);
    return s;
}

void tb_push_give(struct tb_push *p, const struct tb_exposition *x, uint64_t time_ns)
{
    for (size_t i = 0; i < p->count; i++) {
        struct tb_push_snapshot s = copy_snapshot(x, time_ns);
        tb_push_output_give(p->outputs[i], &s);
    }
}

static bool push_all(struct tb_push_output *o, const struct tb_exposition *x, uint64_t time_ns, unsigned attempts,
                     uint64_t deadline_ns)
{
    struct tb_push_snapshot s = copy_snapshot(x, time_ns);
    int r = tb_push_output_snapshot(o, &s);
    if (!r)
        r = tb_push_output_drain(o, attempts, deadline_ns);
    if (r == -EAGAIN)
        tb_log(TB_LOG_ERROR, "not everything was accepted: it is sent at the next push", "output",
               tb_push_output_config(o)->name, NULL);
    tb_exposition_free(&s.exposition);
    return r == 0;
}

bool tb_push_once(struct tb_push *p, const struct tb_exposition *x, uint64_t time_ns)
{
    bool is_done = true;
    for (size_t i = 0; i < p->count; i++)
        is_done &= push_all(p->outputs[i], x, time_ns, ATTEMPTS_ONCE, UINT64_MAX);
    return is_done;
}

void tb_push_finish(struct tb_push *p, const struct tb_exposition *x, uint64_t time_ns, uint64_t deadline_ns)
{
    for (size_t i = 0; i < p->count; i++) {
        tb_push_output_stop(p->outputs[i]);
        (void)push_all(p->outputs[i], x, time_ns, 1, deadline_ns);
    }
}

/* --- about themselves ------------------------------------------------------------------------------------------------
 */

/* A number of every output, under a label more when there is one. */
static void expose(struct tb_exposition *x, const struct tb_push *p, const char *label, const char *value,
                   const uint64_t *number, size_t stride, uint64_t created_ns)
{
    for (size_t i = 0; i < p->count; i++) {
        const char *name = tb_push_output_config(p->outputs[i])->name;
        char *labels =
            label ? tb_format("output=\"%s\",%s=\"%s\"", name, label, value) : tb_format("output=\"%s\"", name);
        tb_expose_value(x, tb_labels(labels), *(const uint64_t *)((const char *)number + i * stride), created_ns);
        free(labels);
    }
}

void tb_push_expose(struct tb_exposition *x, struct tb_push *p, const struct tb_metric *metrics)
{
    const uint64_t start = tb_self_started_ns();
    const size_t stride = sizeof(struct tb_push_stats);
    if (!p || !p->count)
        return;
    struct tb_push_stats *s = tb_alloc(p->count * sizeof *s);
    for (size_t i = 0; i < p->count; i++)
        tb_push_output_stats(p->outputs[i], &s[i]);
    if (tb_expose_family(x, &metrics[TB_M_PUSH_POINTS]))
        expose(x, p, NULL, NULL, &s->accepted_points, stride, start);
    if (tb_expose_family(x, &metrics[TB_M_PUSH_REQUESTS])) {
        expose(x, p, "result", "accepted", &s->accepted_requests, stride, start);
        expose(x, p, "result", "failed", &s->failed_requests, stride, start);
        expose(x, p, "result", "uncertain", &s->uncertain_requests, stride, start);
    }
    if (tb_expose_family(x, &metrics[TB_M_PUSH_DROPPED])) {
        expose(x, p, "reason", "refused", &s->refused_points, stride, start);
        expose(x, p, "reason", "expired", &s->expired_points, stride, start);
        expose(x, p, "reason", "uncertain", &s->uncertain_points, stride, start);
        expose(x, p, "reason", "unfit", &s->unfit_points, stride, start);
    }
    if (tb_expose_family(x, &metrics[TB_M_PUSH_SKIPPED]))
        expose(x, p, NULL, NULL, &s->skipped_snapshots, stride, start);
    if (tb_expose_family(x, &metrics[TB_M_PUSH_WAITING]))
        expose(x, p, NULL, NULL, &s->waiting_requests, stride, 0);
    if (tb_expose_family(x, &metrics[TB_M_PUSH_WAITING_BYTES]))
        expose(x, p, NULL, NULL, &s->waiting_bytes, stride, 0);
    if (tb_expose_family(x, &metrics[TB_M_PUSH_SUCCESS]))
        expose(x, p, NULL, NULL, &s->success_ns, stride, 0);
    free(s);
}

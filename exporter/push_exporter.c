/* SPDX-License-Identifier: Apache-2.0 */
/* Where the exporter pushes (exporter.h): when, with which settings, and what a snapshot for outputs is. One thread. */
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "boot.h"
#include "exporter.h"
#include "log.h"
#include "push_points.h"
#include "render.h"

/* Families that no output wants are not made. */
static bool is_wanted(const void *arg, const char *family)
{
    const struct tb_push_config *c = arg;
    for (size_t i = 0; i < c->count; i++)
        if (tb_push_wants_family(&c->outputs[i], family))
            return true;
    return false;
}

static int snapshot(struct tb_exporter *e, const struct tb_push_config *c, struct tb_exposition *ret, uint64_t *ret_ns)
{
    struct tb_filter filter = {.wants_family = is_wanted, .arg = c};
    struct tb_scrape_options options = {
        .encoding = &tb_encoding_text, .filter = &filter, .deadline_ns = UINT64_MAX, .has_cells = true};
    *ret_ns = tb_clock_ns(CLOCK_REALTIME);
    return tb_exporter_scrape(e, &options, ret);
}

/* What is configured now, without a thread; NULL: nothing. */
static struct tb_push_config *take_config(struct tb_exporter *e)
{
    struct tb_push_config *c = e->reload.config ? e->reload.config->push : NULL;
    if (c)
        e->reload.config->push = NULL;
    e->push_config_ns = e->reload.success_ns;
    if (c && !c->count) {
        tb_push_config_free(c);
        c = NULL;
    }
    return c;
}

/* Settings that have not changed go on as they are, with what they have waiting. */
static void use_config(struct tb_exporter *e)
{
    struct tb_push_config *c = take_config(e);
    char *error = NULL;
    if (c && e->push && tb_push_config(e->push)->hash == c->hash) {
        tb_push_config_free(c);
        return;
    }
    tb_push_free(e->push);
    e->push = c ? tb_push_new(c, e->ledger->dir, false, &error) : NULL;
    e->push_due_ns = 0;
    if (error)
        tb_log(TB_LOG_ERROR, "nothing is pushed", "error", error, NULL);
    free(error);
}

/* Only who keeps the ledger pushes: a second exporter would push the same again. */
uint64_t tb_exporter_push(struct tb_exporter *e)
{
    struct tb_exposition x = {.escaping = TB_ESCAPE_UNDERSCORES};
    uint64_t now = tb_clock_ns(CLOCK_MONOTONIC), time_ns;
    if (!tb_ledger_is_writer(e->ledger))
        return UINT64_MAX;
    if (e->reload.config && e->push_config_ns != e->reload.success_ns)
        use_config(e);
    if (!e->push)
        return UINT64_MAX;
    if (now < e->push_due_ns)
        return e->push_due_ns;
    uint64_t interval = tb_push_config(e->push)->interval_ns;
    e->push_due_ns = e->push_due_ns && now - e->push_due_ns < interval ? e->push_due_ns + interval : now + interval;
    if (snapshot(e, tb_push_config(e->push), &x, &time_ns) == 0)
        tb_push_give(e->push, &x, time_ns);
    tb_exposition_free(&x);
    return e->push_due_ns;
}

void tb_exporter_push_last(struct tb_exporter *e, uint64_t most_ns)
{
    const uint64_t deadline_ns = tb_clock_ns(CLOCK_MONOTONIC) + most_ns;
    struct tb_exposition x = {.escaping = TB_ESCAPE_UNDERSCORES};
    uint64_t time_ns;
    if (e->push && snapshot(e, tb_push_config(e->push), &x, &time_ns) == 0)
        tb_push_finish(e->push, &x, time_ns, deadline_ns);
    tb_exposition_free(&x);
}

static struct tb_push_config *need_config(struct tb_exporter *e, char **ret_error)
{
    struct tb_push_config *c = take_config(e);
    if (!c)
        *ret_error = tb_format("--config.file: no outputs to push to: write them under push, see docs/push.md");
    return c;
}

int tb_exporter_push_open(struct tb_exporter *e, char **ret_error)
{
    struct tb_push_config *c = need_config(e, ret_error);
    if (!c)
        return 2;
    if (!tb_ledger_is_writer(e->ledger)) {
        *ret_error = tb_format("another exporter keeps the ledger and pushes: end it, or name another --storage.path");
        tb_push_config_free(c);
        return 1;
    }
    e->push = tb_push_new(c, e->ledger->dir, true, ret_error);
    return !e->push;
}

int tb_exporter_push_once(struct tb_exporter *e, char **ret_error)
{
    struct tb_exposition x = {.escaping = TB_ESCAPE_UNDERSCORES};
    uint64_t time_ns;
    bool is_done = false;
    int r = tb_exporter_push_open(e, ret_error);
    if (r)
        return r;
    if (snapshot(e, tb_push_config(e->push), &x, &time_ns) == 0)
        is_done = tb_push_once(e->push, &x, time_ns);
    tb_exposition_free(&x);
    return !is_done;
}

int tb_exporter_push_dry_run(struct tb_exporter *e, char **ret_error)
{
    struct tb_exposition x = {.escaping = TB_ESCAPE_UNDERSCORES};
    uint64_t time_ns;
    struct tb_push_config *c = need_config(e, ret_error);
    if (!c)
        return 2;
    int r = snapshot(e, c, &x, &time_ns);
    if (!r)
        tb_push_dry_run(c, &x, e->ledger ? e->ledger->dir : NULL, time_ns);
    tb_exposition_free(&x);
    tb_push_config_free(c);
    return r != 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Leaving out families and services (filter.h). The view shares everything with the snapshot but its lists. */
#include "filter.h"

#include <stdlib.h>

#include "buffer.h"

static bool is_listed(const char *const *list, size_t count, const char *text)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(list[i], text) == 0)
            return true;
    return !count;
}

bool tb_filter_has_family(const struct tb_filter *f, const char *name)
{
    return !f || (is_listed(f->names, f->name_count, name) && (!f->wants_family || f->wants_family(f->arg, name)));
}

const struct tb_snapshot *tb_filter_snapshot(const struct tb_filter *f, const struct tb_snapshot *s,
                                             struct tb_snapshot *view)
{
    *view = (struct tb_snapshot){0};
    if (!f || !f->service_count)
        return s;
    *view = *s;
    view->services = tb_alloc((s->service_count + 1) * sizeof *view->services);
    view->series = tb_alloc((s->series_count + 1) * sizeof *view->series);
    view->unobserved = tb_alloc((s->unobserved_count + 1) * sizeof *view->unobserved);
    view->service_count = view->series_count = view->unobserved_count = 0;
    for (size_t i = 0; i < s->service_count; i++)
        if (is_listed(f->services, f->service_count, s->services[i]->name))
            view->services[view->service_count++] = s->services[i];
    const struct tb_snap_service *last = NULL; /* series of one service mostly lie together */
    bool is_wanted = false;
    for (size_t i = 0; i < s->series_count; i++) {
        if (s->series[i]->service != last)
            is_wanted = is_listed(f->services, f->service_count, s->series[i]->service->name);
        last = s->series[i]->service;
        if (is_wanted)
            view->series[view->series_count++] = s->series[i];
    }
    for (size_t i = 0; i < s->unobserved_count; i++)
        if (is_listed(f->services, f->service_count, s->unobserved[i].name))
            view->unobserved[view->unobserved_count++] = s->unobserved[i];
    return view;
}

void tb_filter_free(struct tb_snapshot *view)
{
    free(view->services);
    free(view->series);
    free(view->unobserved);
    *view = (struct tb_snapshot){0};
}

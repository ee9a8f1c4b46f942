/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Notes since when a service has no program (expiry.h), by name: the snapshot and its entries are new after each
 * service that is forgotten.
 */
#include "expiry.h"

#include <stdlib.h>
#include <string.h>

#include "buffer.h"
#include "forget.h"
#include "log.h"

struct gone {
    char *name;
    uint64_t since_ns;
    bool is_seen; /* in this run */
};

struct tb_expiry {
    struct gone *gone;
    size_t count, space;
};

struct tb_expiry *tb_expiry_new(void)
{
    return tb_alloc(sizeof(struct tb_expiry));
}

void tb_expiry_free(struct tb_expiry *expiry)
{
    for (size_t i = 0; expiry && i < expiry->count; i++)
        free(expiry->gone[i].name);
    if (expiry)
        free(expiry->gone);
    free(expiry);
}

static void drop(struct tb_expiry *expiry, size_t at)
{
    free(expiry->gone[at].name);
    expiry->gone[at] = expiry->gone[--expiry->count];
}

static bool has_program(const struct tb_snapshot *s, const struct tb_snap_service *service)
{
    for (size_t i = 0; i < s->region_count; i++)
        if (s->regions[i].service == service && !s->regions[i].unreadable && s->regions[i].is_live)
            return true;
    return service->processes != 0;
}

static void note(struct tb_expiry *expiry, const char *name, uint64_t now_ns)
{
    size_t at = 0;
    while (at < expiry->count && strcmp(expiry->gone[at].name, name) != 0)
        at++;
    if (at == expiry->count) {
        expiry->gone = tb_grow(expiry->gone, expiry->count, &expiry->space, sizeof *expiry->gone);
        expiry->gone[expiry->count++] = (struct gone){.name = tb_strndup(name, strlen(name)), .since_ns = now_ns};
    }
    expiry->gone[at].is_seen = true;
}

size_t tb_expiry_run(struct tb_expiry *expiry, struct tb_collector *c, uint64_t after_ns, uint64_t now_ns)
{
    const struct tb_snapshot *s = tb_collector_snapshot(c);
    size_t forgotten = 0;
    if (!after_ns)
        return 0;
    for (size_t i = 0; i < expiry->count; i++)
        expiry->gone[i].is_seen = false;
    for (size_t i = 0; i < s->service_count; i++)
        if (!has_program(s, s->services[i]))
            note(expiry, s->services[i]->name, now_ns);
    for (size_t i = expiry->count; i-- > 0;) {
        struct gone *g = &expiry->gone[i];
        bool is_over = g->is_seen && now_ns - g->since_ns >= after_ns;
        if (is_over && tb_forget(c, g->name) == 0) {
            tb_log(TB_LOG_INFO, "service forgotten: its programs are gone for too long", "service", g->name, NULL);
            forgotten++;
        } else if (g->is_seen) {
            continue; /* not yet, or not now: the next time */
        }
        drop(expiry, i);
    }
    return forgotten;
}

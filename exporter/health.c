/* SPDX-License-Identifier: Apache-2.0 */
/* Counts of regions, and the list of what is not observable (health.h). */
#include "health.h"

#include <stdlib.h>

#include "buffer.h"

const char *tb_region_health_name(enum tb_region_health state)
{
    static const char *const names[TB_REGIONS_STATES] = {"live", "dead", "folding", "free"};
    return names[state];
}

static void count_version(struct tb_health_regions *h, const char *name)
{
    size_t i = 0;
    while (i < TB_HEALTH_VERSIONS - 1 && h->versions[i].count && strcmp(h->versions[i].name, name) != 0)
        i++;
    if (i == TB_HEALTH_VERSIONS - 1) {
        name = "_other";
        for (i = 0; i < TB_HEALTH_VERSIONS - 1 && strcmp(h->versions[i].name, name) != 0;) /* some agent's own word? */
            i++;
    }
    h->versions[i].name = name;
    h->versions[i].count++;
}

struct tb_health_regions tb_health_count_regions(const struct tb_snapshot *s)
{
    struct tb_health_regions h = {0};
    for (size_t i = 0; i < s->region_count; i++) {
        const struct tb_snap_region *r = &s->regions[i];
        h.unreadable[r->unreadable] += r->unreadable == TB_UNREADABLE_QUOTA ? r->left_out : 1;
        if (r->unreadable)
            continue;
        h.by_state[r->state == TB_REGION_FOLDING ? TB_REGIONS_FOLDING
                   : r->state == TB_REGION_FREE  ? TB_REGIONS_FREE
                   : r->is_live                  ? TB_REGIONS_LIVE
                                                 : TB_REGIONS_DEAD]++;
        if (r->is_live && r->agent_version[0])
            count_version(&h, r->agent_version);
        h.skipped_series += r->series_skipped;
    }
    for (size_t i = 0; i < s->marker_count; i++)
        h.directories_off += !s->markers[i].marker.service[0];
    return h;
}

const char *tb_unobservable_help(unsigned bit)
{
    static const char *const texts[] = {
#define UNOBSERVABLE(id, reason, help) help,
#include "agent/unobservable.def"
#undef UNOBSERVABLE
    };
    return bit < sizeof texts / sizeof *texts ? texts[bit] : "Does what only a newer version knows.";
}

static const char *outside_help(const char *reason)
{
    static const struct {
        const char *reason, *help;
    } rows[] = {
#define UNOBSERVED(id, reason, help) {reason, help},
#include "unobserved.def"
#undef UNOBSERVED
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strcmp(rows[i].reason, reason) == 0)
            return rows[i].help;
    return "";
}

size_t tb_health_unobservable(const struct tb_snapshot *s, struct tb_health_unobservable **ret)
{
    struct tb_health_unobservable *list = NULL;
    size_t count = 0, space = 0;
    for (size_t i = 0; i < s->service_count; i++) {
        const struct tb_snap_service *e = s->services[i];
        for (unsigned bit = 0; bit < 64; bit++) {
            const char *reason = tb_unobservable_name(bit);
            bool is_told = count && list[count - 1].service == e->name && strcmp(list[count - 1].reason, reason) == 0;
            if (!(e->unobservable >> bit & 1) || is_told) /* all that only a newer version knows is one reason */
                continue;
            list = tb_grow(list, count, &space, sizeof *list);
            list[count++] = (struct tb_health_unobservable){e->name, e->label, reason, tb_unobservable_help(bit)};
        }
    }
    for (size_t i = 0, inside = count; i < s->unobserved_count; i++) {
        const struct tb_snap_unobserved *u = &s->unobserved[i];
        size_t told = 0;
        while (told < inside && (strcmp(list[told].service, u->name) != 0 || strcmp(list[told].reason, u->reason) != 0))
            told++;
        if (told < inside)
            continue;
        list = tb_grow(list, count, &space, sizeof *list);
        list[count++] = (struct tb_health_unobservable){u->name, u->label, u->reason, outside_help(u->reason)};
    }
    *ret = list;
    return count;
}

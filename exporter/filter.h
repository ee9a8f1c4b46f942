/* SPDX-License-Identifier: Apache-2.0 */
/* What a client wants of a scrape: `name[]=` families, `service[]=` services. Without a filter nothing is looked at. */
#ifndef TB_FILTER_H
#define TB_FILTER_H

#include "snapshot.h"

#define TB_FILTER_MAX 64u /* of each kind */

/* Zero-initialise; borrowed texts. Nothing of a kind = everything. */
struct tb_filter {
    const char *names[TB_FILTER_MAX];
    size_t name_count;
    const char *services[TB_FILTER_MAX];
    size_t service_count;
    /* asked beside the list, if not NULL */
    bool (*wants_family)(const void *arg, const char *name);
    const void *arg;
};

/* tb_filter_has_family - is the family @name (as the text format has it) wanted? @f may be NULL. */
bool tb_filter_has_family(const struct tb_filter *f, const char *name);

/*
 * tb_filter_snapshot - @s without the services that are not wanted.
 * @view  what is returned when something is left out; to be freed with tb_filter_free in any case, and before @s
 * changes Returns @s itself when all are wanted. What is no service's (regions, for instance) stays; series_count is
 * that of the series that are left.
 */
const struct tb_snapshot *tb_filter_snapshot(const struct tb_filter *f, const struct tb_snapshot *s,
                                             struct tb_snapshot *view);
void tb_filter_free(struct tb_snapshot *view);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The snapshot by program (split.h). Labels of a region are made once in a life of it and with each program that takes
 * it over, from what its process looks like then: a worker that ends changes nothing.
 */
#include "split.h"

#include <stdlib.h>

#include "buffer.h"
#include "instances.h"
#include "users.h"

struct tb_split {
    const struct tb_names *names; /* borrowed; NULL or no label chosen: there is nothing to do */
    struct tb_snapshot *snapshot; /* NULL: none */
    unsigned chosen;
    char *constant; /* labels are made of this, too */
    uint64_t epoch; /* changes with what is chosen: labels of before count no more */
};

void tb_split_part_free(struct tb_split_part *part)
{
    free(part->labels);
    tb_slot_cache_free(&part->cache);
    *part = (struct tb_split_part){0};
}

struct tb_split *tb_split_new(void)
{
    return tb_alloc(sizeof(struct tb_split));
}

void tb_split_free(struct tb_split *split)
{
    if (!split)
        return;
    tb_snapshot_free(split->snapshot);
    free(split->constant);
    free(split);
}

void tb_split_choose(struct tb_split *split, const struct tb_names *names)
{
    split->names = names;
    if (split->snapshot && split->chosen == names->split_by && strcmp(split->constant, names->constant) == 0 &&
        tb_snapshot_has_names(split->snapshot, names->labels))
        return;
    tb_snapshot_free(split->snapshot);
    split->snapshot = NULL;
    split->epoch++;
    split->chosen = names->split_by;
    free(split->constant);
    split->constant = tb_strndup(names->constant, strlen(names->constant));
    if (split->chosen) {
        split->snapshot = tb_snapshot_new();
        tb_snapshot_names(split->snapshot, names->labels);
    }
}

void tb_split_begin(struct tb_split *split, uint64_t now_ns)
{
    if (split->snapshot)
        tb_snapshot_begin(split->snapshot, now_ns);
}

/* False: no process of it was ever seen, so that nobody can say whose it is. */
static bool know_labels(const struct tb_split *split, struct tb_split_part *part, const struct tb_snap_region *r)
{
    if (part->labels && part->epoch == split->epoch && part->region_id == r->region_id &&
        part->generation == r->generation && part->adopted_ns == r->adopted_ns)
        return true;
    if (!r->is_live || !r->processes)
        return part->labels && part->epoch == split->epoch && part->region_id == r->region_id &&
               part->generation == r->generation;
    tb_split_part_free(part);
    part->labels = tb_instance_labels(r, split->chosen, split->names);
    part->epoch = split->epoch;
    part->region_id = r->region_id;
    part->generation = r->generation;
    part->adopted_ns = r->adopted_ns;
    return true;
}

void tb_split_add(struct tb_split *split, struct tb_split_part *part, const struct tb_region_copy *copy,
                  const struct tb_snap_region *r)
{
    uint32_t skipped;
    if (!split->snapshot || !know_labels(split, part, r))
        return;
    struct tb_snapshot *s = split->snapshot;
    struct tb_snap_service *e = tb_snapshot_instance(s, r->service->name, part->labels);
    tb_service_give(e, tb_snapshot_user(s, r->file_uid));
    if (part->snapshot_id != s->id)
        tb_slot_cache_free(&part->cache);
    part->snapshot_id = s->id;
    tb_service_add_region(e, r);
    tb_region_read_series(s, e, copy, &part->cache, TB_READ_TOTAL, r->alive, &skipped);
    /* Totals of a region that was taken over did not begin at 0 under these labels; when they did, nobody knows. */
    for (uint32_t i = 0; r->adopted_ns > r->created_ns && i < part->cache.count; i++) {
        struct tb_snap_series *series = part->cache.slots[i].series;
        if (series && series->created_ns < r->adopted_ns)
            series->created_ns = 0;
    }
}

void tb_split_finish(struct tb_split *split)
{
    if (!split->snapshot)
        return;
    tb_snapshot_drop_gone(split->snapshot);
    (void)tb_snapshot_finish(split->snapshot);
}

struct tb_snapshot *tb_split_snapshot(struct tb_split *split)
{
    return split->snapshot;
}

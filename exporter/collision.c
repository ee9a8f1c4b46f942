/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compares the hashes of command lines that regions carry (collision.h). Every program has a region of its own while it
 * runs; one that starts again takes over the one that it left, so only what runs at the same time is compared.
 */
#include "collision.h"

#include <stdio.h>
#include <string.h>

#define COMPARED_MAX 256u /* different command lines of a service; it is no less a collision with more */

/* The parent of @pid; 0 = unknown. Field 4 of /proc/PID/stat; the name in field 2 may hold any byte. */
static uint32_t parent_of(uint32_t pid)
{
    char path[40], text[512];
    unsigned parent = 0;
    snprintf(path, sizeof path, "/proc/%u/stat", pid);
    FILE *file = fopen(path, "re");
    size_t len = file ? fread(text, 1, sizeof text - 1, file) : 0;
    if (file)
        fclose(file);
    text[len] = 0;
    const char *end = strrchr(text, ')');
    return end && sscanf(end, ") %*c %u", &parent) == 1 ? parent : 0;
}

static bool is_of(const struct tb_snap_region *r, const struct tb_snap_service *service)
{
    return r->service == service && !r->unreadable && r->is_live;
}

/*
 * Is it a worker of another process of its service? In another pid namespace no parent can be looked up; there all but
 * the process with the lowest number are taken for workers, as the one that started them is older.
 */
static bool is_worker(const struct tb_snapshot *s, const struct tb_snap_region *r)
{
    uint32_t parent = r->is_near ? parent_of(r->pid) : 0;
    for (size_t i = 0; i < s->region_count; i++) {
        const struct tb_snap_region *other = &s->regions[i];
        if (!is_of(other, r->service) || other->pidns_inode != r->pidns_inode)
            continue;
        if (r->is_near ? parent && other->pid == parent : other->pid < r->pid)
            return true;
    }
    return false;
}

/* Replicas have one command line: then no process need be looked at. */
static bool is_one_line(const struct tb_snapshot *s, const struct tb_snap_service *service)
{
    const struct tb_snap_region *first = NULL;
    for (size_t i = 0; i < s->region_count; i++) {
        const struct tb_snap_region *r = &s->regions[i];
        if (!is_of(r, service))
            continue;
        first = first ? first : r;
        if (r->command_hash != first->command_hash)
            return false;
    }
    return true;
}

size_t tb_collision_count(const struct tb_snapshot *s, const struct tb_snap_service *service)
{
    uint64_t hashes[COMPARED_MAX];
    size_t count = 0;
    if (service->regions < 2 || is_one_line(s, service))
        return service->regions != 0;
    for (size_t i = 0; i < s->region_count && count < COMPARED_MAX; i++) {
        const struct tb_snap_region *r = &s->regions[i];
        size_t at = 0;
        if (!is_of(r, service))
            continue;
        while (at < count && hashes[at] != r->command_hash)
            at++;
        if (at == count && !is_worker(s, r))
            hashes[count++] = r->command_hash;
    }
    return count;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is remembered of region files between collections, found by inode, and what the files of one user may be and
 * hold (users.h). Entry points are declared in collector.h.
 */
#include "collector.h"

#include <stdlib.h>

#include "buffer.h"

struct tb_region_file *tb_files_find(struct tb_collector *c, ino_t ino, const char *path)
{
    struct tb_region_file *f = c->file_buckets[ino % TB_FILE_BUCKETS];
    while (f && (f->ino != ino || strcmp(f->path, path) != 0))
        f = f->next_in_bucket;
    return f;
}

struct tb_region_file *tb_files_remember(struct tb_collector *c, const struct stat *st, const char *path)
{
    struct tb_region_file *f = tb_files_find(c, st->st_ino, path),
                          **bucket = &c->file_buckets[st->st_ino % TB_FILE_BUCKETS];
    if (f && f->dev == st->st_dev && f->user->uid == st->st_uid)
        return f;
    if (f) { /* another device, another owner: another file, which is looked at as new in the next collection */
        f->is_seen = false;
        return NULL;
    }
    f = tb_alloc(sizeof *f);
    f->dev = st->st_dev;
    f->ino = st->st_ino;
    f->path = tb_strndup(path, strlen(path));
    f->user = tb_snapshot_user(c->snapshot, st->st_uid);
    f->user->files++;
    c->others_files += !tb_user_is_trusted(f->user);
    f->next_in_bucket = *bucket;
    *bucket = f;
    c->files = tb_grow(c->files, c->file_count, &c->file_space, sizeof(struct tb_region_file *));
    c->files[c->file_count++] = f;
    return f;
}

void tb_files_forget(struct tb_collector *c, struct tb_region_file *f)
{
    struct tb_region_file **at = &c->file_buckets[f->ino % TB_FILE_BUCKETS];
    while (*at != f)
        at = &(*at)->next_in_bucket;
    *at = f->next_in_bucket;
    f->user->files--;
    f->user->bytes -= f->bytes;
    c->others_files -= !tb_user_is_trusted(f->user);
    tb_slot_cache_free(&f->cache);
    free(f->path);
    free(f);
}

/* One entry for all that a user has too much; its path is the directory of the first. */
void tb_files_leave_out(struct tb_collector *c, const char *dir, uint32_t uid)
{
    struct tb_snap_user *u = tb_snapshot_user(c->snapshot, uid);
    if (!u->left_out_entry) {
        struct tb_snap_region *r = tb_snapshot_region(c->snapshot, dir);
        r->unreadable = TB_UNREADABLE_QUOTA;
        r->file_uid = uid;
        u->left_out_entry = c->snapshot->region_count;
    }
    c->snapshot->regions[u->left_out_entry - 1].left_out++;
}

bool tb_files_have_room(const struct tb_collector *c, const struct tb_snap_user *u)
{
    if (tb_user_is_trusted(u))
        return true;
    return u->files + u->unopened < TB_QUOTA_REGIONS && c->others_files < TB_QUOTA_ALL_REGIONS &&
           u->bytes < TB_QUOTA_BYTES;
}

bool tb_files_weigh(struct tb_region_file *f, const struct stat *st)
{
    uint64_t bytes = (uint64_t)st->st_blocks * 512u, before = f->user->bytes - f->bytes;
    bool is_within = tb_user_is_trusted(f->user) || before + bytes <= TB_QUOTA_BYTES;
    f->bytes = is_within ? bytes : 0;
    f->user->bytes = before + f->bytes;
    return is_within;
}

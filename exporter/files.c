/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is remembered of region files between collections, found by inode, and what the files of one user may be and
 * hold (users.h). Entry points are declared in collector.h.
 */
#include "collector.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/vfs.h>

#include "buffer.h"

static uint64_t held_bytes(const struct stat *st)
{
    return (uint64_t)st->st_blocks * 512u;
}

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
    f->view.fd = -1;
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
    tb_files_let_go(c, f);
    tb_slot_cache_free(&f->cache);
    tb_split_part_free(&f->part);
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
    uint64_t bytes = held_bytes(st), before = f->user->bytes - f->bytes;
    bool is_within = tb_user_is_trusted(f->user) || before + bytes <= TB_QUOTA_BYTES;
    f->bytes = is_within ? bytes : 0;
    f->user->bytes = before + f->bytes;
    return is_within;
}

void tb_region_file_age(struct tb_region_file *f, bool is_live, uint64_t now_ns)
{
    if (is_live)
        f->idle_since_ns = 0;
    else if (!f->idle_since_ns || f->idle_generation != f->generation || f->idle_state != f->state)
        f->idle_since_ns = now_ns;
    f->idle_generation = f->generation;
    f->idle_state = f->state;
}

/* --- what stays open between collections -----------------------------------------------------------------------------
 */

/* Room for a file that holds so much, when all others hold @others together? */
static bool is_keepable(uint64_t bytes, uint64_t others)
{
    return bytes <= TB_KEEP_BYTES && others + bytes <= TB_KEEP_ALL_BYTES;
}

/* An inode that is open is not given to another file, and whatever happens to it but a store changes its time. */
static bool is_unchanged(const struct stat *now, const struct stat *before)
{
    return now->st_nlink > 0 && now->st_ctim.tv_sec == before->st_ctim.tv_sec &&
           now->st_ctim.tv_nsec == before->st_ctim.tv_nsec && now->st_size == before->st_size &&
           now->st_mode == before->st_mode && now->st_uid == before->st_uid;
}

bool tb_files_kept(struct tb_collector *c, struct tb_region_file *f, dev_t dir_dev, struct stat *ret_st)
{
    if (f->view.fd < 0)
        return false;
    uint64_t others = c->kept_bytes - held_bytes(&f->view.seen);
    if (f->dev != dir_dev || fstat(f->view.fd, ret_st) < 0 || !is_unchanged(ret_st, &f->view.seen) ||
        !is_keepable(held_bytes(ret_st), others)) {
        tb_files_let_go(c, f);
        return false;
    }
    f->view.seen = *ret_st;
    c->kept_bytes = others + held_bytes(ret_st);
    return true;
}

/* Where the number of blocks follows every page at once. */
static bool is_memory(int fd)
{
    struct statfs fs;
    return fstatfs(fd, &fs) == 0 && fs.f_type == TMPFS_MAGIC;
}

void tb_files_keep(struct tb_collector *c, struct tb_region_file *f, struct tb_region_view *opened,
                   const struct stat *st)
{
    if (c->kept_files >= c->kept_files_max || !is_keepable(held_bytes(st), c->kept_bytes) || !is_memory(opened->fd))
        return;
    f->view = *opened;
    f->view.seen = *st;
    *opened = (struct tb_region_view){.fd = -1};
    c->kept_files++;
    c->kept_bytes += held_bytes(st);
}

size_t tb_files_limit(void)
{
    struct rlimit files;
    return getrlimit(RLIMIT_NOFILE, &files) < 0 ? 0 : (size_t)files.rlim_cur;
}

void tb_files_let_go(struct tb_collector *c, struct tb_region_file *f)
{
    if (f->view.fd < 0)
        return;
    c->kept_files--;
    c->kept_bytes -= held_bytes(&f->view.seen);
    tb_region_view_close(&f->view);
}

bool tb_files_let_all_go(struct tb_collector *c)
{
    size_t before = c->kept_files;
    for (size_t i = 0; i < c->file_count; i++)
        tb_files_let_go(c, c->files[i]);
    if (before)
        c->kept_files_max = before / 2;
    bool had_processes = c->processes && tb_processes_let_go(c->processes);
    return before || had_processes;
}

bool tb_is_own_shortage(int error)
{
    return error == EMFILE || error == ENFILE || error == ENOMEM;
}

int tb_files_open(struct tb_collector *c, int dir_fd, const char *name, int flags)
{
    for (;;) {
        int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | flags), error = errno;
        if (fd >= 0 || !tb_is_own_shortage(error) || !tb_files_let_all_go(c))
            return fd < 0 ? -error : fd;
    }
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which regions there are, which live, and what changed since the last collection. A region that was served and is gone
 * restarts its service at 0; one that the ledger holds already is not added again. Reading a region is region_read.c,
 * the copy region_copy.c.
 */
#include "collect.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "boot.h"
#include "buffer.h"
#include "collector.h"
#include "log.h"
#include "region_head.h"

/* The processes of this user; as root those of all users. */
static bool is_own_directory(const char *name, uid_t *ret_uid)
{
    char *end = NULL;
    if (strncmp(name, "tickbird-", 9) != 0 || name[9] < '0' || name[9] > '9')
        return false;
    unsigned long uid = strtoul(name + 9, &end, 10);
    if (*end || uid >= UINT32_MAX)
        return false;
    *ret_uid = (uid_t)uid;
    return geteuid() == 0 || geteuid() == (uid_t)uid;
}

size_t tb_collect_default_dirs(char ***ret)
{
    char **dirs = NULL;
    size_t count = 0, space = 0;
    struct stat st;
    /* Agents refuse one that somebody else owns, too (region_file.c). */
    if (lstat("/dev/shm/tickbird", &st) == 0 && S_ISDIR(st.st_mode) && (st.st_uid == 0 || st.st_uid == geteuid())) {
        dirs = tb_grow(dirs, count, &space, sizeof *dirs);
        dirs[count++] = tb_strndup("/dev/shm/tickbird", 17);
    }
    DIR *d = opendir("/dev/shm");
    for (struct dirent *e; d && (e = readdir(d));) {
        uid_t uid;
        /* Anybody may make any name in /dev/shm: a directory speaks only for the user who owns it. */
        if (!is_own_directory(e->d_name, &uid) || fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
            !S_ISDIR(st.st_mode) || st.st_uid != uid)
            continue;
        dirs = tb_grow(dirs, count, &space, sizeof *dirs);
        dirs[count++] = tb_format("/dev/shm/%s", e->d_name);
    }
    if (d)
        closedir(d);
    *ret = dirs;
    return count;
}

int tb_collector_new(const struct tb_collect_options *options, struct tb_collector **ret)
{
    struct tb_collector *c = tb_alloc(sizeof *c);
    c->options = *options;
    c->snapshot = tb_snapshot_new();
    c->split = tb_split_new();
    c->pidns_inode = tb_pidns_inode();
    c->snapshot->now_ns = tb_clock_ns(CLOCK_REALTIME);
    if (!options->ledger)
        tb_boot_id(c->own_marks.boot_id);
    c->own_marks.dir_fd = c->own_marks.lock_fd = -1;
    if (options->keeps_open) {
        c->kept_files_max = tb_files_limit() / 2;
        c->processes = tb_processes_new(tb_files_limit() / 8);
    }
    c->marks = options->ledger ? options->ledger : &c->own_marks;
    *ret = c;
    return 0;
}

void tb_collector_free(struct tb_collector *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < c->file_count; i++)
        tb_files_forget(c, c->files[i]);
    for (size_t i = 0; i < TB_MARK_BUCKETS; i++) {
        for (struct tb_mark *m = c->own_marks.marks[i], *next; m; m = next) {
            next = m->next;
            free(m);
        }
    }
    free(c->files);
    tb_processes_free(c->processes);
    tb_region_copy_free(&c->copy);
    tb_split_free(c->split);
    tb_snapshot_free(c->snapshot);
    free(c);
}

void tb_collector_restart(struct tb_collector *c)
{
    for (size_t i = 0; i < c->file_count; i++)
        tb_files_forget(c, c->files[i]);
    c->file_count = 0;
    tb_ledger_reset(c->marks);
    tb_snapshot_free(c->snapshot);
    c->snapshot = tb_snapshot_new();
    c->snapshot->now_ns = tb_clock_ns(CLOCK_REALTIME);
}

struct tb_snapshot *tb_collector_snapshot(struct tb_collector *c)
{
    return c->snapshot;
}

struct tb_split *tb_collector_split(struct tb_collector *c)
{
    return c->split;
}

const struct tb_collect_stats *tb_collector_stats(const struct tb_collector *c)
{
    return &c->stats;
}

/* --- one region ------------------------------------------------------------------------------------------------------
 */

/* The marks decide whether this life is new, known, in the ledger, or back from the dead. */
static void note_life(struct tb_collector *c, struct tb_snap_region *r, bool has_counted)
{
    struct tb_mark *m = tb_ledger_find(c->marks, r->file_uid, r->region_id, r->generation);
    if (!m && has_counted)
        m = tb_ledger_mark(c->marks, r->file_uid, r->region_id, r->generation, TB_MARK_SERVED, r->service,
                           c->snapshot->now_ns);
    if (!m)
        return;
    m->is_seen = true;
    m->service = r->service; /* it may have been set apart, or have taken its name over */
    if (m->kind == TB_MARK_LOST && has_counted) {
        r->service->must_restart = true;
        tb_ledger_mark(c->marks, r->file_uid, r->region_id, r->generation, TB_MARK_SERVED, r->service,
                       c->snapshot->now_ns);
    }
}

struct tb_snap_service *tb_collector_service(struct tb_collector *c, struct tb_region_file *f, bool *ret_is_apart)
{
    const struct tb_region_header *h = tb_region_copy_header(&c->copy);
    struct tb_snap_service *service =
        tb_snapshot_claim(c->snapshot, h->service, tb_field_len(h->service, sizeof h->service), f->user, ret_is_apart);
    if (service != f->service)
        tb_slot_cache_free(&f->cache);
    f->service = service;
    return service;
}

/* Said once, and shown as long as it lasts: two users' programs with one name, or somebody who would forge another's.
 */
static void note_apart(struct tb_collector *c, const struct tb_snap_region *r)
{
    char uid[16];
    size_t len = (size_t)(strrchr(r->service->name, '@') - r->service->name);
    struct tb_snap_service *claimed = tb_snapshot_find_service(c->snapshot, r->service->name, len);
    if (claimed)
        claimed->apart++;
    if (c->has_warned_apart)
        return;
    c->has_warned_apart = true;
    snprintf(uid, sizeof uid, "%u", r->file_uid);
    tb_log(TB_LOG_WARN, "a region claims the name of another user's service: counted apart", "path", r->path, "uid",
           uid, "counted_as", r->service->name, NULL);
}

static void add_region(struct tb_collector *c, struct tb_region_file *f, struct tb_snap_region *r)
{
    bool is_apart = false;
    struct tb_snap_service *service = tb_collector_service(c, f, &is_apart);
    if (!service) {
        r->unreadable = TB_UNREADABLE_QUOTA;
        r->left_out = 1;
        return;
    }
    tb_region_read_identity(&c->copy, r);
    r->service = service;
    if (is_apart)
        note_apart(c, r);
    tb_region_read_owners(&c->copy, c->processes, c->pidns_inode, tb_clock_ns(CLOCK_MONOTONIC), r);
    tb_service_add_region(r->service, r);
    f->region_id = r->region_id;
    f->generation = r->generation;
    f->state = r->state;

    struct tb_mark *m = tb_ledger_find(c->marks, r->file_uid, r->region_id, r->generation);
    r->is_folded = m && m->kind == TB_MARK_FOLDED;
    if (r->is_folded) {
        m->is_seen = true;
        return;
    }
    bool has_counted = r->series_used != 0;
    tb_region_read_counters(&c->copy, r->counters);
    for (size_t i = 0; i < TB_COUNTER_COUNT; i++) {
        r->service->counters[i] += r->counters[i];
        has_counted |= r->counters[i] != 0;
    }
    r->requests = tb_region_read_series(c->snapshot, r->service, &c->copy, &f->cache, TB_READ_TOTAL, r->alive,
                                        &r->series_skipped);
    note_life(c, r, has_counted);
    tb_split_add(c->split, &f->part, &c->copy, r);
}

/* The directory that is being read. */
struct directory {
    int fd;
    dev_t dev;
    const char *path;
};

/* A file that is remembered, or may be: reads it into an entry of the snapshot. @view is its own, if it has one that is
 * open, which stays so only if it can be read; else another, which may become its own. */
static void read_opened(struct tb_collector *c, struct tb_region_view *view, const struct stat *st,
                        const struct directory *dir, const char *path)
{
    struct tb_region_file *f = tb_files_remember(c, st, path);
    if (!f)
        return;
    f->is_seen = true;
    f->is_readable = false;
    if (!tb_files_weigh(f, st)) {
        tb_files_leave_out(c, dir->path, st->st_uid);
        tb_files_let_go(c, f);
        return;
    }
    struct tb_snap_region *r = tb_snapshot_region(c->snapshot, path);
    r->file_uid = st->st_uid;
    r->is_live = tb_region_has_owners(view->fd);
    r->unreadable = tb_region_copy_view(&c->copy, view, st, &r->layout_version);
    if (!r->unreadable)
        add_region(c, f, r);
    f->is_readable = !r->unreadable;
    tb_region_file_age(f, r->is_live, tb_clock_ns(CLOCK_MONOTONIC));
    if (!f->is_readable)
        tb_files_let_go(c, f);
    else if (view != &f->view)
        tb_files_keep(c, f, view, st);
}

static void note_unopened(struct tb_collector *c, const struct stat *st, const char *path, int error)
{
    struct tb_snap_region *r = tb_snapshot_region(c->snapshot, path);
    r->file_uid = st->st_uid;
    r->unreadable = error == EACCES || error == EPERM ? TB_UNREADABLE_PERMISSION
                    : error == ELOOP                  ? TB_UNREADABLE_FORMAT
                                                      : TB_UNREADABLE_ERROR;
    tb_snapshot_user(c->snapshot, st->st_uid)->unopened++;
}

/* A name costs one fstatat, until its user has no room left for it; only then, or when it is known, it is opened. */
static int read_region(struct tb_collector *c, const struct directory *dir, const struct dirent *entry)
{
    struct stat st;
    char path[PATH_MAX];
    const char *name = entry->d_name;
    if (snprintf(path, sizeof path, "%s/%s", dir->path, name) >= (int)sizeof path)
        return 0;
    struct tb_region_file *f = tb_files_find(c, entry->d_ino, path);
    if (f && tb_files_kept(c, f, dir->dev, &st)) {
        read_opened(c, &f->view, &st, dir, path);
        tb_step("region-read");
        return 0;
    }
    if (!f && fstatat(dir->fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return 0; /* removed since the directory was read */
    if (!f && !tb_files_have_room(c, tb_snapshot_user(c->snapshot, st.st_uid))) {
        tb_files_leave_out(c, dir->path, st.st_uid);
        return 0;
    }
    struct tb_region_view view = {.fd = tb_files_open(c, dir->fd, name, O_NOFOLLOW | O_NONBLOCK)};
    int error = view.fd < 0 ? -view.fd : 0;
    if (tb_is_own_shortage(error))
        return -error;
    if (error && error != ENOENT && fstatat(dir->fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
        note_unopened(c, &st, path, error);
    else if (!error && fstat(view.fd, &st) == 0)
        read_opened(c, &view, &st, dir, path);
    tb_region_view_close(&view);
    tb_step("region-read");
    return 0;
}

/* --- directories -----------------------------------------------------------------------------------------------------
 */

static void read_marker(struct tb_collector *c, int dir_fd, const char *dir, const char *name)
{
    struct tb_marker marker;
    if (tb_marker_read(dir_fd, name, &marker))
        tb_snapshot_marker(c->snapshot, dir, &marker);
}

/* After the regions: a service that only the ledger knows may be off as well. */
static void apply_markers(struct tb_snapshot *s)
{
    for (size_t m = 0; m < s->marker_count; m++)
        for (size_t i = 0; i < s->service_count; i++)
            s->services[i]->is_off |= strcmp(s->markers[m].marker.service, s->services[i]->name) == 0;
}

static int read_directory(struct tb_collector *c, const char *dir)
{
    int fd = tb_files_open(c, AT_FDCWD, dir, O_DIRECTORY), r = fd < 0 ? fd : 0;
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    if (!d) {
        if (fd >= 0) {
            r = -errno;
            close(fd);
        }
        if (r == -ENOENT)
            return 0;
        if (tb_is_own_shortage(-r))
            return r;
        struct tb_snap_region *entry = tb_snapshot_region(c->snapshot, dir);
        entry->unreadable = TB_UNREADABLE_DIRECTORY;
        return 0;
    }
    struct stat st = {0};
    (void)fstat(fd, &st);
    const struct directory directory = {fd, st.st_dev, dir};
    for (;;) {
        errno = 0;
        struct dirent *e = readdir(d);
        if (!e) {
            r = -errno;
            break;
        }
        if (!tb_region_is_name(e->d_name)) {
            if (tb_marker_is_name(e->d_name))
                read_marker(c, fd, dir, e->d_name);
            continue;
        }
        if (c->deadline_ns != UINT64_MAX && tb_clock_ns(CLOCK_MONOTONIC) > c->deadline_ns)
            r = -ETIME;
        if (r < 0 || (r = read_region(c, &directory, e)) < 0)
            break;
    }
    closedir(d);
    return r;
}

static int read_directories(struct tb_collector *c)
{
    const char *const *dirs = c->options.dirs;
    size_t count = c->options.dir_count;
    char **found = NULL;
    int r = 0;
    if (!count) {
        count = tb_collect_default_dirs(&found);
        dirs = (const char *const *)found;
    }
    for (size_t i = 0; !r && i < count; i++)
        r = read_directory(c, dirs[i]);
    for (size_t i = 0; found && i < count; i++)
        free(found[i]);
    free(found);
    apply_markers(c->snapshot);
    return r;
}

/* --- a collection ----------------------------------------------------------------------------------------------------
 */

static void forget_seen(struct tb_collector *c)
{
    for (size_t i = 0; i < c->file_count; i++)
        c->files[i]->is_seen = false;
    for (size_t i = 0; i < TB_MARK_BUCKETS; i++)
        for (struct tb_mark *m = c->marks->marks[i]; m; m = m->next)
            m->is_seen = false;
}

static void drop_gone_files(struct tb_collector *c)
{
    for (size_t i = 0; i < c->file_count;) {
        struct tb_region_file *f = c->files[i];
        if (f->is_seen) {
            i++;
            continue;
        }
        tb_files_forget(c, f);
        c->files[i] = c->files[--c->file_count];
    }
}

static void find_lost(struct tb_collector *c)
{
    for (size_t i = 0; i < TB_MARK_BUCKETS; i++) {
        for (struct tb_mark *m = c->marks->marks[i]; m; m = m->next) {
            if (m->kind != TB_MARK_SERVED || m->is_seen)
                continue;
            m->kind = TB_MARK_LOST;
            m->when_ns = c->snapshot->now_ns;
            m->service->must_restart = true;
            c->marks->is_dirty = true;
            c->stats.lost_regions++;
        }
    }
}

static int refresh_ledger(struct tb_collector *c)
{
    struct tb_ledger *l = c->options.ledger;
    if (!l || (l->is_loaded && (tb_ledger_is_writer(l) || !tb_ledger_has_changed(l))))
        return 0;
    return tb_ledger_load(l, c->snapshot);
}

static int read_all(struct tb_collector *c)
{
    int r = refresh_ledger(c);
    if (r < 0 && r != -EBADMSG)
        return r;
    tb_snapshot_begin(c->snapshot, tb_clock_ns(CLOCK_REALTIME));
    tb_split_begin(c->split, c->snapshot->now_ns);
    forget_seen(c);
    if (c->processes)
        tb_processes_look(c->processes);
    if (!tb_guard_begin())
        return -errno;
    r = read_directories(c);
    tb_guard_end();
    return r;
}

int tb_collect(struct tb_collector *c)
{
    return tb_collect_until(c, UINT64_MAX);
}

int tb_collect_until(struct tb_collector *c, uint64_t deadline_ns)
{
    struct tb_ledger *l = c->options.ledger;
    c->deadline_ns = deadline_ns;
    int r = read_all(c);
    /* Somebody else folded while the regions were read: what moved into the ledger may be missing. Once more. */
    for (int tries = 0; !r && l && !tb_ledger_is_writer(l) && tb_ledger_has_changed(l) && tries < 5; tries++)
        r = read_all(c);
    if (r)
        return r;
    find_lost(c);
    drop_gone_files(c);
    c->stats.service_restarts += tb_snapshot_finish(c->snapshot);
    tb_split_finish(c->split);
    tb_ledger_prune(c->marks, c->snapshot->now_ns);
    /* Before it is served: what the next exporter must know to go on from these numbers. */
    if (tb_ledger_is_writer(l) && (l->is_dirty || c->snapshot->has_new_bases)) {
        r = tb_ledger_save(l, c->snapshot);
        if (r && !c->has_warned)
            tb_log(TB_LOG_ERROR, "ledger not written: totals may restart when the exporter does", "path", l->dir,
                   "error", strerror(-r), NULL);
        c->has_warned = r != 0;
        l->is_dirty = r != 0;
    }
    return 0;
}

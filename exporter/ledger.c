/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ledger's lock, marks and life; its bytes are in ledger_file.c.
 * One thread. A fork would share the lock: the exporter does not fork.
 */
#include "ledger.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "boot.h"
#include "buffer.h"
#include "log.h"

void (*tb_ledger_step)(const char *step);

#define FOLDED_KEPT_NS (24ull * 3600 * 1000000000) /* a reader that comes less often may see a restart */

char *tb_ledger_default_dir(void)
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    if (geteuid() == 0)
        return tb_strndup(TB_LEDGER_DIR_SHARED, sizeof TB_LEDGER_DIR_SHARED - 1);
    if (state && state[0] == '/')
        return tb_format("%s/tickbird", state);
    return home && home[0] == '/' ? tb_format("%s/.local/state/tickbird", home) : NULL;
}

/* mkdir -p. Directories that exist are left as they are. */
static int make_directories(const char *path)
{
    char *copy = tb_strndup(path, strlen(path));
    int r = 0;
    for (char *p = copy + 1; !r; p++) {
        if (*p != '/' && *p)
            continue;
        char end = *p;
        *p = 0;
        if (mkdir(copy, 0750) < 0 && errno != EEXIST)
            r = -errno;
        *p = end;
        if (!end)
            break;
    }
    free(copy);
    return r;
}

int tb_ledger_open(const char *dir, bool may_write, struct tb_ledger **ret)
{
    struct tb_ledger *l = tb_alloc(sizeof *l);
    int r = 0;
    l->dir = tb_strndup(dir, strlen(dir));
    l->dir_fd = l->lock_fd = -1;
    tb_boot_id(l->boot_id);
    if (may_write)
        r = make_directories(dir);
    l->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (may_write && !r) {
        if (l->dir_fd < 0)
            r = -errno;
        else if (faccessat(l->dir_fd, ".", W_OK | X_OK, AT_EACCESS) < 0)
            r = -errno;
        else
            tb_ledger_try_lock(l);
    }
    if (r) {
        tb_ledger_close(l);
        return r;
    }
    *ret = l;
    return 0;
}

void tb_ledger_give(const struct tb_ledger *l, int fd)
{
    struct stat dir;
    if (geteuid() != 0 || fstat(l->dir_fd, &dir) < 0 || dir.st_uid == 0)
        return;
    if (fchown(fd, dir.st_uid, dir.st_gid) < 0)
        tb_log(TB_LOG_WARN, "ledger cannot be given to its directory's owner", "path", l->dir, "error", strerror(errno),
               NULL);
}

/* Only a file made here and now is given away: the directory's owner may have put a file of root's under that name. */
static int open_lock(const struct tb_ledger *l)
{
    const int flags = O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
    int fd = openat(l->dir_fd, "ledger.lock", flags);
    if (fd >= 0 || errno != ENOENT)
        return fd;
    fd = openat(l->dir_fd, "ledger.lock", flags | O_CREAT | O_EXCL, 0640);
    if (fd >= 0)
        tb_ledger_give(l, fd);
    else if (errno == EEXIST) /* another exporter was first */
        fd = openat(l->dir_fd, "ledger.lock", flags);
    return fd;
}

bool tb_ledger_try_lock(struct tb_ledger *l)
{
    if (l->lock_fd >= 0)
        return true;
    if (l->dir_fd < 0)
        return false;
    int fd = open_lock(l);
    if (fd < 0)
        return false;
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        close(fd);
        return false;
    }
    l->lock_fd = fd;
    l->is_loaded = false; /* the former holder may have written since */
    return true;
}

static void free_marks(struct tb_ledger *l)
{
    for (size_t i = 0; i < TB_MARK_BUCKETS; i++) {
        for (struct tb_mark *m = l->marks[i], *next; m; m = next) {
            next = m->next;
            free(m);
        }
        l->marks[i] = NULL;
    }
    l->mark_count = 0;
}

void tb_ledger_reset(struct tb_ledger *l)
{
    free_marks(l);
    l->is_loaded = false;
    l->is_dirty = false;
}

void tb_ledger_close(struct tb_ledger *l)
{
    if (!l)
        return;
    free_marks(l);
    if (l->lock_fd >= 0)
        close(l->lock_fd); /* the file stays: another may be waiting on its inode */
    if (l->dir_fd >= 0)
        close(l->dir_fd);
    free(l->dir);
    free(l);
}

static size_t bucket_of(uint64_t region_id)
{
    return (region_id ^ region_id >> 32) % TB_MARK_BUCKETS;
}

struct tb_mark *tb_ledger_find(struct tb_ledger *l, uint32_t uid, uint64_t region_id, uint64_t generation)
{
    struct tb_mark *m = l->marks[bucket_of(region_id)];
    while (m && (m->region_id != region_id || m->generation != generation || m->uid != uid))
        m = m->next;
    return m;
}

struct tb_mark *tb_ledger_mark(struct tb_ledger *l, uint32_t uid, uint64_t region_id, uint64_t generation,
                               enum tb_mark_kind kind, struct tb_snap_service *service, uint64_t now_ns)
{
    struct tb_mark *m = tb_ledger_find(l, uid, region_id, generation);
    if (!m) {
        struct tb_mark **bucket = &l->marks[bucket_of(region_id)];
        m = tb_alloc(sizeof *m);
        m->region_id = region_id;
        m->generation = generation;
        m->uid = uid;
        memcpy(m->boot_id, l->boot_id, sizeof m->boot_id);
        m->next = *bucket;
        *bucket = m;
        l->mark_count++;
    }
    m->kind = kind;
    m->service = service;
    m->when_ns = now_ns;
    l->is_dirty = true;
    return m;
}

void tb_ledger_prune(struct tb_ledger *l, uint64_t now_ns)
{
    bool is_full = l->mark_count > TB_MARKS_FOLDED_MAX;
    for (size_t i = 0; i < TB_MARK_BUCKETS; i++) {
        for (struct tb_mark **at = &l->marks[i], *m; (m = *at);) {
            bool is_old_boot = memcmp(m->boot_id, l->boot_id, sizeof m->boot_id) != 0;
            bool is_old = now_ns > m->when_ns && now_ns - m->when_ns > FOLDED_KEPT_NS;
            if (m->kind != TB_MARK_SERVED && !m->is_seen && (is_old_boot || is_old || is_full)) {
                *at = m->next;
                free(m);
                l->mark_count--;
                l->is_dirty = true;
            } else {
                at = &m->next;
            }
        }
    }
}

bool tb_ledger_has_changed(struct tb_ledger *l)
{
    struct stat now;
    if (l->dir_fd < 0) {
        l->dir_fd = open(l->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (l->dir_fd < 0)
            return false;
    }
    if (fstatat(l->dir_fd, "ledger", &now, AT_SYMLINK_NOFOLLOW) < 0)
        return l->seen.st_ino != 0;
    return now.st_ino != l->seen.st_ino || now.st_size != l->seen.st_size ||
           now.st_mtim.tv_sec != l->seen.st_mtim.tv_sec || now.st_mtim.tv_nsec != l->seen.st_mtim.tv_nsec;
}

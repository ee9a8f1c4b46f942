/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Forgets services (forget.h). First the dead regions of the service are folded, so that nothing of it is left outside
 * of the ledger; then the ledger is written without it; then everything in memory is read anew. Killed in between, the
 * service is still there, whole.
 *
 * A request is a file `forget-HASH` that holds the name, written under another name and renamed. It counts when it is
 * root's, the directory's owner's or of this process's user.
 */
#include "forget.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/marker.h"
#include "collector.h"
#include "fold.h"
#include "log.h"

#define PREFIX "forget-"
#define NAME_MAX_BYTES 512u /* a name made valid UTF-8, with what sets apart another user's */

static bool is_live(const struct tb_snapshot *s, const struct tb_snap_service *service)
{
    for (size_t i = 0; i < s->region_count; i++)
        if (!s->regions[i].unreadable && s->regions[i].is_live && s->regions[i].service == service)
            return true;
    return false;
}

/* All of it into the ledger, and its emptied files away. */
static int fold_service(struct tb_collector *c, struct tb_snap_service *service)
{
    const struct tb_fold_options options = {.unlink_after_ns = 1, .only = service};
    int r = tb_fold(c, &options);
    if (r >= 0)
        r = tb_fold(c, &options); /* what is emptied now can be removed */
    for (size_t i = 0; r >= 0 && i < c->file_count; i++)
        if (c->files[i]->is_readable && c->files[i]->service == service && c->files[i]->state != TB_REGION_FREE)
            return -EAGAIN;
    return r < 0 ? r : 0;
}

int tb_forget(struct tb_collector *c, const char *name)
{
    struct tb_ledger *l = c->options.ledger;
    if (!tb_ledger_is_writer(l))
        return -EROFS;
    int r = tb_collect(c);
    struct tb_snap_service *service = r ? NULL : tb_snapshot_find_service(c->snapshot, name, strlen(name));
    if (r || !service)
        return r ? r : -ENOENT;
    if (is_live(c->snapshot, service))
        return -EBUSY;
    r = fold_service(c, service);
    tb_step("forget-folded");
    if (r)
        return r;
    service->is_forgotten = true;
    r = tb_ledger_save(l, c->snapshot);
    if (r) {
        service->is_forgotten = false;
        return r;
    }
    tb_step("forget-saved");
    tb_collector_restart(c);
    return tb_collect(c);
}

/* --- requests ------------------------------------------------------------------------------------------------------
 */

static void request_name(const char *name, char ret[64])
{
    snprintf(ret, 64, PREFIX "%016llx", (unsigned long long)tb_service_hash(name));
}

int tb_forget_request(const char *dir, const char *name)
{
    char request[64], temporary[80];
    int fd = -1, dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
    request_name(name, request);
    snprintf(temporary, sizeof temporary, ".%s-%ld", request, (long)getpid());
    if (dir_fd < 0)
        return -errno;
    unlinkat(dir_fd, temporary, 0); /* of a command that was killed, or not ours at all */
    fd = openat(dir_fd, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (fd < 0 || write(fd, name, strlen(name)) != (ssize_t)strlen(name) ||
        renameat(dir_fd, temporary, dir_fd, request) < 0)
        r = -errno;
    if (fd >= 0)
        close(fd);
    if (r)
        unlinkat(dir_fd, temporary, 0);
    close(dir_fd);
    return r;
}

bool tb_forget_is_asked(const char *dir, const char *name)
{
    char path[4096], request[64];
    request_name(name, request);
    snprintf(path, sizeof path, "%s/%s", dir, request);
    return access(path, F_OK) == 0;
}

void tb_forget_withdraw(const char *dir, const char *name)
{
    char path[4096], request[64];
    request_name(name, request);
    snprintf(path, sizeof path, "%s/%s", dir, request);
    unlink(path);
}

/* The name in a request that counts; false when it is none. */
static bool read_request(int dir_fd, const char *file, char ret_name[NAME_MAX_BYTES])
{
    struct stat st, dir;
    int fd = openat(dir_fd, file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool counts = fstat(fd, &st) == 0 && fstat(dir_fd, &dir) == 0 && S_ISREG(st.st_mode) &&
                  (st.st_uid == 0 || st.st_uid == geteuid() || st.st_uid == dir.st_uid);
    ssize_t len = counts ? read(fd, ret_name, NAME_MAX_BYTES - 1) : -1;
    close(fd);
    ret_name[len > 0 ? len : 0] = 0;
    return len > 0;
}

static bool obey(struct tb_collector *c, const char *file)
{
    char name[NAME_MAX_BYTES];
    int dir_fd = c->options.ledger->dir_fd;
    bool counts = read_request(dir_fd, file, name);
    int r = counts ? tb_forget(c, name) : -EPERM;
    if (r == 0)
        tb_log(TB_LOG_INFO, "service forgotten", "service", name, NULL);
    else
        tb_log(TB_LOG_WARN, "service not forgotten", "service", counts ? name : file, "error",
               r == -EBUSY ? "a program of it records" : strerror(-r), NULL);
    unlinkat(dir_fd, file, 0);
    return r == 0;
}

int tb_forget_obey(struct tb_collector *c)
{
    int done = 0;
    if (!tb_ledger_is_writer(c->options.ledger))
        return 0;
    DIR *d = opendir(c->options.ledger->dir);
    for (struct dirent *e; d && (e = readdir(d));)
        if (strncmp(e->d_name, PREFIX, sizeof PREFIX - 1) == 0)
            done += obey(c, e->d_name);
    if (d)
        closedir(d);
    return done;
}

int tb_forget_watch(const char *dir)
{
    int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (fd >= 0 && inotify_add_watch(fd, dir, IN_MOVED_TO) < 0) {
        close(fd);
        fd = -1;
    }
    return fd;
}

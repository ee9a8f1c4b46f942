/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Removes what was left half made (stale.h). A program that makes a region holds a lock on it from its third system
 * call on; one that was stopped before that, for a minute, finds its file gone and does not record.
 */
#include "stale.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "boot.h"
#include "collector.h"

#define STALE_AFTER_NS (60ull * 1000000000)

static bool is_temporary(const char *name)
{
    return (strncmp(name, ".tb", 3) == 0 && name[3] >= '1' && name[3] <= '9' && name[4] == '-') ||
           strncmp(name, ".off", 4) == 0;
}

static bool is_old(const struct stat *st, uint64_t now_ns)
{
    uint64_t changed_ns = (uint64_t)st->st_mtim.tv_sec * 1000000000u + (uint64_t)st->st_mtim.tv_nsec;
    return now_ns > changed_ns && now_ns - changed_ns > STALE_AFTER_NS;
}

static bool remove_one(int dir_fd, const char *name, uint64_t now_ns)
{
    struct stat st, by_name;
    int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool is_gone = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && is_old(&st, now_ns) &&
                   (geteuid() == 0 || geteuid() == st.st_uid) && flock(fd, LOCK_EX | LOCK_NB) == 0 &&
                   fstatat(dir_fd, name, &by_name, AT_SYMLINK_NOFOLLOW) == 0 && by_name.st_ino == st.st_ino &&
                   by_name.st_dev == st.st_dev && unlinkat(dir_fd, name, 0) == 0;
    close(fd);
    return is_gone;
}

static size_t clean(const char *path, uint64_t now_ns)
{
    size_t removed = 0;
    DIR *d = opendir(path);
    for (struct dirent *e; d && (e = readdir(d));)
        if (is_temporary(e->d_name))
            removed += remove_one(dirfd(d), e->d_name, now_ns);
    if (d)
        closedir(d);
    return removed;
}

size_t tb_stale_remove(struct tb_collector *c)
{
    uint64_t now_ns = tb_clock_ns(CLOCK_REALTIME);
    char **found = NULL;
    size_t count = c->options.dir_count, removed = 0;
    if (!count)
        count = tb_collect_default_dirs(&found);
    for (size_t i = 0; i < count; i++) {
        removed += clean(found ? found[i] : c->options.dirs[i], now_ns);
        if (found)
            free(found[i]);
    }
    free(found);
    return removed;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Removes what was left half made (stale.h). A program that makes a region holds a lock on it from its third system
 * call on; one that was stopped before that, for a minute, finds its file gone and does not record.
 */
#include "stale.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
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

static bool is_old(const struct stat *st, uint64_t now_ns, uint64_t after_ns)
{
    uint64_t changed_ns = (uint64_t)st->st_mtim.tv_sec * 1000000000u + (uint64_t)st->st_mtim.tv_nsec;
    return now_ns > changed_ns && now_ns - changed_ns > after_ns;
}

static bool remove_one(int dir_fd, const char *name, uint64_t now_ns, uint64_t after_ns)
{
    struct stat st, by_name;
    int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool is_gone = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && is_old(&st, now_ns, after_ns) &&
                   (geteuid() == 0 || geteuid() == st.st_uid) && flock(fd, LOCK_EX | LOCK_NB) == 0 &&
                   fstatat(dir_fd, name, &by_name, AT_SYMLINK_NOFOLLOW) == 0 && by_name.st_ino == st.st_ino &&
                   by_name.st_dev == st.st_dev && unlinkat(dir_fd, name, 0) == 0;
    close(fd);
    return is_gone;
}

/* --- rules of `tickbird run --config` ---------------------------------------------------------------------------- */

/* rules-UID-HASH */
static bool is_rules(const char *name)
{
    if (strncmp(name, "rules-", 6) != 0)
        return false;
    size_t digits = strspn(name + 6, "0123456789");
    const char *hash = name + 6 + digits;
    return digits && *hash == '-' && strspn(hash + 1, "0123456789abcdef") == 16 && !hash[17];
}

/*
 * Does the environment that process @pid of user @uid was started with name the file? One that cannot be read may; but
 * not that of process 1: where it has more rights than this exporter, it is an init system and not an observed program.
 */
static bool is_named_by(const char *pid, uid_t uid, const char *name)
{
    char path[64], text[8192];
    struct stat st;
    size_t len = strlen(name), kept = 0;
    snprintf(path, sizeof path, "/proc/%.20s/environ", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno != ENOENT && errno != ESRCH && strcmp(pid, "1") != 0 && stat(path, &st) == 0 && st.st_uid == uid;
    bool is_found = false;
    for (ssize_t n; !is_found && (n = read(fd, text + kept, sizeof text - kept)) > 0;) {
        size_t have = kept + (size_t)n;
        is_found = memmem(text, have, name, len) != NULL;
        kept = have < len ? have : len; /* it may lie across two reads */
        memmove(text, text + have - kept, kept);
    }
    close(fd);
    return is_found;
}

/* By a program of @uid that records here (it may overwrite what /proc shows), or by any that was started with it. */
static bool is_in_use(const struct tb_snapshot *s, uid_t uid, const char *name)
{
    bool is_found = false;
    for (size_t i = 0; i < s->region_count; i++)
        if (s->regions[i].unreadable ? s->regions[i].file_uid == uid
                                     : s->regions[i].is_live && s->regions[i].uid == uid)
            return true;
    DIR *d = opendir("/proc");
    if (!d)
        return true;
    for (struct dirent *e; !is_found && (e = readdir(d));)
        is_found = e->d_name[0] >= '1' && e->d_name[0] <= '9' && is_named_by(e->d_name, uid, name);
    closedir(d);
    return is_found;
}

static bool remove_rules(const struct tb_snapshot *s, int dir_fd, const char *name, uint64_t now_ns, uint64_t after_ns)
{
    struct stat st;
    return s->now_ns && fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && is_old(&st, now_ns, after_ns) &&
           !is_in_use(s, st.st_uid, name) && remove_one(dir_fd, name, now_ns, after_ns);
}

static size_t clean(const struct tb_snapshot *s, const char *path, uint64_t now_ns, uint64_t rules_after_ns)
{
    size_t removed = 0;
    DIR *d = opendir(path);
    for (struct dirent *e; d && (e = readdir(d));) {
        if (is_temporary(e->d_name))
            removed += remove_one(dirfd(d), e->d_name, now_ns, STALE_AFTER_NS);
        else if (is_rules(e->d_name))
            removed += remove_rules(s, dirfd(d), e->d_name, now_ns, rules_after_ns);
    }
    if (d)
        closedir(d);
    return removed;
}

size_t tb_stale_remove(struct tb_collector *c, uint64_t rules_after_ns)
{
    uint64_t now_ns = tb_clock_ns(CLOCK_REALTIME);
    char **found = NULL;
    size_t count = c->options.dir_count, removed = 0;
    if (!count)
        count = tb_collect_default_dirs(&found);
    for (size_t i = 0; i < count; i++) {
        removed += clean(tb_collector_snapshot(c), found ? found[i] : c->options.dirs[i], now_ns, rules_after_ns);
        if (found)
            free(found[i]);
    }
    free(found);
    return removed;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes, removes and reads marker files. The directory may be one where everybody may put files (sticky bit): a marker
 * is written under a name of its own and renamed, so that whatever a stranger put under its name is replaced, and one
 * that does not count is treated as missing.
 */
#include "marker_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "agent/marker.h"
#include "buffer.h"

bool tb_marker_is_name(const char *name)
{
    return strcmp(name, TB_MARKER_ALL) == 0 || (strncmp(name, TB_MARKER_ALL "-", 4) == 0 && strlen(name) == 20 &&
                                                strspn(name + 4, "0123456789abcdef") == 16);
}

static int open_dir(const char *dir, struct stat *ret_st)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (fstat(fd, ret_st) < 0) {
        int error = errno;
        close(fd);
        return -error;
    }
    return fd;
}

static void name_of(const char *service, char ret_name[TB_MARKER_NAME_BYTES])
{
    if (service)
        tb_marker_name(service, ret_name);
    else
        memcpy(ret_name, TB_MARKER_ALL, sizeof TB_MARKER_ALL);
}

static bool is_set(int dir_fd, const struct stat *dir, const char *name)
{
    struct stat st;
    return fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
           tb_marker_counts(st.st_uid, st.st_mode, st.st_nlink, dir->st_uid);
}

/* A stranger's directory cannot be replaced, but it can change places with the marker. */
static int put_in_place(int dir_fd, const char *temporary, const char *name)
{
    if (renameat(dir_fd, temporary, dir_fd, name) == 0)
        return 0;
    if (errno != EISDIR || renameat2(dir_fd, temporary, dir_fd, name, RENAME_EXCHANGE) != 0)
        return -errno;
    unlinkat(dir_fd, temporary, AT_REMOVEDIR); /* stays when it is not empty */
    return 0;
}

static int write_marker(int dir_fd, const char *name, const char *service)
{
    char temporary[80], text[160];
    int len = snprintf(text, sizeof text, "%s\n", service ? service : ""), r = 0;
    struct timespec now = {0}; /* nobody can take the name in advance */
    clock_gettime(CLOCK_REALTIME, &now);
    snprintf(temporary, sizeof temporary, ".%s-%ld-%ld", name, (long)getpid(), now.tv_nsec);
    int fd = openat(dir_fd, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    if (fchmod(fd, 0644) < 0 || write(fd, text, (size_t)len) != len)
        r = errno ? -errno : -EIO;
    close(fd);
    if (!r)
        r = put_in_place(dir_fd, temporary, name);
    if (r)
        unlinkat(dir_fd, temporary, 0);
    return r;
}

int tb_marker_set(const char *dir, const char *service)
{
    char name[TB_MARKER_NAME_BYTES];
    struct stat st = {0};
    int fd = open_dir(dir, &st), r = 0;
    if (fd < 0)
        return fd;
    name_of(service, name);
    if (geteuid() != 0 && geteuid() != st.st_uid)
        r = is_set(fd, &st, name) ? 0 : -EPERM;
    else if (!is_set(fd, &st, name))
        r = write_marker(fd, name, service);
    close(fd);
    return r;
}

static int clear_one(int dir_fd, const struct stat *dir, const char *name)
{
    if (!is_set(dir_fd, dir, name))
        return 0;
    return unlinkat(dir_fd, name, 0) == 0 ? 1 : -errno;
}

int tb_marker_clear(const char *dir, const char *service)
{
    char name[TB_MARKER_NAME_BYTES];
    struct stat st = {0};
    int fd = open_dir(dir, &st), removed = 0;
    if (fd < 0)
        return fd;
    if (service) {
        name_of(service, name);
        removed = clear_one(fd, &st, name);
        close(fd);
        return removed;
    }
    DIR *d = fdopendir(fd);
    if (!d) {
        int error = errno;
        close(fd);
        return -error;
    }
    for (struct dirent *e; removed >= 0 && (e = readdir(d));) {
        int r = tb_marker_is_name(e->d_name) ? clear_one(dirfd(d), &st, e->d_name) : 0;
        removed = r < 0 ? r : removed + r;
    }
    closedir(d);
    return removed;
}

bool tb_marker_read(int dir_fd, const char *name, struct tb_marker *ret)
{
    struct stat dir, st;
    char text[160] = "", expected[TB_MARKER_NAME_BYTES];
    *ret = (struct tb_marker){0};
    if (fstat(dir_fd, &dir) < 0)
        return false;
    int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool counts = fstat(fd, &st) == 0 && tb_marker_counts(st.st_uid, st.st_mode, st.st_nlink, dir.st_uid);
    ssize_t len = counts ? read(fd, text, sizeof text - 1) : 0;
    close(fd);
    if (!counts || len < 0)
        return false;
    text[strcspn(text, "\n")] = 0;
    ret->since_ns = (uint64_t)st.st_mtim.tv_sec * 1000000000u + (uint64_t)st.st_mtim.tv_nsec;
    if (strcmp(name, TB_MARKER_ALL) == 0)
        return true;
    tb_marker_name(text, expected);
    /* a file that somebody wrote by hand: it counts, but what it is about cannot be told */
    bool is_named = text[0] && strcmp(expected, name) == 0;
    char *clean = is_named ? tb_utf8_clean(text, strlen(text)) : tb_format("(%s)", name);
    snprintf(ret->service, sizeof ret->service, "%s", clean);
    free(clean);
    return true;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Putting files into a system and taking them out (placing.h): written beside their place, synced, renamed. */
#include "placing.h"

#include "exporter/buffer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CONTENT_MAX (64u << 20) /* bytes of a file; an object has a few MiB */

static int sync_directory_of(const char *path)
{
    char *directory = tb_strndup(path, (size_t)(strrchr(path, '/') - path) + 1);
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = fd < 0 ? -errno : 0;
    if (!r && fsync(fd) != 0 && errno != EINVAL)
        r = -errno;
    if (fd >= 0)
        close(fd);
    free(directory);
    return r;
}

/* The directories above @path, which all may enter: a library that only root can reach is an error to everybody else.
 */
static int make_directories(char *path)
{
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        int r = mkdir(path, 0755) == 0 ? chmod(path, 0755) : errno == EEXIST ? 0 : -1, error = errno;
        *slash = '/';
        if (r != 0)
            return -error;
    }
    return 0;
}

static int replace(char *path, const char *data, size_t len, mode_t mode)
{
    int r = make_directories(path);
    if (r)
        return r;
    char *temporary = tb_format("%s.new.XXXXXX", path);
    int fd = mkostemp(temporary, O_CLOEXEC);
    r = fd < 0 ? -errno : tb_write_all(fd, data, len);
    if (!r && (fchmod(fd, mode) != 0 || fsync(fd) != 0))
        r = -errno;
    if (fd >= 0 && close(fd) != 0 && !r)
        r = -errno;
    if (!r && rename(temporary, path) != 0)
        r = -errno;
    if (r && fd >= 0)
        unlink(temporary);
    free(temporary);
    return r ? r : sync_directory_of(path);
}

int tb_place_text(const struct tb_placing *to, const char *path, const char *data, size_t len, mode_t mode)
{
    char *full = tb_format("%s%s", to->root, path);
    int r = 0;
    if (to->is_dry)
        printf("write %s (mode %04o):\n%.*s", full, (unsigned)mode, (int)len, data);
    else
        r = replace(full, data, len, mode);
    free(full);
    return r;
}

/* The whole file at @path. */
static int read_whole(const char *path, int flags, char **ret_data, size_t *ret_len, mode_t *ret_mode)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | flags), r = fd < 0 ? -errno : 0;
    if (!r && fstat(fd, &st) != 0)
        r = -errno;
    if (!r && (!S_ISREG(st.st_mode) || st.st_size > CONTENT_MAX))
        r = S_ISREG(st.st_mode) ? -EFBIG : -EINVAL;
    char *data = r ? NULL : tb_alloc((size_t)st.st_size + 1);
    size_t len = 0;
    while (!r && len < (size_t)st.st_size) {
        ssize_t n = read(fd, data + len, (size_t)st.st_size - len);
        if (n == 0)
            break;
        if (n < 0 && errno != EINTR)
            r = -errno;
        len += n > 0 ? (size_t)n : 0;
    }
    if (fd >= 0)
        close(fd);
    if (r) {
        free(data);
        return r;
    }
    *ret_data = data;
    *ret_len = len;
    if (ret_mode)
        *ret_mode = st.st_mode & 07777;
    return 0;
}

int tb_place_copy(const struct tb_placing *to, const char *source, const char *path, mode_t mode)
{
    char *full = tb_format("%s%s", to->root, path), *data = NULL;
    size_t len;
    int r = read_whole(source, 0, &data, &len, NULL);
    if (!r && to->is_dry)
        printf("copy %s to %s (mode %04o)\n", source, full, (unsigned)mode);
    else if (!r)
        r = replace(full, data, len, mode);
    free(data);
    free(full);
    return r;
}

int tb_place_remove(const struct tb_placing *to, const char *path)
{
    char *full = tb_format("%s%s", to->root, path);
    int r = 0;
    if (access(full, F_OK) != 0)
        r = errno == ENOENT || errno == ENOTDIR ? 0 : -errno;
    else if (to->is_dry)
        printf("remove %s\n", full);
    else
        r = unlink(full) == 0 || errno == ENOENT ? sync_directory_of(full) : -errno;
    free(full);
    return r;
}

int tb_place_remove_dir(const struct tb_placing *to, const char *path)
{
    char *full = tb_format("%s%s", to->root, path);
    int r = 0;
    if (!to->is_dry && rmdir(full) != 0 && errno != ENOENT && errno != ENOTDIR && errno != ENOTEMPTY && errno != EEXIST)
        r = -errno;
    free(full);
    return r;
}

int tb_place_read(const struct tb_placing *to, const char *path, char **ret_text, mode_t *ret_mode)
{
    char *full = tb_format("%s%s", to->root, path);
    size_t len;
    int r = read_whole(full, O_NOFOLLOW, ret_text, &len, ret_mode);
    free(full);
    return r;
}

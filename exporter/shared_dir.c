/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes the directory that all regions of a machine share. Used by the exporter, by `tickbird run` and by `tickbird
 * off`, whoever comes first. Entry point: tb_region_dir_make.
 */
#include "shared_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <unistd.h>

int tb_region_dir_make(const char *path)
{
    bool is_root = geteuid() == 0;
    if (mkdir(path, 0700) != 0)
        return errno == EEXIST ? 0 : -errno;
    int result = 0;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        result = -errno;
    } else if (is_root) {
        /* Group before mode: chown clears the set-group-ID bit. */
        const struct group *group = getgrnam("tickbird");
        if (fchown(fd, 0, group ? group->gr_gid : 0) != 0 || fchmod(fd, 03773) != 0)
            result = -errno;
    }
    if (fd >= 0)
        close(fd);
    if (result != 0)
        rmdir(path);
    return result;
}

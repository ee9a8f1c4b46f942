/* SPDX-License-Identifier: Apache-2.0 */
/* Replacing a file whole (textfile.h). */
#include "textfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "buffer.h"

int tb_textfile_write(const char *path, const char *data, size_t len)
{
    char *temporary = tb_format("%s.XXXXXX", path); /* a name that the collector leaves alone: it reads *.prom */
    int fd = mkostemp(temporary, O_CLOEXEC), r = fd < 0 ? -errno : tb_write_all(fd, data, len);
    if (!r && fchmod(fd, 0644) < 0)
        r = -errno;
    if (fd >= 0 && close(fd) < 0 && !r)
        r = -errno;
    if (!r && rename(temporary, path) < 0)
        r = -errno;
    if (r && fd >= 0)
        unlink(temporary);
    free(temporary);
    return r;
}

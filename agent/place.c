/* SPDX-License-Identifier: Apache-2.0 */
/* A directory of regions as a starting program judges it (place.h). Entry point: tb_place_open. */
#include "place.h"
#include "region_private.h"
#include "syscalls.h"

/* The kernel's own headers: their structs are what the system calls fill. */
#include <asm/stat.h>
#include <asm/statfs.h>
#include <linux/fcntl.h>
#include <linux/magic.h>

#ifndef AT_EMPTY_PATH
#define AT_EMPTY_PATH 0x1000
#endif
#define MODE_STICKY 01000u
#define MODE_OTHERS_WRITE 0002u

static int refuse(enum tb_inert why, long error, enum tb_inert *ret_why)
{
    *ret_why = why;
    return (int)error;
}

static int judge(const struct tb_core *core, const char *path, const struct tb_identity *id, uint32_t uid,
                 struct tb_place *place, enum tb_inert *ret_why)
{
    struct stat st;
    struct statfs fs;
    long r = tb_syscall(core, SYS_newfstatat, place->fd, (long)"", (long)&st, AT_EMPTY_PATH, 0, 0);
    if (r < 0)
        return refuse(tb_region_inert(r), r, ret_why);
    if ((st.st_uid != 0 && st.st_uid != uid) || (st.st_mode & (MODE_OTHERS_WRITE | MODE_STICKY)) == MODE_OTHERS_WRITE)
        return refuse(TB_INERT_BAD_DIRECTORY, -EPERM, ret_why);
    r = tb_syscall(core, SYS_fstatfs, place->fd, (long)&fs, 0, 0, 0, 0);
    if (r == -EBADF) /* O_PATH descriptors before Linux 3.12 */
        r = tb_syscall(core, SYS_statfs, (long)path, (long)&fs, 0, 0, 0, 0);
    if (r < 0)
        return refuse(tb_region_inert(r), r, ret_why);
    if (fs.f_type != TMPFS_MAGIC && fs.f_type != RAMFS_MAGIC && !id->allow_disk)
        return refuse(TB_INERT_NOT_TMPFS, -ENOTSUP, ret_why);
    place->owner = st.st_uid;
    place->files = fs.f_type == TMPFS_MAGIC ? tb_place_files((uint64_t)st.st_size) : 0;
    return 0;
}

/* O_PATH: the shared directory may be entered and written by everyone, but listed only by its group. */
int tb_place_open(const struct tb_core *core, const char *path, bool may_make, const struct tb_identity *id,
                  uint32_t uid, struct tb_place *ret_place, enum tb_inert *ret_why)
{
    long flags = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    long fd = tb_syscall(core, SYS_openat, AT_FDCWD, (long)path, flags, 0, 0, 0);
    if (fd == -ENOENT && may_make) {
        if (tb_syscall(core, SYS_mkdirat, AT_FDCWD, (long)path, 0700, 0, 0, 0) == 0)
            (void)tb_syscall(core, SYS_fchmodat, AT_FDCWD, (long)path, 0700, 0, 0, 0); /* whatever the umask */
        fd = tb_syscall(core, SYS_openat, AT_FDCWD, (long)path, flags, 0, 0, 0);
    }
    if (fd == -ENOTDIR || fd == -ELOOP)
        return refuse(TB_INERT_BAD_DIRECTORY, fd, ret_why);
    if (fd == -ENOENT || fd == -EACCES || fd == -EROFS)
        return refuse(TB_INERT_NO_DIRECTORY, fd, ret_why);
    if (fd < 0)
        return refuse(tb_region_inert(fd), fd, ret_why);
    struct tb_place place = {.fd = (int)fd};
    int r = judge(core, path, id, uid, &place, ret_why);
    if (r)
        (void)tb_syscall(core, SYS_close, fd, 0, 0, 0, 0, 0);
    else
        *ret_place = place;
    return r;
}

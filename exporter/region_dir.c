/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mirrors the agent's choice of a region directory (agent/region.h) for `run`, which makes it, and for `doctor` and
 * the exporter, which explain it. The agent decides for itself; this only tells beforehand what it will find.
 *
 * Entry points: tb_region_dir_look, _of_owner, _limit; making it is shared_dir.c.
 */
#include "region_dir.h"

#include <errno.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "agent/place.h"

#define ROOM_NEEDED (64u << 10) /* bytes that a listening silent program may take */

static void refuse(struct tb_region_dir *dir, enum tb_dir_fault fault, const char *todo, const char *why)
{
    dir->is_fit = false;
    dir->fault = fault;
    snprintf(dir->why, sizeof(dir->why), "%s", why);
    snprintf(dir->todo, sizeof(dir->todo), "%s", todo);
}

/* lstat of the last component, so that a symbolic link is seen as what it is. */
static bool look_at(const char *root, const char *path, struct tb_region_dir *dir)
{
    char full[PATH_MAX];
    struct stat st;
    struct statfs fs;
    int len = snprintf(full, sizeof(full), "%s%s", root, path);
    if (len < 0 || (size_t)len >= sizeof(full) || lstat(full, &st) != 0)
        return false;
    dir->exists = true;
    dir->owner = st.st_uid;
    dir->group = st.st_gid;
    dir->mode = st.st_mode;
    if (statfs(full, &fs) == 0) {
        dir->is_memory = fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC;
        dir->files = fs.f_type == TMPFS_MAGIC ? tb_place_files((uint64_t)st.st_size) : 0;
        dir->free_bytes = (uint64_t)fs.f_bavail * (uint64_t)fs.f_bsize;
        /* A tmpfs without a size limit reports no blocks at all. */
        if (fs.f_blocks == 0)
            dir->free_bytes = UINT64_MAX;
    }
    return true;
}

static void judge(struct tb_region_dir *dir, uid_t uid, bool forced)
{
    if (!S_ISDIR(dir->mode))
        refuse(dir, TB_DIR_UNUSABLE, "remove it, or name another with TICKBIRD_DIR", "it is not a directory");
    else if (dir->owner != 0 && dir->owner != uid)
        refuse(dir, TB_DIR_UNUSABLE, "name a directory that root or the program's user owns",
               "it belongs neither to root nor to the program's user");
    else if ((dir->mode & S_IWOTH) && !(dir->mode & S_ISVTX))
        refuse(dir, TB_DIR_UNUSABLE, "chmod +t, or name another with TICKBIRD_DIR",
               "everybody may remove files there (no sticky bit)");
    else if (!dir->is_memory && !forced)
        refuse(dir, TB_DIR_ON_DISK,
               "use a directory below /dev/shm, or set TICKBIRD_DIR_FORCE=1 if stalls are acceptable",
               "it lies on a disk file system, whose write-back may stall the program");
    else if (uid != 0 && !(dir->owner == uid ? dir->mode & S_IWUSR : dir->mode & S_IWOTH))
        refuse(dir, TB_DIR_UNUSABLE, "chmod 3773 on it, or name another with TICKBIRD_DIR",
               "the program's user may not write there");
    else if (dir->free_bytes < ROOM_NEEDED)
        refuse(dir, TB_DIR_FULL, "free some space there, or mount it larger", "its file system is full");
}

void tb_region_dir_look(const char *root, const char *wanted, uid_t uid, bool forced, struct tb_region_dir *ret_dir)
{
    memset(ret_dir, 0, sizeof(*ret_dir));
    ret_dir->is_fit = true;
    if (wanted && wanted[0]) {
        snprintf(ret_dir->path, sizeof(ret_dir->path), "%s", wanted);
        if (wanted[0] != '/')
            refuse(ret_dir, TB_DIR_UNUSABLE, "give an absolute path", "it is not an absolute path");
        else if (!look_at(root, wanted, ret_dir))
            refuse(ret_dir, TB_DIR_UNUSABLE, "make it, or start the program with tickbird run --dir",
                   "it does not exist");
        else
            judge(ret_dir, uid, forced);
        return;
    }
    snprintf(ret_dir->path, sizeof(ret_dir->path), "%s", TB_REGION_DIR_SHARED);
    if (look_at(root, ret_dir->path, ret_dir)) {
        judge(ret_dir, uid, forced);
        if (ret_dir->is_fit)
            return;
    }
    struct tb_region_dir shared = *ret_dir;
    memset(ret_dir, 0, sizeof(*ret_dir));
    ret_dir->is_fit = true;
    snprintf(ret_dir->path, sizeof(ret_dir->path), "%s-%u", TB_REGION_DIR_SHARED, (unsigned)uid);
    if (look_at(root, ret_dir->path, ret_dir)) {
        judge(ret_dir, uid, forced);
        return;
    }
    /* The program will make it on first use, where /dev/shm allows that. */
    struct tb_region_dir parent = {.is_fit = true};
    if (!look_at(root, "/dev/shm", &parent))
        refuse(ret_dir, TB_DIR_UNUSABLE, "mount a tmpfs on /dev/shm, or name a directory with TICKBIRD_DIR",
               "/dev/shm does not exist");
    else
        judge(&parent, uid, forced);
    if (parent.exists && !parent.is_fit)
        refuse(ret_dir, parent.fault, parent.todo, "it cannot be made in /dev/shm");
    ret_dir->is_memory = parent.is_memory;
    ret_dir->free_bytes = parent.free_bytes;
    if (!ret_dir->is_fit && shared.exists)
        *ret_dir = shared;
}

void tb_region_dir_of_owner(const char *path, struct tb_region_dir *ret_dir)
{
    struct stat st;
    tb_region_dir_look("", path, lstat(path, &st) == 0 ? st.st_uid : geteuid(), false, ret_dir);
}

void tb_region_dir_limit(struct tb_region_dir *dir, uint32_t quota_mib)
{
    char why[sizeof(dir->why)];
    uint64_t most = tb_place_files_max(quota_mib);
    if (!dir->is_fit || dir->files < most)
        return;
    snprintf(why, sizeof(why), "it holds %llu files, as many as TICKBIRD_DIR_QUOTA (%u MiB) allows",
             (unsigned long long)dir->files, quota_mib);
    refuse(dir, TB_DIR_OVER_QUOTA,
           "run an exporter, which removes the files of ended programs, or raise TICKBIRD_DIR_QUOTA", why);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The region directory as a program of some user will find it: which one, and whether it is fit. */
#ifndef TB_REGION_DIR_H
#define TB_REGION_DIR_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "shared_dir.h"

/* What an observed program would refuse. */
enum tb_dir_fault {
    TB_DIR_FIT,
    TB_DIR_UNUSABLE, /* missing, not writable for the program's user, or not safe there */
    TB_DIR_ON_DISK,
    TB_DIR_FULL,
    TB_DIR_OVER_QUOTA
};

struct tb_region_dir {
    char path[PATH_MAX];
    bool exists;
    uid_t owner;
    gid_t group;
    mode_t mode;
    bool is_memory; /* tmpfs or ramfs */
    uint64_t free_bytes;
    uint64_t files; /* in it, where its file system says how many; else 0 */
    bool is_fit;
    enum tb_dir_fault fault;
    char why[256]; /* when not fit */
    char todo[256];
};

/*
 * tb_region_dir_look - the directory that an observed program of user @uid will use, and whether it will accept it.
 *
 * @root    prefix under which paths are looked up: "" or "/proc/PID/root"; not part of ret_dir->path
 * @wanted  TICKBIRD_DIR, or NULL for the defaults
 * @forced  TICKBIRD_DIR_FORCE: a disk file system is accepted
 */
void tb_region_dir_look(const char *root, const char *wanted, uid_t uid, bool forced, struct tb_region_dir *ret_dir);

/* tb_region_dir_of_owner - the same of the directory @path for programs of the user that it belongs to: what is refused
 * then is refused by every program. */
void tb_region_dir_of_owner(const char *path, struct tb_region_dir *ret_dir);

/*
 * tb_region_dir_limit - @dir, as tb_region_dir_look left it, is not fit when it holds as many files as a quota of
 * @quota_mib (agent/place.h) allows. Of a program that has no region: one of an ended program of its name needs no
 * file.
 */
void tb_region_dir_limit(struct tb_region_dir *dir, uint32_t quota_mib);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The directory that regions lie in, as a starting program judges it: whose it is, what file system it is on, and how
 * many files are there already. A region never outgrows TB_REGION_BYTES, so a number of files bounds their bytes.
 */
#ifndef TB_PLACE_H
#define TB_PLACE_H

#include "region.h"

#define TB_PLACE_QUOTA_MIB 1024u /* TICKBIRD_DIR_QUOTA when nobody says */

struct tb_place {
    int fd; /* O_PATH; -1 = none */
    uint32_t owner;
    uint64_t files; /* how many are there, of whatever kind; 0 where the file system does not say */
};

/*
 * tb_place_open - open @path and judge it for a program of user @uid: made by root or itself, in memory (or
 * @id->allow_disk), not open to everybody's removals.
 *
 * @may_make  make it, 0700, when it is missing
 *
 * Returns 0, or -errno with *ret_why set and no descriptor open. 3 system calls, 2 more to make it.
 */
int tb_place_open(const struct tb_core *core, const char *path, bool may_make, const struct tb_identity *id,
                  uint32_t uid, struct tb_place *ret_place, enum tb_inert *ret_why);

/*
 * tb_place_files - the number of entries of a directory of tmpfs whose size is @dir_size bytes: the kernel gives each
 * 20 (BOGO_DIRENT_SIZE in mm/shmem.c), and "." and ".." too. ramfs says 0.
 */
static inline uint64_t tb_place_files(uint64_t dir_size)
{
    return dir_size < 40 ? 0 : dir_size / 20 - 2;
}

/* tb_place_quota - MiB that @text (a number, "" or NULL: the default) allows; what is no number is the default, too. */
static inline uint32_t tb_place_quota(const char *text)
{
    uint32_t mib = 0, digits = 0;
    for (; text && (uint8_t)(text[digits] - '0') < 10 && digits < 8; digits++)
        mib = mib * 10 + (uint8_t)(text[digits] - '0');
    return digits && !text[digits] ? mib : TB_PLACE_QUOTA_MIB;
}

/* tb_place_files_max - files that a quota of @mib allows, at least one; 0 = any number. */
static inline uint64_t tb_place_files_max(uint32_t mib)
{
    uint64_t files = ((uint64_t)mib << 20) / TB_REGION_BYTES;
    return !mib ? UINT64_MAX : files ? files : 1;
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* The directory that all regions of a machine share. */
#ifndef TB_SHARED_DIR_H
#define TB_SHARED_DIR_H

#define TB_REGION_DIR_SHARED "/dev/shm/tickbird"

/*
 * tb_region_dir_make - make @path when it is missing: as root root:tickbird 03773 (others may create files, not list
 * them), else 0700. Returns 0 (also when it exists), or -errno; then nothing is left behind.
 */
int tb_region_dir_make(const char *path);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Marker files of the kill switch: in a directory of regions, `off` switches everything off and `off-HASH` one service,
 * also programs that start later. Only root and the owner of the directory may: others can put files there too.
 */
#ifndef TB_MARKER_H
#define TB_MARKER_H

#include "core.h"

#define TB_MARKER_ALL "off"
#define TB_MARKER_NAME_BYTES 32u

/* tb_service_hash - what stands for a service in the names of files: FNV-1a of the name as a region can hold it. */
uint64_t tb_service_hash(const char *service);

/* tb_marker_name - the name of a service's marker. */
void tb_marker_name(const char *service, char ret_name[TB_MARKER_NAME_BYTES]);

/* tb_marker_counts - is a file of this owner, mode and number of links a marker in a directory of @dir_uid? A second
 * link may be somebody else's trick with a file of root's. */
static inline bool tb_marker_counts(uint32_t uid, uint32_t mode, uint64_t links, uint32_t dir_uid)
{
    return (mode & 0170000u) == 0100000u && !(mode & 0022u) && links == 1 && (uid == 0 || uid == dir_uid);
}

/* tb_marker_is_set - does @dir (a descriptor, O_PATH will do) say that @service is off? One or two system calls. */
bool tb_marker_is_set(const struct tb_core *core, int dir, uint32_t dir_uid, const char *service);

#endif

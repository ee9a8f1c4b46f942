/* SPDX-License-Identifier: Apache-2.0 */
/* The kill switch's marker files as a starting program sees them (marker.h). Entry point: tb_marker_is_set. */
#include "marker.h"
#include "syscalls.h"

#include <asm/stat.h>
#include <linux/fcntl.h>

uint64_t tb_service_hash(const char *service)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    size_t len = tb_strnlen(service, sizeof(((struct tb_region_header *)0)->service) - 1);
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ (uint8_t)service[i]) * UINT64_C(0x100000001b3);
    return hash;
}

void tb_marker_name(const char *service, char ret_name[TB_MARKER_NAME_BYTES])
{
    uint64_t hash = tb_service_hash(service);
    tb_copy(ret_name, TB_MARKER_ALL "-", 4);
    for (size_t i = 0; i < 16; i++)
        ret_name[4 + i] = "0123456789abcdef"[hash >> (60 - 4 * i) & 15];
    ret_name[20] = 0;
}

static bool is_marker(const struct tb_core *core, int dir, uint32_t dir_uid, const char *name)
{
    struct stat st;
    return tb_syscall(core, SYS_newfstatat, dir, (long)name, (long)&st, AT_SYMLINK_NOFOLLOW, 0, 0) == 0 &&
           tb_marker_counts(st.st_uid, st.st_mode, st.st_nlink, dir_uid);
}

bool tb_marker_is_set(const struct tb_core *core, int dir, uint32_t dir_uid, const char *service)
{
    char name[TB_MARKER_NAME_BYTES];
    tb_marker_name(service, name);
    return is_marker(core, dir, dir_uid, TB_MARKER_ALL) || is_marker(core, dir, dir_uid, name);
}

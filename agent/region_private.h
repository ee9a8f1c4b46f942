/* SPDX-License-Identifier: Apache-2.0 */
/* What the region's own files share: region.c, region_memory.c, region_file.c, region_host.c, place.c, owner.c.
 * Nothing else includes it. */
#ifndef TB_REGION_PRIVATE_H
#define TB_REGION_PRIVATE_H

#include "region.h"

#include <errno.h>

/* tb_region_inert - what a failed system call means where nothing more is known about it. */
static inline enum tb_inert tb_region_inert(long error)
{
    return error == -ENOSPC || error == -EDQUOT ? TB_INERT_FULL : TB_INERT_SYSCALL;
}

/* tb_region_set_identity - the strings and settings of a starting program; the maker's or adopter's. */
void tb_region_set_identity(struct tb_region_header *header, const struct tb_identity *id);

/* tb_region_is_service - is @service, cut to the header's field, the region's? */
bool tb_region_is_service(const struct tb_region_header *header, const char *service);

/* tb_region_is_default - does a validated header have exactly the sections that this version writes? */
bool tb_region_is_default(const struct tb_region_header *header);

/* tb_region_attach - section pointers of @core for a default region at @base; base last. */
void tb_region_attach(struct tb_core *core, void *base);

/* tb_region_populate - one page of a mapping that @core need not have: false = no room, or no system call allowed. */
bool tb_region_populate(const struct tb_core *core, uint8_t *base, uint64_t offset);

/* tb_region_page_bytes - of the machine, at least TB_PAGE. */
uint64_t tb_region_page_bytes(const struct tb_core *core);

/* tb_region_note_reserved - the machine page at @at has memory. */
void tb_region_note_reserved(struct tb_core *core, uint64_t at);

/* tb_region_random_id - a number that no other region has; never 0. @realtime_ns: what it is made of where the kernel
 * has no random number to give. */
uint64_t tb_region_random_id(const struct tb_core *core, uint64_t realtime_ns);

/* tb_region_realtime_ns - CLOCK_REALTIME; 0 when it may not be asked. */
uint64_t tb_region_realtime_ns(const struct tb_core *core);

/* tb_region_boot_id - the kernel's boot id; @ret stays as it is (zeroes: unknown) where procfs is missing. */
void tb_region_boot_id(const struct tb_core *core, uint8_t ret[16]);

/* tb_region_limits_leave_room - before ftruncate and mmap: do RLIMIT_FSIZE and RLIMIT_AS allow a region? */
bool tb_region_limits_leave_room(const struct tb_core *core);

/* tb_owner_pidns - the inode of this process's pid namespace, 0 = unknown. One system call. */
uint64_t tb_owner_pidns(const struct tb_core *core);

#endif

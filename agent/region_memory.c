/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pages of the region. A store into a hole of a tmpfs file that is full raises SIGBUS in the host, and so does a load,
 * so each page is asked for by a system call first, which answers EFAULT instead.
 *
 * The call is futex(FUTEX_WAKE_OP) that ORs 0 into the page's first word: the kernel faults the page in for
 * writing, the operation is atomic and changes nothing, so it is safe on a page that other processes write at the same
 * time; nobody waits, so nobody is woken. It exists since Linux 2.6.14 and is allowed wherever threads are. (The
 * obvious madvise(MADV_POPULATE_WRITE) is from 5.14; calls that copy out to the page would overwrite live counters.)
 */
#include "region.h"
#include "region_private.h"
#include "syscalls.h"

#include <linux/futex.h>

/* After a refusal so many further attempts fail at once: a full tmpfs must not cost a system call per request. */
#define SKIP_AFTER_REFUSAL 255u

static bool page_is_known(const struct tb_core *core, uint64_t page)
{
    return tb_load_relaxed(&core->reserved_pages[page / 64]) >> (page % 64) & 1;
}

bool tb_region_populate(const struct tb_core *core, uint8_t *base, uint64_t offset)
{
    long word = (long)(base + offset);
    long op = (long)FUTEX_OP(FUTEX_OP_OR, 0, FUTEX_OP_CMP_EQ, 0);
    return tb_syscall(core, SYS_futex, word, FUTEX_WAKE_OP | FUTEX_PRIVATE_FLAG, 0, 0, word, op) >= 0;
}

uint64_t tb_region_page_bytes(const struct tb_core *core)
{
    return core->env.page_size > TB_PAGE ? core->env.page_size : TB_PAGE;
}

void tb_region_note_reserved(struct tb_core *core, uint64_t at)
{
    for (uint64_t page = at / TB_PAGE; page < (at + tb_region_page_bytes(core)) / TB_PAGE; page++)
        if (page < TB_REGION_BYTES / TB_PAGE)
            tb_fetch_or_relaxed(&core->reserved_pages[page / 64], UINT64_C(1) << (page % 64));
}

bool tb_region_reserve_slow(struct tb_core *core, uint64_t offset, uint64_t len)
{
    if (!core->base || len == 0 || offset >= TB_REGION_BYTES || len > TB_REGION_BYTES - offset)
        return false;
    uint64_t page_bytes = tb_region_page_bytes(core);
    for (uint64_t at = offset & ~(page_bytes - 1); at < offset + len; at += page_bytes) {
        if (page_is_known(core, at / TB_PAGE))
            continue;
        uint32_t skip = tb_load_relaxed(&core->reserve_skip);
        if (skip) {
            tb_store_relaxed(&core->reserve_skip, skip - 1); /* threads may lose a step: no matter */
            return false;
        }
        if (!tb_region_populate(core, core->base, at)) {
            tb_store_relaxed(&core->reserve_skip, SKIP_AFTER_REFUSAL);
            tb_count(core, TB_COUNTER_NO_PAGE);
            return false;
        }
        tb_region_note_reserved(core, at);
    }
    return true;
}

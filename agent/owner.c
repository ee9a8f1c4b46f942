/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Processes in a region: owner slots and the in-flight table.
 *
 * Fork story: a child forgets its parent's slot (tb_core_forked) and claims its own at its first event. A process
 * killed with kill -9 leaves its slot; the next claim in the region, or an exporter, or an adopter cleans it. Whoever
 * is killed while cleaning leaves a slot that carries its own dead pid, so the next one cleans again: each step is
 * idempotent.
 */
#include "region.h"
#include "region_private.h"
#include "syscalls.h"

#include <asm/stat.h>
#include <linux/fcntl.h>

#define OWNERS_PER_PAGE (TB_PAGE / (uint32_t)sizeof(struct tb_owner))
/* kill(pid, 0) calls of one claim. Servers that fork per connection claim per connection. */
#define CHECKS_PER_CLAIM 64u
/* In-flight entries tried per page before the next page. */
#define PROBES_PER_PAGE 8u
/*
 * From where one owner of a shard starts looking in a page to where the next does. As 39 is odd, no two of the 64 start
 * within one cache line (two entries); as it is near 64 times the golden ratio, a few owners lie far apart.
 */
#define OWNER_STRIDE (39u * 2)
_Static_assert(TB_INFLIGHT_PER_PAGE == 2 * (TB_OWNERS / TB_SHARDS), "two entries of each page for each owner");

uint64_t tb_owner_pidns(const struct tb_core *core)
{
    struct stat st;
    if (tb_syscall(core, SYS_newfstatat, AT_FDCWD, (long)"/proc/self/ns/pid", (long)&st, 0, 0, 0) < 0)
        return 0;
    return st.st_ino;
}

/*
 * Do this process and the region's maker see the same pids? Where procfs is missing (a chroot), a process whose parent
 * is outside of its namespace (pid 0) entered a new one; any other is where its parent was.
 */
static bool is_foreign(const struct tb_core *core)
{
    uint64_t pidns = tb_owner_pidns(core);
    if (pidns && core->header->pidns_inode)
        return pidns != core->header->pidns_inode;
    return tb_load_relaxed(&core->is_foreign) || tb_syscall(core, SYS_getppid, 0, 0, 0, 0, 0, 0) <= 0;
}

/* Ends what a slot's process had in flight. The slot's pid stays. */
static void clean_slot(struct tb_core *core, uint32_t slot)
{
    struct tb_owner *owner = &core->owners[slot];
    uint64_t pages = tb_load_relaxed(&owner->inflight_pages);
    struct tb_inflight *table = &core->inflight[slot % TB_SHARDS * TB_INFLIGHT_PER_SHARD];
    for (uint32_t page = 0; page < TB_INFLIGHT_PAGES_PER_SHARD; page++) {
        if (!(pages >> page & 1))
            continue; /* perhaps a hole: not even loads are safe */
        for (uint32_t i = 0; i < TB_INFLIGHT_PER_PAGE; i++) {
            struct tb_inflight *entry = &table[page * TB_INFLIGHT_PER_PAGE + i];
            uint64_t start_ns = tb_load_relaxed(&entry->start_ns);
            if (!start_ns || TB_INFLIGHT_OWNER(start_ns) != slot)
                continue;
            tb_inflight_leave_gauges(entry);
            (void)tb_cas_acq_rel(&entry->start_ns, &start_ns, 0);
        }
    }
    tb_store_relaxed(&owner->in_flight, 0);
    tb_store_relaxed(&owner->connections, 0);
    tb_store_relaxed(&owner->unobservable, 0);
    tb_store_relaxed(&owner->inflight_pages, 0);
    tb_store_relaxed(&owner->start_ticks, 0);
    tb_store_relaxed(&owner->start_ns, 0);
    tb_store_relaxed(&owner->flags, 0);
}

static void free_slot(struct tb_core *core, uint32_t slot)
{
    clean_slot(core, slot);
    tb_store_release(&core->owners[slot].pid, 0);
}

/* Is the slot's process gone for certain? */
static bool is_dead(const struct tb_core *core, const struct tb_owner *owner, uint32_t pid)
{
    if (pid > INT32_MAX || pid == core->env.pid || tb_load_relaxed(&owner->flags))
        return false;
    return tb_syscall(core, SYS_kill, (long)pid, 0, 0, 0, 0, 0) == -ESRCH;
}

/* Claims a slot on one page of the table and frees the dead there. Returns the slot, or -1. */
static int claim_on_page(struct tb_core *core, uint32_t page, uint32_t *checks)
{
    int mine = -1;
    for (uint32_t slot = page * OWNERS_PER_PAGE; slot < (page + 1) * OWNERS_PER_PAGE; slot++) {
        struct tb_owner *owner = &core->owners[slot];
        uint32_t pid = tb_load_acquire(&owner->pid);
        if (pid == 0) {
            if (mine >= 0 || !tb_cas_acq_rel(&owner->pid, &pid, core->env.pid))
                continue;
            clean_slot(core, slot); /* a process forked off the last owner may have finished requests after it left */
            mine = (int)slot;
        } else if (*checks && is_dead(core, owner, pid)) {
            (*checks)--;
            if (!tb_cas_acq_rel(&owner->pid, &pid, core->env.pid))
                continue;
            if (mine < 0) {
                clean_slot(core, slot);
                mine = (int)slot;
            } else {
                free_slot(core, slot);
            }
        } else if (*checks) {
            (*checks)--;
        }
    }
    return mine;
}

/* Makes a claimed slot this process's, unless another thread of it was faster. */
static void install(struct tb_core *core, uint32_t slot)
{
    struct tb_owner *owner = NULL;
    if (tb_cas_acq_rel(&core->owner, &owner, &core->owners[slot])) {
        tb_store_relaxed(&core->owner_slot, slot); /* other threads go by core->owner */
        tb_store_relaxed(&core->shard, slot % TB_SHARDS);
        uint64_t *counters = (uint64_t *)(void *)(core->base + TB_OFF_COUNTERS);
        tb_store_relaxed(&core->counters, counters + slot % TB_SHARDS * TB_COUNTERS_MAX);
        uint64_t bits = tb_load_relaxed(&core->unobservable);
        if (bits)
            tb_fetch_or_relaxed(&core->owners[slot].unobservable, bits);
    } else if (owner != &core->owners[slot]) {
        free_slot(core, slot);
    }
}

bool tb_owner_claim(struct tb_core *core)
{
    if (!core->base)
        return false;
    if (tb_load_acquire(&core->owner))
        return true;
    bool foreign = is_foreign(core);
    tb_store_relaxed(&core->is_foreign, foreign);
    uint32_t checks = foreign ? 0 : CHECKS_PER_CLAIM; /* elsewhere the pids of others mean nothing */
    int slot = -1;
    for (uint32_t page = 0; page < TB_OWNERS / OWNERS_PER_PAGE && slot < 0; page++) {
        if (!tb_region_reserve(core, TB_OFF_OWNERS + page * TB_PAGE, TB_PAGE))
            break;
        slot = claim_on_page(core, page, &checks);
    }
    if (slot >= 0) {
        struct tb_owner *owner = &core->owners[slot];
        if (foreign)
            tb_store_relaxed(&owner->flags, TB_OWNER_FOREIGN);
        tb_store_relaxed(&owner->start_ns, tb_monotonic_ns(core));
        install(core, (uint32_t)slot);
        return true;
    }
    if (!tb_region_reserve(core, TB_OFF_OWNERS, TB_PAGE))
        return false;
    /* All taken: share one of the first page. Counters stay exact; in_flight of that slot is cleaned by nobody. */
    uint32_t shared = core->env.pid % OWNERS_PER_PAGE;
    tb_fetch_or_relaxed(&core->owners[shared].flags, TB_OWNER_SHARED);
    tb_count(core, TB_COUNTER_OWNER_OVERFLOW);
    install(core, shared);
    return true;
}

void tb_owner_release(struct tb_core *core)
{
    struct tb_owner *owner = tb_swap_acq_rel(&core->owner, NULL);
    tb_store_release(&core->ready_index, NULL);
    if (owner && !(tb_load_relaxed(&owner->flags) & TB_OWNER_SHARED))
        free_slot(core, (uint32_t)(owner - core->owners));
    /* Whoever goes on (an exec failed) begins another life: what connections had added to the slot went with it. */
    core->birth_generation = tb_fetch_add_relaxed(&core->fork_generation, 1) + 1;
}

static inline bool claim_entry(struct tb_core *core, uint32_t at, uint64_t word, uint32_t route, uint8_t method)
{
    struct tb_inflight *entry = &core->inflight[at];
    uint64_t none = 0;
    if (TB_UNLIKELY(!tb_cas_acq_rel(&entry->start_ns, &none, word)))
        return false;
    entry->thread = tb_thread_pointer();
    entry->route = route;
    entry->owner = (uint16_t)TB_INFLIGHT_OWNER(word);
    entry->method = method;
    entry->flags = 0;
    return true;
}

/* Page after page, a few entries of each. */
static __attribute__((noinline)) uint16_t claim_slow(struct tb_core *core, struct tb_owner *owner, uint64_t word,
                                                     uint32_t hint, uint32_t route, uint8_t method)
{
    uint32_t first = TB_INFLIGHT_OWNER(word) % TB_SHARDS * TB_INFLIGHT_PER_SHARD;
    for (uint32_t page = 0; page < TB_INFLIGHT_PAGES_PER_SHARD; page++, first += TB_INFLIGHT_PER_PAGE) {
        if (!tb_region_reserve(core, TB_OFF_INFLIGHT + first * sizeof(struct tb_inflight), TB_PAGE))
            break;
        tb_fetch_or_relaxed(&owner->inflight_pages, UINT64_C(1) << page); /* before the first entry, for cleaners */
        for (uint32_t i = 0; i < PROBES_PER_PAGE; i++) {
            uint32_t at = first + (hint + i) % TB_INFLIGHT_PER_PAGE;
            if (tb_load_relaxed(&core->inflight[at].start_ns) == 0 && claim_entry(core, at, word, route, method))
                return (uint16_t)(at + 1);
        }
    }
    tb_count(core, TB_COUNTER_INFLIGHT_OVERFLOW);
    return 0;
}

uint16_t tb_inflight_claim(struct tb_core *core, uint64_t start_ns, uint32_t hint, uint32_t route, uint8_t method)
{
    struct tb_owner *owner = tb_load_acquire(&core->owner);
    if (TB_UNLIKELY(!owner || start_ns == 0))
        return 0;
    uint32_t slot = (uint32_t)(owner - core->owners); /* owner_slot may not be set yet when two threads claim at once */
    uint64_t word = tb_inflight_word(start_ns, slot);
    hint += slot / TB_SHARDS * OWNER_STRIDE;
    uint32_t at = slot % TB_SHARDS * TB_INFLIGHT_PER_SHARD + hint % TB_INFLIGHT_PER_PAGE;
    /* The first page's bit was set by this process, so the page has memory. */
    if (TB_LIKELY(tb_load_relaxed(&owner->inflight_pages) & 1) && claim_entry(core, at, word, route, method))
        return (uint16_t)(at + 1);
    return claim_slow(core, owner, word, hint, route, method);
}

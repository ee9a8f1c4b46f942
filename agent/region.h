/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Region files: make, adopt, reserve pages, claim an owner slot, validate.
 *
 * Liveness without a kept fd: open, flock(LOCK_SH), mmap MAP_SHARED, close. The mapping keeps the open file description
 * and with it the lock, through fork, setuid, chroot and closefrom; the kernel drops it when the last
 * process is gone. LOCK_EX|LOCK_NB is granted only when every owner is gone.
 *
 * For readers: loading from a hole of a tmpfs file through a mapping allocates the page (and raises SIGBUS when the
 * file system is full). Ask lseek(SEEK_DATA/SEEK_HOLE) first, or use pread; a hole reads as zeroes.
 */
#ifndef TB_REGION_H
#define TB_REGION_H

#include "core.h"

/* Why a process records nothing; kept by the shim for `doctor` and TICKBIRD_DEBUG. */
enum tb_inert {
    TB_INERT_NOT,
    TB_INERT_NO_DIRECTORY,  /* missing, and could not be made */
    TB_INERT_BAD_DIRECTORY, /* not owned by root or itself, a symlink, or writable by others without sticky bit */
    TB_INERT_NOT_TMPFS,     /* a disk file system (write-back stalls the host) and not forced */
    TB_INERT_LOCK_LOST,     /* the file system drops flock at close (overlayfs) */
    TB_INERT_FULL,          /* no room for the first pages */
    TB_INERT_QUOTA,         /* as many files in the directory as its quota allows */
    TB_INERT_LIMIT,         /* RLIMIT_FSIZE or RLIMIT_AS leave no room */
    TB_INERT_SYSCALL        /* a needed call failed otherwise */
};

struct tb_identity {
    const char *service; /* all strings borrowed, NUL-terminated; truncated to the header's fields */
    const char *program;
    const char *labels;
    const char *host;
    const char *version;
    uint64_t command_hash;
    uint64_t pidns_inode;  /* 0 = tb_region_open asks */
    uint32_t series_limit; /* 0 = TB_SERIES_LIMIT */
    const char *rules;     /* TICKBIRD_RULES: bundle of compiled rules; NULL or "" = the one in the directory, if any */
    int allow_disk;        /* TICKBIRD_DIR_FORCE: accept a file system that is not tmpfs */
    uint32_t quota_mib;    /* TICKBIRD_DIR_QUOTA (place.h); 0 = none */
    bool is_server;        /* it listens: its own name while there is room at all */
};

/* What programs are counted as that do not listen, once the directory is half as full as its quota allows. */
#define TB_SERVICE_OTHER "_other"

/*
 * tb_region_open - adopt a dead region of this uid, service and layout in @dir, or make one, and map it into @core.
 *
 * @dir  absolute path, or NULL for the defaults (/dev/shm/tickbird, then /dev/shm/tickbird-UID made 0700)
 * @id   whose; the region's may be TB_SERVICE_OTHER instead (counted)
 *
 * Returns 0 with core->base and all section pointers set, or -errno with *ret_why set; then nothing is left behind: no
 * fd, no file, no mapping. No fd is kept in either case. Context: not async-signal-safe by contract of the caller (one
 * thread at a time per process: the caller holds its once-flag); about 25 system calls.
 */
int tb_region_open(struct tb_core *core, const char *dir, const struct tb_identity *id, enum tb_inert *ret_why);

/*
 * tb_region_bind - point @core at a region already in memory (the whole file, mapped or copied). For tests, fuzzers and
 * readers that replay. Returns 0 or -EINVAL when the header does not validate.
 */
int tb_region_bind(struct tb_core *core, void *base, size_t len);

/* tb_region_format - write a fresh header, section table and fixed strings into @base (TB_REGION_BYTES of zeroes). */
void tb_region_format(void *base, const struct tb_identity *id, uint64_t region_id, uint64_t realtime_ns);

/*
 * tb_region_validate - check a header and section table read from an untrusted file of @len bytes.
 * Returns 0; -EPROTO (not a region), -EPROTONOSUPPORT (a newer layout), -EINVAL (contradicts itself).
 */
int tb_region_validate(const struct tb_region_header *header, size_t len);

/* tb_region_section - offset and bytes of the first section of @type in a validated header. Returns 0 or -ENOENT. */
int tb_region_section(const struct tb_region_header *header, uint32_t type, uint64_t *ret_offset, uint64_t *ret_len);

/*
 * tb_region_reserve - make sure that [offset, offset + len) of the region has memory behind it, so that a store cannot
 * raise SIGBUS when the tmpfs is full. One system call per new page, none when this process knows the page already.
 * Returns true, or false (counted) when there is no room or no system call is allowed. Context: any thread, signal
 * handlers.
 */
bool tb_region_reserve_slow(struct tb_core *core, uint64_t offset, uint64_t len);
static inline bool tb_region_reserve(struct tb_core *core, uint64_t offset, uint64_t len)
{
    uint64_t first = offset / TB_PAGE, last = (offset + len - 1) / TB_PAGE;
    if (TB_LIKELY(first == last && (tb_load_relaxed(&core->reserved_pages[first / 64]) >> (first % 64) & 1)))
        return true;
    return tb_region_reserve_slow(core, offset, len);
}

/*
 * tb_owner_claim - claim an owner slot for this process; also frees slots of dead processes of this pid namespace
 * (kill(pid, 0) is ESRCH). Sets core->owner, owner_slot, shard. Called lazily at the first event and after a fork.
 */
bool tb_owner_claim(struct tb_core *core);
/* tb_owner_release - at exit or exec: clears the slot (its gauges and in-flight entries with it). A process that goes
 * on is to its connections as a child of fork is. */
void tb_owner_release(struct tb_core *core);
/* tb_core_forked - in the child of a fork, before any event: forgets the owner slot and open chunks. No system call. */
void tb_core_forked(struct tb_core *core, uint32_t pid);

/*
 * tb_inflight_claim - note a request's start. @hint spreads the search (a connection's number). Returns index + 1, or
 * 0: table full or no page (counted), or start_ns 0. Needs core->owner (tb_owner_claim). Context: any thread, handlers.
 */
uint16_t tb_inflight_claim(struct tb_core *core, uint64_t start_ns, uint32_t hint, uint32_t route, uint8_t method);

/* tb_inflight_word - what start_ns of an entry holds for a request that started then and is counted at that owner slot.
 */
static inline uint64_t tb_inflight_word(uint64_t start_ns, uint32_t owner_slot)
{
    return (start_ns < 256 ? 256 : start_ns & ~UINT64_C(0xff)) | owner_slot;
}

/* tb_inflight_leave_gauges - a claimed entry is counted in no gauge (custom.h) any more; before it is freed. */
static inline void tb_inflight_leave_gauges(struct tb_inflight *entry)
{
    for (size_t i = 0; i < sizeof entry->gauges / sizeof *entry->gauges; i++)
        tb_store_relaxed(&entry->gauges[i], 0);
}

/* tb_inflight_release - frees what tb_inflight_claim returned; 0 is ignored. */
static inline void tb_inflight_release(struct tb_core *core, uint16_t claimed)
{
    if (claimed)
        tb_store_release(&core->inflight[claimed - 1u].start_ns, 0);
}

#endif

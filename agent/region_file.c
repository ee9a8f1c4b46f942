/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Region files: choose the directory, adopt a dead region of the same service or make one, and map it. Entry point:
 * tb_region_open. Every system call goes through the core's environment; every path of failure closes, unmaps and
 * unlinks what it made.
 *
 * Order matters in both ways of getting a region, because the process may be killed, and folders and other starting
 * programs may act, between any two calls:
 * - made: temporary name, lock, format, then the final name. A file under a final name is whole and was locked.
 * - adopted: LOCK_EX proves that all owners are gone; cleaning happens under it. Going from LOCK_EX to LOCK_SH is not
 *   atomic in Linux, so the state is looked at again under LOCK_SH, under which no folder can work.
 */
#include "bound_sets.h"
#include "marker.h"
#include "place.h"
#include "region.h"
#include "region_private.h"
#include "rules.h"
#include "syscalls.h"

/* The kernel's own headers: their structs are what the system calls fill. */
#include <asm/stat.h>
#include <linux/falloc.h>
#include <linux/fcntl.h>
#include <linux/mman.h>

#ifndef AT_EMPTY_PATH
#define AT_EMPTY_PATH 0x1000
#endif
#define RENAME_NO_REPLACE 1
#define MODE_TYPE 0170000u
#define MODE_FILE 0100000u

/* Files of one uid and service that are tried: so many programs of one service may run at once. */
#define FILES_MAX 256u
#define NAME_BYTES 64u

struct opening {
    struct tb_core *core;
    const struct tb_identity *id;
    struct tb_identity shared; /* what @id points at when programs are counted together */
    uint32_t uid;
    struct tb_place place;
    bool is_off;  /* a marker of another directory says so */
    uint8_t *map; /* the region while it is being prepared */
    uint64_t pidns;
    uint64_t realtime_ns;
    uint8_t boot_id[16];
    char name[NAME_BYTES];
    bool has_squatter; /* a name of ours is taken by a file that is not */
    bool has_bad_rules;
    enum tb_inert why;
};

/* ---- small pieces ---- */

static long call3(const struct opening *o, long nr, long a, long b, long c)
{
    return tb_syscall(o->core, nr, a, b, c, 0, 0, 0);
}

static void close_fd(const struct opening *o, long fd)
{
    if (fd >= 0)
        (void)call3(o, SYS_close, fd, 0, 0);
}

static char *put_text(char *to, const char *text)
{
    while (*text)
        *to++ = *text++;
    *to = 0;
    return to;
}

static char *put_decimal(char *to, uint32_t value)
{
    char digits[10];
    int n = 0;
    do
        digits[n++] = (char)('0' + value % 10);
    while (value /= 10);
    while (n)
        *to++ = digits[--n];
    *to = 0;
    return to;
}

static char *put_hex(char *to, uint64_t value)
{
    for (int shift = 60; shift >= 0; shift -= 4)
        *to++ = "0123456789abcdef"[value >> shift & 15];
    *to = 0;
    return to;
}

static void set_name(struct opening *o, uint32_t number)
{
    char *at = put_text(o->name, "tb1-");
    at = put_text(put_decimal(at, o->uid), "-");
    at = put_text(put_hex(at, tb_service_hash(o->id->service)), "-");
    put_decimal(at, number);
}

static int fail(struct opening *o, enum tb_inert why, long error)
{
    o->why = why;
    return (int)error;
}

static int fail_from(struct opening *o, long error)
{
    return fail(o, tb_region_inert(error), error);
}

/* ---- the file ---- */

static long open_file(const struct opening *o, long flags)
{
    flags |= O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
    return tb_syscall(o->core, SYS_openat, o->place.fd, (long)o->name, flags, 0600, 0, 0);
}

static void unlink_file(const struct opening *o)
{
    (void)call3(o, SYS_unlinkat, o->place.fd, (long)o->name, 0);
}

/*
 * In a program that locks what it will map (mlockall(MCL_FUTURE)) the region is locked, too, and would count against
 * its RLIMIT_MEMLOCK and take memory for every hole. Therefore it is mapped without access, which fills nothing,
 * unlocked, and opened then.
 */
static long map_file(struct opening *o, long fd)
{
    long at = tb_syscall(o->core, SYS_mmap, 0, TB_REGION_BYTES, PROT_NONE, MAP_SHARED, fd, 0);
    if (at < 0 && at > -4096)
        return at;
    o->map = (uint8_t *)at;
    (void)call3(o, SYS_munlock, at, TB_REGION_BYTES, 0);
    return call3(o, SYS_mprotect, at, TB_REGION_BYTES, PROT_READ | PROT_WRITE);
}

static void unmap_file(struct opening *o)
{
    if (o->map)
        (void)call3(o, SYS_munmap, (long)o->map, TB_REGION_BYTES, 0);
    o->map = NULL;
}

/* Somebody else may have made any name here, and made it so that it cannot be opened. */
static void look_for_squatter(struct opening *o)
{
    struct stat st;
    if (tb_syscall(o->core, SYS_newfstatat, o->place.fd, (long)o->name, (long)&st, AT_SYMLINK_NOFOLLOW, 0, 0) == 0)
        o->has_squatter |= st.st_uid != o->uid;
}

/* A region file of this user's that is still what its name says? */
static bool is_named(const struct opening *o, long fd)
{
    struct stat st, named;
    if (tb_syscall(o->core, SYS_newfstatat, fd, (long)"", (long)&st, AT_EMPTY_PATH, 0, 0) < 0 ||
        tb_syscall(o->core, SYS_newfstatat, o->place.fd, (long)o->name, (long)&named, AT_SYMLINK_NOFOLLOW, 0, 0) < 0)
        return false;
    return (st.st_mode & MODE_TYPE) == MODE_FILE && st.st_uid == o->uid && st.st_size == TB_REGION_BYTES &&
           st.st_nlink > 0 && st.st_ino == named.st_ino && st.st_dev == named.st_dev;
}

/* The pages that every process of a region needs: header, counters, first owners, rules, head and fixed strings. */
static const uint64_t first_pages[] = {
    0, TB_OFF_COUNTERS, TB_OFF_OWNERS, TB_OFF_RULES, TB_OFF_STRINGS, TB_OFF_STRINGS + TB_STR_FIRST / TB_PAGE *TB_PAGE};
#define FIRST_PAGES (sizeof(first_pages) / sizeof(first_pages[0]))
_Static_assert(TB_STR_FIRST / TB_PAGE == (TB_STR_FREE - 1) / TB_PAGE, "the fixed strings are in one page");

static bool populate_first_pages(const struct opening *o)
{
    uint64_t page_bytes = tb_region_page_bytes(o->core), previous = UINT64_MAX;
    for (size_t i = 0; i < FIRST_PAGES; i++) {
        uint64_t at = first_pages[i] & ~(page_bytes - 1);
        if (at != previous && !tb_region_populate(o->core, o->map, at))
            return false;
        previous = at;
    }
    return true;
}

/* Does the lock outlive the descriptor? On overlayfs it does not. Call when the locked descriptor is closed. */
static int probe_lock(struct opening *o)
{
    long fd = open_file(o, 0);
    if (fd < 0)
        return fail_from(o, fd);
    long r = call3(o, SYS_flock, fd, LOCK_EX | LOCK_NB, 0);
    if (r == 0)
        (void)call3(o, SYS_flock, fd, LOCK_UN, 0);
    close_fd(o, fd);
    return r == -EWOULDBLOCK ? 0 : fail(o, TB_INERT_LOCK_LOST, r < 0 ? r : -ENOLCK);
}

/* ---- adopting ---- */

/* A dead region of this service that this version can write, with counters inside their bounds. */
static bool is_adoptable(const struct opening *o)
{
    const struct tb_region_header *h = (const struct tb_region_header *)(void *)o->map;
    if (tb_region_validate(h, TB_REGION_BYTES) || !tb_region_is_default(h) || h->uid != o->uid ||
        !tb_region_is_service(h, o->id->service))
        return false;
    if (h->state != TB_REGION_LIVE && h->state != TB_REGION_FREE)
        return false;
    if (!populate_first_pages(o))
        return false;
    uint32_t strings_used = ((const struct tb_strings_head *)(void *)(o->map + TB_OFF_STRINGS))->used;
    return h->cells_used % TB_CHUNK_BYTES == 0 && strings_used >= TB_STR_FREE && strings_used <= TB_LEN_STRINGS;
}

static int punch(const struct opening *o, long fd, uint64_t offset, uint64_t len)
{
    long mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
    return (int)tb_syscall(o->core, SYS_fallocate, fd, mode, (long)offset, (long)len, 0, 0);
}

static void load_rules(struct opening *o)
{
    o->has_bad_rules = !tb_rules_load(o->core, o->map, o->id->service, o->id->rules, o->place.fd, o->uid);
}

/* Under LOCK_EX: nobody is in flight, the identity is ours, a FREE region lives again. */
static bool refresh(struct opening *o, long fd)
{
    struct tb_region_header *h = (struct tb_region_header *)(void *)o->map;
    uint64_t reset = TB_OFF_OWNERS + TB_PAGE; /* owners behind the first page, and all in flight */
    _Static_assert(TB_OFF_INFLIGHT == TB_OFF_OWNERS + TB_LEN_OWNERS, "one hole");
    if (punch(o, fd, reset, TB_OFF_INFLIGHT + TB_LEN_INFLIGHT - reset) < 0)
        return false;
    tb_zero(o->map + TB_OFF_OWNERS, TB_PAGE);
    tb_region_set_identity(h, o->id);
    h->pidns_inode = o->pidns;
    h->pid = o->core->env.pid;
    h->adopted_ns = o->realtime_ns;
    tb_copy(h->boot_id, o->boot_id, sizeof(h->boot_id));
    load_rules(o);
    if (h->state == TB_REGION_FREE) {
        if (!tb_bound_sets_reset(o->core, o->map))
            return false;
        h->series_used = 0;
        h->cells_used = 0;
        tb_zero(h->arena_at, sizeof(h->arena_at));
        h->created_ns = o->realtime_ns;
        tb_store_release(&h->state, TB_REGION_LIVE);
    }
    return true;
}

/* The file at o->name: adopted (0), free to be made (-ENOENT), or not for us (another error). */
static int try_adopt(struct opening *o)
{
    long fd = open_file(o, 0);
    if (fd < 0)
        return (int)fd;
    long r = -EBUSY;
    bool is_ours = false;
    if (!is_named(o, fd) || call3(o, SYS_flock, fd, LOCK_EX | LOCK_NB, 0) < 0)
        goto out;
    /* Again under the lock: a folder may have unlinked it in between. */
    if (is_named(o, fd) && map_file(o, fd) == 0 && tb_region_populate(o->core, o->map, 0) && is_adoptable(o))
        is_ours = refresh(o, fd);
    if (!is_ours || call3(o, SYS_flock, fd, LOCK_SH | LOCK_NB, 0) < 0) {
        (void)call3(o, SYS_flock, fd, LOCK_UN, 0); /* a mapping would keep the lock */
        goto out;
    }
    const struct tb_region_header *h = (const struct tb_region_header *)(void *)o->map;
    if (tb_load_acquire(&h->state) != TB_REGION_LIVE || !is_named(o, fd)) {
        (void)call3(o, SYS_flock, fd, LOCK_UN, 0);
        goto out;
    }
    r = 0;
out:
    if (r)
        unmap_file(o);
    close_fd(o, fd);
    return (int)r;
}

/* ---- making ---- */

static int give_name(struct opening *o, const char *temporary, uint32_t number)
{
    for (uint32_t tries = 0; tries < FILES_MAX && (number < FILES_MAX || o->has_squatter); number++, tries++) {
        set_name(o, number);
        long r = tb_syscall(o->core, SYS_renameat2, o->place.fd, (long)temporary, o->place.fd, (long)o->name,
                            RENAME_NO_REPLACE, 0);
        if (r == -EINVAL || r == -ENOSYS) { /* an older kernel or file system: a link does not replace either */
            r = tb_syscall(o->core, SYS_linkat, o->place.fd, (long)temporary, o->place.fd, (long)o->name, 0, 0);
            if (r == 0)
                (void)call3(o, SYS_unlinkat, o->place.fd, (long)temporary, 0);
        }
        if (r != -EEXIST)
            return r < 0 ? fail_from(o, r) : 0;
    }
    return fail(o, TB_INERT_SYSCALL, -EMFILE);
}

/* Locks, sizes, maps and formats a new file. */
static int prepare(struct opening *o, long fd, uint64_t region_id)
{
    long r = call3(o, SYS_fchmod, fd, 0660, 0); /* whatever the umask; the group comes from the directory */
    if (r == 0)
        r = call3(o, SYS_flock, fd, LOCK_SH | LOCK_NB, 0);
    if (r == 0)
        r = call3(o, SYS_ftruncate, fd, TB_REGION_BYTES, 0);
    if (r == 0)
        r = map_file(o, fd);
    if (r < 0)
        return fail_from(o, r);
    if (!populate_first_pages(o))
        return fail(o, TB_INERT_FULL, -ENOSPC);
    tb_region_format(o->map, o->id, region_id, o->realtime_ns);
    struct tb_region_header *h = (struct tb_region_header *)(void *)o->map;
    h->uid = o->uid;
    h->pid = o->core->env.pid;
    h->pidns_inode = o->pidns;
    tb_copy(h->boot_id, o->boot_id, sizeof(h->boot_id));
    load_rules(o);
    return 0;
}

static int make(struct opening *o, uint32_t number)
{
    char temporary[NAME_BYTES];
    if (o->place.files >= tb_place_files_max(o->id->quota_mib))
        return fail(o, TB_INERT_QUOTA, -EDQUOT);
    uint64_t region_id = tb_region_random_id(o->core, o->realtime_ns);
    put_hex(put_text(put_decimal(put_text(temporary, ".tb1-"), o->uid), "-"), region_id);
    tb_copy(o->name, temporary, NAME_BYTES);
    long fd = open_file(o, O_CREAT | O_EXCL);
    if (fd < 0)
        return fd == -EACCES || fd == -EROFS ? fail(o, TB_INERT_NO_DIRECTORY, fd) : fail_from(o, fd);
    int r = prepare(o, fd, region_id);
    close_fd(o, fd);
    if (r == 0)
        r = probe_lock(o);
    if (r == 0)
        r = give_name(o, temporary, number);
    if (r) {
        unmap_file(o);
        tb_copy(o->name, temporary, NAME_BYTES);
        unlink_file(o);
    }
    return r;
}

/* ---- opening ---- */

/*
 * A region that has its name starts switched off where a marker says so. Whoever switches writes the marker first and
 * the words of all regions then: so looking now misses neither, and looking once more after the word was stored finds
 * a marker that was taken away in between. Without a marker the word stays as it is: a region may be off by itself.
 */
static void follow_marker(const struct opening *o)
{
    struct tb_rules_head *rules = (struct tb_rules_head *)(void *)(o->map + TB_OFF_RULES);
    bool is_stored = false;
    for (int tries = 0; tries < 4; tries++) {
        bool is_off = o->is_off || tb_marker_is_set(o->core, o->place.fd, o->place.owner, o->id->service);
        if (is_off == is_stored)
            return;
        tb_store_release(&rules->off, is_off);
        is_stored = is_off;
    }
}

/* Adopts the first dead region of the service. -ENOENT: there is none, and the name of *ret_number is free. */
static int adopt(struct opening *o, uint32_t *ret_number)
{
    int r = -EBUSY;
    uint32_t number = 0;
    for (; number < FILES_MAX && r != 0 && r != -ENOENT; number++) {
        set_name(o, number);
        r = try_adopt(o);
        if (r == 0 && (r = probe_lock(o)) != 0) {
            unmap_file(o);
            return r;
        }
        if (r != 0 && r != -ENOENT)
            look_for_squatter(o);
        if (r == -EMFILE || r == -ENFILE || r == -ENOMEM || r == -ENOSYS)
            return fail(o, TB_INERT_SYSCALL, r);
    }
    if (r == 0 || r == -ENOENT) {
        *ret_number = number - 1;
        return r;
    }
    if (!o->has_squatter)
        return fail(o, TB_INERT_SYSCALL, r);
    *ret_number =
        FILES_MAX + (uint32_t)(tb_region_random_id(o->core, o->realtime_ns) >> 33); /* cannot be taken before */
    return -ENOENT;
}

/*
 * Names that never come again would fill the directory where no exporter removes their files. So from half of what may
 * be there on, programs that do not listen are counted together, under a name whose dead regions the next one adopts.
 */
static bool is_crowded(const struct opening *o)
{
    return !o->id->is_server && o->place.files >= tb_place_files_max(o->id->quota_mib) / 2;
}

/* One that is switched off under its own name has no region to say so, and must not switch the others off. */
static int share(struct opening *o)
{
    if (tb_marker_is_set(o->core, o->place.fd, o->place.owner, o->id->service))
        return fail(o, TB_INERT_QUOTA, -EDQUOT);
    o->shared = *o->id;
    o->shared.service = TB_SERVICE_OTHER;
    o->id = &o->shared;
    return 0;
}

static int open_in(struct opening *o, const char *path, bool may_make)
{
    int r = tb_place_open(o->core, path, may_make, o->id, o->uid, &o->place, &o->why);
    if (r)
        return r;
    uint32_t number = 0;
    r = adopt(o, &number);
    if (r == -ENOENT && is_crowded(o) && (r = share(o)) == 0)
        r = adopt(o, &number);
    if (r == -ENOENT)
        r = make(o, number);
    if (r == 0)
        follow_marker(o);
    else
        o->is_off = tb_marker_is_set(o->core, o->place.fd, o->place.owner, o->id->service);
    close_fd(o, o->place.fd);
    o->place.fd = -1;
    return r;
}

/* The default directories: the shared one if it will have us, else one of our own. */
static int open_default(struct opening *o)
{
    int r = open_in(o, "/dev/shm/tickbird", false);
    if (r == 0 || (o->why != TB_INERT_NO_DIRECTORY && o->why != TB_INERT_BAD_DIRECTORY && o->why != TB_INERT_NOT_TMPFS))
        return r;
    char path[40];
    put_decimal(put_text(path, "/dev/shm/tickbird-"), o->uid);
    return open_in(o, path, true);
}

int tb_region_open(struct tb_core *core, const char *dir, const struct tb_identity *id, enum tb_inert *ret_why)
{
    struct opening o = {.core = core, .id = id, .place.fd = -1, .why = TB_INERT_SYSCALL};
    long uid = call3(&o, SYS_geteuid, 0, 0, 0);
    if (uid < 0 && uid > -4096) {
        *ret_why = TB_INERT_SYSCALL;
        return (int)uid;
    }
    if (!tb_region_limits_leave_room(core)) {
        *ret_why = TB_INERT_LIMIT;
        return -EFBIG;
    }
    o.uid = (uint32_t)uid;
    o.realtime_ns = tb_region_realtime_ns(core);
    o.pidns = id->pidns_inode ? id->pidns_inode : tb_owner_pidns(core);
    tb_region_boot_id(core, o.boot_id);
    int r = dir ? open_in(&o, dir, false) : open_default(&o);
    if (r) {
        *ret_why = o.why;
        return r;
    }
    uint64_t monotonic_ns = tb_monotonic_ns(core);
    core->realtime_offset_ns = monotonic_ns && o.realtime_ns ? o.realtime_ns - monotonic_ns : 0;
    tb_zero(core->reserved_pages, sizeof(core->reserved_pages));
    for (size_t i = 0; i < FIRST_PAGES; i++)
        tb_region_note_reserved(core, first_pages[i] & ~(tb_region_page_bytes(core) - 1));
    tb_region_attach(core, o.map);
    (void)tb_owner_claim(core);
    if (o.has_bad_rules)
        tb_count(core, TB_COUNTER_RULES_REFUSED);
    if (o.id == &o.shared)
        tb_count(core, TB_COUNTER_SERVICES_OVERFLOW);
    return 0;
}

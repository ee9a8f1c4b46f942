/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The folder. Under LOCK_EX on each region: state FOLDING; all totals and marks into a new ledger (fsync, rename); only
 * then the region is emptied, its generation raised, its state FREE. Killed before the rename, the region is untouched
 * and the next folder starts over; killed after it, the mark in the ledger tells the next folder, and every reader,
 * that the totals are there already. Learner, strings and rules stay, so that routes survive a restart of their
 * service.
 */
#include "fold.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "agent/atomics.h"
#include "agent/region.h"
#include "boot.h"
#include "buffer.h"
#include "collector.h"
#include "log.h"

#define BATCH 32u /* regions per ledger file written; each holds a descriptor meanwhile */

struct folding {
    struct tb_region_file *file;
    int dir_fd;
    int fd;                          /* open for writing, LOCK_EX held */
    struct tb_region_header *header; /* mapped for writing */
    uint64_t region_id, generation;
    bool is_mine; /* this process set FOLDING: it may take it back */
};

/* --- header words: a mapped store, guarded like every access to a region -------------------------------------------
 */

struct store {
    void *word;
    uint64_t value;
    size_t size;
};

static void store_word(void *arg)
{
    const struct store *s = arg;
    if (s->size == 8)
        tb_store_release((uint64_t *)s->word, s->value);
    else
        tb_store_release((uint32_t *)s->word, (uint32_t)s->value);
}

static bool set_state(const struct folding *f, enum tb_region_state state)
{
    struct store s = {&f->header->state, state, 4};
    return tb_guarded(store_word, &s);
}

static bool set_emptied(const struct folding *f)
{
    struct store words[] = {{&f->header->series_used, 0, 4},
                            {&f->header->cells_used, 0, 4},
                            {&f->header->generation, f->generation + 1, 8}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (!tb_guarded(store_word, &words[i]))
            return false;
        tb_step("word-stored");
    }
    return set_state(f, TB_REGION_FREE);
}

/* --- taking a region -------------------------------------------------------------------------------------------------
 */

static void release(struct folding *f)
{
    if (f->header)
        munmap(f->header, TB_PAGE);
    if (f->fd >= 0) {
        flock(f->fd, LOCK_UN);
        close(f->fd);
    }
    if (f->dir_fd >= 0)
        close(f->dir_fd);
    f->header = NULL;
    f->fd = f->dir_fd = -1;
}

static const char *name_of(const struct tb_region_file *file)
{
    const char *slash = strrchr(file->path, '/');
    return slash ? slash + 1 : file->path;
}

/* The directory is opened once: its owner may replace it by a link at any time, and this may run as root. */
static int open_directory(const struct tb_region_file *file)
{
    char *dir = tb_strndup(file->path, (size_t)(name_of(file) - file->path));
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    free(dir);
    return fd;
}

/* Still the file of that name, with the lock held and nobody inside? A second link may be somebody's trap. */
static bool is_still_there(const struct folding *f)
{
    struct stat by_fd, by_name;
    return fstat(f->fd, &by_fd) == 0 && fstatat(f->dir_fd, name_of(f->file), &by_name, AT_SYMLINK_NOFOLLOW) == 0 &&
           by_fd.st_nlink == 1 && by_fd.st_ino == by_name.st_ino && by_fd.st_dev == by_name.st_dev &&
           by_fd.st_ino == f->file->ino;
}

/* Opens, locks, copies and validates. False: not to be folded now (released). */
static bool take(struct tb_collector *c, struct tb_region_file *file, struct folding *f)
{
    uint32_t version = 0;
    *f = (struct folding){.file = file, .dir_fd = open_directory(file), .fd = -1};
    if (f->dir_fd >= 0)
        f->fd = openat(f->dir_fd, name_of(file), O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (f->fd < 0 || flock(f->fd, LOCK_EX | LOCK_NB) < 0) {
        release(f); /* it has an owner again, or another prober looks at it: later */
        return false;
    }
    void *p = MAP_FAILED;
    if (is_still_there(f) && tb_region_copy_take(&c->copy, f->fd, &version) == TB_READABLE)
        p = mmap(NULL, TB_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, f->fd, 0);
    if (p == MAP_FAILED) {
        release(f);
        return false;
    }
    f->header = p;
    f->region_id = tb_region_copy_header(&c->copy)->region_id;
    f->generation = tb_region_copy_header(&c->copy)->generation;
    return true;
}

/* --- emptying --------------------------------------------------------------------------------------------------------
 */

static int punch(int fd, uint64_t offset, uint64_t len)
{
    static const char zeros[TB_PAGE];
    int r;
    do {
        r = fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)len);
    } while (r < 0 && errno == EINTR);
    if (r == 0 || errno != EOPNOTSUPP)
        return r < 0 ? -errno : 0;
    for (uint64_t at = 0; at < len; at += TB_PAGE) {
        size_t n = len - at < TB_PAGE ? (size_t)(len - at) : TB_PAGE;
        if (pwrite(fd, zeros, n, (off_t)(offset + at)) != (ssize_t)n)
            return -EIO;
    }
    return 0;
}

/* Owners and in-flight entries are those of dead processes. Any order: readers go by the mark in the ledger. */
static int empty(const struct folding *f, const struct tb_region_copy *copy)
{
    static const uint32_t types[] = {TB_SEC_SERIES,   TB_SEC_INDEX,  TB_SEC_CELLS,
                                     TB_SEC_COUNTERS, TB_SEC_OWNERS, TB_SEC_INFLIGHT};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        uint64_t offset, len;
        if (tb_region_section(tb_region_copy_header(copy), types[i], &offset, &len) < 0)
            continue;
        int r = punch(f->fd, offset, len);
        if (r < 0)
            return r;
        tb_step("punched");
    }
    return set_emptied(f) ? 0 : -EFAULT;
}

static bool finish_one(struct tb_collector *c, struct folding *f)
{
    uint32_t version;
    /* The section table is read again: the copy buffer has served other regions since. */
    bool is_done = tb_region_copy_take(&c->copy, f->fd, &version) == TB_READABLE && empty(f, &c->copy) == 0;
    if (is_done) {
        f->file->generation = f->generation + 1;
        f->file->state = TB_REGION_FREE;
        tb_region_file_age(f->file, false, tb_clock_ns(CLOCK_MONOTONIC));
        c->stats.folded_regions++;
    } else {
        c->stats.fold_failures++;
    }
    tb_step("freed");
    return is_done;
}

/* --- a batch ---------------------------------------------------------------------------------------------------------
 */

static void add_to_base(struct tb_collector *c, const struct folding *f, struct tb_snap_service *service,
                        uint64_t now_ns)
{
    uint64_t counters[TB_COUNTER_COUNT];
    uint32_t skipped;
    tb_region_read_counters(&c->copy, counters);
    for (size_t i = 0; i < TB_COUNTER_COUNT; i++)
        service->base_counters[i] += counters[i];
    tb_region_read_series(c->snapshot, service, &c->copy, &f->file->cache, TB_READ_BASE, NULL, &skipped);
    struct tb_mark *m = tb_ledger_mark(c->options.ledger, f->file->user->uid, f->region_id, f->generation,
                                       TB_MARK_FOLDED, service, now_ns);
    m->is_seen = true;
}

/* Marks and adds one region. False: nothing to do with it now (released). */
static bool begin_one(struct tb_collector *c, struct tb_region_file *file, struct folding *f, uint64_t now_ns)
{
    if (!take(c, file, f))
        return false;
    uint32_t state = tb_region_copy_header(&c->copy)->state;
    struct tb_mark *m = tb_ledger_find(c->options.ledger, file->user->uid, f->region_id, f->generation);
    if (m && m->kind == TB_MARK_FOLDED)
        return true; /* a folder died between ledger and FREE: only the emptying is left */
    if (state != TB_REGION_LIVE && state != TB_REGION_FOLDING) {
        release(f);
        return false;
    }
    /* A region that was lost and came back restarts its service first, in the next collection. */
    if (m && m->kind == TB_MARK_LOST) {
        release(f);
        return false;
    }
    bool is_apart;
    struct tb_snap_service *service = tb_collector_service(c, file, &is_apart);
    if (!service) {
        release(f); /* over its user's quota: it is not counted, and not emptied */
        return false;
    }
    f->is_mine = state == TB_REGION_LIVE;
    if (f->is_mine && !set_state(f, TB_REGION_FOLDING)) {
        release(f);
        return false;
    }
    tb_step("marked-folding");
    add_to_base(c, f, service, now_ns);
    return true;
}

static int fold_batch(struct tb_collector *c, struct tb_region_file *const *files, size_t count)
{
    struct folding batch[BATCH];
    size_t taken = 0;
    int done = 0;
    uint64_t now_ns = tb_clock_ns(CLOCK_REALTIME);
    for (size_t i = 0; i < count; i++)
        if (begin_one(c, files[i], &batch[taken], now_ns))
            taken++;
    if (!taken)
        return 0;
    int r = c->options.ledger->is_dirty ? tb_ledger_save(c->options.ledger, c->snapshot) : 0;
    for (size_t i = 0; i < taken; i++) {
        if (!r)
            done += finish_one(c, &batch[i]);
        else if (batch[i].is_mine)
            set_state(&batch[i], TB_REGION_LIVE);
        release(&batch[i]);
    }
    if (r) {
        /* What was added is not on disk: go back to what is. */
        c->stats.fold_failures += taken;
        tb_ledger_load(c->options.ledger, c->snapshot);
        return r;
    }
    return done;
}

/* --- removing --------------------------------------------------------------------------------------------------------
 */

static void unlink_one(struct tb_collector *c, struct tb_region_file *file)
{
    struct folding f;
    if (!take(c, file, &f))
        return;
    struct stat st;
    bool is_owner = fstat(f.fd, &st) == 0 && (geteuid() == 0 || geteuid() == st.st_uid);
    if (is_owner && tb_region_copy_header(&c->copy)->state == TB_REGION_FREE &&
        unlinkat(f.dir_fd, name_of(file), 0) == 0) {
        tb_files_let_go(c, file);
        c->stats.unlinked_regions++;
    }
    release(&f);
}

static bool is_idle_for(const struct tb_region_file *f, uint64_t now_ns, uint64_t ns)
{
    return f->idle_since_ns && now_ns - f->idle_since_ns >= ns;
}

int tb_fold(struct tb_collector *c, const struct tb_fold_options *options)
{
    struct tb_region_file *batch[BATCH];
    size_t count = 0;
    int done = 0, r = 0;
    if (!tb_ledger_is_writer(c->options.ledger) || !c->options.ledger->is_loaded)
        return 0;
    uint64_t now_ns = tb_clock_ns(CLOCK_MONOTONIC);
    for (size_t i = 0; r >= 0 && i < c->file_count; i++) {
        struct tb_region_file *f = c->files[i];
        if (!f->is_readable || (options->only && f->service != options->only))
            continue;
        /* A FOLDING one without owners is left over from a folder that died: at once. */
        if (f->idle_since_ns && (f->state == TB_REGION_FOLDING ||
                                 (f->state == TB_REGION_LIVE && is_idle_for(f, now_ns, options->fold_after_ns))))
            batch[count++] = f;
        else if (f->state == TB_REGION_FREE && options->unlink_after_ns &&
                 is_idle_for(f, now_ns, options->unlink_after_ns))
            unlink_one(c, f);
        if (count == BATCH) {
            r = fold_batch(c, batch, count);
            done += r > 0 ? r : 0;
            count = 0;
        }
    }
    if (r >= 0 && count) {
        r = fold_batch(c, batch, count);
        done += r > 0 ? r : 0;
    }
    return r < 0 ? r : done;
}

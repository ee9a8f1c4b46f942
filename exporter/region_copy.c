/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copies a region out of shared memory. Word by word with 64-bit atomic loads, upwards, so that a number is always one
 * that the region really held; only where the file has data (SEEK_DATA), since reading a hole of a mapped tmpfs file
 * would allocate it; where that is, is remembered for a file that stays open. A region truncated meanwhile raises
 * SIGBUS: the handler jumps back to the copier.
 */
#include "region_copy.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/atomics.h"
#include "agent/region.h"
#include "buffer.h"

static sigjmp_buf guard;
static struct sigaction before_guard;
static unsigned guard_depth;
static int is_guarded; /* only this process's one collecting thread faults on purpose */

static void on_sigbus(int signal_number)
{
    if (tb_load_relaxed(&is_guarded)) {
        tb_store_relaxed(&is_guarded, 0);
        siglongjmp(guard, 1);
    }
    /* Not ours: the instruction faults again and the default action tells. */
    signal(signal_number, SIG_DFL);
}

bool tb_guard_begin(void)
{
    struct sigaction action = {.sa_handler = on_sigbus, .sa_flags = SA_NODEFER};
    if (!guard_depth && sigaction(SIGBUS, &action, &before_guard) < 0)
        return false;
    guard_depth++;
    return true;
}

void tb_guard_end(void)
{
    if (--guard_depth == 0)
        sigaction(SIGBUS, &before_guard, NULL);
}

bool tb_guarded(void (*run)(void *arg), void *arg)
{
    if (!tb_guard_begin())
        return false;
    bool is_whole = sigsetjmp(guard, 0) == 0;
    if (is_whole) {
        tb_store_relaxed(&is_guarded, 1);
        run(arg);
        tb_store_relaxed(&is_guarded, 0);
    } else {
        /* Whoever stands between the kernel and the handler (a sanitizer) may have blocked it. */
        sigset_t own;
        sigemptyset(&own);
        sigaddset(&own, SIGBUS);
        pthread_sigmask(SIG_UNBLOCK, &own, NULL);
    }
    tb_guard_end();
    return is_whole;
}

/* --- copying ---------------------------------------------------------------------------------------------------------
 */

static void copy_range(struct tb_region_copy *c, const uint8_t *mapped, size_t from, size_t to)
{
    c->written = tb_grow(c->written, c->written_count, &c->written_space, sizeof *c->written);
    c->written[c->written_count].from = from;
    c->written[c->written_count++].to = to;
    const uint64_t *in = (const uint64_t *)(const void *)(mapped + from);
    uint64_t *out = (uint64_t *)(void *)(c->base + from);
    for (size_t i = 0; i < (to - from) / 8; i++)
        out[i] = tb_load_relaxed(&in[i]); /* the only place that may fault */
}

struct job {
    struct tb_region_copy *copy;
    struct tb_region_view *view;
    uint32_t *ret_version;
    enum tb_unreadable why;
};

/* Asks the kernel where the whole file has data. Returns of how many bytes it said so. */
static size_t ask_extents(struct tb_region_view *v)
{
    size_t sum = 0;
    v->extent_count = 0;
    for (size_t at = 0; at < v->len;) {
        off_t data = lseek(v->fd, (off_t)at, SEEK_DATA);
        if (data < 0 && errno == ENXIO) /* a hole up to the end */
            break;
        size_t start = data < 0 ? at : (size_t)data & ~(size_t)7; /* a file system that cannot tell: all of it */
        off_t hole = lseek(v->fd, (off_t)start, SEEK_HOLE);
        size_t end = hole < 0 || (size_t)hole > v->len ? v->len & ~(size_t)7 : (size_t)hole & ~(size_t)7;
        at = end > start ? end : start + TB_PAGE; /* the file changes under us: always get on */
        if (end <= start)
            continue;
        v->extents = tb_grow(v->extents, v->extent_count, &v->extent_space, sizeof *v->extents);
        v->extents[v->extent_count++] = (struct tb_region_extent){start, end};
        sum += end - start;
    }
    return sum;
}

/*
 * Finds the pages that may be looked at, @h having been copied before: the file holds a page before anything refers to
 * it. A life only adds pages, so that what was remembered of one still holds if the file has as many now. Remembered is
 * only what accounts for all that the file held before: of a page that is being added it may be said that it is there
 * and that it is a hole, and nothing tells when it is none any more. Never a part of the file alone, either: what is
 * handed out next may lie in a page that is there already.
 */
static void find_extents(struct tb_region_view *v, const struct tb_region_header *h)
{
    struct stat st;
    bool is_told = fstat(v->fd, &st) == 0;
    if (is_told && v->extents_are_all && v->blocks == st.st_blocks && v->region_id == h->region_id &&
        v->generation == h->generation)
        return;
    size_t bytes = ask_extents(v);
    v->extents_are_all = is_told && bytes == (size_t)st.st_blocks * 512u;
    v->blocks = is_told ? st.st_blocks : 0;
    v->region_id = h->region_id;
    v->generation = h->generation;
}

/* The first extent that ends behind @from. */
static size_t first_extent(const struct tb_region_view *v, size_t from)
{
    size_t low = 0, high = v->extent_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (v->extents[middle].hole > from)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* The parts of [from, to) that hold data. Offsets are multiples of 8; what lies past the last whole word is left out.
 */
static void copy_data(struct job *j, size_t from, size_t to)
{
    const struct tb_region_view *v = j->view;
    for (size_t i = first_extent(v, from); i < v->extent_count && v->extents[i].data < to; i++) {
        size_t start = from > v->extents[i].data ? from : v->extents[i].data;
        size_t end = to < v->extents[i].hole ? to : v->extents[i].hole;
        if (start < end)
            copy_range(j->copy, v->mapped, start, end);
    }
}

static bool is_wanted(uint32_t type)
{
    return type != TB_SEC_LEARNER && type != TB_SEC_INDEX && type >= TB_SEC_COUNTERS && type <= TB_SEC_RULES;
}

static enum tb_unreadable check_header(struct tb_region_copy *c, uint32_t *ret_version)
{
    const struct tb_region_header *h = tb_region_copy_header(c);
    if (h->magic != TB_LAYOUT_MAGIC)
        return TB_UNREADABLE_FORMAT;
    *ret_version = h->layout_version;
    if (h->layout_version <= TB_LAYOUT_VERSION && h->file_size > c->len)
        return TB_UNREADABLE_TRUNCATED;
    switch (tb_region_validate(h, c->len)) {
    case 0:
        return TB_READABLE;
    case -EPROTO:
        return TB_UNREADABLE_FORMAT;
    case -EPROTONOSUPPORT:
        return TB_UNREADABLE_NEWER;
    default:
        return TB_UNREADABLE_INVALID;
    }
}

/* Of the rules section, the head; and the table of bound sets, where there is one. */
static void copy_rules(struct job *j, size_t from, size_t len)
{
    size_t head = len < sizeof(struct tb_rules_head) ? len : sizeof(struct tb_rules_head);
    copy_data(j, from, from + head);
    const struct tb_rules_head *rules = (const struct tb_rules_head *)(const void *)(j->copy->base + from);
    if (head == sizeof *rules && rules->bound_sets && len > TB_RULES_BOUND_SETS)
        copy_data(j, from + TB_RULES_BOUND_SETS, from + len);
}

/* Of each shard the counters that this exporter knows. */
static void copy_counters(struct job *j, size_t from, size_t len)
{
    for (size_t at = 0; at < TB_SHARDS * TB_COUNTERS_MAX * 8u; at += TB_COUNTERS_MAX * 8u) {
        size_t end = at + TB_COUNTER_COUNT * 8u;
        copy_data(j, from + (at < len ? at : len), from + (end < len ? end : len));
    }
}

/* The texts up to where they end now, without the index. Whoever claims a series has appended its texts before: those
 * of the series that the header, copied first, speaks of are among them. */
static void copy_strings(struct job *j, size_t from, size_t len)
{
    if (len < TB_STR_FIRST)
        return;
    copy_data(j, from, from + sizeof(struct tb_strings_head));
    size_t used = ((const struct tb_strings_head *)(const void *)(j->copy->base + from))->used;
    copy_data(j, from + TB_STR_FIRST, from + (used < len ? (used + 7) & ~(size_t)7 : len));
}

/* The series that were handed out. */
static void copy_series(struct job *j, size_t from, size_t len)
{
    size_t used = tb_region_copy_header(j->copy)->series_used * sizeof(struct tb_series);
    copy_data(j, from, from + (used < len ? used : len));
}

/* Where what was handed out of the arena's chunk at @at ends: of the chunk that a shard has open, where its next object
 * goes. What is claimed there meanwhile is in no copy yet. */
static size_t end_of_chunk(const struct tb_region_header *h, size_t at)
{
    size_t end = at + TB_CHUNK_BYTES;
    for (size_t i = 0; i < TB_SHARDS; i++)
        if (h->arena_at[i] > at && h->arena_at[i] < end)
            end = h->arena_at[i];
    return (end + 7) & ~(size_t)7;
}

/* The chunks that were handed out, each up to where it is used. */
static void copy_cells(struct job *j, size_t from, size_t len)
{
    const struct tb_region_header *h = tb_region_copy_header(j->copy);
    size_t used = h->cells_used < len ? h->cells_used : len;
    for (size_t at = 0; at < used; at += TB_CHUNK_BYTES) {
        size_t end = end_of_chunk(h, at);
        copy_data(j, from + at, from + (end < len ? end : len));
    }
}

/* What readers look at of one section. */
static void copy_section(struct job *j, uint32_t type, size_t from, size_t len)
{
    switch (type) {
    case TB_SEC_COUNTERS:
        copy_counters(j, from, len);
        break;
    case TB_SEC_STRINGS:
        copy_strings(j, from, len);
        break;
    case TB_SEC_SERIES:
        copy_series(j, from, len);
        break;
    case TB_SEC_CELLS:
        copy_cells(j, from, len);
        break;
    case TB_SEC_RULES:
        copy_rules(j, from, len);
        break;
    default:
        copy_data(j, from, from + len);
    }
}

static void copy_mapped(void *arg)
{
    struct job *j = arg;
    struct tb_region_copy *c = j->copy;
    const struct tb_region_header *h = tb_region_copy_header(c);
    uint32_t done = 0; /* bit per type: only the first section of a type is ever read */
    copy_range(c, j->view->mapped, 0, sizeof *h & ~(size_t)7);
    j->why = check_header(c, j->ret_version);
    if (!j->why)
        find_extents(j->view, h);
    for (uint32_t i = 0; !j->why && i < h->section_count; i++) {
        size_t from = h->sections[i].offset, len = h->sections[i].reserved;
        if (!is_wanted(h->sections[i].type) || done >> h->sections[i].type & 1)
            continue;
        done |= 1u << h->sections[i].type;
        /* No section may cover the header, which was validated and must stay as it is. */
        if (from < sizeof *h || from % 8 || from > c->len || len > c->len - from)
            j->why = TB_UNREADABLE_INVALID;
        else
            copy_section(j, h->sections[i].type, from, len & ~(size_t)7);
    }
}

static bool make_room(struct tb_region_copy *c)
{
    if (!c->base) {
        void *p =
            mmap(NULL, TB_REGION_BYTES_MAX, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (p == MAP_FAILED)
            return false;
        c->base = p;
    }
    for (size_t i = 0; i < c->written_count; i++)
        memset(c->base + c->written[i].from, 0, c->written[i].to - c->written[i].from);
    c->written_count = 0;
    return true;
}

static enum tb_unreadable check_file(const struct stat *st)
{
    if (!S_ISREG(st->st_mode))
        return TB_UNREADABLE_FORMAT;
    if (st->st_size < (off_t)sizeof(struct tb_region_header))
        return TB_UNREADABLE_TRUNCATED;
    return st->st_size > (off_t)TB_REGION_BYTES_MAX ? TB_UNREADABLE_TOO_LARGE : TB_READABLE;
}

static bool map(struct tb_region_view *v, size_t len)
{
    if (v->mapped && v->len == len)
        return true;
    if (v->mapped)
        munmap((void *)(uintptr_t)v->mapped, v->len);
    void *p = mmap(NULL, len, PROT_READ, MAP_SHARED, v->fd, 0);
    v->mapped = p == MAP_FAILED ? NULL : p;
    v->len = len;
    v->extents_are_all = false;
    return v->mapped;
}

enum tb_unreadable tb_region_copy_view(struct tb_region_copy *c, struct tb_region_view *v, const struct stat *st,
                                       uint32_t *ret_version)
{
    enum tb_unreadable why = check_file(st);
    if (why)
        return why;
    if (!map(v, (size_t)st->st_size) || !make_room(c))
        return TB_UNREADABLE_ERROR;
    c->len = v->len;
    struct job job = {.copy = c, .view = v, .ret_version = ret_version};
    return tb_guarded(copy_mapped, &job) ? job.why : TB_UNREADABLE_TRUNCATED;
}

void tb_region_view_close(struct tb_region_view *v)
{
    if (v->mapped)
        munmap((void *)(uintptr_t)v->mapped, v->len);
    if (v->fd >= 0)
        close(v->fd);
    free(v->extents);
    *v = (struct tb_region_view){.fd = -1};
}

enum tb_unreadable tb_region_copy_take(struct tb_region_copy *c, int fd, uint32_t *ret_version)
{
    struct tb_region_view v = {.fd = fd};
    struct stat st;
    enum tb_unreadable why = fstat(fd, &st) < 0 ? TB_UNREADABLE_ERROR : tb_region_copy_view(c, &v, &st, ret_version);
    v.fd = -1; /* the caller's */
    tb_region_view_close(&v);
    return why;
}

const void *tb_region_copy_section(const struct tb_region_copy *c, uint32_t type, size_t need, size_t *ret_len)
{
    uint64_t offset, len;
    if (tb_region_section(tb_region_copy_header(c), type, &offset, &len) < 0)
        return NULL;
    if (offset > c->len || len > c->len - offset || len < need)
        return NULL;
    *ret_len = (size_t)len;
    return c->base + offset;
}

void tb_region_copy_free(struct tb_region_copy *c)
{
    if (c->base)
        munmap(c->base, TB_REGION_BYTES_MAX);
    free(c->written);
    *c = (struct tb_region_copy){0};
}

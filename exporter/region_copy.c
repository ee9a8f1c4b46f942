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
    bool knows_extents; /* view->extents are of an earlier collection, and still right */
    uint32_t *ret_version;
    enum tb_unreadable why;
    /* What was last asked: from @asked to @data there is a hole, then data to @hole. Sections lie in rising order and
     * are mostly empty, so that one answer tells about several. */
    size_t asked, data, hole;
};

/* The first extent that ends behind @from; behind the last one there is a hole. */
static struct tb_region_extent recall(const struct tb_region_view *v, size_t from)
{
    for (size_t i = 0; i < v->extent_count; i++)
        if (v->extents[i].hole > from)
            return v->extents[i];
    return (struct tb_region_extent){SIZE_MAX, SIZE_MAX};
}

/* The same, of the kernel, and remembered. */
static struct tb_region_extent ask(struct tb_region_view *v, size_t from)
{
    off_t data = lseek(v->fd, (off_t)from, SEEK_DATA);
    bool is_hole = data < 0 && errno == ENXIO; /* up to the end */
    off_t hole = data < 0 ? -1 : lseek(v->fd, data, SEEK_HOLE);
    struct tb_region_extent e = {
        .data = is_hole    ? SIZE_MAX
                : data < 0 ? from
                           : (size_t)data & ~(size_t)7,
        .hole = is_hole || hole < 0 ? SIZE_MAX : (size_t)hole & ~(size_t)7,
    };
    v->extents = tb_grow(v->extents, v->extent_count, &v->extent_space, sizeof *v->extents);
    v->extents[v->extent_count++] = e;
    return e;
}

/* All of them, whatever of the file is used now: what is handed out later may lie in pages that it has already, and
 * then the file's size does not tell. */
static void ask_all(struct tb_region_view *v)
{
    for (size_t from = 0; from < v->len;) {
        size_t hole = ask(v, from).hole;
        from = hole > from ? hole : from + TB_PAGE; /* the file changes under us; always get on */
    }
}

/* The first part of [from, to) that holds data, as far as it goes: the last answer may say it already.
 * Returns false when there is none. */
static bool find_data(struct job *j, size_t from, size_t to, size_t *ret_start, size_t *ret_end)
{
    if (from < j->asked || from >= j->hole) {
        struct tb_region_extent e = recall(j->view, from);
        j->asked = from;
        j->data = e.data;
        j->hole = e.hole;
    }
    *ret_start = from > j->data ? from : j->data;
    *ret_end = j->hole < to ? j->hole : to;
    return *ret_start < to;
}

/* The parts of [from, to) that hold data. Offsets are multiples of 8; what lies past the last whole word is left out.
 */
static void copy_data(struct job *j, size_t from, size_t to)
{
    size_t start, end;
    while (from < to && find_data(j, from, to, &start, &end)) {
        if (end <= start) /* the file changes under us; always get on */
            end = start + 8 > to ? to : start + 8;
        copy_range(j->copy, j->view->mapped, start, end);
        from = end;
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
    v->extent_count = 0;
    return v->mapped;
}

static enum tb_unreadable run(struct job *j)
{
    if (!make_room(j->copy))
        return TB_UNREADABLE_ERROR;
    j->copy->len = j->view->len;
    if (!j->knows_extents)
        ask_all(j->view);
    return tb_guarded(copy_mapped, j) ? j->why : TB_UNREADABLE_TRUNCATED;
}

/* As the extents say; false when they were not, or may not have been, those of the file all the while. A life only adds
 * pages, and the file holds them before anything refers to them: as many before and after are the same ones. */
static bool copy_known(struct tb_region_copy *c, struct tb_region_view *v, const struct stat *st, uint32_t *ret_version)
{
    struct job job = {.copy = c, .view = v, .knows_extents = true, .ret_version = ret_version};
    struct stat after;
    if (!v->extent_count || v->blocks != st->st_blocks || run(&job) != TB_READABLE)
        return false;
    const struct tb_region_header *h = tb_region_copy_header(c);
    return h->region_id == v->region_id && h->generation == v->generation && fstat(v->fd, &after) == 0 &&
           after.st_blocks == v->blocks;
}

enum tb_unreadable tb_region_copy_view(struct tb_region_copy *c, struct tb_region_view *v, const struct stat *st,
                                       uint32_t *ret_version)
{
    enum tb_unreadable why = check_file(st);
    if (why)
        return why;
    if (!map(v, (size_t)st->st_size))
        return TB_UNREADABLE_ERROR;
    if (copy_known(c, v, st, ret_version))
        return TB_READABLE;
    struct job job = {.copy = c, .view = v, .ret_version = ret_version};
    v->extent_count = 0;
    why = run(&job);
    if (why) {
        v->extent_count = 0;
        return why;
    }
    v->blocks = st->st_blocks; /* of before: pages that came meanwhile are asked for next time */
    v->region_id = tb_region_copy_header(c)->region_id;
    v->generation = tb_region_copy_header(c)->generation;
    return TB_READABLE;
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

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A private copy of a region file, taken under a guard: the file may shrink or change while it is copied. The copy is
 * what gets validated and read; nothing is read from the file twice.
 */
#ifndef TB_REGION_COPY_H
#define TB_REGION_COPY_H

#include <sys/stat.h>
#include <sys/types.h>

#include "snapshot.h"

#define TB_REGION_BYTES_MAX ((size_t)32 << 20) /* larger files are refused: a copy needs that much address space */

/* One buffer, used for one region after another. Memory: what the largest region used, page by page. */
struct tb_region_copy {
    uint8_t *base; /* mapped; NULL before the first use */
    size_t len;    /* of the region in it */
    struct {
        size_t from, to;
    } * written; /* what must be zeroed before the next region */
    size_t written_count, written_space;
};

void tb_region_copy_free(struct tb_region_copy *c);

/*
 * tb_region_copy_take - copy what readers need of the region behind @fd: header, counters, owners, in-flight table,
 * rules head, strings, series and cells. Holes are not touched, so that reading costs the tmpfs no page. The header in
 * the copy is validated.
 *
 * Returns TB_READABLE, or why not. *ret_version is set as soon as the magic is right.
 * Context: one thread.
 */
enum tb_unreadable tb_region_copy_take(struct tb_region_copy *c, int fd, uint32_t *ret_version);

/*
 * A region file that stays open and mapped between collections, so that reading it again costs few system calls. What
 * is mapped counts as memory of this process for whoever looks, but is charged to the programs. Holds no lock.
 */
struct tb_region_view {
    int fd;                /* -1: not open, and nothing else counts */
    const uint8_t *mapped; /* NULL = not yet */
    size_t len;            /* of the mapping */
    struct stat seen;      /* of the file, when it was last looked at; its owner's (files.c) */
    /* Where the whole file has data, rising, as lseek said when it held @blocks, in that life. */
    struct tb_region_extent {
        size_t data, hole;
    } * extents;
    size_t extent_count, extent_space;
    bool extents_are_all; /* they account for @blocks: they hold as long as these do */
    blkcnt_t blocks;
    uint64_t region_id, generation;
};

/*
 * tb_region_copy_view - tb_region_copy_take of a file that stays open. @st is what fstat said of it lately.
 * The kernel is asked again where there is data as soon as the file holds more or less than before.
 */
enum tb_unreadable tb_region_copy_view(struct tb_region_copy *c, struct tb_region_view *v, const struct stat *st,
                                       uint32_t *ret_version);

/* tb_region_view_close - closes, unmaps, frees; @v is then not open. */
void tb_region_view_close(struct tb_region_view *v);

/* tb_region_copy_section - bytes of a section in the copy; NULL when it has none of that type or less than @need. */
const void *tb_region_copy_section(const struct tb_region_copy *c, uint32_t type, size_t need, size_t *ret_len);

static inline const struct tb_region_header *tb_region_copy_header(const struct tb_region_copy *c)
{
    return (const struct tb_region_header *)(const void *)c->base;
}

/*
 * tb_guarded - run @run(@arg), which touches memory that may raise SIGBUS. Returns false when it did; @run then ended
 * at the access and must hold nothing there. The handler of SIGBUS is what it was before, afterwards. Not nested.
 */
bool tb_guarded(void (*run)(void *arg), void *arg);

/* Around many calls of tb_guarded: the handler is set once for all of them. Returns whether it is; then end it. */
bool tb_guard_begin(void);
void tb_guard_end(void);

#endif

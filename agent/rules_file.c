/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rules from a file, before the first request: a program that makes or adopts a region takes the set for its service
 * from a bundle, and puts it into the region's rules area, which nobody else uses yet. Entry point: tb_rules_load.
 *
 * Trust: the file's owner is root or this user, nobody else may write it, no link is followed. What is in it is checked
 * when it is adopted (rules.c), like everything in the rules area. At most 40 system calls, one when there is no file.
 */
#include "region.h"
#include "region_private.h"
#include "rules.h"
#include "syscalls.h"

#include <asm/stat.h>
#include <linux/fcntl.h>

#ifndef AT_EMPTY_PATH
#define AT_EMPTY_PATH 0x1000
#endif
#define MODE_TYPE 0170000u
#define MODE_FILE 0100000u
#define MODE_OTHERS_WRITE 0022u
#define BUNDLE_BYTES_MAX                                                                                               \
    (sizeof(struct tb_rules_bundle) + TB_RULES_ROWS_MAX * (sizeof(struct tb_rules_row) + TB_RULES_BUFFER))
#define ROWS_AT_ONCE 8u

static bool is_trusted(const struct tb_core *core, long fd, uint32_t uid)
{
    struct stat st;
    if (tb_syscall(core, SYS_newfstatat, fd, (long)"", (long)&st, AT_EMPTY_PATH, 0, 0) < 0)
        return false;
    return (st.st_mode & MODE_TYPE) == MODE_FILE && (st.st_uid == 0 || st.st_uid == uid) &&
           !(st.st_mode & MODE_OTHERS_WRITE) && (uint64_t)st.st_size <= BUNDLE_BYTES_MAX;
}

static bool read_at(const struct tb_core *core, long fd, void *to, size_t len, uint64_t offset)
{
    return tb_syscall(core, SYS_pread64, fd, (long)to, (long)len, (long)offset, 0, 0) == (long)len;
}

static bool has_service(const struct tb_rules_row *row, const char *service)
{
    struct tb_bytes glob = tb_bytes(row->service, tb_strnlen(row->service, sizeof(row->service)));
    return tb_glob(glob, tb_bytes_str(service));
}

/* The row for @service; length 0 when there is none. False: the file is not what it should be. */
static bool find_row(const struct tb_core *core, long fd, const char *service, struct tb_rules_row *ret)
{
    struct tb_rules_bundle head;
    struct tb_rules_row rows[ROWS_AT_ONCE];
    *ret = (struct tb_rules_row){0};
    if (!read_at(core, fd, &head, sizeof head, 0) || head.magic != TB_RULES_BUNDLE_MAGIC ||
        head.version != TB_RULES_VERSION || head.count > TB_RULES_ROWS_MAX)
        return false;
    for (uint32_t i = 0; i < head.count; i += ROWS_AT_ONCE) {
        uint32_t n = head.count - i < ROWS_AT_ONCE ? head.count - i : ROWS_AT_ONCE;
        if (!read_at(core, fd, rows, n * sizeof *rows, sizeof head + (uint64_t)i * sizeof *rows))
            return false;
        for (uint32_t k = 0; k < n; k++)
            if (has_service(&rows[k], service)) {
                *ret = rows[k];
                return ret->length <= TB_RULES_BUFFER;
            }
    }
    return true;
}

/* Into the buffer that is not in force, then in force. The kernel copies: no room is an error and not a SIGBUS. */
static bool put_set(const struct tb_core *core, uint8_t *base, long fd, const struct tb_rules_row *row)
{
    struct tb_rules_head *head = (struct tb_rules_head *)(void *)(base + TB_OFF_RULES);
    uint32_t other = (head->active & 1) ^ 1;
    uint8_t *buffer = (uint8_t *)(head + 1) + other * TB_RULES_BUFFER;
    if (row->length && !read_at(core, fd, buffer, row->length, row->offset))
        return false;
    head->length[other] = row->length;
    head->tags[other] = row->length ? (uint32_t)((const struct tb_rules_set *)(const void *)buffer)->checksum : 0;
    head->active = other;
    tb_store_release(&head->generation, head->generation + 1);
    return true;
}

/* Rules that an earlier start brought along, and this one does not. */
static void drop_run_rules(const struct tb_core *core, uint8_t *base)
{
    struct tb_rules_head *head = (struct tb_rules_head *)(void *)(base + TB_OFF_RULES);
    uint32_t at = (uint32_t)sizeof *head + (head->active & 1) * TB_RULES_BUFFER;
    if (!head->length[head->active & 1] ||
        !tb_region_populate(core, base, (TB_OFF_RULES + at) & ~(tb_region_page_bytes(core) - 1)))
        return;
    const struct tb_rules_set *set = (const struct tb_rules_set *)(const void *)((const uint8_t *)head + at);
    if (set->origin != TB_RULES_FROM_RUN)
        return;
    head->length[head->active & 1] = 0;
    tb_store_release(&head->generation, head->generation + 1);
}

bool tb_rules_load(const struct tb_core *core, uint8_t *base, const char *service, const char *path, int dir,
                   uint32_t uid)
{
    bool is_given = path && path[0];
    struct tb_rules_row row;
    long fd = tb_syscall(core, SYS_openat, is_given ? AT_FDCWD : dir, (long)(is_given ? path : TB_RULES_FILE),
                         O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0, 0, 0);
    if (fd < 0) {
        if (!is_given)
            drop_run_rules(core, base);
        return !is_given && fd == -ENOENT;
    }
    bool is_good = is_trusted(core, fd, uid) && find_row(core, fd, service, &row) && put_set(core, base, fd, &row);
    (void)tb_syscall(core, SYS_close, fd, 0, 0, 0, 0, 0);
    return is_good;
}

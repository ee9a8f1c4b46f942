/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Puts compiled rules where programs find them (rules_publish.h). A region's set is written into the buffer that is not
 * in force, by pwrite and not through a mapping: a full tmpfs is then an error and not a SIGBUS. The generation is
 * raised last; programs check the set before they use it, so a half-written one changes nothing.
 *
 * Bundles are written under another name and renamed. Directories may be writable by others: no link is followed, and
 * nobody's file is written into.
 */
#include "rules_publish.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/region.h"
#include "agent/rules.h"
#include "log.h"
#include "rules_compile.h"

struct tb_publisher {
    const struct tb_config *config;
    struct tb_buffer *sets; /* one for each service entry, then the common one */
    struct tb_buffer bundle;
    struct tb_publish_stats stats;
    bool has_warned;
};

/* --- bundles -------------------------------------------------------------------------------------------------------
 */

static void put_row(struct tb_buffer *out, size_t at, const char *glob, const struct tb_buffer *set, size_t offset)
{
    struct tb_rules_row row = {.offset = (uint32_t)offset, .length = (uint32_t)set->len};
    memcpy(row.service, glob, strnlen(glob, sizeof row.service - 1));
    memcpy(out->data + at, &row, sizeof row);
}

static void make_bundle(const struct tb_config *c, const struct tb_buffer *sets, struct tb_buffer *out)
{
    size_t count = c->service_count + 1, head = sizeof(struct tb_rules_bundle) + count * sizeof(struct tb_rules_row);
    struct tb_rules_bundle bundle = {TB_RULES_BUNDLE_MAGIC, TB_RULES_VERSION, (uint32_t)count};
    memset(tb_buffer_room(out, head), 0, head);
    out->len += head;
    memcpy(out->data, &bundle, sizeof bundle);
    for (size_t i = 0; i < count; i++) {
        put_row(out, sizeof bundle + i * sizeof(struct tb_rules_row), i < count - 1 ? c->services[i].name : "*",
                &sets[i], out->len);
        tb_put(out, sets[i].data, sets[i].len);
    }
}

int tb_rules_bundle(const struct tb_config *c, enum tb_rules_origin origin, struct tb_buffer *out)
{
    size_t count = c->service_count + 1;
    struct tb_buffer *sets = tb_alloc(count * sizeof *sets);
    int r = 0;
    for (size_t i = 0; i < count; i++)
        if (tb_rules_compile(c, i, origin, NULL, &sets[i]) < 0)
            r = -EINVAL;
    if (!r)
        make_bundle(c, sets, out);
    for (size_t i = 0; i < count; i++)
        tb_buffer_free(&sets[i]);
    free(sets);
    return r;
}

int tb_rules_use(struct tb_core *core, const char *path, const char *service)
{
    char *errors = NULL;
    struct tb_buffer set = {0};
    struct tb_config *c = tb_config_load(path, &errors);
    if (!c) {
        fputs(errors, stderr);
        free(errors);
        return -EINVAL;
    }
    int result = tb_rules_compile(c, tb_config_service(c, service ? service : ""), TB_RULES_FROM_RUN, NULL, &set);
    if (result == 0) {
        memcpy(core->rules + 1, set.data, set.len);
        core->rules->length[0] = (uint32_t)set.len;
        core->rules->generation = 1;
        tb_rules_adopt(core);
    }
    tb_buffer_free(&set);
    tb_config_free(c);
    return result;
}

static bool has_contents(int dir, const char *name, const struct tb_buffer *want)
{
    struct stat st;
    struct tb_buffer have = {0};
    int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    bool is_same = false;
    if (fd < 0)
        return false;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (st.st_uid == geteuid() || st.st_uid == 0) &&
        (st.st_mode & 07777) == 0644 && (size_t)st.st_size == want->len)
        is_same = pread(fd, tb_buffer_room(&have, want->len + 1), want->len + 1, 0) == (ssize_t)want->len &&
                  have.data && memcmp(have.data, want->data, want->len) == 0;
    tb_buffer_free(&have);
    close(fd);
    return is_same;
}

static int write_new(int dir, const char *temporary, const char *name, const struct tb_buffer *bundle)
{
    int fd = openat(dir, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600), r = 0;
    if (fd < 0)
        return -errno;
    ssize_t n = write(fd, bundle->data, bundle->len);
    if (n != (ssize_t)bundle->len)
        r = n < 0 ? -errno : -ENOSPC;
    else if (fchmod(fd, 0644) < 0 || renameat(dir, temporary, dir, name) < 0)
        r = -errno;
    if (r)
        unlinkat(dir, temporary, 0);
    close(fd);
    return r;
}

int tb_rules_write(const char *dir, const char *name, const struct tb_buffer *bundle)
{
    /* O_PATH: the shared directory may be entered by everybody, but listed only by its group */
    int fd = open(dir, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), r = 0;
    if (fd < 0)
        return -errno;
    if (!has_contents(fd, name, bundle)) {
        char *temporary = tb_format(".%s-%d", name, (int)getpid());
        r = write_new(fd, temporary, name, bundle);
        if (r == -EEXIST && unlinkat(fd, temporary, 0) == 0) /* of a process of this number that was killed */
            r = write_new(fd, temporary, name, bundle);
        free(temporary);
    }
    close(fd);
    return r;
}

/* --- regions -------------------------------------------------------------------------------------------------------
 */

/* Opens a region and finds its rules. Returns a descriptor or -errno. */
static int open_rules(const char *path, int flags, uint64_t *ret_offset, struct tb_rules_head *ret_head)
{
    struct tb_region_header header;
    struct stat st;
    uint64_t len = 0;
    int r = -EPROTO, fd = open(path, flags | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return -errno;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_nlink == 1 &&
        pread(fd, &header, sizeof header, 0) == (ssize_t)sizeof header) {
        r = tb_region_validate(&header, (size_t)st.st_size);
        if (!r)
            r = tb_region_section(&header, TB_SEC_RULES, ret_offset, &len);
        if (!r && (len < sizeof *ret_head + 2 * TB_RULES_BUFFER ||
                   pread(fd, ret_head, sizeof *ret_head, (off_t)*ret_offset) != (ssize_t)sizeof *ret_head))
            r = -EINVAL;
    }
    if (!r)
        return fd;
    close(fd);
    return r;
}

static uint64_t buffer_at(uint32_t which)
{
    return sizeof(struct tb_rules_head) + (uint64_t)(which & 1) * TB_RULES_BUFFER;
}

static int put_word(int fd, uint64_t rules, size_t field, uint32_t value)
{
    ssize_t n = pwrite(fd, &value, sizeof value, (off_t)(rules + field));
    return n == (ssize_t)sizeof value ? 0 : n < 0 ? -errno : -ENOSPC;
}

/* Of several processes that publish, one at a time: not the region's own lock, which tells that it has an owner. */
static int lock_rules(int fd, uint64_t rules)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = (off_t)rules, .l_len = 1};
    return fcntl(fd, F_OFD_SETLK, &lock) < 0 ? -errno : 0;
}

/* A set into a buffer that is not in force. What lay there is taken back first: after a set that programs refused, it
 * is what they still use (tb_rules_are_whole). */
static int put_set(int fd, off_t at, const struct tb_buffer *set)
{
    static const uint64_t none = 0;
    ssize_t n = pwrite(fd, &none, sizeof none, at + (off_t)offsetof(struct tb_rules_set, checksum));
    if (n == (ssize_t)sizeof none && (n = pwrite(fd, set->data, set->len, at)) == (ssize_t)set->len)
        return 0;
    return n < 0 ? -errno : -ENOSPC;
}

/* Returns 1, or -errno. Whoever is interrupted in the middle leaves a tag that no set has: then it is done again. */
static int publish_to(const char *path, const struct tb_buffer *set)
{
    struct tb_rules_head head = {0};
    uint64_t rules = 0;
    int fd = open_rules(path, O_RDWR, &rules, &head), r;
    if (fd < 0)
        return fd;
    r = lock_rules(fd, rules);
    if (!r && pread(fd, &head, sizeof head, (off_t)rules) != (ssize_t)sizeof head)
        r = -EIO;
    uint32_t other = (head.active & 1) ^ 1;
    size_t tag = offsetof(struct tb_rules_head, tags) + 4 * other;
    if (!r)
        r = put_word(fd, rules, tag, 0);
    if (!r)
        r = put_set(fd, (off_t)(rules + buffer_at(other)), set);
    if (!r)
        r = put_word(fd, rules, offsetof(struct tb_rules_head, length) + 4 * other, (uint32_t)set->len);
    if (!r)
        r = put_word(fd, rules, offsetof(struct tb_rules_head, active), other);
    if (!r)
        r = put_word(fd, rules, offsetof(struct tb_rules_head, generation), head.generation + 1);
    if (!r)
        r = put_word(fd, rules, tag, (uint32_t)((const struct tb_rules_set *)(const void *)set->data)->checksum);
    close(fd);
    return r ? r : 1;
}

int tb_rules_in_force(const char *path, struct tb_buffer *ret, uint32_t *ret_at, uint32_t *ret_len)
{
    const size_t len = sizeof(struct tb_rules_head) + 2 * TB_RULES_BUFFER;
    struct tb_rules_head head;
    uint64_t rules = 0;
    int fd = open_rules(path, O_RDONLY, &rules, &head), r = 0;
    if (fd < 0)
        return fd;
    if (pread(fd, tb_buffer_room(ret, len), len, (off_t)rules) != (ssize_t)len)
        r = -EINVAL;
    else
        ret->len = len;
    close(fd);
    *ret_at = (uint32_t)buffer_at(head.active);
    *ret_len = head.length[head.active & 1];
    return r;
}

/* --- the publisher -------------------------------------------------------------------------------------------------
 */

struct tb_publisher *tb_publisher_new(const struct tb_config *c)
{
    struct tb_publisher *p = tb_alloc(sizeof *p);
    p->config = c;
    p->sets = tb_alloc((c->service_count + 1) * sizeof *p->sets);
    for (size_t i = 0; i <= c->service_count; i++)
        (void)tb_rules_compile(c, i, TB_RULES_FROM_EXPORTER, NULL, &p->sets[i]); /* it was compiled before */
    make_bundle(c, p->sets, &p->bundle);
    return p;
}

void tb_publisher_free(struct tb_publisher *p)
{
    if (!p)
        return;
    for (size_t i = 0; i <= p->config->service_count; i++)
        tb_buffer_free(&p->sets[i]);
    tb_buffer_free(&p->bundle);
    free(p->sets);
    free(p);
}

static void publish_region(struct tb_publisher *p, const struct tb_snap_region *region)
{
    const struct tb_buffer *set = &p->sets[tb_config_service(p->config, region->service->name)];
    struct tb_rules_set head;
    memcpy(&head, set->data, sizeof head);
    if (region->rules_length == head.length && region->rules_tag == (uint32_t)head.checksum)
        return; /* as the copy of this collection has it */
    int r = publish_to(region->path, set);
    p->stats.regions_written += r > 0;
    p->stats.regions_failed += r < 0;
    if (r < 0 && !p->has_warned) {
        p->has_warned = true;
        tb_log(TB_LOG_WARN, "rules not written into a region: it goes on with those it has", "path", region->path,
               "error", strerror(-r), NULL);
    }
}

void tb_publish(struct tb_publisher *p, const struct tb_snapshot *s, const char *const *dirs, size_t dir_count)
{
    char **found = NULL;
    p->stats.directories_failed = 0;
    if (!dir_count) {
        dir_count = tb_collect_default_dirs(&found);
        dirs = (const char *const *)found;
    }
    /* directories first: a program that starts meanwhile has its rules, or gets them next time */
    for (size_t i = 0; i < dir_count; i++)
        p->stats.directories_failed += tb_rules_write(dirs[i], TB_RULES_FILE, &p->bundle) < 0;
    for (size_t i = 0; found && i < dir_count; i++)
        free(found[i]);
    free(found);
    for (size_t i = 0; i < s->region_count; i++)
        if (!s->regions[i].unreadable && s->regions[i].service)
            publish_region(p, &s->regions[i]);
}

const struct tb_publish_stats *tb_publisher_stats(const struct tb_publisher *p)
{
    return &p->stats;
}

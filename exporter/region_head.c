/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads and switches one region file. The word is written by a 4-byte pwrite at an aligned offset and not through a
 * mapping: a full tmpfs is then an error and not a SIGBUS. (The kernel copies an aligned word in one piece.)
 *
 * Entry points: tb_region_head_read, tb_region_switch, tb_region_why.
 */
#include "region_head.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static int open_region(const char *path, int flags, struct tb_region_header *ret_header, uint64_t *ret_rules)
{
    struct stat st;
    int result = -EPROTO;
    /* O_NONBLOCK: a FIFO put there by a stranger must not hold us. */
    int fd = open(path, flags | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return -errno;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_nlink == 1 &&
        pread(fd, ret_header, sizeof(*ret_header), 0) == (ssize_t)sizeof(*ret_header)) {
        uint64_t len = 0;
        result = tb_region_validate(ret_header, (size_t)st.st_size);
        if (result == 0)
            result = tb_region_section(ret_header, TB_SEC_RULES, ret_rules, &len);
        if (result == 0 && len < sizeof(struct tb_rules_head))
            result = -EINVAL;
    }
    if (result == 0)
        return fd;
    close(fd);
    return result;
}

static uint64_t unobservable_of(int fd, const struct tb_region_header *header)
{
    struct tb_owner owners[TB_OWNERS];
    uint64_t at, len, bits = 0;
    if (tb_region_section(header, TB_SEC_OWNERS, &at, &len) != 0)
        return 0;
    ssize_t got = pread(fd, owners, len < sizeof(owners) ? len : sizeof(owners), (off_t)at);
    for (ssize_t i = 0; i < got / (ssize_t)sizeof(*owners); i++)
        bits |= owners[i].pid ? owners[i].unobservable : 0;
    return bits;
}

int tb_region_head_read(const char *path, struct tb_region_head *ret_head)
{
    struct tb_region_head head = {0};
    uint64_t rules = 0;
    int fd = open_region(path, O_RDONLY, &head.header, &rules), result = 0;
    if (fd < 0)
        return fd;
    off_t at = (off_t)(rules + offsetof(struct tb_rules_head, off));
    if (pread(fd, &head.off, sizeof(head.off), at) != (ssize_t)sizeof(head.off))
        result = -EINVAL;
    head.unobservable = unobservable_of(fd, &head.header);
    close(fd);
    if (result == 0) {
        head.header.service[sizeof(head.header.service) - 1] = 0;
        head.header.program[sizeof(head.header.program) - 1] = 0;
        head.header.agent_version[sizeof(head.header.agent_version) - 1] = 0;
        *ret_head = head;
    }
    return result;
}

bool tb_region_has_owners(int fd)
{
    if (flock(fd, LOCK_EX | LOCK_NB) < 0)
        return true;
    flock(fd, LOCK_UN);
    return false;
}

int tb_region_look(const char *path, struct tb_region_header *ret_header, bool *ret_is_live)
{
    uint64_t rules = 0;
    int fd = open_region(path, O_RDONLY, ret_header, &rules);
    if (fd < 0)
        return fd;
    *ret_is_live = tb_region_has_owners(fd);
    close(fd);
    return 0;
}

int tb_region_switch(const char *path, bool is_off)
{
    struct tb_region_header header;
    uint64_t rules = 0;
    uint32_t word = is_off;
    int fd = open_region(path, O_RDWR, &header, &rules), result = 0;
    if (fd < 0)
        return fd;
    ssize_t wrote = pwrite(fd, &word, sizeof(word), (off_t)(rules + offsetof(struct tb_rules_head, off)));
    if (wrote != (ssize_t)sizeof(word))
        result = wrote < 0 ? -errno : -ENOSPC;
    close(fd);
    return result;
}

const char *tb_region_why(int error)
{
    switch (error) {
    case -EPROTO:
        return "it is no region";
    case -EPROTONOSUPPORT:
        return "its layout is newer than this command knows";
    case -EINVAL:
        return "it contradicts itself";
    default:
        return strerror(-error);
    }
}

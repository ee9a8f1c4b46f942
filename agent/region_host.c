/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a region is made with that the machine and the process around it tell: a number of its own, the time, the boot,
 * and whether the process's limits leave room for it. Small questions of region_file.c, each answered by system calls.
 */
#include "region_private.h"
#include "syscalls.h"

#include <linux/fcntl.h>
#include <linux/resource.h>

#define RANDOM_NONBLOCK 1
#define REALTIME_CLOCK 0
/* Address space that must be left to a program with RLIMIT_AS when the region is mapped. */
#define ADDRESS_SPACE_MARGIN ((uint64_t)16 << 20)

static long call3(const struct tb_core *core, long nr, long a, long b, long c)
{
    return tb_syscall(core, nr, a, b, c, 0, 0, 0);
}

uint64_t tb_region_random_id(const struct tb_core *core, uint64_t realtime_ns)
{
    uint64_t id = 0;
    if (call3(core, SYS_getrandom, (long)&id, sizeof(id), RANDOM_NONBLOCK) != sizeof(id) || id == 0)
        id = (realtime_ns ^ (uint64_t)core->env.pid << 44) * UINT64_C(0x9e3779b97f4a7c15) | 1;
    return id;
}

uint64_t tb_region_realtime_ns(const struct tb_core *core)
{
    struct {
        int64_t seconds;
        int64_t ns;
    } now = {0, 0};
    (void)call3(core, SYS_clock_gettime, REALTIME_CLOCK, (long)&now, 0);
    return (uint64_t)now.seconds * UINT64_C(1000000000) + (uint64_t)now.ns;
}

/* The start of a small file of procfs; bytes read, 0 when there is none. */
static size_t read_proc(const struct tb_core *core, const char *path, char *buf, size_t len)
{
    long fd = tb_syscall(core, SYS_openat, AT_FDCWD, (long)path, O_RDONLY | O_CLOEXEC, 0, 0, 0);
    if (fd < 0)
        return 0;
    long got = call3(core, SYS_read, fd, (long)buf, (long)len);
    (void)call3(core, SYS_close, fd, 0, 0);
    return got > 0 ? (size_t)got : 0;
}

void tb_region_boot_id(const struct tb_core *core, uint8_t ret[16])
{
    char text[40];
    size_t len = read_proc(core, "/proc/sys/kernel/random/boot_id", text, sizeof(text)), nibbles = 0;
    for (size_t i = 0; i < len && nibbles < 32; i++) {
        uint8_t c = tb_lower((uint8_t)text[i]), digit = (uint8_t)(c - '0');
        if (digit > 9)
            digit = (uint8_t)(c - 'a' + 10);
        if (c == '-' || digit > 15)
            continue;
        ret[nibbles / 2] = (uint8_t)(ret[nibbles / 2] << 4 | digit);
        nibbles++;
    }
}

static uint64_t soft_limit(const struct tb_core *core, long resource)
{
    struct rlimit64 limit = {0, 0};
    if (tb_syscall(core, SYS_prlimit64, 0, resource, 0, (long)&limit, 0, 0) < 0)
        return 0;
    return limit.rlim_cur;
}

/* Before ftruncate (SIGXFSZ kills past RLIMIT_FSIZE) and before mmap (what we map the program cannot). */
bool tb_region_limits_leave_room(const struct tb_core *core)
{
    if (soft_limit(core, RLIMIT_FSIZE) < TB_REGION_BYTES)
        return false;
    uint64_t space = soft_limit(core, RLIMIT_AS), pages = 0;
    if (space == RLIM64_INFINITY)
        return true;
    char text[24];
    size_t len = read_proc(core, "/proc/self/statm", text, sizeof(text));
    if (len == 0)
        return false;
    for (size_t i = 0; i < len && (uint8_t)(text[i] - '0') < 10; i++)
        pages = pages * 10 + (uint8_t)(text[i] - '0');
    uint64_t used = pages * tb_region_page_bytes(core);
    return used < space && space - used >= TB_REGION_BYTES + ADDRESS_SPACE_MARGIN;
}

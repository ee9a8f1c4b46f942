/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Facts from procfs: boot id, pid namespace, start time of a process. Each answers something safe when procfs is
 * missing or hidden: an unknown namespace matches none, a process that cannot be looked at counts as alive.
 */
#include "boot.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static ssize_t read_file(const char *path, char *to, size_t space)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    ssize_t n = read(fd, to, space - 1);
    close(fd);
    if (n >= 0)
        to[n] = 0;
    return n;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

void tb_boot_id(uint8_t ret[16])
{
    char text[64];
    uint8_t id[16] = {0};
    unsigned digits = 0;
    if (read_file("/proc/sys/kernel/random/boot_id", text, sizeof text) > 0) {
        for (const char *p = text; *p && digits < 32; p++) {
            int d = hex_digit(*p);
            if (d < 0)
                continue;
            id[digits / 2] = (uint8_t)(id[digits / 2] << 4 | d);
            digits++;
        }
    }
    memset(ret, 0, 16);
    if (digits == 32)
        memcpy(ret, id, 16);
}

uint64_t tb_pidns_inode(void)
{
    struct stat st;
    return stat("/proc/self/ns/pid", &st) == 0 ? st.st_ino : 0;
}

uint64_t tb_clock_ns(int clock_id)
{
    struct timespec t;
    if (clock_gettime(clock_id, &t) < 0)
        return 0;
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Field 22 of /proc/PID/stat. The name in field 2 may hold any byte. */
uint64_t tb_process_started_ns(uint32_t pid)
{
    char path[40], text[1024];
    snprintf(path, sizeof path, "/proc/%u/stat", pid);
    if (read_file(path, text, sizeof text) <= 0)
        return 0;
    char *p = strrchr(text, ')');
    if (p && (strncmp(p, ") Z", 3) == 0 || strncmp(p, ") X", 3) == 0))
        return UINT64_MAX;
    for (int field = 2; p && field < 22; field++)
        p = strchr(p + 1, ' ');
    long ticks = sysconf(_SC_CLK_TCK);
    if (!p || ticks <= 0)
        return 0;
    return strtoull(p + 1, NULL, 10) * (1000000000u / (uint64_t)ticks);
}

bool tb_process_is_alive(uint32_t pid, uint64_t claimed_ns)
{
    if (pid == 0 || pid > INT32_MAX || (kill((pid_t)pid, 0) < 0 && errno == ESRCH))
        return false;
    uint64_t start_ns = tb_process_started_ns(pid);
    return !start_ns || tb_process_may_have(start_ns, claimed_ns);
}

bool tb_process_may_have(uint64_t start_ns, uint64_t claimed_ns)
{
    /* Suspended time only grows, so the slot was claimed no later than this on the boot clock; plus two ticks. */
    uint64_t suspended_ns = tb_clock_ns(CLOCK_BOOTTIME) - tb_clock_ns(CLOCK_MONOTONIC);
    return start_ns <= claimed_ns + suspended_ns + 20000000u;
}

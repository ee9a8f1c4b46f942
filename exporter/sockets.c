/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads socket tables of /proc. A process's descriptors name sockets by inode; the tables of its network namespace say
 * which inodes listen. Both are bounded: a process with more descriptors than that is judged by the first ones.
 *
 * Entry points: tb_sockets_of, tb_sockets_listening, tb_inodes_common.
 */
#include "sockets.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SOCKETS_MAX (1u << 20)
/* Descriptors of one process that are looked at, lowest first: sockets that listen are opened early. A process may hold
 * a million, and each costs a system call. */
#define DESCRIPTORS_MAX 8192u
#define TCP_LISTEN 10u
#define UNIX_ACCEPTS 0x10000ul /* __SO_ACCEPTCON in the flags of /proc/net/unix */
#define UNIX_STREAM 1u

static void add(struct tb_inodes *set, unsigned long inode)
{
    if (!inode || set->count >= SOCKETS_MAX)
        return;
    if (set->count % 256 == 0) {
        unsigned long *more = realloc(set->inodes, (set->count + 256) * sizeof(*more));
        if (!more)
            return;
        set->inodes = more;
    }
    set->inodes[set->count++] = inode;
}

static int compare(const void *a, const void *b)
{
    const unsigned long x = *(const unsigned long *)a, y = *(const unsigned long *)b;
    return (x > y) - (x < y);
}

static void sort(struct tb_inodes *set)
{
    if (set->count)
        qsort(set->inodes, set->count, sizeof(*set->inodes), compare);
}

int tb_sockets_of(pid_t pid, struct tb_inodes *ret_inodes, bool *ret_has_uring)
{
    char path[64], link[64];
    snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
    DIR *dir = opendir(path);
    if (!dir)
        return -errno;
    *ret_inodes = (struct tb_inodes){0};
    *ret_has_uring = false;
    unsigned seen = 0;
    for (const struct dirent *entry; seen < DESCRIPTORS_MAX && (entry = readdir(dir)); seen++) {
        unsigned long inode;
        ssize_t len = readlinkat(dirfd(dir), entry->d_name, link, sizeof(link) - 1);
        if (len <= 0)
            continue;
        link[len] = 0;
        if (sscanf(link, "socket:[%lu]", &inode) == 1)
            add(ret_inodes, inode);
        else if (strcmp(link, "anon_inode:[io_uring]") == 0)
            *ret_has_uring = true;
    }
    closedir(dir);
    sort(ret_inodes);
    return 0;
}

static void read_table(pid_t pid, const char *name, bool is_unix, struct tb_inodes *set)
{
    char path[64], line[512];
    snprintf(path, sizeof(path), "/proc/%d/net/%s", (int)pid, name);
    FILE *file = fopen(path, "re");
    if (!file)
        return;
    while (fgets(line, sizeof(line), file)) {
        unsigned long inode = 0, flags = 0;
        unsigned state = 0, type = 0;
        if (is_unix) {
            if (sscanf(line, "%*s %*s %*s %lx %x %*x %lu", &flags, &type, &inode) == 3 && type == UNIX_STREAM &&
                (flags & UNIX_ACCEPTS))
                add(set, inode);
        } else if (sscanf(line, " %*u: %*s %*s %x %*s %*s %*s %*u %*u %lu", &state, &inode) == 2 &&
                   state == TCP_LISTEN) {
            add(set, inode);
        }
    }
    fclose(file);
}

void tb_sockets_listening(pid_t pid, bool with_unix, struct tb_inodes *ret_inodes)
{
    *ret_inodes = (struct tb_inodes){0};
    read_table(pid, "tcp", false, ret_inodes);
    read_table(pid, "tcp6", false, ret_inodes);
    if (with_unix)
        read_table(pid, "unix", true, ret_inodes);
    sort(ret_inodes);
}

size_t tb_inodes_common(const struct tb_inodes *a, const struct tb_inodes *b)
{
    size_t common = 0, i = 0, k = 0;
    while (i < a->count && k < b->count) {
        common += a->inodes[i] == b->inodes[k];
        if (a->inodes[i] <= b->inodes[k])
            i++;
        else
            k++;
    }
    return common;
}

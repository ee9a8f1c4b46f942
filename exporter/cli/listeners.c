/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looks from outside at who listens. The socket tables are read once for each network namespace and not for each
 * process; only processes that hold a listening TCP socket are looked at closely.
 *
 * Entry point: tb_listeners_find.
 */
#include "listeners.h"
#include "sockets.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "exporter/buffer.h"

#define NAMESPACES_MAX 64u /* beyond, the table is read for each process */

struct namespaces {
    struct {
        char name[64]; /* net:[INODE] */
        struct tb_inodes listening;
    } known[NAMESPACES_MAX];
    size_t count;
};

/* The listening sockets of @pid's network namespace; valid until the next call. */
static const struct tb_inodes *listening_near(struct namespaces *all, pid_t pid)
{
    char path[64], name[64];
    snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)pid);
    ssize_t len = readlink(path, name, sizeof(name) - 1);
    name[len > 0 ? len : 0] = 0;
    for (size_t i = 0; i < all->count; i++)
        if (name[0] && strcmp(all->known[i].name, name) == 0)
            return &all->known[i].listening;
    if (all->count == NAMESPACES_MAX)
        free(all->known[--all->count].listening.inodes);
    size_t at = all->count++;
    memcpy(all->known[at].name, name, sizeof(name));
    tb_sockets_listening(pid, false, &all->known[at].listening);
    return &all->known[at].listening;
}

static bool is_own(const struct tb_process *p)
{
    const char *base = strrchr(p->exe, '/');
    base = base ? base + 1 : p->exe;
    return strcmp(base, "tickbird") == 0 || strcmp(base, "tickbird-exporter") == 0;
}

static void keep(struct tb_listeners *all, const struct tb_process *p, const char *why)
{
    struct tb_listener *l = NULL;
    for (size_t i = 0; i < all->count && !l; i++)
        if (strcmp(all->found[i].exe, p->exe) == 0 && strcmp(all->found[i].why, why) == 0)
            l = &all->found[i];
    if (!l) {
        all->found = tb_grow(all->found, all->count, &all->space, sizeof(*all->found));
        l = &all->found[all->count++];
        memset(l, 0, sizeof(*l));
        memcpy(l->name, p->name, sizeof(l->name));
        memcpy(l->exe, p->exe, sizeof(l->exe));
        snprintf(l->why, sizeof(l->why), "%s", why);
    }
    if (l->pid_count < sizeof(l->pids) / sizeof(l->pids[0]))
        l->pids[l->pid_count] = p->pid;
    l->pid_count++;
}

static void look_at(pid_t pid, struct namespaces *namespaces, const struct tb_object *object, struct tb_listeners *all)
{
    static struct tb_process process;
    struct tb_inodes own = {0};
    struct tb_finding finding;
    bool has_uring;
    int result = tb_sockets_of(pid, &own, &has_uring);
    if (result == -EACCES || result == -EPERM)
        all->hidden++;
    if (result != 0)
        return;
    bool listens = own.count && tb_inodes_common(&own, listening_near(namespaces, pid)) > 0;
    free(own.inodes);
    if (!listens || tb_process_read(pid, &process) != 0 || is_own(&process))
        return;
    tb_finding_process(&process, object, &finding);
    if (finding.is_unknown)
        all->hidden++;
    else if (!finding.is_fine && !process.is_kernel)
        keep(all, &process, finding.why);
}

void tb_listeners_find(const struct tb_object *object, struct tb_listeners *ret_listeners)
{
    struct namespaces *namespaces = tb_alloc(sizeof(*namespaces));
    *ret_listeners = (struct tb_listeners){0};
    DIR *dir = opendir("/proc");
    for (const struct dirent *entry; dir && (entry = readdir(dir));) {
        char *end;
        long pid = strtol(entry->d_name, &end, 10);
        if (!*end && pid > 0 && pid <= INT32_MAX && pid != getpid())
            look_at((pid_t)pid, namespaces, object, ret_listeners);
    }
    if (dir)
        closedir(dir);
    for (size_t i = 0; i < namespaces->count; i++)
        free(namespaces->known[i].listening.inodes);
    free(namespaces);
}

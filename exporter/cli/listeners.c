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
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "exporter/boot.h"
#include "exporter/buffer.h"

#define PIDS_KNOWN (sizeof(((struct tb_listener *)0)->pids) / sizeof(pid_t))
#define TIME_MAX_NS UINT64_C(5000000000)
#define NAMESPACES_MAX 64u /* beyond, the table is read for each process */

struct namespaces {
    struct {
        char name[64]; /* net:[INODE] */
        struct tb_inodes listening;
        bool *is_held; /* by a process that this user may look into; as many as there are inodes */
    } known[NAMESPACES_MAX];
    size_t count;
};

/* The number of @pid's network namespace; its table is read when it is new. */
static size_t namespace_of(struct namespaces *all, pid_t pid)
{
    char path[64], name[64];
    snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)pid);
    ssize_t len = readlink(path, name, sizeof(name) - 1);
    name[len > 0 ? len : 0] = 0;
    for (size_t i = 0; i < all->count; i++)
        if (name[0] && strcmp(all->known[i].name, name) == 0)
            return i;
    if (all->count == NAMESPACES_MAX) {
        all->count--;
        free(all->known[all->count].listening.inodes);
        free(all->known[all->count].is_held);
    }
    size_t at = all->count++;
    memcpy(all->known[at].name, name, sizeof(name));
    tb_sockets_listening(pid, false, &all->known[at].listening);
    all->known[at].is_held = tb_alloc(all->known[at].listening.count + 1);
    return at;
}

/* How many of @own listen; notes each as held by somebody known. */
static size_t count_listening(struct namespaces *all, size_t number, const struct tb_inodes *own)
{
    const struct tb_inodes *listening = &all->known[number].listening;
    size_t i = 0, k = 0, found = 0;
    while (i < own->count && k < listening->count) {
        if (own->inodes[i] == listening->inodes[k]) {
            all->known[number].is_held[k] = true;
            found++;
        }
        if (own->inodes[i] <= listening->inodes[k])
            i++;
        else
            k++;
    }
    return found;
}

static bool is_own(const struct tb_process *p)
{
    const char *base = strrchr(p->exe, '/');
    base = base ? base + 1 : p->exe;
    return strcmp(base, "tickbird") == 0 || strcmp(base, "tickbird-exporter") == 0;
}

static void keep(struct tb_listeners *all, const struct tb_process *p, const struct tb_finding *finding)
{
    struct tb_listener *l = NULL;
    for (size_t i = 0; i < all->count && !l; i++)
        if (strcmp(all->found[i].exe, p->exe) == 0 && all->found[i].finding.what == finding->what &&
            strcmp(all->found[i].finding.why, finding->why) == 0)
            l = &all->found[i];
    if (!l) {
        all->found = tb_grow(all->found, all->count, &all->space, sizeof(*all->found));
        l = &all->found[all->count++];
        memset(l, 0, sizeof(*l));
        memcpy(l->name, p->name, sizeof(l->name));
        memcpy(l->exe, p->exe, sizeof(l->exe));
        l->finding = *finding;
        snprintf(l->todo, sizeof(l->todo), "%s", finding->todo);
    }
    if (l->pid_count < PIDS_KNOWN)
        l->pids[l->pid_count] = p->pid;
    l->pid_count++;
}

static void look_at(pid_t pid, struct namespaces *namespaces, const struct tb_object *object, struct tb_listeners *all)
{
    static struct tb_process process;
    struct tb_inodes own = {0};
    struct tb_finding finding;
    bool has_uring;
    if (tb_sockets_of(pid, &own, &has_uring) != 0)
        return;
    size_t listens = own.count ? count_listening(namespaces, namespace_of(namespaces, pid), &own) : 0;
    free(own.inodes);
    struct tb_process_known known = {(int)listens, has_uring};
    if (!listens || tb_process_read(pid, &known, &process) != 0 || is_own(&process))
        return;
    tb_finding_process(&process, object, &finding);
    if (!finding.is_unknown && !process.is_kernel)
        keep(all, &process, &finding);
}

void tb_listeners_find(const struct tb_object *object, struct tb_listeners *ret_listeners)
{
    struct namespaces *namespaces = tb_alloc(sizeof(*namespaces));
    uint64_t deadline_ns = tb_clock_ns(CLOCK_MONOTONIC) + TIME_MAX_NS;
    *ret_listeners = (struct tb_listeners){0};
    namespace_of(namespaces, getpid());
    DIR *dir = opendir("/proc");
    for (const struct dirent *entry; dir && (entry = readdir(dir));) {
        char *end;
        long pid = strtol(entry->d_name, &end, 10);
        if (tb_clock_ns(CLOCK_MONOTONIC) > deadline_ns) {
            ret_listeners->is_partial = true;
            break;
        }
        if (!*end && pid > 0 && pid <= INT32_MAX && pid != getpid())
            look_at((pid_t)pid, namespaces, object, ret_listeners);
    }
    if (dir)
        closedir(dir);
    for (size_t i = 0; i < namespaces->count; i++) {
        for (size_t k = 0; k < namespaces->known[i].listening.count && !ret_listeners->is_partial; k++)
            ret_listeners->hidden += !namespaces->known[i].is_held[k];
        free(namespaces->known[i].listening.inodes);
        free(namespaces->known[i].is_held);
    }
    free(namespaces);
}

const char *tb_listener_pids(const struct tb_listener *listener, char buffer[TB_LISTENER_PIDS_TEXT])
{
    size_t at = 0;
    for (size_t i = 0; i < listener->pid_count && i < PIDS_KNOWN; i++)
        at += (size_t)snprintf(buffer + at, TB_LISTENER_PIDS_TEXT - at, "%s%d", i ? " " : "", (int)listener->pids[i]);
    if (listener->pid_count > PIDS_KNOWN)
        snprintf(buffer + at, TB_LISTENER_PIDS_TEXT - at, " +%zu", listener->pid_count - PIDS_KNOWN);
    return buffer;
}

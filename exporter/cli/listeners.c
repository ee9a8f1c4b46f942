/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looks from outside at who listens; only processes that hold a listening TCP socket are looked at closely.
 *
 * Entry point: tb_listeners_find.
 */
#include "listeners.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "exporter/boot.h"
#include "exporter/buffer.h"
#include "exporter/listening.h"
#include "exporter/unobserved.h"

#define PIDS_KNOWN (sizeof(((struct tb_listener *)0)->pids) / sizeof(pid_t))
#define TIME_MAX_NS UINT64_C(5000000000)

static bool is_own(const struct tb_process *p)
{
    const char *base = strrchr(p->exe, '/');
    base = base ? base + 1 : p->exe;
    return strcmp(base, "tickbird") == 0 || strcmp(base, "tickbird-exporter") == 0;
}

/* A program that is switched off has a region, which is all that tb_unobserved_judge looks for. */
static const char *reason_of(const struct tb_process *p)
{
    enum tb_unobserved why = tb_unobserved_judge(p);
    return tb_unobserved_name(why == TB_OBSERVED ? TB_UNOBSERVED_NOT_RECORDING : why);
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
        l->reason = finding->is_fine ? NULL : reason_of(p);
        snprintf(l->todo, sizeof(l->todo), "%s", finding->todo);
    }
    if (l->pid_count < PIDS_KNOWN)
        l->pids[l->pid_count] = p->pid;
    l->pid_count++;
}

static void look_at(pid_t pid, struct tb_listening *listening, const struct tb_object *object, struct tb_listeners *all)
{
    static struct tb_process process;
    struct tb_finding finding;
    bool has_uring;
    size_t listens = tb_listening_of(listening, pid, &has_uring);
    struct tb_process_known known = {(int)listens, has_uring};
    if (!listens || tb_process_read(pid, &known, &process) != 0 || is_own(&process))
        return;
    tb_finding_process(&process, object, &finding);
    if (!finding.is_unknown && !process.is_kernel)
        keep(all, &process, &finding);
}

void tb_listeners_find(const struct tb_object *object, struct tb_listeners *ret_listeners)
{
    struct tb_listening *listening = tb_listening_new();
    uint64_t deadline_ns = tb_clock_ns(CLOCK_MONOTONIC) + TIME_MAX_NS;
    *ret_listeners = (struct tb_listeners){0};
    DIR *dir = opendir("/proc");
    for (const struct dirent *entry; dir && (entry = readdir(dir));) {
        char *end;
        long pid = strtol(entry->d_name, &end, 10);
        if (tb_clock_ns(CLOCK_MONOTONIC) > deadline_ns) {
            ret_listeners->is_partial = true;
            break;
        }
        if (!*end && pid > 0 && pid <= INT32_MAX && pid != getpid())
            look_at((pid_t)pid, listening, object, ret_listeners);
    }
    if (dir)
        closedir(dir);
    tb_listening_free(listening, &ret_listeners->hidden);
    if (ret_listeners->is_partial)
        ret_listeners->hidden = 0;
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

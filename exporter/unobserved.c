/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Walks /proc in rounds (unobserved.h). Everything read there is a stranger's text and may change or vanish at any
 * moment: what cannot be read is left out, lengths are bounded, names become labels only after cleaning. The work of
 * one call is bounded in time, what is kept in number. What a process found is judged by unobserved_why.c.
 *
 * Entry points: tb_unobserved_scan, tb_unobserved_expose.
 */
#include "unobserved.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "boot.h"
#include "buffer.h"
#include "listening.h"
#include "snapshot_labels.h"

#define INTERVAL_NS UINT64_C(15000000000)
#define FOUND_MAX 1024u /* processes that are remembered */
#define WALL_FACTOR 5u
#define SERVICE_MAX 128u /* bytes, as the agent's own names */
#define EXE_MAX 128u

struct found {
    pid_t pid;
    uint64_t started_ns; /* tb_process_started_ns: tells a reused pid */
    uint32_t round;      /* the last one that saw it */
    enum tb_unobserved why;
    char service[SERVICE_MAX];
    char exe[EXE_MAX]; /* cut from the left when longer: its end says more */
};

struct tb_unobserved_scan {
    struct found found[FOUND_MAX];
    size_t count;
    uint64_t last_ns; /* CLOCK_MONOTONIC; 0: never */
    uint32_t round;
    pid_t next;                     /* where a round that ran out of time goes on; 0: a new one */
    struct tb_listening *listening; /* of the round that is under way; NULL: none */
    size_t hidden;                  /* listening sockets of the last whole round that nobody known holds */
    bool is_told;                   /* there was one */
};

/* ---- rounds ---- */

struct tb_unobserved_scan *tb_unobserved_new(void)
{
    return tb_alloc(sizeof(struct tb_unobserved_scan));
}

void tb_unobserved_free(struct tb_unobserved_scan *scan)
{
    if (scan && scan->listening)
        tb_listening_free(scan->listening, NULL);
    free(scan);
}

static void remove_at(struct tb_unobserved_scan *scan, size_t at)
{
    scan->found[at] = scan->found[--scan->count];
}

static void keep(struct tb_unobserved_scan *scan, const struct found *new)
{
    size_t at = 0;
    while (at < scan->count && scan->found[at].pid != new->pid)
        at++;
    if (at < scan->count && new->why == TB_OBSERVED)
        remove_at(scan, at);
    else if (at < FOUND_MAX && new->why != TB_OBSERVED) {
        scan->found[at] = *new;
        scan->count += at == scan->count;
    }
}

static bool is_own(const struct tb_process *p)
{
    const char *base = strrchr(p->exe, '/');
    base = base ? base + 1 : p->exe;
    return strncmp(base, "tickbird", 8) == 0 && (!base[8] || base[8] == ' ' || strncmp(base + 8, "-exporter", 9) == 0);
}

static void copy_exe(const struct tb_process *p, char ret[EXE_MAX])
{
    static const char mark[] = " (deleted)";
    const char *from = p->exe[0] ? p->exe : p->name;
    size_t len = strlen(from), mark_len = sizeof mark - 1;
    if (len > mark_len && strcmp(from + len - mark_len, mark) == 0)
        len -= mark_len;
    size_t cut = len < EXE_MAX ? 0 : len - (EXE_MAX - 1);
    memcpy(ret, from + cut, len - cut);
    ret[len - cut] = 0;
}

static void look_at(struct tb_unobserved_scan *scan, pid_t pid)
{
    static struct tb_process process; /* large; one thread */
    struct found new = {.pid = pid, .started_ns = tb_process_started_ns((uint32_t)pid), .round = scan->round};
    bool has_uring = false;
    size_t listens = tb_listening_of(scan->listening, pid, &has_uring);
    struct tb_process_known known = {(int)listens, has_uring};
    if (new.started_ns && listens &&tb_process_read(pid, &known, &process) == 0 && !is_own(&process)) {
        new.why = tb_unobserved_judge(&process);
        if (new.why != TB_OBSERVED) {
            tb_unobserved_service(&process, new.service, sizeof new.service);
            copy_exe(&process, new.exe);
        }
    }
    /* Read from two processes of one number: neither is told. */
    if (tb_process_started_ns((uint32_t)pid) != new.started_ns)
        new.why = TB_OBSERVED;
    keep(scan, &new);
}

static int compare_pids(const void *a, const void *b)
{
    const pid_t x = *(const pid_t *)a, y = *(const pid_t *)b;
    return (x > y) - (x < y);
}

static pid_t *list_pids(size_t *ret_count)
{
    pid_t *pids = NULL;
    size_t count = 0, space = 0;
    DIR *dir = opendir("/proc");
    for (const struct dirent *entry; dir && (entry = readdir(dir));) {
        char *end;
        long pid = strtol(entry->d_name, &end, 10);
        if (*end || pid <= 0 || pid > INT32_MAX || pid == getpid())
            continue;
        pids = tb_grow(pids, count, &space, sizeof *pids);
        pids[count++] = (pid_t)pid;
    }
    if (dir)
        closedir(dir);
    if (count)
        qsort(pids, count, sizeof *pids, compare_pids);
    *ret_count = count;
    return pids;
}

static void begin_round(struct tb_unobserved_scan *scan)
{
    bool has_uring;
    scan->round++;
    scan->listening = tb_listening_new();
    tb_listening_of(scan->listening, getpid(), &has_uring); /* its own sockets are nobody's secret */
}

static void end_round(struct tb_unobserved_scan *scan)
{
    tb_listening_free(scan->listening, &scan->hidden);
    scan->listening = NULL;
    scan->is_told = true;
    for (size_t k = scan->count; k-- > 0;)
        if (scan->found[k].round != scan->round)
            remove_at(scan, k);
}

/* Looks at processes from where the last call stopped, until all are seen or the time is up. */
static void walk(struct tb_unobserved_scan *scan, uint64_t budget_ns)
{
    size_t count, i = 0;
    pid_t *pids = list_pids(&count);
    /* The processor's time is what is rationed; the clock's only where many others want the processor too. */
    uint64_t cpu_ns = tb_clock_ns(CLOCK_THREAD_CPUTIME_ID) + budget_ns;
    uint64_t wall_ns = tb_clock_ns(CLOCK_MONOTONIC) + WALL_FACTOR * budget_ns;
    if (!scan->listening)
        begin_round(scan);
    while (i < count && pids[i] < scan->next)
        i++;
    for (; i < count && tb_clock_ns(CLOCK_THREAD_CPUTIME_ID) < cpu_ns && tb_clock_ns(CLOCK_MONOTONIC) < wall_ns; i++)
        look_at(scan, pids[i]);
    scan->next = i < count ? pids[i] : 0;
    free(pids);
    if (!scan->next)
        end_round(scan);
}

static void drop_ended(struct tb_unobserved_scan *scan)
{
    for (size_t k = scan->count; k-- > 0;)
        if (tb_process_started_ns((uint32_t)scan->found[k].pid) != scan->found[k].started_ns)
            remove_at(scan, k);
}

void tb_unobserved_scan(struct tb_unobserved_scan *scan, uint64_t now_ns, uint64_t budget_ns, struct tb_snapshot *s)
{
    if (!scan->last_ns || scan->next || now_ns - scan->last_ns >= INTERVAL_NS) {
        scan->last_ns = now_ns;
        walk(scan, budget_ns);
    }
    drop_ended(scan);
    tb_snapshot_unobserved_begin(s);
    for (size_t i = 0; i < scan->count; i++)
        tb_snapshot_unobserved(s, scan->found[i].service, tb_unobserved_name(scan->found[i].why));
}

/* ---- what is told ---- */

/* Programs of one executable that are not observed for one reason. */
struct told {
    char exe[3 * EXE_MAX]; /* cleaned: names that then are the same are one */
    enum tb_unobserved why;
    uint64_t processes;
};

static int compare_told(const void *a, const void *b)
{
    const struct told *x = a, *y = b;
    int order = strcmp(x->exe, y->exe);
    return order ? order : (int)x->why - (int)y->why;
}

/* One entry for each executable and reason, sorted, in @list (scan->count of them). Returns how many. */
static size_t count_told(const struct tb_unobserved_scan *scan, struct told *list)
{
    size_t used = 0, exes = 0;
    for (size_t i = 0; i < scan->count; i++) {
        char *exe = tb_label_clean(scan->found[i].exe, strlen(scan->found[i].exe));
        list[i] = (struct told){.why = scan->found[i].why, .processes = 1};
        snprintf(list[i].exe, sizeof list[i].exe, "%s", exe);
        free(exe);
    }
    qsort(list, scan->count, sizeof *list, compare_told);
    for (size_t i = 1; i < scan->count; i++) {
        exes += strcmp(list[i].exe, list[i - 1].exe) != 0; /* once it is too many it stays so */
        if (exes >= TB_UNOBSERVED_EXES_MAX)
            snprintf(list[i].exe, sizeof list[i].exe, "_other");
    }
    qsort(list, scan->count, sizeof *list, compare_told);
    for (size_t i = 0; i < scan->count; i++)
        if (used && compare_told(&list[used - 1], &list[i]) == 0)
            list[used - 1].processes++;
        else
            list[used++] = list[i];
    return used;
}

static void expose_told(struct tb_exposition *x, const struct told *told, const char *reason)
{
    struct tb_buffer labels = {0};
    tb_put_label(&labels, "exe", told->exe);
    tb_put_label(&labels, reason, tb_unobserved_name(told->why));
    tb_expose_value(x, (struct tb_labels){.text = labels.data, .len = labels.len}, told->processes, 0);
    tb_buffer_free(&labels);
}

void tb_unobserved_expose(struct tb_exposition *x, const struct tb_unobserved_scan *scan, const char *reason,
                          const struct tb_metric *metrics)
{
    if (scan->is_told)
        tb_expose_single(x, &metrics[TB_M_HIDDEN_LISTENERS], scan->hidden, 0);
    if (!tb_expose_family(x, &metrics[TB_M_UNOBSERVED_LISTENERS]))
        return;
    struct told *list = tb_alloc((scan->count + 1) * sizeof *list);
    size_t count = count_told(scan, list);
    for (size_t i = 0; i < count; i++)
        expose_told(x, &list[i], reason);
    free(list);
}

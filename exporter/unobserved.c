/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Walks /proc in rounds (unobserved.h). Everything read there is a stranger's text and may change or vanish at any
 * moment: what cannot be read is left out, lengths are bounded, names become labels only after cleaning
 * (snapshot.c). The work of one call is bounded in time, what is kept in number.
 *
 * Entry points: tb_unobserved_scan, tb_unobserved_judge, tb_unobserved_service.
 */
#include "unobserved.h"

#include <dirent.h>
#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "agent/service_name.h"
#include "boot.h"
#include "buffer.h"
#include "elf_file.h"
#include "listening.h"

#define INTERVAL_NS UINT64_C(15000000000)
#define FOUND_MAX 1024u /* processes that are remembered */
#define WALL_FACTOR 5u
#define SERVICE_MAX 128u /* bytes, as the agent's own names */

struct found {
    pid_t pid;
    uint64_t started; /* field 22 of /proc/PID/stat: tells a reused pid */
    uint32_t round;   /* the last one that saw it */
    enum tb_unobserved why;
    char service[SERVICE_MAX];
};

struct tb_unobserved_scan {
    struct found found[FOUND_MAX];
    size_t count;
    uint64_t last_ns; /* CLOCK_MONOTONIC; 0: never */
    uint32_t round;
    pid_t next; /* where a round that ran out of time goes on; 0: a new one */
};

/* ---- one process ---- */

const char *tb_unobserved_name(enum tb_unobserved why)
{
    static const char *const names[TB_UNOBSERVED_COUNT] = {
        "",
#define UNOBSERVED(id, reason, help) reason,
#include "unobserved.def"
#undef UNOBSERVED
    };
    return why < TB_UNOBSERVED_COUNT ? names[why] : "";
}

static bool is_other_machine(const struct tb_elf_file *file)
{
#if defined(__x86_64__)
    return file->is_foreign || file->machine != EM_X86_64;
#elif defined(__aarch64__)
    return file->is_foreign || file->machine != EM_AARCH64;
#else
    return file->is_foreign;
#endif
}

static bool read_executable(pid_t pid, struct tb_elf_file *ret)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/exe", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool is_read = tb_elf_file_read(fd, ret) == 0 && ret->kind == TB_FILE_ELF;
    close(fd);
    return is_read;
}

enum tb_unobserved tb_unobserved_judge(const struct tb_process *p)
{
    struct tb_elf_file file = {0};
    if (p->is_kernel || !p->can_see_maps)
        return TB_OBSERVED;
    if (p->region[0] && !p->is_region_deleted)
        return p->has_uring == 1 ? TB_UNOBSERVED_IO_URING : TB_OBSERVED;
    bool is_read = read_executable(p->pid, &file);
    if (is_read && is_other_machine(&file))
        return TB_UNOBSERVED_ARCHITECTURE;
    if (is_read && file.is_go)
        return TB_UNOBSERVED_GO;
    if (is_read && file.is_static)
        return TB_UNOBSERVED_STATIC;
    if (p->is_secure == 1)
        return TB_UNOBSERVED_SECURE;
    if (!p->object[0])
        return TB_UNOBSERVED_NOT_PRELOADED;
    return p->seccomp == 1 ? TB_UNOBSERVED_SECCOMP : TB_UNOBSERVED_NOT_RECORDING;
}

static size_t read_file(pid_t pid, const char *name, char *to, size_t size)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? 0 : read(fd, to, size - 1);
    if (fd >= 0)
        close(fd);
    to[got > 0 ? got : 0] = 0;
    return got > 0 ? (size_t)got : 0;
}

void tb_unobserved_service(const struct tb_process *p, char *ret, size_t size)
{
    char text[4096], program[PATH_MAX];
    snprintf(ret, size, "%s", p->service[0] ? p->service : p->otel_service);
    if (ret[0])
        return;
    tb_service_unit(text, read_file(p->pid, "cgroup", text, sizeof text), ret, size);
    if (ret[0])
        return;
    snprintf(program, sizeof program, "%s", p->exe[0] ? p->exe : p->name);
    char *deleted = strstr(program, " (deleted)");
    if (deleted)
        *deleted = 0;
    const char *base = strrchr(program, '/');
    base = base ? base + 1 : program;
    size_t len = read_file(p->pid, "cmdline", text, sizeof text);
    tb_service_script(base, text, len, ret, size);
    if (!ret[0])
        snprintf(ret, size, "%s", base[0] ? base : "unknown");
}

/* ---- rounds ---- */

struct tb_unobserved_scan *tb_unobserved_new(void)
{
    return tb_alloc(sizeof(struct tb_unobserved_scan));
}

void tb_unobserved_free(struct tb_unobserved_scan *scan)
{
    free(scan);
}

/* When @pid started, in ticks since boot; 0: it is not there. */
static uint64_t start_of(pid_t pid)
{
    char text[1024];
    read_file(pid, "stat", text, sizeof text);
    const char *at = strrchr(text, ')'); /* the name before it may hold anything */
    for (int field = 2; at && field < 22; field++)
        at = strchr(at + 1, ' ');
    return at ? strtoull(at + 1, NULL, 10) : 0;
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

static void look_at(struct tb_unobserved_scan *scan, pid_t pid, struct tb_listening *listening)
{
    static struct tb_process process; /* large; one thread */
    struct found new = {.pid = pid, .started = start_of(pid), .round = scan->round};
    bool has_uring = false;
    size_t listens = tb_listening_of(listening, pid, &has_uring);
    struct tb_process_known known = {(int)listens, has_uring};
    if (new.started && listens &&tb_process_read(pid, &known, &process) == 0 && !is_own(&process)) {
        new.why = tb_unobserved_judge(&process);
        if (new.why != TB_OBSERVED)
            tb_unobserved_service(&process, new.service, sizeof new.service);
    }
    /* Read from two processes of one number: neither is told. */
    if (start_of(pid) != new.started)
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

/* Looks at processes from where the last call stopped, until all are seen or the time is up. */
static void walk(struct tb_unobserved_scan *scan, uint64_t budget_ns)
{
    size_t count, i = 0;
    pid_t *pids = list_pids(&count);
    struct tb_listening *listening = tb_listening_new();
    /* The processor's time is what is rationed; the clock's only where many others want the processor too. */
    uint64_t cpu_ns = tb_clock_ns(CLOCK_THREAD_CPUTIME_ID) + budget_ns;
    uint64_t wall_ns = tb_clock_ns(CLOCK_MONOTONIC) + WALL_FACTOR * budget_ns;
    if (!scan->next)
        scan->round++;
    while (i < count && pids[i] < scan->next)
        i++;
    for (; i < count && tb_clock_ns(CLOCK_THREAD_CPUTIME_ID) < cpu_ns && tb_clock_ns(CLOCK_MONOTONIC) < wall_ns; i++)
        look_at(scan, pids[i], listening);
    scan->next = i < count ? pids[i] : 0;
    tb_listening_free(listening, NULL);
    free(pids);
    for (size_t k = scan->count; k-- > 0;)
        if (!scan->next && scan->found[k].round != scan->round)
            remove_at(scan, k);
}

static void drop_ended(struct tb_unobserved_scan *scan)
{
    for (size_t k = scan->count; k-- > 0;)
        if (start_of(scan->found[k].pid) != scan->found[k].started)
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

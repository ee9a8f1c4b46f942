/* SPDX-License-Identifier: Apache-2.0 */
/* Which processes still exist, asked for all at once (processes.h). */
#include "processes.h"

#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "boot.h"
#include "buffer.h"

struct tb_processes *tb_processes_new(size_t max)
{
    struct tb_processes *p = tb_alloc(sizeof *p);
    p->max = max;
    for (size_t i = 0; i < TB_PROCESSES; i++)
        p->fds[i].fd = -1; /* poll passes over it */
    return p;
}

static void forget(struct tb_processes *p, size_t i)
{
    if (p->fds[i].fd < 0)
        return;
    close(p->fds[i].fd);
    p->fds[i] = (struct pollfd){.fd = -1};
    p->of[i].pid = 0;
    p->count--;
}

void tb_processes_free(struct tb_processes *p)
{
    for (size_t i = 0; p && i < TB_PROCESSES; i++)
        forget(p, i);
    free(p);
}

void tb_processes_look(struct tb_processes *p)
{
    if (!p->count)
        return;
    bool is_known = poll(p->fds, TB_PROCESSES, 0) >= 0; /* not with a small RLIMIT_NOFILE */
    for (size_t i = 0; i < TB_PROCESSES; i++) {
        if (!is_known || p->fds[i].revents || !p->of[i].is_asked)
            forget(p, i);
        p->of[i].is_asked = false;
    }
}

bool tb_processes_let_go(struct tb_processes *p)
{
    size_t before = p->count;
    for (size_t i = 0; i < TB_PROCESSES; i++)
        forget(p, i);
    p->max = before / 2;
    return before != 0;
}

/* The descriptor first, then the start: so that both are of one process, if it still lives after. */
static void remember(struct tb_processes *p, size_t i, uint32_t pid)
{
    int fd = -1;
    uint64_t start_ns = 0;
    if (p->fds[i].fd >= 0 || p->count >= p->max)
        return;
#ifdef SYS_pidfd_open
    fd = (int)syscall(SYS_pidfd_open, pid, 0);
#endif
    struct pollfd ended = {.fd = fd, .events = POLLIN};
    if (fd >= 0)
        start_ns = tb_process_started_ns(pid);
    if (!start_ns || start_ns == UINT64_MAX || poll(&ended, 1, 0) != 0) {
        if (fd >= 0)
            close(fd);
        return;
    }
    p->fds[i] = (struct pollfd){.fd = fd, .events = POLLIN};
    p->of[i].pid = pid;
    p->of[i].start_ns = start_ns;
    p->count++;
}

bool tb_processes_is_alive(struct tb_processes *p, uint32_t pid, uint64_t claimed_ns)
{
    size_t i = pid % TB_PROCESSES;
    if (!p)
        return tb_process_is_alive(pid, claimed_ns);
    if (pid && p->of[i].pid != pid)
        remember(p, i, pid);
    if (!pid || p->of[i].pid != pid)
        return tb_process_is_alive(pid, claimed_ns);
    p->of[i].is_asked = true;
    return tb_process_may_have(p->of[i].start_ns, claimed_ns);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Limits and deadlines of clients (http_guard.h). All lists are short: they are walked. */
#include "http_guard.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

#include "boot.h"
#include "buffer.h"

const char *tb_refused_reason(enum tb_refused why)
{
    static const char *const reasons[] = {
#define REFUSED(id, reason) reason,
#include "http_refused.def"
#undef REFUSED
    };
    return reasons[why];
}

static uint64_t now_ns(void)
{
    return tb_clock_ns(CLOCK_MONOTONIC);
}

static void enter(struct tb_client *c, enum tb_client_phase phase, uint64_t time_ns)
{
    c->phase = phase;
    c->since_ns = now_ns();
    c->deadline_ns = c->since_ns + time_ns;
}

static void release_scrape(struct tb_guard *g, struct tb_client *c)
{
    if (!c->is_scrape)
        return;
    g->scrapes--;
    g->held -= c->held;
    c->is_scrape = false;
    c->held = 0;
}

/* Its places are free from now on; the library closes it, and frees what it holds, in its next round. */
static void let_go(struct tb_guard *g, struct tb_client *c)
{
    shutdown(c->fd, SHUT_RDWR);
    c->is_going = true;
    g->connections--;
    release_scrape(g, c);
}

/* Who has been in @phase for longest; NULL when nobody is. */
static struct tb_client *oldest(const struct tb_guard *g, enum tb_client_phase phase)
{
    struct tb_client *found = NULL;
    for (struct tb_client *c = g->clients; c; c = c->next)
        if (!c->is_going && c->phase == phase && (!found || c->since_ns < found->since_ns))
            found = c;
    return found;
}

bool tb_guard_admit(struct tb_guard *g)
{
    if (!g->connections_max || g->connections < g->connections_max)
        return true;
    struct tb_client *c = oldest(g, TB_CLIENT_HEAD);
    if (!c)
        c = oldest(g, TB_CLIENT_KEPT);
    if (c)
        let_go(g, c);
    g->refused[TB_REFUSED_CONNECTIONS]++; /* the new one, or the one that made room */
    return c;
}

struct tb_client *tb_guard_add(struct tb_guard *g, int fd)
{
    struct tb_client *c = tb_alloc(sizeof *c);
    c->fd = fd;
    enter(c, TB_CLIENT_HEAD, TB_HEAD_NS);
    c->next = g->clients;
    if (c->next)
        c->next->prev = c;
    g->clients = c;
    g->connections++;
    return c;
}

void tb_guard_remove(struct tb_guard *g, struct tb_client *c)
{
    release_scrape(g, c);
    g->connections -= !c->is_going;
    if (c->prev)
        c->prev->next = c->next;
    else
        g->clients = c->next;
    if (c->next)
        c->next->prev = c->prev;
    free(c);
}

/* A first head's time runs since the connection was made. */
void tb_guard_line(struct tb_client *c)
{
    c->has_asked = true;
    if (c->phase == TB_CLIENT_KEPT)
        enter(c, TB_CLIENT_HEAD, TB_HEAD_NS);
}

void tb_guard_asked(struct tb_client *c)
{
    enter(c, TB_CLIENT_ANSWER, TB_ANSWER_NS);
}

void tb_guard_finish(struct tb_guard *g, struct tb_client *c)
{
    release_scrape(g, c);
    enter(c, TB_CLIENT_KEPT, TB_KEEP_NS);
}

void tb_guard_hurry(struct tb_client *c, uint64_t deadline_ns)
{
    if (deadline_ns < c->deadline_ns)
        c->deadline_ns = deadline_ns;
}

static bool is_room(const struct tb_guard *g, size_t bytes)
{
    return (!g->scrapes_max || g->scrapes < g->scrapes_max) &&
           (!g->scrapes || (bytes <= TB_HELD_BYTES_MAX && g->held <= TB_HELD_BYTES_MAX - bytes));
}

/* The slowest reader of a scrape, when it is slow. */
static struct tb_client *slow_reader(const struct tb_guard *g)
{
    struct tb_client *found = NULL;
    for (struct tb_client *c = g->clients; c; c = c->next)
        if (c->is_scrape && (!found || c->since_ns < found->since_ns))
            found = c;
    return found && now_ns() - found->since_ns > TB_SLOW_NS ? found : NULL;
}

bool tb_guard_scrape_admit(struct tb_guard *g, size_t bytes)
{
    struct tb_client *slow;
    while (!is_room(g, bytes) && (slow = slow_reader(g))) {
        let_go(g, slow);
        g->refused[TB_REFUSED_SLOW_READER]++;
    }
    if (is_room(g, bytes))
        return true;
    g->refused[TB_REFUSED_SCRAPES]++;
    return false;
}

void tb_guard_scrape(struct tb_guard *g, struct tb_client *c, size_t bytes)
{
    c->is_scrape = true;
    c->held = bytes;
    g->scrapes++;
    g->held += bytes;
}

void tb_guard_sweep(struct tb_guard *g)
{
    uint64_t now = now_ns();
    if (now - g->swept_ns < TB_SECOND_NS)
        return;
    g->swept_ns = now;
    for (struct tb_client *c = g->clients; c; c = c->next) {
        if (c->is_going || now <= c->deadline_ns)
            continue;
        let_go(g, c);
        if (c->phase != TB_CLIENT_KEPT) /* who asked for nothing is refused nothing */
            g->refused[c->phase == TB_CLIENT_HEAD ? TB_REFUSED_SLOW_REQUEST : TB_REFUSED_SLOW_READER]++;
    }
}

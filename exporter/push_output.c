/* SPDX-License-Identifier: Apache-2.0 */
/* An output at work (push_output.h). The lock covers what threads share: the snapshot that waits, and the numbers. */
#include "push_output.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

#include "boot.h"
#include "log.h"
#include "push_state.h"
#include "push_transport.h"

#define SECOND UINT64_C(1000000000)
#define WAIT_FIRST (SECOND / 4) /* between attempts: doubled each time, with jitter */
#define WAIT_MOST (60 * SECOND)

struct tb_push_output {
    const struct tb_push_output_config *config;
    const struct tb_push_transport *transport;
    struct tb_push_state *state;
    void *sender;      /* NULL until the first request */
    unsigned failures; /* of the head, in a row */
    uint64_t next_ns;  /* when it may be tried again, CLOCK_MONOTONIC */
    struct tb_push_stop stop;

    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool has_thread, has_snapshot;
    struct tb_push_snapshot snapshot; /* valid if has_snapshot */
    struct tb_push_stats stats;
    pthread_t thread;
};

int tb_push_output_new(const struct tb_push_output_config *c, const char *dir, bool is_once,
                       struct tb_push_output **ret)
{
    struct tb_push_output *o = tb_alloc(sizeof *o);
    pthread_condattr_t monotonic;
    o->config = c;
    atomic_init(&o->stop.after_ns, UINT64_MAX);
    o->transport = tb_push_transport_find(c->kind);
    int r = tb_push_state_open(dir, c->name, true, tb_clock_ns(CLOCK_REALTIME), &o->state);
    if (r < 0) {
        free(o);
        return r;
    }
    bool is_whole = c->start == TB_PUSH_START_BEGINNING || (c->start == TB_PUSH_START_DEFAULT && is_once);
    if (is_whole && tb_push_state_is_new(o->state))
        tb_push_state_set_born(o->state, 0);
    pthread_mutex_init(&o->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&o->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    *ret = o;
    return 0;
}

const struct tb_push_output_config *tb_push_output_config(const struct tb_push_output *o)
{
    return o->config;
}

/* --- snapshots -------------------------------------------------------------------------------------------------------
 */

static void count(struct tb_push_output *o, uint64_t *number, uint64_t by)
{
    pthread_mutex_lock(&o->lock);
    *number += by;
    o->stats.waiting_requests = tb_push_state_requests(o->state);
    o->stats.waiting_bytes = tb_push_state_bytes(o->state);
    pthread_mutex_unlock(&o->lock);
}

int tb_push_output_snapshot(struct tb_push_output *o, const struct tb_push_snapshot *s)
{
    const struct tb_push_output_config *c = o->config;
    struct tb_points points = {.time_ns = s->time_ns, .from_ns = tb_push_state_taken_ns(o->state)};
    struct tb_push_requests requests = {0};
    if (tb_push_state_bytes(o->state) >= c->queue_bytes) {
        count(o, &o->stats.skipped_snapshots, 1);
        return 0;
    }
    if (!points.from_ns)
        points.from_ns = tb_push_state_born_ns(o->state);
    tb_points_make(c, &s->exposition, tb_push_takes_totals(c) ? NULL : o->state, &points);
    c->kind->encode(c, &points, &requests);
    int r = tb_push_state_commit(o->state, s->time_ns, &requests);
    if (r < 0)
        tb_log(TB_LOG_ERROR, "push state not written: the next snapshot has what this one counted", "output", c->name,
               "error", strerror(-r), NULL);
    count(o, r < 0 ? &o->stats.skipped_snapshots : &o->stats.unfit_points, r < 0 ? 1 : requests.left_out);
    for (size_t i = 0; i < requests.count; i++)
        free(requests.items[i].body);
    free(requests.items);
    tb_points_free(&points);
    return r;
}

/* --- requests --------------------------------------------------------------------------------------------------------
 */

/* 2^failures quarters of a second, up to a minute, of which a random half is left out so that many exporters do not
 * come back at one moment; never before the receiver asks for it. */
static uint64_t wait_ns(unsigned failures, uint64_t asked_ns)
{
    uint64_t most = failures < 9 ? WAIT_FIRST << failures : WAIT_MOST, random = 0;
    most = most < WAIT_MOST ? most : WAIT_MOST;
    if (getrandom(&random, sizeof random, GRND_NONBLOCK) != sizeof random)
        random = tb_clock_ns(CLOCK_MONOTONIC);
    uint64_t wait = most / 2 + random % (most / 2);
    return wait > asked_ns ? wait : asked_ns < 10 * WAIT_MOST ? asked_ns : 10 * WAIT_MOST;
}

/* The head is accepted or given up. */
static void end_head(struct tb_push_output *o, uint64_t *points_number, uint32_t points)
{
    int r = tb_push_state_done(o->state);
    if (r < 0)
        tb_log(TB_LOG_WARN, "push state not written: after a restart a request may be sent again", "output",
               o->config->name, "error", strerror(-r), NULL);
    o->failures = 0;
    o->next_ns = 0;
    count(o, points_number, points);
}

static void log_verdict(const struct tb_push_output *o, const struct tb_push_verdict *v, uint32_t points)
{
    static const char *const words[] = {"", "push not accepted: it is tried again", "push refused: its points are lost",
                                        "push without an answer: it may have been accepted"};
    char number[16];
    snprintf(number, sizeof number, "%u", points);
    /* one line for a receiver that is away, not one for each attempt */
    tb_log(v->outcome == TB_PUSH_AGAIN && o->failures > 1 ? TB_LOG_DEBUG : TB_LOG_WARN, words[v->outcome], "output",
           o->config->name, "points", number, "error", v->why, NULL);
}

static void accepted(struct tb_push_output *o, uint32_t points, uint32_t rejected)
{
    if (o->failures)
        tb_log(TB_LOG_INFO, "push accepted again", "output", o->config->name, NULL);
    count(o, &o->stats.accepted_requests, 1);
    count(o, &o->stats.refused_points, rejected);
    end_head(o, &o->stats.accepted_points, points - rejected);
    pthread_mutex_lock(&o->lock);
    o->stats.success_ns = tb_clock_ns(CLOCK_REALTIME);
    pthread_mutex_unlock(&o->lock);
}

static void try_again(struct tb_push_output *o, const struct tb_push_verdict *v)
{
    count(o, &o->stats.failed_requests, 1);
    o->next_ns = tb_clock_ns(CLOCK_MONOTONIC) + wait_ns(o->failures, v->wait_ns);
    o->failures++;
}

static void settle(struct tb_push_output *o, const struct tb_push_verdict *v, uint32_t points)
{
    switch (v->outcome) {
    case TB_PUSH_ACCEPTED:
        accepted(o, points, v->rejected < points ? v->rejected : points);
        return;
    case TB_PUSH_AGAIN:
        try_again(o, v);
        break;
    case TB_PUSH_REFUSED:
        end_head(o, &o->stats.refused_points, points);
        break;
    case TB_PUSH_UNCERTAIN:
        count(o, &o->stats.uncertain_requests, 1);
        if (o->config->drops_uncertain)
            end_head(o, &o->stats.uncertain_points, points);
        else
            try_again(o, v);
        break;
    }
    log_verdict(o, v, points);
}

static bool is_expired(const struct tb_push_output *o, const struct tb_push_request *r)
{
    uint64_t now = tb_clock_ns(CLOCK_REALTIME);
    return o->config->kind->max_age_ns && now > r->time_ns && now - r->time_ns > o->config->kind->max_age_ns;
}

/* The oldest request, once. It is written down before that it is being sent only where that matters later. */
static void send_head(struct tb_push_output *o)
{
    bool was_started = false;
    const struct tb_push_request *r = tb_push_state_head(o->state, &was_started);
    struct tb_push_verdict v = {.outcome = TB_PUSH_UNCERTAIN, .why = "the exporter ended while it was sent"};
    if (is_expired(o, r)) {
        tb_log(TB_LOG_WARN, "push too old for the receiver: its points are lost", "output", o->config->name, NULL);
        end_head(o, &o->stats.expired_points, r->points);
        return;
    }
    if (o->config->drops_uncertain && !was_started) {
        int written = tb_push_state_begin(o->state);
        v = (struct tb_push_verdict){.outcome = TB_PUSH_AGAIN, .why = "the push state cannot be written"};
        if (written < 0) {
            settle(o, &v, r->points);
            return;
        }
    }
    if (!o->config->drops_uncertain || !was_started) {
        if (!o->sender)
            o->sender = o->transport->open(o->config, &o->stop);
        v = (struct tb_push_verdict){.outcome = TB_PUSH_AGAIN};
        o->transport->send(o->sender, r, &v);
    }
    /* Told to stop: what became of it the next exporter has to find out. */
    if (!tb_push_must_stop(&o->stop) || v.outcome != TB_PUSH_UNCERTAIN)
        settle(o, &v, r->points);
}

int tb_push_output_drain(struct tb_push_output *o, unsigned attempts, uint64_t deadline_ns)
{
    bool was_started;
    atomic_store(&o->stop.after_ns, deadline_ns);
    while (tb_push_state_head(o->state, &was_started)) {
        uint64_t now = tb_clock_ns(CLOCK_MONOTONIC), wait = o->next_ns > now ? o->next_ns - now : 0;
        struct timespec pause = {(time_t)(wait / SECOND), (long)(wait % SECOND)};
        if (o->failures >= attempts || now >= deadline_ns)
            return -EAGAIN;
        nanosleep(&pause, NULL);
        send_head(o);
    }
    return o->stats.refused_points || o->stats.uncertain_points || o->stats.expired_points ? -EREMOTEIO : 0;
}

/* --- the thread ------------------------------------------------------------------------------------------------------
 */

/* Until there is something to do. Returns false to end; *@ret then is empty. */
static bool wait_for_work(struct tb_push_output *o, struct tb_push_snapshot *ret, bool *ret_has_snapshot)
{
    bool was_started;
    pthread_mutex_lock(&o->lock);
    while (!o->has_snapshot && !tb_push_must_stop(&o->stop)) {
        bool has_head = tb_push_state_head(o->state, &was_started) != NULL;
        struct timespec until = {(time_t)(o->next_ns / SECOND), (long)(o->next_ns % SECOND)};
        if (has_head && tb_clock_ns(CLOCK_MONOTONIC) >= o->next_ns)
            break;
        if (has_head)
            pthread_cond_timedwait(&o->changed, &o->lock, &until);
        else
            pthread_cond_wait(&o->changed, &o->lock);
    }
    *ret_has_snapshot = o->has_snapshot;
    *ret = o->has_snapshot ? o->snapshot : (struct tb_push_snapshot){0};
    o->has_snapshot = false;
    bool goes_on = !tb_push_must_stop(&o->stop);
    pthread_mutex_unlock(&o->lock);
    return goes_on;
}

static void *work(void *arg)
{
    struct tb_push_output *o = arg;
    struct tb_push_snapshot s;
    bool has_snapshot, was_started;
    while (wait_for_work(o, &s, &has_snapshot)) {
        if (has_snapshot)
            (void)tb_push_output_snapshot(o, &s);
        tb_exposition_free(&s.exposition);
        if (tb_push_state_head(o->state, &was_started) && tb_clock_ns(CLOCK_MONOTONIC) >= o->next_ns)
            send_head(o);
    }
    tb_exposition_free(&s.exposition);
    return NULL;
}

int tb_push_output_start(struct tb_push_output *o)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are the main thread's */
    int r = -pthread_create(&o->thread, NULL, work, o);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    o->has_thread = r == 0;
    return r;
}

void tb_push_output_stop(struct tb_push_output *o)
{
    if (o->has_thread) {
        pthread_mutex_lock(&o->lock);
        atomic_store(&o->stop.is_told, true);
        pthread_cond_signal(&o->changed);
        pthread_mutex_unlock(&o->lock);
        pthread_join(o->thread, NULL);
        o->has_thread = false;
        atomic_store(&o->stop.is_told, false);
    }
    o->failures = 0;
    o->next_ns = 0;
}

void tb_push_output_free(struct tb_push_output *o)
{
    if (!o)
        return;
    tb_push_output_stop(o);
    if (o->has_snapshot)
        tb_exposition_free(&o->snapshot.exposition);
    if (o->sender)
        o->transport->close(o->sender);
    tb_push_state_close(o->state);
    pthread_cond_destroy(&o->changed);
    pthread_mutex_destroy(&o->lock);
    free(o);
}

void tb_push_output_give(struct tb_push_output *o, struct tb_push_snapshot *s)
{
    pthread_mutex_lock(&o->lock);
    if (o->has_snapshot) {
        tb_exposition_free(&o->snapshot.exposition);
        o->stats.skipped_snapshots++;
    }
    o->snapshot = *s;
    o->has_snapshot = true;
    pthread_cond_signal(&o->changed);
    pthread_mutex_unlock(&o->lock);
    *s = (struct tb_push_snapshot){0};
}

void tb_push_output_stats(struct tb_push_output *o, struct tb_push_stats *ret)
{
    pthread_mutex_lock(&o->lock);
    *ret = o->stats;
    pthread_mutex_unlock(&o->lock);
}

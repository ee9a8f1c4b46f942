/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The thread of the inlets that ask (inlet_pull.h): libcurl's multi interface runs transfers and waits for whatever
 * other descriptors a source has. The lock covers the list of what was added and what was read; everything else of an
 * inlet is the thread's, which also frees it.
 */
#include "inlet_pull.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

#include "boot.h"
#include "curl.h"
#include "inlet_helper.h"
#include "inlet_json.h"
#include "inlet_source.h"
#include "log.h"

#define SECOND UINT64_C(1000000000)
#define GRACE_NS SECOND /* beyond its time limit, for what libcurl did not end itself */
#define WAIT_MS 1000    /* at most, for what is told without a wake-up */

struct tb_pull {
    struct tb_pull *next; /* of those of the thread, or those that are new */
    struct tb_puller *puller;
    struct tb_pull_config *config; /* owned */
    const struct tb_pull_source *kind;
    void *source; /* owned */
    atomic_bool is_ended;

    struct tb_pull_read read; /* valid while is_running */
    bool is_running, has_begun;
    bool is_transferred;       /* the transfer of the read is over, if it has one */
    uint64_t began_ns, due_ns; /* CLOCK_MONOTONIC */
    char why[200];             /* as it was logged last */

    /* under the lock */
    bool has_read, has_set;
    struct tb_inlet_set set; /* valid if has_set */
    uint64_t set_ns;         /* of what was read last that was good, CLOCK_MONOTONIC; 0 = nothing */
    struct tb_inlet_stats stats;
};

struct tb_puller {
    struct tb_helper *helper; /* NULL: there is none */
    CURLM *multi;             /* NULL until something is added */
    struct tb_pull *jobs;     /* the thread's */
    pthread_t thread;
    bool is_started, has_thread;
    atomic_bool is_told; /* to end */
    pthread_mutex_t lock;
    pthread_cond_t changed;   /* something was read */
    struct tb_pull *new_jobs; /* under the lock, as is the count of those that were never read */
    size_t unread;
    uint64_t longest_ns; /* of all time limits */
};

static const struct tb_pull_source *source_of(enum tb_inlet_type type)
{
    static const struct tb_pull_source *const sources[TB_INLET_TYPES] = {
        [TB_INLET_JSON] = &tb_pull_json,
#if TB_HAS_HIREDIS
        [TB_INLET_REDIS] = &tb_pull_redis,
#endif
        [TB_INLET_COMMAND] = &tb_pull_command,
    };
    return sources[type];
}

struct tb_puller *tb_puller_new(void)
{
    pthread_condattr_t monotonic;
    struct tb_puller *p = tb_alloc(sizeof *p);
    tb_inlet_json_set_up();
    pthread_mutex_init(&p->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&p->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    return p;
}

void tb_puller_remove(struct tb_pull *j)
{
    if (!j)
        return;
    struct tb_puller *p = j->puller;
    atomic_store(&j->is_ended, true);
    curl_multi_wakeup(p->multi);
}

/* --- one read --------------------------------------------------------------------------------------------------------
 */

/* The first reads of all are at once; from then on each has a place of its own in its interval. */
static uint64_t next_due(const struct tb_pull *j, uint64_t now)
{
    const uint64_t interval = j->config->interval_ns;
    uint64_t random = 0;
    if (j->has_begun)
        return j->began_ns + interval > now ? j->began_ns + interval : now;
    if (getrandom(&random, sizeof random, GRND_NONBLOCK) != sizeof random)
        random = now;
    return now + interval / 2 + random % (interval / 2);
}

/* But for numbers, such as the milliseconds that something took. */
static bool is_same_text(const char *a, const char *b)
{
    static const char digits[] = "0123456789";
    for (;; a++, b++) {
        a += strspn(a, digits);
        b += strspn(b, digits);
        if (*a != *b || !*a)
            return *a == *b;
    }
}

/* Once for each new reason. */
static void tell(struct tb_pull *j)
{
    const struct tb_pull_answer *a = &j->read.answer;
    if (is_same_text(j->why, a->why))
        return;
    if (!a->is_good)
        tb_log(TB_LOG_WARN, "inlet could not be read: what it had is shown until it is too old", "inlet",
               j->config->name, "error", a->why, NULL);
    else if (*a->why)
        tb_log(TB_LOG_WARN, "inlet has samples that are not shown", "inlet", j->config->name, "first", a->why, NULL);
    else
        tb_log(TB_LOG_INFO, "inlet is read without fault again", "inlet", j->config->name, NULL);
    memcpy(j->why, a->why, sizeof j->why);
}

/* What was read goes to whoever scrapes. */
static void publish(struct tb_pull *j, uint64_t now)
{
    struct tb_puller *p = j->puller;
    struct tb_pull_answer *a = &j->read.answer;
    pthread_mutex_lock(&p->lock);
    for (size_t i = 0; i < TB_INLET_REASONS; i++)
        j->stats.refused[i] += a->refused[i];
    j->stats.accepted += a->accepted;
    j->stats.is_up = a->is_good;
    j->stats.duration_ns = now - j->began_ns;
    if (a->is_good) {
        tb_inlet_set_free(&j->set);
        j->set = a->set;
        a->set = (struct tb_inlet_set){0};
        j->has_set = true;
        j->set_ns = now;
    }
    if (a->is_good && !*a->why)
        j->stats.success_ns = tb_clock_ns(CLOCK_REALTIME);
    p->unread -= !j->has_read;
    j->has_read = true;
    pthread_cond_broadcast(&p->changed);
    pthread_mutex_unlock(&p->lock);
}

static void stop(struct tb_pull *j)
{
    if (j->read.transfer)
        curl_multi_remove_handle(j->puller->multi, j->read.transfer);
    j->kind->end(j->source);
    j->is_running = false;
}

static void finish(struct tb_pull *j)
{
    const uint64_t now = tb_clock_ns(CLOCK_MONOTONIC);
    stop(j);
    tell(j);
    publish(j, now);
    tb_pull_answer_free(&j->read.answer);
    j->due_ns = next_due(j, now);
    j->has_begun = true;
}

static void begin(struct tb_pull *j, uint64_t now)
{
    j->read = (struct tb_pull_read){.fd = {.fd = -1}};
    j->began_ns = now;
    j->is_running = true;
    j->is_transferred = false;
    if (!j->kind->begin(j->source, &j->read)) {
        j->read.transfer = NULL;
        finish(j);
        return;
    }
    if (j->read.transfer) {
        curl_easy_setopt(j->read.transfer, CURLOPT_PRIVATE, j);
        curl_multi_add_handle(j->puller->multi, j->read.transfer);
    }
}

static void step(struct tb_pull *j, CURLcode result)
{
    if (!j->kind->step(j->source, &j->read, result))
        finish(j);
}

/* Begins or ends what is due. Returns when there is something to do again. */
static uint64_t tend(struct tb_pull *j, uint64_t now)
{
    if (!j->is_running && now >= j->due_ns)
        begin(j, now);
    if (!j->is_running)
        return j->due_ns;
    const bool has_limit = j->read.transfer && !j->is_transferred; /* of libcurl's, which says more */
    const uint64_t end = j->began_ns + j->config->timeout_ns + (has_limit ? GRACE_NS : 0);
    if (now < end)
        return end;
    tb_pull_fail(&j->read.answer, TB_INLET_TIMEOUT, "no answer within its time limit");
    finish(j);
    return j->due_ns;
}

/* --- all of them -----------------------------------------------------------------------------------------------------
 */

static void free_job(struct tb_pull *j)
{
    if (j->is_running)
        stop(j);
    if (j->source)
        j->kind->close(j->source);
    tb_pull_answer_free(&j->read.answer);
    tb_inlet_set_free(&j->set);
    tb_pull_config_free(j->config);
    free(j);
}

/* Takes new ones in, and lets those go that have ended. */
static void sweep(struct tb_puller *p)
{
    pthread_mutex_lock(&p->lock);
    for (struct tb_pull *j; (j = p->new_jobs);) {
        p->new_jobs = j->next;
        j->next = p->jobs;
        p->jobs = j;
    }
    for (struct tb_pull *j = p->jobs; j; j = j->next)
        if (atomic_load(&j->is_ended) && !j->has_read) {
            p->unread--;
            j->has_read = true;
        }
    pthread_mutex_unlock(&p->lock);
    for (struct tb_pull **at = &p->jobs, *j; (j = *at);) {
        if (!j->source)
            j->source = j->kind->open(j->config, p->helper);
        if (atomic_load(&j->is_ended)) {
            *at = j->next;
            free_job(j);
        } else {
            at = &j->next;
        }
    }
}

static void run_transfers(struct tb_puller *p)
{
    int running, left;
    curl_multi_perform(p->multi, &running);
    for (CURLMsg *m; (m = curl_multi_info_read(p->multi, &left));) {
        struct tb_pull *j = NULL;
        const CURLcode result = m->data.result;
        if (m->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&j);
        j->is_transferred = true;
        step(j, result);
    }
}

/* Waits for any descriptor, until @next_ns. */
static void wait_for_any(struct tb_puller *p, uint64_t next_ns)
{
    struct curl_waitfd fds[TB_INLETS_MAX];
    struct tb_pull *of[TB_INLETS_MAX];
    unsigned count = 0;
    for (struct tb_pull *j = p->jobs; j && count < TB_INLETS_MAX; j = j->next)
        if (j->is_running && j->read.fd.fd >= 0) {
            of[count] = j;
            fds[count++] = j->read.fd;
        }
    const uint64_t now = tb_clock_ns(CLOCK_MONOTONIC), ms = next_ns > now ? (next_ns - now) / 1000000 + 1 : 0;
    curl_multi_poll(p->multi, fds, count, ms < WAIT_MS ? (int)ms : WAIT_MS, NULL);
    for (unsigned i = 0; i < count; i++)
        if (fds[i].revents)
            step(of[i], CURLE_OK);
}

static void *work(void *arg)
{
    struct tb_puller *p = arg;
    while (!atomic_load(&p->is_told)) {
        const uint64_t now = tb_clock_ns(CLOCK_MONOTONIC);
        uint64_t next_ns = UINT64_MAX;
        sweep(p);
        for (struct tb_pull *j = p->jobs; j; j = j->next) {
            const uint64_t due = tend(j, now);
            next_ns = due < next_ns ? due : next_ns;
        }
        run_transfers(p);
        wait_for_any(p, next_ns);
    }
    return NULL;
}

static void start_thread(struct tb_puller *p)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are the main thread's */
    const int r = pthread_create(&p->thread, NULL, work, p);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    p->has_thread = r == 0;
    if (r)
        tb_log(TB_LOG_ERROR, "inlets that ask are not read: no thread", "error", strerror(r), NULL);
}

void tb_puller_fork(struct tb_puller *p)
{
    struct tb_pull_config *commands[TB_INLETS_MAX];
    size_t count = 0;
    for (const struct tb_pull *j = p->new_jobs; j && count < TB_INLETS_MAX; j = j->next)
        if (j->config->type == TB_INLET_COMMAND)
            commands[count++] = j->config;
    if (!count)
        return;
    p->helper = tb_helper_start(commands, count);
    if (!p->helper)
        tb_log(TB_LOG_ERROR, "no commands of inlets are run: no process", "error", strerror(errno), NULL);
}

void tb_puller_start(struct tb_puller *p)
{
    p->is_started = true;
    if (p->multi)
        start_thread(p);
}

struct tb_pull *tb_puller_add(struct tb_puller *p, struct tb_pull_config *c)
{
    struct tb_pull *j = tb_alloc(sizeof *j);
    j->puller = p;
    j->config = c;
    j->kind = source_of(c->type);
    if (!p->multi)
        p->multi = tb_curl_multi();
    pthread_mutex_lock(&p->lock);
    j->next = p->new_jobs;
    p->new_jobs = j;
    p->unread++;
    p->longest_ns = p->longest_ns > c->timeout_ns ? p->longest_ns : c->timeout_ns;
    pthread_mutex_unlock(&p->lock);
    if (p->is_started && !p->has_thread)
        start_thread(p);
    curl_multi_wakeup(p->multi);
    return j;
}

void tb_puller_free(struct tb_puller *p)
{
    if (!p)
        return;
    atomic_store(&p->is_told, true);
    if (p->has_thread) {
        curl_multi_wakeup(p->multi);
        pthread_join(p->thread, NULL);
    }
    for (struct tb_pull *j; (j = p->jobs ? p->jobs : p->new_jobs);) {
        *(p->jobs ? &p->jobs : &p->new_jobs) = j->next;
        free_job(j);
    }
    if (p->multi)
        curl_multi_cleanup(p->multi);
    tb_helper_stop(p->helper);
    pthread_mutex_destroy(&p->lock);
    pthread_cond_destroy(&p->changed);
    free(p);
}

void tb_puller_settle(struct tb_puller *p)
{
    pthread_mutex_lock(&p->lock);
    const uint64_t end_ns = tb_clock_ns(CLOCK_MONOTONIC) + p->longest_ns + 2 * GRACE_NS;
    const struct timespec end = {.tv_sec = (time_t)(end_ns / SECOND), .tv_nsec = (long)(end_ns % SECOND)};
    for (int r = 0; p->has_thread && p->unread && !r;)
        r = pthread_cond_timedwait(&p->changed, &p->lock, &end);
    pthread_mutex_unlock(&p->lock);
}

/* --- to whoever scrapes ----------------------------------------------------------------------------------------------
 */

bool tb_pull_take(struct tb_pull *j, struct tb_inlet_set *set, struct tb_inlet_stats *stats)
{
    const uint64_t collisions = stats->refused[TB_INLET_COLLISION]; /* whoever shows counts those */
    pthread_mutex_lock(&j->puller->lock);
    const bool is_old = j->set_ns && tb_clock_ns(CLOCK_MONOTONIC) - j->set_ns > j->config->stale_ns;
    const bool is_changed = j->has_set || (is_old && set->count);
    if (j->has_set)
        tb_inlet_set_replace(set, &j->set);
    j->has_set = false;
    *stats = j->stats;
    pthread_mutex_unlock(&j->puller->lock);
    if (is_old)
        tb_inlet_set_free(set);
    stats->refused[TB_INLET_COLLISION] = collisions;
    return is_changed;
}

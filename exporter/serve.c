/* SPDX-License-Identifier: Apache-2.0 */
/* Serving: the HTTP side, signals, and what is done from time to time, in one loop (exporter.h). */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "boot.h"
#include "exporter.h"
#include "forget.h"
#include "log.h"
#include "notify.h"
#include "stale.h"

/* The page and the API show what was collected so long ago at most; a scrape always collects. */
#define LOOK_NS UINT64_C(1000000000)

#define FINISH_NS UINT64_C(3000000000) /* for the last push */

/* Something that is done again and again. */
struct timer {
    uint64_t due_ns, interval_ns; /* CLOCK_MONOTONIC; interval 0 = never */
    void (*run)(struct tb_exporter *e);
};

/* --- what pages ask --------------------------------------------------------------------------------------------------
 */

static int on_scrape(void *arg, const struct tb_scrape_ask *ask, struct tb_exposition *ret)
{
    struct tb_scrape_options options = {ask->encoding, ask->filter, ask->deadline_ns, false, false};
    return tb_exporter_scrape(arg, &options, ret);
}

static void on_scraped(void *arg, unsigned code)
{
    struct tb_exporter *e = arg;
    tb_self_count_scrape(&e->self, code);
}

static bool is_ready(void *arg)
{
    const struct tb_exporter *e = arg;
    return e->collected_ns != 0;
}

static int on_look(void *arg, struct tb_look *ret)
{
    struct tb_exporter *e = arg;
    int r = 0;
    if (!e->collected_ns || e->is_partial || tb_clock_ns(CLOCK_MONOTONIC) - e->collected_ns > LOOK_NS)
        r = tb_exporter_collect(e, UINT64_MAX);
    *ret = (struct tb_look){
        .snapshot = tb_collector_snapshot(e->collector),
        .history = e->history,
        .now_ns = e->collected_ns,
        .started_ns = tb_self_started_ns(),
        .ledger = tb_ledger_is_writer(e->ledger) ? "writable"
                  : e->ledger                    ? "read_only"
                                                 : "none",
    };
    return r;
}

/* Both files again, in force at once. False: one of them is wrong; the log says how. */
static bool reload(void *arg)
{
    struct tb_exporter *e = arg;
    tb_notify_reloading();
    bool is_good = !e->web || tb_web_again(e->web, true);
    if (tb_exporter_read(e, true, UINT64_MAX) == 0)
        tb_exporter_publish(e);
    tb_notify_ready();
    return is_good && (!e->reload.config || e->reload.is_successful);
}

/* --- set-up ----------------------------------------------------------------------------------------------------------
 */

static void say_where(const struct tb_exporter *e, const char *path)
{
    for (size_t i = 0; i < e->listeners.count; i++) {
        char *address = tb_listener_name(e->listeners.fds[i]), port[8];
        snprintf(port, sizeof port, "%u", tb_listener_port(e->listeners.fds[i]));
        tb_log(TB_LOG_INFO, "listening", "address", address, "port", port, "path", path, "tls",
               e->web && tb_web_tls(e->web) ? "on" : "off", "version", TB_VERSION, NULL);
        free(address);
    }
}

static struct tb_pages *make_pages(struct tb_exporter *e, struct tb_http_options *ret)
{
    struct tb_pages_options options = {
        .telemetry_path = tb_option_text(&e->options, TB_OPTION_TELEMETRY_PATH),
        .scrape = on_scrape,
        .scraped = on_scraped,
        .is_ready = is_ready,
        .reload = tb_option_is_on(&e->options, TB_OPTION_ENABLE_LIFECYCLE) ? reload : NULL,
        .totals = &e->self.responses,
        .has_created_samples = tb_option_is_on(&e->options, TB_OPTION_CREATED_SAMPLES),
        .look = on_look,
        .arg = e,
    };
    say_where(e, options.telemetry_path);
    return tb_pages_new(&options, ret);
}

static int start_http(struct tb_exporter *e, struct tb_pages **ret_pages, struct tb_http **ret, char **ret_error)
{
    struct tb_http_options options = {
        .connections_max = tb_option_number(&e->options, TB_OPTION_MAX_CONNECTIONS),
        .scrapes_max = tb_option_number(&e->options, TB_OPTION_MAX_REQUESTS),
        .web = e->web,
    };
    *ret_pages = make_pages(e, &options);
    int r = tb_http_start(&options, &e->listeners, ret, ret_error);
    e->self.guard = r < 0 ? NULL : tb_http_guard(*ret);
    e->self.web = e->web;
    return r;
}

static int catch_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* --- from time to time -----------------------------------------------------------------------------------------------
 */

/* Folds what is dead for long enough, whether or not anybody scrapes. */
static void keep_house(struct tb_exporter *e)
{
    if (!tb_ledger_is_writer(e->ledger) && tb_ledger_try_lock(e->ledger))
        tb_log(TB_LOG_INFO, "this exporter now keeps the ledger", NULL);
    (void)tb_forget_obey(e->collector);
    if (tb_ledger_is_writer(e->ledger))
        (void)tb_stale_remove(e->collector, e->fold.unlink_after_ns);
    int r = tb_exporter_read(e, false, UINT64_MAX);
    if (!r) {
        e->collected_ns = tb_clock_ns(CLOCK_MONOTONIC);
        tb_exporter_publish(e);
        tb_history_tend(e->history, tb_collector_snapshot(e->collector), e->collected_ns);
        r = tb_fold(e->collector, &e->fold);
        (void)tb_expiry_run(e->expiry, e->collector, e->forget_after_ns, tb_clock_ns(CLOCK_BOOTTIME));
    }
    if (r < 0)
        tb_log(TB_LOG_ERROR, "dead regions not folded", "error", strerror(-r), NULL);
    else if (r > 0)
        tb_log(TB_LOG_DEBUG, "dead regions folded", NULL);
}

static uint64_t house_interval_ns(const struct tb_exporter *e)
{
    uint64_t ns = e->fold.fold_after_ns / 2;
    return ns < TB_SECOND_NS ? TB_SECOND_NS : ns > 30 * TB_SECOND_NS ? 30 * TB_SECOND_NS : ns;
}

static void write_textfile(struct tb_exporter *e)
{
    (void)tb_exporter_textfile(e);
}

static void tell_watchdog(struct tb_exporter *e)
{
    (void)e;
    tb_notify("WATCHDOG=1");
}

static uint64_t textfile_interval_ns(const struct tb_exporter *e)
{
    uint64_t ns = tb_option_ns(&e->options, TB_OPTION_TEXTFILE_INTERVAL);
    return !*tb_option_text(&e->options, TB_OPTION_TEXTFILE) ? 0 : ns < TB_SECOND_NS ? TB_SECOND_NS : ns;
}

/* Runs what is due. Returns when the next is, CLOCK_MONOTONIC. */
static uint64_t run_timers(struct tb_exporter *e, struct timer *timers, size_t count)
{
    uint64_t next_ns = UINT64_MAX;
    for (size_t i = 0; i < count; i++) {
        struct timer *t = &timers[i];
        if (!t->interval_ns)
            continue;
        if (tb_clock_ns(CLOCK_MONOTONIC) >= t->due_ns) {
            t->run(e);
            t->due_ns = tb_clock_ns(CLOCK_MONOTONIC) + t->interval_ns;
        }
        next_ns = t->due_ns < next_ns ? t->due_ns : next_ns;
    }
    return next_ns;
}

/* --- the loop --------------------------------------------------------------------------------------------------------
 */

static int wait_ms(const struct tb_http *http, uint64_t next_ns)
{
    uint64_t now = tb_clock_ns(CLOCK_MONOTONIC);
    uint64_t ms = next_ns > now ? (next_ns - now) / 1000000 + 1 : 0;
    int http_ms = http ? tb_http_timeout_ms(http) : -1;
    return http_ms >= 0 && (uint64_t)http_ms < ms ? http_ms : (int)ms;
}

/* The ledger itself is renamed there, too: that costs one look into its directory. */
static bool drain(int watch)
{
    char events[4096];
    bool has_any = false;
    while (read(watch, events, sizeof events) > 0)
        has_any = true;
    return has_any;
}

/* Reads what signals there are. Returns true to stop. */
static bool is_over(struct tb_exporter *e, int signal_fd)
{
    struct signalfd_siginfo signal;
    while (read(signal_fd, &signal, sizeof signal) == (ssize_t)sizeof signal) {
        if (signal.ssi_signo != SIGHUP)
            return true;
        (void)reload(e);
    }
    return false;
}

static void loop(struct tb_exporter *e, struct tb_http *http, int signal_fd)
{
    int watch = e->ledger ? tb_forget_watch(e->ledger->dir) : -1; /* requests; -1: they wait for the next house time */
    struct pollfd fds[3 + TB_INLETS_MAX] = {{.fd = signal_fd, .events = POLLIN},
                                            {.fd = http ? tb_http_fd(http) : -1, .events = POLLIN},
                                            {.fd = watch, .events = POLLIN}};
    struct timer timers[] = {{0, house_interval_ns(e), keep_house},
                             {0, textfile_interval_ns(e), write_textfile},
                             {0, tb_notify_interval_ns(), tell_watchdog}};
    for (;;) {
        uint64_t next_ns = run_timers(e, timers, sizeof timers / sizeof *timers), push_ns = tb_exporter_push(e);
        next_ns = push_ns < next_ns ? push_ns : next_ns;
        if (poll(fds, 3 + tb_inlets_poll(e->inlets, fds + 3), wait_ms(http, next_ns)) < 0 && errno != EINTR)
            break;
        if (fds[0].revents && is_over(e, signal_fd))
            break;
        tb_inlets_take(e->inlets);
        if (http)
            tb_http_run(http);
        if (fds[2].revents && drain(watch))
            (void)tb_forget_obey(e->collector);
    }
    if (watch >= 0)
        close(watch);
}

int tb_exporter_serve(struct tb_exporter *e, char **ret_error)
{
    struct tb_pages *pages = NULL;
    struct tb_http *http = NULL;
    int r = e->listeners.count ? start_http(e, &pages, &http, ret_error) : 0;
    if (!r) {
        int signal_fd = catch_signals();
        e->is_serving = true;
        tb_notify_ready();
        loop(e, http, signal_fd);
        tb_notify("STOPPING=1");
        tb_log(TB_LOG_INFO, "stopping", NULL);
        tb_exporter_push_last(e, FINISH_NS);
        if (signal_fd >= 0)
            close(signal_fd);
    }
    e->self.guard = NULL;
    tb_http_stop(http);
    tb_pages_free(pages);
    return r;
}

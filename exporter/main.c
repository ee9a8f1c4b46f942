/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tickbird-exporter: options, signals, one loop. Everything happens in one thread: a scrape collects and renders inside
 * the HTTP library's call, folding runs between scrapes.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "boot.h"
#include "buffer.h"
#include "collect.h"
#include "families.h"
#include "fold.h"
#include "forget.h"
#include "history.h"
#include "http_pages.h"
#include "ledger.h"
#include "log.h"
#include "options.h"
#include "reload.h"
#include "render.h"
#include "self.h"
#include "unobserved.h"
#include "shared_dir.h"
#include "stale.h"

/* Time that one scrape may spend on looking for programs that are not recorded. */
#define SCAN_NS UINT64_C(50000000)
#define SCAN_ONCE_NS UINT64_C(2000000000)
/* The page and the API show what was collected so long ago at most; a scrape always collects. */
#define LOOK_NS UINT64_C(1000000000)

struct exporter {
    struct tb_options options;
    struct tb_ledger *ledger; /* NULL: --once without a place for it */
    struct tb_collector *collector;
    struct tb_listeners listeners; /* until they are served on */
    struct tb_web *web;            /* NULL: no file was named */
    struct tb_pages *pages;
    struct tb_http *http;
    struct tb_self self;
    struct tb_fold_options fold;
    struct tb_unobserved_scan *unobserved;
    struct tb_reload reload;
    struct tb_history *history;
    uint64_t collected_ns; /* CLOCK_MONOTONIC, of the snapshot */
    bool has_collected;
};

static void complain(const char *error)
{
    fprintf(stderr, "tickbird-exporter: %s\n", error);
}

/* --- a scrape --------------------------------------------------------------------------------------------------------
 */

/* Only who keeps the ledger speaks for the configuration: a second exporter must not undo it. */
static void publish_rules(struct exporter *e)
{
    if (!e->reload.publisher || !tb_ledger_is_writer(e->ledger))
        return;
    tb_publish(e->reload.publisher, tb_collector_snapshot(e->collector),
               (const char *const *)e->options.values[TB_OPTION_REGION_DIR].items,
               e->options.values[TB_OPTION_REGION_DIR].count);
}

/* For somebody who looks: a scrape, the page. */
static int collect(struct exporter *e)
{
    uint64_t start_ns = tb_clock_ns(CLOCK_MONOTONIC);
    tb_reload_again(&e->reload, false);
    int r = tb_collect(e->collector);
    if (r < 0) {
        tb_log(TB_LOG_ERROR, "regions not read", "error", strerror(-r), NULL);
        return r;
    }
    e->has_collected = true;
    e->collected_ns = start_ns;
    tb_unobserved_scan(e->unobserved, start_ns, e->http ? SCAN_NS : SCAN_ONCE_NS, tb_collector_snapshot(e->collector));
    publish_rules(e);
    tb_history_note(e->history, tb_collector_snapshot(e->collector), start_ns);
    return 0;
}

static int scrape(struct exporter *e, const struct tb_encoding *encoding, struct tb_exposition *ret)
{
    uint64_t start_ns = tb_clock_ns(CLOCK_MONOTONIC);
    int r = collect(e);
    if (r < 0)
        return r;
    const struct tb_names *names = tb_reload_names(&e->reload);
    const struct tb_expose_options expose = {
        .metrics = names->metrics,
        .has_native = encoding->has_native && tb_option_is_on(&e->options, TB_OPTION_NATIVE_HISTOGRAMS),
    };
    ret->constant = tb_labels(names->constant);
    tb_snapshot_names(tb_collector_snapshot(e->collector), names->labels);
    tb_expose_snapshot(ret, tb_collector_snapshot(e->collector), &expose);
    tb_self_expose(ret, &e->self, e->collector, e->ledger, expose.metrics);
    tb_reload_expose(ret, &e->reload, expose.metrics);
    ret->constant = tb_labels("");
    e->self.collect_ns += tb_clock_ns(CLOCK_MONOTONIC) - start_ns;
    e->self.collections++;
    return 0;
}

static int on_scrape(void *arg, const struct tb_scrape_ask *ask, struct tb_exposition *ret)
{
    return scrape(arg, ask->encoding, ret);
}

static void on_scraped(void *arg, unsigned code)
{
    struct exporter *e = arg;
    tb_self_count_scrape(&e->self, code);
}

static bool is_ready(void *arg)
{
    const struct exporter *e = arg;
    return e->has_collected;
}

static int on_look(void *arg, struct tb_look *ret)
{
    struct exporter *e = arg;
    int r = 0;
    if (!e->collected_ns || tb_clock_ns(CLOCK_MONOTONIC) - e->collected_ns > LOOK_NS)
        r = collect(e);
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

/* --- set-up ----------------------------------------------------------------------------------------------------------
 */

/* As root: the directory where everybody may leave regions and only the group may look. Its absence stops nobody. */
static void make_shared_directory(void)
{
    struct stat st;
    int r = geteuid() == 0 ? tb_region_dir_make(TB_REGION_DIR_SHARED) : 0;
    if (r < 0)
        tb_log(TB_LOG_WARN, "shared directory not made", "path", TB_REGION_DIR_SHARED, "error", strerror(-r), NULL);
    else if (geteuid() == 0 && lstat(TB_REGION_DIR_SHARED, &st) == 0 && (!S_ISDIR(st.st_mode) || st.st_uid != 0))
        tb_log(TB_LOG_WARN, "shared directory belongs to another user: nobody will use it: remove it, start again",
               "path", TB_REGION_DIR_SHARED, NULL);
}

/* Before anything else is set up: its options count too. Errors are lines of their own. */
static int read_config(struct exporter *e)
{
    char *errors = NULL;
    const char *path = tb_option_text(&e->options, TB_OPTION_CONFIG_FILE);
    if (!*path)
        return 0;
    int r = tb_reload_start(&e->reload, path, &errors);
    if (r < 0)
        fputs(errors, stderr);
    else
        tb_config_to_options(e->reload.config, TB_SIDE_EXPORTER, &e->options);
    free(errors);
    return r;
}

static int read_web_config(struct exporter *e)
{
    char *errors = NULL;
    const char *path = tb_option_text(&e->options, TB_OPTION_WEB_CONFIG_FILE);
    if (!*path)
        return 0;
    e->web = tb_web_new(path, &errors);
    if (!e->web)
        fputs(errors, stderr);
    free(errors);
    return e->web ? 0 : -EINVAL;
}

static int open_ledger(struct exporter *e, char **ret_error)
{
    bool may_write = !tb_option_is_on(&e->options, TB_OPTION_ONCE);
    const char *given = tb_option_text(&e->options, TB_OPTION_STORAGE_PATH);
    char *dir = *given ? tb_strndup(given, strlen(given)) : tb_ledger_default_dir();
    int r = 0;
    if (!dir && may_write) {
        *ret_error = tb_format("--storage.path: no home directory to keep the ledger in: name a directory");
        return -ENOENT;
    }
    if (dir)
        r = tb_ledger_open(dir, may_write, &e->ledger);
    if (r < 0)
        *ret_error = tb_format("--storage.path %s: %s: name a directory that this user may write", dir, strerror(-r));
    else if (e->ledger && may_write && !tb_ledger_is_writer(e->ledger))
        tb_log(TB_LOG_WARN, "another exporter keeps the ledger: this one only reads", "path", dir, NULL);
    free(dir);
    return r;
}

/* A mistyped directory must not look like no traffic. It may be made later, so it is no error. */
static void warn_of_missing(const char *const *dirs, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (access(dirs[i], F_OK) < 0)
            tb_log(TB_LOG_WARN, "region directory cannot be found", "path", dirs[i], "error", strerror(errno), NULL);
}

static int open_collector(struct exporter *e, char **ret_error)
{
    struct tb_collect_options options = {
        .dirs = (const char *const *)e->options.values[TB_OPTION_REGION_DIR].items,
        .dir_count = e->options.values[TB_OPTION_REGION_DIR].count,
        .ledger = e->ledger,
    };
    if (!options.dir_count && !tb_option_is_on(&e->options, TB_OPTION_ONCE))
        make_shared_directory();
    warn_of_missing(options.dirs, options.dir_count);
    int r = tb_collector_new(&options, &e->collector);
    if (!r && (r = tb_collect(e->collector)) == -EPROTONOSUPPORT)
        *ret_error =
            tb_format("--storage.path: the ledger was written by a newer version: start that one, or name another "
                      "directory");
    else if (r < 0)
        *ret_error = tb_format("--region.dir: %s: see that the regions and the ledger can be read", strerror(-r));
    e->has_collected = r == 0;
    if (!r) /* what counts from here on has a rate at the first look */
        tb_history_note(e->history, tb_collector_snapshot(e->collector), tb_clock_ns(CLOCK_MONOTONIC));
    return r;
}

static int open_listeners(struct exporter *e, char **ret_error)
{
    if (tb_option_is_on(&e->options, TB_OPTION_SYSTEMD_SOCKET))
        return tb_listeners_inherit(&e->listeners, ret_error);
    return tb_listeners_open((const char *const *)e->options.values[TB_OPTION_LISTEN_ADDRESS].items,
                             e->options.values[TB_OPTION_LISTEN_ADDRESS].count, &e->listeners, ret_error);
}

static void say_where(const struct exporter *e, const char *path)
{
    for (size_t i = 0; i < e->listeners.count; i++) {
        char *address = tb_listener_name(e->listeners.fds[i]), port[8];
        snprintf(port, sizeof port, "%u", tb_listener_port(e->listeners.fds[i]));
        tb_log(TB_LOG_INFO, "listening", "address", address, "port", port, "path", path, "tls",
               e->web && tb_web_tls(e->web) ? "on" : "off", "version", TB_VERSION, NULL);
        free(address);
    }
}

static int start_http(struct exporter *e, char **ret_error)
{
    struct tb_pages_options pages = {
        .telemetry_path = tb_option_text(&e->options, TB_OPTION_TELEMETRY_PATH),
        .scrape = on_scrape,
        .scraped = on_scraped,
        .is_ready = is_ready,
        .totals = &e->self.responses,
        .has_created_samples = tb_option_is_on(&e->options, TB_OPTION_CREATED_SAMPLES),
        .look = on_look,
        .arg = e,
    };
    struct tb_http_options options = {
        .connections_max = tb_option_number(&e->options, TB_OPTION_MAX_CONNECTIONS),
        .scrapes_max = tb_option_number(&e->options, TB_OPTION_MAX_REQUESTS),
        .web = e->web,
    };
    if (pages.telemetry_path[0] != '/' || strcmp(pages.telemetry_path, "/") == 0 ||
        strncmp(pages.telemetry_path, "/-/", 3) == 0 || strncmp(pages.telemetry_path, "/api/", 5) == 0) {
        *ret_error = tb_format("--web.telemetry-path: \"%s\" is no path of its own: give one like /metrics",
                               pages.telemetry_path);
        return -EINVAL;
    }
    int r = open_listeners(e, ret_error);
    if (r < 0)
        return r;
    say_where(e, pages.telemetry_path);
    e->pages = tb_pages_new(&pages, &options);
    r = tb_http_start(&options, &e->listeners, &e->http, ret_error);
    e->self.guard = r < 0 ? NULL : tb_http_guard(e->http);
    e->self.web = e->web;
    return r;
}

static void raise_file_limit(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < 4096) {
        files.rlim_cur = files.rlim_max < 4096 ? files.rlim_max : 4096;
        setrlimit(RLIMIT_NOFILE, &files);
    }
}

/* --- the loop --------------------------------------------------------------------------------------------------------
 */

/* Folds what is dead for long enough, whether or not anybody scrapes. */
static void keep_house(struct exporter *e)
{
    if (!tb_ledger_is_writer(e->ledger) && tb_ledger_try_lock(e->ledger))
        tb_log(TB_LOG_INFO, "this exporter now keeps the ledger", NULL);
    (void)tb_forget_obey(e->collector);
    if (tb_ledger_is_writer(e->ledger))
        (void)tb_stale_remove(e->collector, e->fold.unlink_after_ns);
    tb_reload_again(&e->reload, false);
    int r = tb_collect(e->collector);
    if (!r) {
        e->collected_ns = tb_clock_ns(CLOCK_MONOTONIC);
        publish_rules(e);
        tb_history_tend(e->history, tb_collector_snapshot(e->collector), e->collected_ns);
        r = tb_fold(e->collector, &e->fold);
    }
    if (r < 0)
        tb_log(TB_LOG_ERROR, "dead regions not folded", "error", strerror(-r), NULL);
    else if (r > 0)
        tb_log(TB_LOG_DEBUG, "dead regions folded", NULL);
}

static uint64_t house_interval_ns(const struct exporter *e)
{
    const uint64_t second = 1000000000;
    uint64_t ns = e->fold.fold_after_ns / 2;
    return ns < second ? second : ns > 30 * second ? 30 * second : ns;
}

static int wait_ms(const struct exporter *e, uint64_t house_ns)
{
    uint64_t now = tb_clock_ns(CLOCK_MONOTONIC);
    uint64_t ms = house_ns > now ? (house_ns - now) / 1000000 + 1 : 0;
    int http_ms = tb_http_timeout_ms(e->http);
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

/* Reads what signals there are. SIGHUP: the configuration again, in force at once. Returns true to stop. */
static bool is_over(struct exporter *e, int signal_fd)
{
    struct signalfd_siginfo signal;
    while (read(signal_fd, &signal, sizeof signal) == (ssize_t)sizeof signal) {
        if (signal.ssi_signo != SIGHUP)
            return true;
        tb_reload_again(&e->reload, true);
        if (e->web)
            tb_web_again(e->web, true);
        if (e->reload.config && tb_collect(e->collector) == 0)
            publish_rules(e);
    }
    return false;
}

static void loop(struct exporter *e, int signal_fd)
{
    int watch = e->ledger ? tb_forget_watch(e->ledger->dir) : -1; /* requests; -1: they wait for the next house time */
    struct pollfd fds[] = {{.fd = signal_fd, .events = POLLIN},
                           {.fd = tb_http_fd(e->http), .events = POLLIN},
                           {.fd = watch, .events = POLLIN}};
    uint64_t house_ns = tb_clock_ns(CLOCK_MONOTONIC);
    for (;;) {
        if (poll(fds, 3, wait_ms(e, house_ns)) < 0 && errno != EINTR)
            break;
        if (fds[0].revents && is_over(e, signal_fd))
            break;
        tb_http_run(e->http);
        if (fds[2].revents && drain(watch))
            (void)tb_forget_obey(e->collector);
        if (tb_clock_ns(CLOCK_MONOTONIC) >= house_ns) {
            keep_house(e);
            house_ns = tb_clock_ns(CLOCK_MONOTONIC) + house_interval_ns(e);
        }
    }
    if (watch >= 0)
        close(watch);
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

static int once(struct exporter *e)
{
    struct tb_exposition x = {0};
    struct tb_buffer out = {0};
    if (scrape(e, &tb_encoding_text, &x) < 0)
        return 1;
    tb_render(&tb_encoding_text, &x, &out);
    tb_exposition_free(&x);
    bool is_written = fwrite(out.data, 1, out.len, stdout) == out.len && fflush(stdout) == 0;
    tb_buffer_free(&out);
    return is_written ? 0 : 1;
}

static int serve(struct exporter *e, char **ret_error)
{
    if (start_http(e, ret_error) < 0)
        return 1;
    int signal_fd = catch_signals();
    loop(e, signal_fd);
    tb_log(TB_LOG_INFO, "stopping", NULL);
    if (signal_fd >= 0)
        close(signal_fd);
    tb_http_stop(e->http);
    e->http = NULL;
    return 0;
}

static void set_up_log(const struct exporter *e)
{
    static const char *const levels[] = {"debug", "info", "warn", "error"};
    const char *level = tb_option_text(&e->options, TB_OPTION_LOG_LEVEL);
    int least = TB_LOG_DEBUG;
    while (least < TB_LOG_ERROR && strcmp(levels[least], level) != 0)
        least++;
    tb_log_setup((enum tb_log_level)least,
                 strcmp(tb_option_text(&e->options, TB_OPTION_LOG_FORMAT), "json") == 0 ? TB_LOG_JSON : TB_LOG_LOGFMT);
}

static void print_help(void)
{
    char *usage = tb_options_usage(TB_SIDE_EXPORTER);
    printf("Usage: tickbird-exporter [FLAGS]\n\nServes what preloaded programs recorded, as Prometheus metrics.\n\n%s"
           "  %-24s %s\n  %-24s %s\n",
           usage, "--version", "Print the version.", "-h, --help", "Print this.");
    free(usage);
}

int main(int argc, char **argv)
{
    struct exporter e = {0};
    char *error = NULL;
    int status = 1;
    if (tb_options_parse(argc, argv, TB_SIDE_EXPORTER, &e.options, &error) < 0) {
        status = 2;
    } else if (e.options.wants_help) {
        print_help();
        status = 0;
    } else if (e.options.wants_version) {
        printf("tickbird-exporter %s\n", TB_VERSION);
        status = 0;
    } else if (read_config(&e) < 0 || read_web_config(&e) < 0) {
        status = 2;
    } else {
        set_up_log(&e);
        raise_file_limit();
        e.fold.fold_after_ns = tb_option_ns(&e.options, TB_OPTION_FOLD_AFTER);
        e.fold.unlink_after_ns = tb_option_ns(&e.options, TB_OPTION_UNLINK_AFTER);
        e.unobserved = tb_unobserved_new();
        e.history = tb_history_new();
        if (open_ledger(&e, &error) == 0 && open_collector(&e, &error) == 0) {
            publish_rules(&e);
            status = tb_option_is_on(&e.options, TB_OPTION_ONCE) ? once(&e) : serve(&e, &error);
        }
    }
    if (error)
        complain(error);
    free(error);
    tb_listeners_close(&e.listeners);
    tb_pages_free(e.pages);
    tb_web_free(e.web);
    tb_unobserved_free(e.unobserved);
    tb_history_free(e.history);
    tb_collector_free(e.collector);
    tb_ledger_close(e.ledger);
    tb_reload_free(&e.reload);
    tb_options_free(&e.options);
    return status;
}

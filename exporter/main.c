/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tickbird-exporter: options and the order in which things are set up. What needs rights comes first (the shared
 * directory, sockets, the ledger's directory), then they are given up, then the rest.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "boot.h"
#include "exporter.h"
#include "lambda.h"
#include "log.h"
#include "privileges.h"
#include "region_dir.h"
#include "shared_dir.h"

static void complain(const char *error)
{
    fprintf(stderr, "tickbird-exporter: %s\n", error);
}

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
static int read_config(struct tb_exporter *e)
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

static int read_web_config(struct tb_exporter *e)
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

/* Where the ledger is, the caller's to free; NULL: nowhere. */
static char *ledger_dir(const struct tb_options *o)
{
    const char *given = tb_option_text(o, TB_OPTION_STORAGE_PATH);
    if (*given)
        return tb_strndup(given, strlen(given));
    return *tb_option_text(o, TB_OPTION_USER) ? tb_format(TB_LEDGER_DIR_SHARED) : tb_ledger_default_dir();
}

static int open_ledger(struct tb_exporter *e, char **ret_error)
{
    bool may_write =
        !tb_option_is_on(&e->options, TB_OPTION_ONCE) && !tb_option_is_on(&e->options, TB_OPTION_PUSH_DRY_RUN);
    char *dir = ledger_dir(&e->options);
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

/* A directory that is mistyped, or refused by programs, must not look like no traffic. It may become right later, so it
 * is no error. On Lambda there is nothing but a disk. */
static void warn_of_unfit(const char *const *dirs, size_t count, bool is_lambda)
{
    static struct tb_region_dir dir;
    for (size_t i = 0; i < count; i++) {
        if (access(dirs[i], F_OK) < 0) {
            tb_log(TB_LOG_WARN, "region directory cannot be found", "path", dirs[i], "error", strerror(errno), NULL);
            continue;
        }
        tb_region_dir_of_owner(dirs[i], &dir);
        if (!dir.is_fit && !(is_lambda && dir.fault == TB_DIR_ON_DISK))
            tb_log(TB_LOG_WARN, "programs do not record in this region directory", "path", dirs[i], "why", dir.why,
                   "todo", dir.todo, NULL);
    }
}

static int open_collector(struct tb_exporter *e, char **ret_error)
{
    struct tb_collect_options options = {
        .dirs = (const char *const *)e->options.values[TB_OPTION_REGION_DIR].items,
        .dir_count = e->options.values[TB_OPTION_REGION_DIR].count,
        .ledger = e->ledger,
        .keeps_open = true,
    };
    warn_of_unfit(options.dirs, options.dir_count, tb_is_extension(&e->options));
    int r = tb_collector_new(&options, &e->collector);
    if (!r && (r = tb_collect(e->collector)) == -EPROTONOSUPPORT)
        *ret_error =
            tb_format("--storage.path: the ledger was written by a newer version: start that one, or name another "
                      "directory");
    else if (r < 0)
        *ret_error = tb_format("--region.dir: %s: see that the regions and the ledger can be read", strerror(-r));
    if (!r) { /* what counts from here on has a rate at the first look */
        e->collected_ns = tb_clock_ns(CLOCK_MONOTONIC);
        tb_history_note(e->history, tb_collector_snapshot(e->collector), e->collected_ns);
    }
    return r;
}

/* Without an address of its own, one that writes a file for another exporter does not serve. */
static bool is_to_serve(const struct tb_options *o)
{
    if (tb_is_extension(o))
        return false;
    return !*tb_option_text(o, TB_OPTION_TEXTFILE) || !o->values[TB_OPTION_LISTEN_ADDRESS].is_default ||
           tb_option_is_on(o, TB_OPTION_SYSTEMD_SOCKET);
}

static int open_listeners(struct tb_exporter *e, char **ret_error)
{
    const char *path = tb_option_text(&e->options, TB_OPTION_TELEMETRY_PATH);
    if (path[0] != '/' || strcmp(path, "/") == 0 || strncmp(path, "/-/", 3) == 0 || strncmp(path, "/api/", 5) == 0) {
        *ret_error = tb_format("--web.telemetry-path: \"%s\" is no path of its own: give one like /metrics", path);
        return -EINVAL;
    }
    if (!is_to_serve(&e->options))
        return 0;
    if (tb_option_is_on(&e->options, TB_OPTION_SYSTEMD_SOCKET))
        return tb_listeners_inherit(&e->listeners, ret_error);
    return tb_listeners_open((const char *const *)e->options.values[TB_OPTION_LISTEN_ADDRESS].items,
                             e->options.values[TB_OPTION_LISTEN_ADDRESS].count, &e->listeners, ret_error);
}

/* --- rights ----------------------------------------------------------------------------------------------------------
 */

/* The ledger's directory belongs to the user that will write it. */
static int make_ledger_directory(const struct tb_options *o, const char *user, char **ret_error)
{
    char *dir = geteuid() == 0 ? ledger_dir(o) : NULL;
    int r = dir ? tb_privileges_directory(dir, user) : 0;
    if (r < 0)
        *ret_error =
            tb_format("--user %s: the ledger's directory %s: %s: name a user of this machine, or --storage.path", user,
                      dir, strerror(-r));
    free(dir);
    return r;
}

static bool ends_at_once(const struct tb_options *o)
{
    return tb_option_is_on(o, TB_OPTION_ONCE) || tb_option_is_on(o, TB_OPTION_PUSH_ONCE) ||
           tb_option_is_on(o, TB_OPTION_PUSH_DRY_RUN);
}

/* Everything that needs rights is open when this returns, and they are gone. */
static int give_rights_up(struct tb_exporter *e, char **ret_error)
{
    const char *user = tb_option_text(&e->options, TB_OPTION_USER);
    bool is_once = ends_at_once(&e->options);
    int r = 0;
    if (!is_once && !e->options.values[TB_OPTION_REGION_DIR].count)
        make_shared_directory();
    if (!is_once)
        r = open_listeners(e, ret_error);
    if (!r && *user && !is_once)
        r = make_ledger_directory(&e->options, user, ret_error);
    if (!r && *user)
        r = tb_privileges_become(user, ret_error);
    if (r)
        return r;
    tb_inlets_fork(e->inlets);
    int limited = tb_privileges_limit(tb_option_is_on(&e->options, TB_OPTION_SECCOMP));
    if (limited < 0)
        tb_log(TB_LOG_WARN, "system calls are not limited", "error", strerror(-limited), NULL);
    return 0;
}

static void raise_file_limit(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < 4096) {
        files.rlim_cur = files.rlim_max < 4096 ? files.rlim_max : 4096;
        setrlimit(RLIMIT_NOFILE, &files);
    }
}

static void set_up_log(const struct tb_exporter *e)
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

/* One scrape, on standard output or into a file. */
static int once(struct tb_exporter *e)
{
    struct tb_buffer out = {0};
    if (*tb_option_text(&e->options, TB_OPTION_TEXTFILE))
        return tb_exporter_textfile(e) < 0;
    if (tb_exporter_text(e, false, &out) < 0)
        return 1;
    bool is_written = fwrite(out.data, 1, out.len, stdout) == out.len && fflush(stdout) == 0;
    tb_buffer_free(&out);
    return !is_written;
}

static int set_up(struct tb_exporter *e, char **ret_error)
{
    set_up_log(e);
    raise_file_limit();
    e->fold.fold_after_ns = tb_option_ns(&e->options, TB_OPTION_FOLD_AFTER);
    e->fold.unlink_after_ns = tb_option_ns(&e->options, TB_OPTION_UNLINK_AFTER);
    e->forget_after_ns = tb_option_ns(&e->options, TB_OPTION_FORGET_AFTER);
    e->expiry = tb_expiry_new();
    e->unobserved = tb_unobserved_new();
    e->history = tb_history_new();
    e->inlets = tb_inlets_new();
    if (e->reload.config)
        tb_inlets_use(e->inlets, &e->reload.config->inlets);
    e->shown = tb_shown_new(&(struct tb_shown_limits){0});
    tb_exporter_limit(e);
    if (give_rights_up(e, ret_error) < 0 || open_ledger(e, ret_error) < 0 || open_collector(e, ret_error) < 0)
        return 1;
    tb_inlets_start(e->inlets);
    if (ends_at_once(&e->options))
        tb_inlets_settle(e->inlets);
    return 0;
}

static int run(struct tb_exporter *e, char **ret_error)
{
    if (set_up(e, ret_error))
        return 1;
    if (tb_option_is_on(&e->options, TB_OPTION_PUSH_DRY_RUN))
        return tb_exporter_push_dry_run(e, ret_error);
    tb_exporter_publish(e);
    if (tb_option_is_on(&e->options, TB_OPTION_PUSH_ONCE))
        return tb_exporter_push_once(e, ret_error);
    return tb_option_is_on(&e->options, TB_OPTION_ONCE) ? once(e) : tb_exporter_serve(e, ret_error) < 0;
}

/* Where a function puts its regions there is nothing before us. What fails stops nobody: the function ends with its
 * extensions. */
static int run_extension(struct tb_exporter *e, bool has_config, char **ret_error)
{
    for (size_t i = 0; i < e->options.values[TB_OPTION_REGION_DIR].count; i++)
        (void)tb_region_dir_make(e->options.values[TB_OPTION_REGION_DIR].items[i]); /* warn_of_unfit tells */
    const bool is_ready = has_config && set_up(e, ret_error) == 0;
    if (is_ready)
        tb_exporter_publish(e);
    if (*ret_error)
        complain(*ret_error);
    free(*ret_error);
    *ret_error = NULL;
    return tb_lambda_run(e, tb_option_text(&e->options, TB_OPTION_LAMBDA_EXTENSION), is_ready, ret_error) < 0;
}

int main(int argc, char **argv)
{
    struct tb_exporter e = {0};
    char *error = NULL;
    int status = 0;
    if (tb_options_parse(argc, argv, TB_SIDE_EXPORTER, &e.options, &error) < 0)
        status = 2;
    else if (e.options.wants_help)
        print_help();
    else if (e.options.wants_version)
        printf("tickbird-exporter %s\n", TB_VERSION);
    else if (tb_is_extension(&e.options) && !tb_option_is_on(&e.options, TB_OPTION_CHECK_CONFIG))
        status = run_extension(&e, read_config(&e) == 0, &error);
    else if (read_config(&e) < 0 || read_web_config(&e) < 0)
        status = 2;
    else if (!tb_option_is_on(&e.options, TB_OPTION_CHECK_CONFIG))
        status = run(&e, &error);
    if (error)
        complain(error);
    free(error);
    tb_listeners_close(&e.listeners);
    tb_web_free(e.web);
    tb_push_free(e.push);
    tb_history_free(e.history);
    tb_shown_free(e.shown);
    tb_inlets_free(e.inlets);
    tb_expiry_free(e.expiry);
    tb_unobserved_free(e.unobserved);
    tb_collector_free(e.collector);
    tb_ledger_close(e.ledger);
    tb_reload_free(&e.reload);
    tb_options_free(&e.options);
    return status;
}

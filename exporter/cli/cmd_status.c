/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `tickbird status`: which programs record here, what they have counted, which servers they call, what could not be
 * observed and why, and which regions cannot be read. It reads; it changes nothing.
 */
#include "called.h"
#include "exporter/health.h"
#include "listeners.h"
#include "output.h"
#include "exporter/collision.h"
#include "exporter/region_dir.h"
#include "exporter/selection.h"
#include "view.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct {
    enum tb_counter counter;
    const char *family, *reason, *help;
} counters[] = {
#define COUNTER(id, family, reason, help) {TB_COUNTER_##id, family, reason, help},
#include "agent/counters.def"
#undef COUNTER
};

/* The interposed functions, as the rows of the preloaded object's table say. */
static const struct {
    const char *type, *name, *parameters;
} hooks[] = {
#define HOOK(type, name, parameters, ...) {#type, #name, #parameters},
#define HOOK_IO HOOK
#define HOOK_SOCKET HOOK
#define HOOK_ALWAYS HOOK
#define HOOK_VOID HOOK
#define HOOK_NORETURN HOOK
#define HOOK_MANUAL HOOK
#include "shim/hooks.def"
};

struct request {
    struct tb_view view;
    struct tb_listeners listeners;
    bool is_json, is_hooks;
};

/* Counters that tell of work done, not of something that was missed. */
static bool is_loss(enum tb_counter counter)
{
    switch (counter) {
    case TB_COUNTER_CONN_SEEN:
    case TB_COUNTER_CONN_ACCEPTED:
    case TB_COUNTER_ROUTE_CHANGES:
    case TB_COUNTER_TLS_STREAMS:
    case TB_COUNTER_TLS_SOCKETS:
    case TB_COUNTER_TLS_FAILED:
        return false;
    default:
        return true;
    }
}

static bool is_program(const struct tb_view *view, const struct tb_snap_region *region)
{
    return !region->unreadable && region->is_live && tb_view_wants(view, region->service);
}

static const char *pids_text(const struct tb_snap_region *region, char *buffer, size_t size)
{
    size_t known = sizeof(region->pids) / sizeof(region->pids[0]), shown = 0, at = 0;
    buffer[0] = 0;
    for (size_t i = 0; i < known && i < region->processes && at < size; i++, shown++) {
        int len = snprintf(buffer + at, size - at, "%s%u", i ? " " : "", region->pids[i]);
        at += len > 0 ? (size_t)len : 0;
    }
    if (region->processes > shown && at < size)
        snprintf(buffer + at, size - at, " +%u", region->processes - (unsigned)shown);
    if (!region->processes)
        snprintf(buffer, size, "%u", region->pid);
    return buffer;
}

/* --- text --------------------------------------------------------------------------------------------------------- */

static size_t print_programs(const struct tb_view *view)
{
    struct tb_table table = {
        .columns = 8,
        .headings = {"SERVICE", "PROGRAM", "PIDS", "SINCE", ">REQUESTS", ">IN FLIGHT", ">OLDEST", "STATE"}};
    size_t programs = 0;
    for (size_t i = 0; i < view->snapshot->region_count; i++) {
        const struct tb_snap_region *r = &view->snapshot->regions[i];
        char pids[128], since[TB_TEXT_SMALL], oldest[TB_TEXT_SMALL];
        if (!is_program(view, r))
            continue;
        programs++;
        tb_table_cell(&table, "%s", r->service->name);
        tb_table_cell(&table, "%s", r->program[0] ? r->program : "?");
        tb_table_cell(&table, "%s", pids_text(r, pids, sizeof(pids)));
        tb_table_cell(&table, "%s", tb_text_time(since, r->adopted_ns ? r->adopted_ns : r->created_ns));
        tb_table_cell(&table, "%llu", (unsigned long long)r->requests);
        tb_table_cell(&table, "%llu", (unsigned long long)r->in_flight);
        tb_table_cell(&table, "%s", tb_text_duration(oldest, r->oldest_ns));
        tb_table_cell(&table, "%s", r->is_off ? "switched off" : "recording");
    }
    tb_table_print(&table);
    return programs;
}

static void print_losses(const struct tb_view *view)
{
    struct tb_table table = {.columns = 4, .headings = {"SERVICE", ">COUNT", "WHAT", "REASON"}};
    for (size_t i = 0; i < view->snapshot->service_count; i++) {
        const struct tb_snap_service *s = view->snapshot->services[i];
        for (size_t c = 0; c < TB_COUNTER_COUNT && tb_view_wants(view, s); c++) {
            if (!s->counters[c] || !is_loss(counters[c].counter))
                continue;
            tb_table_cell(&table, "%s", s->name);
            tb_table_cell(&table, "%llu", (unsigned long long)s->counters[c]);
            tb_table_cell(&table, "%s", counters[c].help);
            tb_table_cell(&table, "%s", counters[c].reason);
        }
    }
    for (size_t i = 0; i < view->snapshot->region_count; i++) {
        const struct tb_snap_region *r = &view->snapshot->regions[i];
        for (unsigned bit = 0; bit < 64 && is_program(view, r); bit++) {
            if (!(r->unobservable >> bit & 1))
                continue;
            tb_table_cell(&table, "%s", r->service->name);
            tb_table_cell(&table, "-");
            tb_table_cell(&table, "%s", tb_unobservable_help(bit));
            tb_table_cell(&table, "%s", tb_unobservable_name(bit));
        }
    }
    if (table.count)
        puts("\nNot observed, or not completely:");
    tb_table_print(&table);
}

static void print_unreadable(const struct tb_view *view)
{
    struct tb_table table = {.columns = 2, .headings = {"FILE", "REASON"}};
    for (size_t i = 0; i < view->snapshot->region_count; i++) {
        const struct tb_snap_region *r = &view->snapshot->regions[i];
        if (!r->unreadable)
            continue;
        tb_table_cell(&table, "%s", r->path);
        tb_table_cell(&table, "%s", tb_unreadable_name(r->unreadable));
    }
    if (table.count)
        puts("\nCannot be read (permission: ask again as root or as a member of group tickbird):");
    tb_table_print(&table);
}

static void print_listeners(const struct tb_listeners *all)
{
    struct tb_table table = {.columns = 3, .headings = {"PROGRAM", "PIDS", "REASON"}};
    for (size_t i = 0; i < all->count; i++) {
        const struct tb_listener *l = &all->found[i];
        char pids[TB_LISTENER_PIDS_TEXT];
        if (l->finding.is_fine)
            continue;
        tb_table_cell(&table, "%s", l->exe[0] ? l->exe : l->name);
        tb_table_cell(&table, "%s", tb_listener_pids(l, pids));
        tb_table_cell(&table, "%s", l->finding.why);
    }
    if (table.count)
        puts("\nListening on TCP, but not recording (`tickbird doctor PID` says what to do):");
    tb_table_print(&table);
    if (all->is_partial)
        puts("\nThe processes of this machine could not all be looked at in time: ask `tickbird doctor PID`.");
    if (all->hidden)
        printf("\n%zu listening socket%s cannot be told (%s).\n", all->hidden, all->hidden == 1 ? "" : "s",
               geteuid() == 0 ? "held by processes outside of this pid namespace, or by the kernel"
                              : "held by processes of other users: ask as root");
}

static void print_gone(const struct tb_view *view, size_t programs)
{
    size_t gone = 0;
    for (size_t i = 0; i < view->snapshot->service_count; i++) {
        const struct tb_snap_service *s = view->snapshot->services[i];
        gone += !s->processes && !s->regions && s->requests && tb_view_wants(view, s);
    }
    if (gone)
        printf("%s%zu service%s of programs that are gone; `tickbird series` shows their totals.\n",
               programs ? "\n" : "", gone, gone == 1 ? "" : "s");
}

static void print_collisions(const struct tb_view *view)
{
    char name[256];
    for (size_t i = 0; i < view->snapshot->service_count; i++) {
        const struct tb_snap_service *s = view->snapshot->services[i];
        size_t count = tb_view_wants(view, s) ? tb_collision_count(view->snapshot, s) : 0;
        if (count > 1)
            printf(
                "\n%zu different command lines count as one service, %s: where they are no replicas, tell them apart "
                "with TICKBIRD_SERVICE.\n",
                count, tb_cli_text(name, sizeof(name), s->name));
    }
}

/* What starts later is off too; the programs that run say it in their own line. */
static void print_markers(const struct tb_view *view)
{
    char name[256], since[TB_TEXT_SMALL];
    for (size_t i = 0; i < view->snapshot->marker_count; i++) {
        const struct tb_snap_marker *m = &view->snapshot->markers[i];
        const char *service = m->marker.service;
        if (view->service && service[0] && strcmp(view->service, service) != 0)
            continue;
        printf("\nSwitched off since %s: %s%s in %s; `tickbird on%s%s` undoes it.\n",
               tb_text_time(since, m->marker.since_ns), service[0] ? "service " : "everything",
               tb_cli_text(name, sizeof(name), service), m->dir, service[0] ? " " : "",
               tb_cli_text(name, sizeof(name), service));
    }
}

static void json_markers(struct tb_json *json, const struct tb_view *view)
{
    tb_json_open(json, "switched_off", '[');
    for (size_t i = 0; i < view->snapshot->marker_count; i++) {
        const struct tb_snap_marker *m = &view->snapshot->markers[i];
        tb_json_open(json, NULL, '{');
        tb_json_string(json, "directory", m->dir);
        tb_json_string(json, "service", m->marker.service);
        tb_json_time(json, "since", m->marker.since_ns);
        tb_json_close(json, '}');
    }
    tb_json_close(json, ']');
}

/* The select file decides what records at all: its absence goes without saying, its faults do not. */
static void print_selection(void)
{
    static struct tb_selection_file file;
    char clean[sizeof(file.why)];
    tb_selection_file(getenv("TICKBIRD_SELECT_FILE"), &file);
    if (file.why[0])
        printf("\nSelect file %s: %s.\n", tb_cli_text(clean, sizeof(clean), file.why), file.todo);
    else if (file.exists)
        printf("\nSelect file %s: %u include%s, %u exclude%s.\n", tb_cli_text(clean, sizeof(clean), file.path),
               file.includes, file.includes == 1 ? "" : "s", file.excludes, file.excludes == 1 ? "" : "s");
}

static void json_selection(struct tb_json *json)
{
    static struct tb_selection_file file;
    tb_selection_file(getenv("TICKBIRD_SELECT_FILE"), &file);
    tb_json_open(json, "selection", '{');
    tb_json_string(json, "file", file.path);
    tb_json_bool(json, "exists", file.exists);
    tb_json_number(json, "includes", file.includes);
    tb_json_number(json, "excludes", file.excludes);
    tb_json_string(json, "fault", file.why);
    tb_json_close(json, '}');
}

/* Directories where no program records, whoever starts it. */
static void print_unfit(const struct tb_view *view)
{
    static struct tb_region_dir dir;
    char path[sizeof(dir.path)];
    for (size_t i = 0; i < view->dir_count; i++) {
        tb_region_dir_of_owner(view->dirs[i], &dir);
        if (!dir.is_fit)
            printf("\n%s: %s: %s.\n", tb_cli_text(path, sizeof(path), view->dirs[i]), dir.why, dir.todo);
    }
}

static void print_text(const struct request *request)
{
    const struct tb_view *view = &request->view;
    char places[1024], clean[1024];
    size_t programs = print_programs(view);
    if (!programs) {
        tb_view_places(view, places, sizeof(places));
        if (view->service)
            printf("No program of service %s records here: ", tb_cli_text(clean, sizeof(clean), view->service));
        else
            printf("No program records here: ");
        printf(
            "no region in %s is in use: start one with `tickbird run -- PROGRAM`, or ask `tickbird doctor PID` why one "
            "does not.\n",
            tb_cli_text(clean, sizeof(clean), places));
    }
    tb_called_print(view);
    print_unfit(view);
    print_markers(view);
    print_collisions(view);
    print_losses(view);
    print_unreadable(view);
    print_gone(view, programs);
    print_listeners(&request->listeners);
    print_selection();
}

/* --- JSON --------------------------------------------------------------------------------------------------------- */

static void json_program(struct tb_json *json, const struct tb_snap_region *r)
{
    tb_json_open(json, NULL, '{');
    tb_json_string(json, "service", r->service->name);
    tb_json_string(json, "program", r->program);
    tb_json_string(json, "region", r->path);
    tb_json_string(json, "agent_version", r->agent_version);
    tb_json_number(json, "uid", r->uid);
    tb_json_number(json, "processes", r->processes);
    tb_json_open(json, "pids", '[');
    for (size_t i = 0; i < sizeof(r->pids) / sizeof(r->pids[0]) && i < r->processes; i++)
        tb_json_number(json, NULL, r->pids[i]);
    tb_json_close(json, ']');
    tb_json_time(json, "since", r->adopted_ns ? r->adopted_ns : r->created_ns);
    tb_json_number(json, "requests", r->requests);
    tb_json_number(json, "in_flight", r->in_flight);
    tb_json_seconds(json, "oldest_in_flight_seconds", r->oldest_ns);
    tb_json_bool(json, "is_recording", !r->is_off);
    tb_json_close(json, '}');
}

static void json_loss(struct tb_json *json, const char *service, const char *counter, const char *reason,
                      uint64_t count)
{
    tb_json_open(json, NULL, '{');
    tb_json_string(json, "service", service);
    tb_json_string(json, "counter", counter);
    tb_json_string(json, "reason", reason);
    tb_json_number(json, "count", count);
    tb_json_close(json, '}');
}

static void json_losses(struct tb_json *json, const struct tb_snap_service *s)
{
    for (unsigned bit = 0; bit < 64; bit++)
        if (s->unobservable >> bit & 1)
            json_loss(json, s->name, "unobservable", tb_unobservable_name(bit), 1);
    for (size_t c = 0; c < TB_COUNTER_COUNT; c++) {
        if (s->counters[c] && is_loss(counters[c].counter))
            json_loss(json, s->name, counters[c].family, counters[c].reason, s->counters[c]);
    }
}

static void json_services(struct tb_json *json, const struct tb_view *view)
{
    tb_json_open(json, "services", '[');
    for (size_t i = 0; i < view->snapshot->service_count; i++) {
        const struct tb_snap_service *s = view->snapshot->services[i];
        if (!tb_view_wants(view, s))
            continue;
        tb_json_open(json, NULL, '{');
        tb_json_string(json, "service", s->name);
        tb_json_number(json, "requests", s->requests);
        tb_json_number(json, "in_flight", s->in_flight);
        tb_json_number(json, "processes", s->processes);
        tb_json_number(json, "command_lines", tb_collision_count(view->snapshot, s));
        tb_json_close(json, '}');
    }
    tb_json_close(json, ']');
}

static void json_unreadable(struct tb_json *json, const struct tb_snapshot *s)
{
    tb_json_open(json, "unreadable", '[');
    for (size_t i = 0; i < s->region_count; i++) {
        if (!s->regions[i].unreadable)
            continue;
        tb_json_open(json, NULL, '{');
        tb_json_string(json, "path", s->regions[i].path);
        tb_json_string(json, "reason", tb_unreadable_name(s->regions[i].unreadable));
        tb_json_close(json, '}');
    }
    tb_json_close(json, ']');
}

static void json_listeners(struct tb_json *json, const struct tb_listeners *all)
{
    tb_json_open(json, "unobserved_listeners", '[');
    for (size_t i = 0; i < all->count; i++) {
        const struct tb_listener *l = &all->found[i];
        if (l->finding.is_fine)
            continue;
        tb_json_open(json, NULL, '{');
        tb_json_string(json, "program", l->exe[0] ? l->exe : l->name);
        tb_json_string(json, "reason", l->reason);
        tb_json_string(json, "why", l->finding.why);
        tb_json_number(json, "processes", l->pid_count);
        tb_json_open(json, "pids", '[');
        for (size_t k = 0; k < l->pid_count && k < sizeof(l->pids) / sizeof(l->pids[0]); k++)
            tb_json_number(json, NULL, (uint64_t)l->pids[k]);
        tb_json_close(json, ']');
        tb_json_close(json, '}');
    }
    tb_json_close(json, ']');
    tb_json_number(json, "hidden_listeners", all->hidden);
    tb_json_bool(json, "is_partial", all->is_partial);
}

static void print_json(const struct request *request)
{
    struct tb_json json = {0};
    const struct tb_view *view = &request->view;
    const struct tb_snapshot *s = view->snapshot;
    tb_json_open(&json, NULL, '{');
    tb_json_open(&json, "programs", '[');
    for (size_t i = 0; i < s->region_count; i++)
        if (is_program(view, &s->regions[i]))
            json_program(&json, &s->regions[i]);
    tb_json_close(&json, ']');
    json_services(&json, view);
    tb_called_json(&json, view);
    tb_json_open(&json, "not_observed", '[');
    for (size_t i = 0; i < s->service_count; i++)
        if (tb_view_wants(view, s->services[i]))
            json_losses(&json, s->services[i]);
    tb_json_close(&json, ']');
    json_unreadable(&json, s);
    json_listeners(&json, &request->listeners);
    json_markers(&json, view);
    json_selection(&json);
    tb_json_close(&json, '}');
    putchar('\n');
}

/* --- the verb ----------------------------------------------------------------------------------------------------- */

static int print_hooks(void)
{
    for (size_t i = 0; i < sizeof(hooks) / sizeof(hooks[0]); i++)
        printf("%s %s%s\n", hooks[i].type, hooks[i].name, hooks[i].parameters);
    return TB_EXIT_OK;
}

static int show(struct request *request)
{
    static struct tb_object object;
    int result = tb_view_open(&request->view);
    if (result == 0 && !request->view.service)
        tb_listeners_find(tb_object_locate(&object) == 0 ? &object : NULL, &request->listeners);
    if (result == 0 && request->is_json)
        print_json(request);
    else if (result == 0)
        print_text(request);
    free(request->listeners.found);
    tb_view_close(&request->view);
    return result == 0 ? TB_EXIT_OK : TB_EXIT_FAILED;
}

static int run(int argc, char **argv)
{
    static const struct option options[] = {
        {"json", no_argument, NULL, 'j'}, {"hooks", no_argument, NULL, 'k'}, TB_VIEW_OPTIONS, {0}};
    struct request request = {0};
    int got;
    while ((got = tb_cli_option(argc, argv, "h", options)) != TB_OPTION_END) {
        if (got == TB_OPTION_HELP) {
            fputs(tb_verb_status.usage, stdout);
            return TB_EXIT_OK;
        }
        if (got == 'j')
            request.is_json = true;
        else if (got == 'k')
            request.is_hooks = true;
        else if (got == TB_OPTION_BAD || !tb_view_option(&request.view, got, optarg))
            return TB_EXIT_USAGE;
    }
    if (tb_cli_operands(argc, argv) != 0)
        return TB_EXIT_USAGE;
    return request.is_hooks ? print_hooks() : show(&request);
}

const struct tb_verb tb_verb_status = {
    "status", "which programs record, and what could not be observed",
    "Usage: tickbird status [OPTIONS]\n"
    "Lists the programs that record, with their requests, those in flight and the oldest of them; then the servers "
    "that\n"
    "they call, with failures, p95 and how the last call ended; then what could not be observed and why, regions that\n"
    "cannot be read, and programs that listen on TCP and do not record.\n"
    "\n"
    "  --json               as one JSON object\n"
    "  --hooks              the functions that the preloaded object interposes, instead\n" TB_VIEW_HELP,
    run};

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `tickbird status`: which programs record here, what they have counted, what could not be observed and why, and which
 * regions cannot be read. It reads; it changes nothing.
 */
#include "output.h"
#include "view.h"

#include <stdlib.h>
#include <string.h>

static const struct {
    enum tb_counter counter;
    const char *family, *reason, *help;
} counters[] = {
#define COUNTER(id, family, reason, help) {TB_COUNTER_##id, family, reason, help},
#include "agent/counters.def"
#undef COUNTER
};

/* Counters that tell of work done, not of something that was missed. */
static bool is_loss(enum tb_counter counter)
{
    return counter != TB_COUNTER_CONN_SEEN && counter != TB_COUNTER_ROUTE_CHANGES;
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

static void print_text(const struct tb_view *view)
{
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
    print_losses(view);
    print_unreadable(view);
    print_gone(view, programs);
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
    tb_json_number(json, "connections", r->connections);
    tb_json_bool(json, "is_recording", !r->is_off);
    tb_json_close(json, '}');
}

static void json_losses(struct tb_json *json, const struct tb_snap_service *s)
{
    for (size_t c = 0; c < TB_COUNTER_COUNT; c++) {
        if (!s->counters[c] || !is_loss(counters[c].counter))
            continue;
        tb_json_open(json, NULL, '{');
        tb_json_string(json, "service", s->name);
        tb_json_string(json, "counter", counters[c].family);
        tb_json_string(json, "reason", counters[c].reason);
        tb_json_number(json, "count", s->counters[c]);
        tb_json_close(json, '}');
    }
}

static void print_json(const struct tb_view *view)
{
    struct tb_json json = {0};
    const struct tb_snapshot *s = view->snapshot;
    tb_json_open(&json, NULL, '{');
    tb_json_open(&json, "programs", '[');
    for (size_t i = 0; i < s->region_count; i++)
        if (is_program(view, &s->regions[i]))
            json_program(&json, &s->regions[i]);
    tb_json_close(&json, ']');
    tb_json_open(&json, "services", '[');
    for (size_t i = 0; i < s->service_count; i++) {
        if (!tb_view_wants(view, s->services[i]))
            continue;
        tb_json_open(&json, NULL, '{');
        tb_json_string(&json, "service", s->services[i]->name);
        tb_json_number(&json, "requests", s->services[i]->requests);
        tb_json_number(&json, "in_flight", s->services[i]->in_flight);
        tb_json_number(&json, "processes", s->services[i]->processes);
        tb_json_close(&json, '}');
    }
    tb_json_close(&json, ']');
    tb_json_open(&json, "unobserved", '[');
    for (size_t i = 0; i < s->service_count; i++)
        if (tb_view_wants(view, s->services[i]))
            json_losses(&json, s->services[i]);
    tb_json_close(&json, ']');
    tb_json_open(&json, "unreadable", '[');
    for (size_t i = 0; i < s->region_count; i++) {
        if (!s->regions[i].unreadable)
            continue;
        tb_json_open(&json, NULL, '{');
        tb_json_string(&json, "path", s->regions[i].path);
        tb_json_string(&json, "reason", tb_unreadable_name(s->regions[i].unreadable));
        tb_json_close(&json, '}');
    }
    tb_json_close(&json, ']');
    tb_json_close(&json, '}');
    putchar('\n');
}

static int run(int argc, char **argv)
{
    static const struct option options[] = {{"json", no_argument, NULL, 'j'}, TB_VIEW_OPTIONS, {0}};
    struct tb_view view = {0};
    bool is_json = false;
    int got;
    while ((got = tb_cli_option(argc, argv, "h", options)) != TB_OPTION_END) {
        if (got == TB_OPTION_HELP) {
            fputs(tb_verb_status.usage, stdout);
            return TB_EXIT_OK;
        }
        if (got == 'j')
            is_json = true;
        else if (got == TB_OPTION_BAD || !tb_view_option(&view, got, optarg))
            return TB_EXIT_USAGE;
    }
    if (tb_cli_operands(argc, argv) != 0)
        return TB_EXIT_USAGE;
    int result = tb_view_open(&view);
    if (result == 0 && is_json)
        print_json(&view);
    else if (result == 0)
        print_text(&view);
    tb_view_close(&view);
    return result == 0 ? TB_EXIT_OK : TB_EXIT_FAILED;
}

const struct tb_verb tb_verb_status = {
    "status", "which programs record, and what could not be observed",
    "Usage: tickbird status [OPTIONS]\n"
    "Lists the programs that record, with their requests, those in flight and the oldest of them; then what could not\n"
    "be observed and why, and the regions that cannot be read.\n"
    "\n"
    "  --json               as one JSON object\n" TB_VIEW_HELP,
    run};

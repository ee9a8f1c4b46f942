/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `tickbird series` and `tickbird routes`: what has been counted, per series or per route, busiest first, totals of
 * programs that are gone included; routes with how they came to be (route_origin.c). `routes --stdin` shows instead
 * what the learner makes of a list of paths (routes_stdin.c).
 */
#include "output.h"
#include "route_origin.h"
#include "routes_stdin.h"
#include "view.h"

#include <stdlib.h>
#include <string.h>

#include "agent/methods.h"
#include "exporter/buffer.h"
#include "exporter/families.h"

#define TOP_MAX 1000000ul

struct request {
    struct tb_view view;
    unsigned long top; /* rows at most, 0 = all */
    bool is_json;
    bool is_stdin;
    struct tb_config *read; /* what @config says, unless --stdin */
    const char *config;     /* of --stdin: its rules count; else: names its lines where its rules are in force */
};

/* Requests that programs answered, and aborted ones, which have a reason instead of a status; calls that they made, and
 * those without an answer. */
static bool is_shown(const struct tb_view *view, const struct tb_snap_series *s)
{
    uint8_t unanswered = s->key.role == TB_ROLE_CLIENT ? TB_FAMILY_CALL_ERRORS : TB_FAMILY_ABORTED;
    return tb_snapshot_is_shown(s) && s->whole.count && tb_role_families((enum tb_role)s->key.role) &&
           tb_view_wants(view, s->service) && (s->key.family == TB_FAMILY_REQUESTS || s->key.family == unanswered);
}

static const char *status_text(const struct tb_snap_key *key, char buffer[16])
{
    const char *reason = tb_reason_name(key);
    if (reason)
        return reason;
    snprintf(buffer, 16, "%u", key->status);
    return buffer;
}

static uint64_t mean_ns(uint64_t sum_ns, uint64_t timed)
{
    return timed ? sum_ns / timed : 0;
}

/* --- series ------------------------------------------------------------------------------------------------------- */

static int busiest_series(const void *a, const void *b)
{
    const struct tb_snap_series *x = *(struct tb_snap_series *const *)a, *y = *(struct tb_snap_series *const *)b;
    return (x->whole.count < y->whole.count) - (x->whole.count > y->whole.count);
}

/* The caller frees the array, not what it points to. */
static struct tb_snap_series **choose_series(const struct tb_view *view, size_t *ret_count)
{
    const struct tb_snapshot *s = view->snapshot;
    struct tb_snap_series **chosen = tb_alloc((s->series_count + 1) * sizeof(struct tb_snap_series *));
    size_t count = 0;
    for (size_t i = 0; i < s->series_count; i++)
        if (is_shown(view, s->series[i]))
            chosen[count++] = s->series[i];
    qsort(chosen, count, sizeof(*chosen), busiest_series);
    *ret_count = count;
    return chosen;
}

static void series_json(struct tb_snap_series *const *chosen, size_t count)
{
    struct tb_json json = {0};
    char status[16];
    tb_json_open(&json, NULL, '[');
    for (size_t i = 0; i < count; i++) {
        const struct tb_snap_series *s = chosen[i];
        uint64_t timed = tb_values_timed(&s->total);
        tb_json_open(&json, NULL, '{');
        tb_json_string(&json, "service", s->service->name);
        tb_json_string(&json, "role", s->key.role == TB_ROLE_CLIENT ? "client" : "server");
        if (s->key.role == TB_ROLE_CLIENT)
            tb_json_string(&json, "target", s->key.target);
        if (tb_is_exchange_family(s->key.family)) {
            tb_json_string(&json, "method", tb_method_name(s->key.method));
            tb_json_string(&json, "route", s->key.route);
        }
        tb_json_string(&json, tb_reason_name(&s->key) ? "reason" : "status", status_text(&s->key, status));
        tb_json_number(&json, "count", s->whole.count);
        tb_json_number(&json, "timed", timed);
        tb_json_seconds(&json, "duration_seconds_sum", s->total.sum_ns);
        tb_json_close(&json, '}');
    }
    tb_json_close(&json, ']');
    putchar('\n');
}

/* What programs called has a target; whoever calls nobody needs no column for it. */
static bool has_calls(struct tb_snap_series *const *chosen, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (chosen[i]->key.role == TB_ROLE_CLIENT)
            return true;
    return false;
}

static void series_text(struct tb_snap_series *const *chosen, size_t shown, size_t count)
{
    bool is_target = has_calls(chosen, shown);
    struct tb_table table = {.columns = 6, .headings = {">COUNT", ">MEAN", "SERVICE", "METHOD", "STATUS", "ROUTE"}};
    if (is_target)
        table = (struct tb_table){.columns = 7,
                                  .headings = {">COUNT", ">MEAN", "SERVICE", "TARGET", "METHOD", "STATUS", "ROUTE"}};
    char status[16], mean[TB_TEXT_SMALL];
    for (size_t i = 0; i < shown; i++) {
        const struct tb_snap_series *s = chosen[i];
        tb_table_cell(&table, "%llu", (unsigned long long)s->whole.count);
        tb_table_cell(&table, "%s", tb_text_duration(mean, mean_ns(s->total.sum_ns, tb_values_timed(&s->total))));
        const bool is_exchange = tb_is_exchange_family(s->key.family);
        tb_table_cell(&table, "%s", s->service->name);
        if (is_target)
            tb_table_cell(&table, "%s", s->key.role == TB_ROLE_CLIENT ? s->key.target : "-");
        tb_table_cell(&table, "%s", is_exchange ? tb_method_name(s->key.method) : "-");
        tb_table_cell(&table, "%s", status_text(&s->key, status));
        tb_table_cell(&table, "%s", is_exchange ? s->key.route : "-");
    }
    tb_table_print(&table);
    if (shown < count)
        printf("(%zu more series)\n", count - shown);
    if (!count)
        puts("Nothing has been counted here: see `tickbird status`.");
}

static void show_series(const struct request *request)
{
    size_t count;
    struct tb_snap_series **chosen = choose_series(&request->view, &count);
    size_t shown = request->top && request->top < count ? request->top : count;
    if (request->is_json)
        series_json(chosen, shown);
    else
        series_text(chosen, shown, count);
    free(chosen);
}

/* --- routes ------------------------------------------------------------------------------------------------------- */

struct route {
    const char *service, *text;
    char *from; /* how it came to be; owned */
    uint64_t count, errors, sum_ns, timed;
};

static int by_name(const void *a, const void *b)
{
    const struct tb_snap_series *x = *(struct tb_snap_series *const *)a, *y = *(struct tb_snap_series *const *)b;
    int order = strcmp(x->service->name, y->service->name);
    return order ? order : strcmp(x->key.route, y->key.route);
}

static int busiest_route(const void *a, const void *b)
{
    const struct route *x = a, *y = b;
    return (x->count < y->count) - (x->count > y->count);
}

/* The rows are still in the order of their services. */
static void find_origins(struct route *routes, size_t count, const struct tb_snapshot *s,
                         const struct tb_config *config)
{
    struct tb_origins origins = {.config = config};
    char text[TB_ORIGIN_MAX];
    for (size_t i = 0; i < count; i++) {
        if (!i || strcmp(routes[i - 1].service, routes[i].service) != 0)
            tb_origins_of(&origins, s, routes[i].service);
        routes[i].from = tb_format("%s", tb_origin(&origins, routes[i].text, text));
    }
    tb_origins_free(&origins);
}

/* One row per (service, route), busiest first; the caller frees it with free_routes. */
static struct route *choose_routes(const struct tb_view *view, const struct tb_config *config, size_t *ret_count)
{
    size_t series_count, count = 0;
    struct tb_snap_series **series = choose_series(view, &series_count);
    struct route *routes = tb_alloc((series_count + 1) * sizeof(*routes));
    qsort(series, series_count, sizeof(*series), by_name);
    for (size_t i = 0; i < series_count; i++) {
        const struct tb_snap_series *s = series[i];
        struct route *last = count ? &routes[count - 1] : NULL;
        if (s->key.family != TB_FAMILY_REQUESTS || s->key.role != TB_ROLE_SERVER)
            continue;
        if (!last || strcmp(last->service, s->service->name) != 0 || strcmp(last->text, s->key.route) != 0) {
            last = &routes[count++];
            *last = (struct route){.service = s->service->name, .text = s->key.route};
        }
        last->count += s->whole.count;
        last->errors += s->key.status >= 500 ? s->whole.count : 0;
        last->sum_ns += s->total.sum_ns;
        last->timed += tb_values_timed(&s->total);
    }
    free(series);
    find_origins(routes, count, view->snapshot, config);
    qsort(routes, count, sizeof(*routes), busiest_route);
    *ret_count = count;
    return routes;
}

static void free_routes(struct route *routes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(routes[i].from);
    free(routes);
}

static void routes_json(const struct route *routes, size_t count)
{
    struct tb_json json = {0};
    tb_json_open(&json, NULL, '[');
    for (size_t i = 0; i < count; i++) {
        tb_json_open(&json, NULL, '{');
        tb_json_string(&json, "service", routes[i].service);
        tb_json_string(&json, "route", routes[i].text);
        tb_json_string(&json, "from", routes[i].from);
        tb_json_number(&json, "count", routes[i].count);
        tb_json_number(&json, "errors", routes[i].errors);
        tb_json_number(&json, "timed", routes[i].timed);
        tb_json_seconds(&json, "duration_seconds_sum", routes[i].sum_ns);
        tb_json_close(&json, '}');
    }
    tb_json_close(&json, ']');
    putchar('\n');
}

static void routes_text(const struct route *routes, size_t shown, size_t count)
{
    struct tb_table table = {.columns = 6, .headings = {">COUNT", ">ERRORS", ">MEAN", "SERVICE", "FROM", "ROUTE"}};
    char mean[TB_TEXT_SMALL];
    for (size_t i = 0; i < shown; i++) {
        tb_table_cell(&table, "%llu", (unsigned long long)routes[i].count);
        tb_table_cell(&table, "%llu", (unsigned long long)routes[i].errors);
        tb_table_cell(&table, "%s", tb_text_duration(mean, mean_ns(routes[i].sum_ns, routes[i].timed)));
        tb_table_cell(&table, "%s", routes[i].service);
        tb_table_cell(&table, "%s", routes[i].from);
        tb_table_cell(&table, "%s", routes[i].text);
    }
    tb_table_print(&table);
    if (shown < count)
        printf("(%zu more routes)\n", count - shown);
    if (!count)
        puts("Nothing has been counted here: see `tickbird status`.");
}

static void show_routes(const struct request *request)
{
    size_t count;
    struct route *routes = choose_routes(&request->view, request->read, &count);
    size_t shown = request->top && request->top < count ? request->top : count;
    if (request->is_json)
        routes_json(routes, shown);
    else
        routes_text(routes, shown, count);
    free_routes(routes, count);
}

/* --- the verbs ---------------------------------------------------------------------------------------------------- */

/* Returns -1 to go on, else the exit code. */
static int parse(int argc, char **argv, const struct tb_verb *verb, const struct option *options,
                 struct request *request)
{
    int got;
    while ((got = tb_cli_option(argc, argv, "h", options)) != TB_OPTION_END) {
        if (got == TB_OPTION_HELP) {
            fputs(verb->usage, stdout);
            return TB_EXIT_OK;
        }
        if (got == 'j')
            request->is_json = true;
        else if (got == 'i')
            request->is_stdin = true;
        else if (got == 'c')
            request->config = optarg;
        else if (got == 't' && tb_cli_number("--top", optarg, 1, TOP_MAX, &request->top) != 0)
            return TB_EXIT_USAGE;
        else if (got != 't' && (got == TB_OPTION_BAD || !tb_view_option(&request->view, got, optarg)))
            return TB_EXIT_USAGE;
    }
    return tb_cli_operands(argc, argv) != 0 ? TB_EXIT_USAGE : -1;
}

static int show(struct request *request, void (*print)(const struct request *))
{
    int result = tb_view_open(&request->view);
    if (result == 0)
        print(request);
    tb_view_close(&request->view);
    return result == 0 ? TB_EXIT_OK : TB_EXIT_FAILED;
}

static int run_series(int argc, char **argv)
{
    static const struct option options[] = {
        {"top", required_argument, NULL, 't'}, {"json", no_argument, NULL, 'j'}, TB_VIEW_OPTIONS, {0}};
    struct request request = {0};
    int code = parse(argc, argv, &tb_verb_series, options, &request);
    return code >= 0 ? code : show(&request, show_series);
}

static int run_routes(int argc, char **argv)
{
    static const struct option options[] = {{"stdin", no_argument, NULL, 'i'},
                                            {"config", required_argument, NULL, 'c'},
                                            {"top", required_argument, NULL, 't'},
                                            {"json", no_argument, NULL, 'j'},
                                            TB_VIEW_OPTIONS,
                                            {0}};
    struct request request = {0};
    char *errors = NULL;
    int code = parse(argc, argv, &tb_verb_routes, options, &request);
    if (code >= 0)
        return code;
    if (request.is_stdin)
        return tb_routes_stdin(stdin, stdout, request.config, request.view.service);
    if (request.config && !(request.read = tb_config_load(request.config, &errors))) {
        fputs(errors, stderr);
        free(errors);
        return TB_EXIT_FAILED;
    }
    code = show(&request, show_routes);
    tb_config_free(request.read);
    return code;
}

const struct tb_verb tb_verb_series = {"series", "what has been counted, per series",
                                       "Usage: tickbird series [OPTIONS]\n"
                                       "Lists the series with their counts and mean durations, busiest first. Aborted "
                                       "requests have a reason instead of a\n"
                                       "status; calls to other servers have a target. Totals of programs that are gone "
                                       "are included.\n"
                                       "\n"
                                       "  --top N              the N busiest\n"
                                       "  --json               as a JSON array\n" TB_VIEW_HELP,
                                       run_series};

const struct tb_verb tb_verb_routes = {
    "routes", "what has been counted, per route; or try paths out",
    "Usage: tickbird routes [OPTIONS]\n"
    "       tickbird routes --stdin [--config FILE] [--service NAME] < PATHS\n"
    "Lists the routes with their requests, those with a status of 500 and above, mean durations, and how each came to\n"
    "be, busiest first.\n"
    "\n"
    "  --stdin              read lines `PATH` or `METHOD<TAB>PATH<TAB>STATUS` and print `PATH<TAB>ROUTE` for each, as "
    "a\n"
    "                       new service would learn them in this order\n"
    "  --config FILE        with --stdin: the rules of this configuration file count; else it is named where its rules "
    "are\n"
    "                       in force\n"
    "  --top N              the N busiest\n"
    "  --json               as a JSON array\n" TB_VIEW_HELP,
    run_routes};

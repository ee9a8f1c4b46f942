/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of dependencies.h for people and for scripts (called.h). */
#include "called.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "exporter/dependencies.h"

static uint64_t whole_ns(double ns)
{
    return isfinite(ns) ? (uint64_t)ns : 0;
}

static void print_row(struct tb_table *table, const struct tb_dependency *d)
{
    const uint64_t calls = tb_dependency_calls(d), failed = tb_dependency_failed(d);
    char p95[TB_TEXT_SMALL];
    tb_table_cell(table, "%s", d->service->name);
    tb_table_cell(table, "%s", d->target);
    tb_table_cell(table, "%llu", (unsigned long long)calls);
    tb_table_cell(table, "%llu", (unsigned long long)failed);
    if (calls)
        tb_table_cell(table, "%.1f %%", 100 * (double)failed / (double)calls);
    else
        tb_table_cell(table, "-");
    tb_table_cell(table, "%s", tb_text_duration(p95, whole_ns(d->p95_ns)));
    tb_table_cell(table, "%s", tb_dependency_state(d));
}

void tb_called_print(const struct tb_view *view)
{
    struct tb_table table = {.columns = 7,
                             .headings = {"SERVICE", "TARGET", ">CALLS", ">FAILED", ">ERRORS", ">P95", "STATE"}};
    struct tb_dependency *list;
    size_t count = tb_dependencies(view->snapshot, &list);
    for (size_t i = 0; i < count; i++)
        if (tb_view_wants(view, list[i].service))
            print_row(&table, &list[i]);
    if (table.count)
        puts("\nDependencies, since the services' totals began at 0:");
    tb_table_print(&table);
    free(list);
}

void tb_called_json(struct tb_json *json, const struct tb_view *view)
{
    struct tb_dependency *list;
    size_t count = tb_dependencies(view->snapshot, &list);
    tb_json_open(json, "dependencies", '[');
    for (size_t i = 0; i < count; i++) {
        const struct tb_dependency *d = &list[i];
        if (!tb_view_wants(view, d->service))
            continue;
        tb_json_open(json, NULL, '{');
        tb_json_string(json, "service", d->service->name);
        tb_json_string(json, "target", d->target);
        tb_json_number(json, "calls", tb_dependency_calls(d));
        tb_json_number(json, "failed", tb_dependency_failed(d));
        tb_json_seconds(json, "p95_seconds", whole_ns(d->p95_ns));
        tb_json_string(json, "state", tb_dependency_state(d));
        tb_json_close(json, '}');
    }
    tb_json_close(json, ']');
    free(list);
}

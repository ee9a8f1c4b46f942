/* SPDX-License-Identifier: Apache-2.0 */
/* --push.dry-run: what would be sent, for people; nothing is sent or changed. */
#include <stdio.h>
#include <stdlib.h>

#include "push.h"
#include "push_kind.h"
#include "push_state.h"

static void print_point(const struct tb_point *p)
{
    printf("  %s{", p->rule->name ? p->rule->name : p->family);
    for (uint32_t i = 0; i < p->label_count; i++)
        printf("%s%s=\"%s\"", i ? "," : "", p->labels[i].name, p->labels[i].value);
    if (p->type == TB_METRIC_HISTOGRAM || p->type == TB_METRIC_SUMMARY)
        printf("} count %llu sum %.9g\n", (unsigned long long)p->value, tb_point_real(p, p->sum));
    else
        printf("} %.9g\n", tb_point_real(p, p->value));
}

static void print_output(const struct tb_push_output_config *c, const struct tb_points *points,
                         const struct tb_push_requests *requests, double price)
{
    printf("output %s (%s): %zu metrics in %zu requests", c->name, c->kind->type, points->count, requests->count);
    if (c->kind->has_price)
        printf(", %.2f a month at %.2f for each", (double)points->count * price, price);
    puts("");
    for (size_t i = 0; i < points->count; i++)
        print_point(points->items[i]);
    for (size_t i = 0; c->kind->is_text && i < requests->count; i++) {
        fwrite(requests->items[i].body, 1, requests->items[i].len, stdout);
        puts("");
    }
}

void tb_push_dry_run(const struct tb_push_config *c, const struct tb_exposition *x, const char *dir, uint64_t time_ns)
{
    for (size_t i = 0; i < c->count; i++) {
        const struct tb_push_output_config *o = &c->outputs[i];
        struct tb_points points = {.time_ns = time_ns};
        struct tb_push_requests requests = {0};
        struct tb_push_state *state = NULL;
        if (!tb_push_takes_totals(o) && tb_push_state_open(dir ? dir : "", o->name, false, 0, &state) < 0)
            fprintf(stderr, "tickbird-exporter: push output %s: its state in %s cannot be read: totals are shown\n",
                    o->name, dir);
        tb_points_make(o, x, state, &points);
        o->kind->encode(o, &points, &requests);
        print_output(o, &points, &requests, c->price);
        for (size_t k = 0; k < requests.count; k++)
            free(requests.items[k].body);
        free(requests.items);
        tb_points_free(&points);
        tb_push_state_close(state);
    }
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A compiled set back into words, for `tickbird routes`: each entry with its route as the core labels it, and where it
 * was written. Reads through the core's own checked accessors; the set may be a hostile one. Entry point:
 * tb_rules_lines.
 */
#include <stdlib.h>

#include "agent/rules.h"
#include "rules_compile.h"

#define VISITS_MAX 8192u /* of nodes and of edges: a set that fits has fewer */

struct walk {
    const uint8_t *section;
    struct tb_rules_view view;
    struct tb_rules_line *lines;
    size_t count, space;
    unsigned visits;
    struct tb_bytes literals[TB_RULES_DEPTH_MAX + 1]; /* of the way to here; ptr NULL: a parameter */
};

static void put_bytes(struct tb_buffer *b, struct tb_bytes t)
{
    tb_put(b, (const char *)t.ptr, t.len);
}

/* The route of an entry at @depth, as rules.c writes it. */
static char *route_of(struct walk *w, const struct tb_rules_entry *e, uint32_t depth, bool is_wild)
{
    struct tb_buffer b = {0};
    struct tb_bytes names = tb_rules_text(w->section, &w->view, e->label);
    size_t at = 0;
    if (e->flags & TB_RULES_WHOLE_LABEL) {
        put_bytes(&b, names);
        depth = 0;
    }
    for (uint32_t i = 0; i < depth; i++) {
        struct tb_bytes text = w->literals[i];
        tb_puts(&b, "/");
        if (!text.ptr) {
            size_t from = at;
            while (at < names.len && names.ptr[at] != '/')
                at++;
            text = tb_bytes(names.ptr + from, at - from);
            at += at < names.len;
        } else if (text.len && text.ptr[0] == ':') {
            tb_puts(&b, "%3A");
            text = tb_bytes(text.ptr + 1, text.len - 1);
        }
        put_bytes(&b, text);
    }
    if (!(e->flags & TB_RULES_WHOLE_LABEL) && is_wild)
        tb_puts(&b, "/:rest");
    else if (!b.len)
        tb_puts(&b, "/");
    char *clean = tb_utf8_clean(b.data, b.len);
    tb_buffer_free(&b);
    return clean;
}

static void visit(struct walk *w, uint32_t number, uint32_t depth)
{
    struct tb_rules_node n = tb_rules_node(w->section, &w->view, number);
    if (w->visits++ >= VISITS_MAX)
        return;
    for (uint32_t i = 0; i < (uint32_t)n.ends + n.wilds && w->count < TB_RULES_ENTRIES_MAX; i++) {
        struct tb_rules_entry e = tb_rules_entry(w->section, &w->view, (uint32_t)n.entries + i);
        w->lines = tb_grow(w->lines, w->count, &w->space, sizeof *w->lines);
        w->lines[w->count++] = (struct tb_rules_line){.route = route_of(w, &e, depth, i >= n.ends),
                                                      .source = e.source,
                                                      .is_openapi = (e.flags & TB_RULES_OPENAPI) != 0,
                                                      .is_drop = (e.flags & TB_RULES_DROP) != 0};
    }
    uint32_t edges = (uint32_t)n.literals + n.globs + n.params;
    for (uint32_t i = 0; depth < TB_RULES_DEPTH_MAX && i < edges && w->visits++ < VISITS_MAX; i++) {
        struct tb_rules_edge e = tb_rules_edge(w->section, &w->view, n.edges + i);
        w->literals[depth] = i < n.literals ? tb_rules_text(w->section, &w->view, e.text) : (struct tb_bytes){0};
        if (e.node)
            visit(w, e.node, depth + 1);
    }
}

size_t tb_rules_lines(const uint8_t *section, uint32_t at, uint32_t len, struct tb_rules_line **ret)
{
    struct walk *w = tb_alloc(sizeof *w);
    w->section = section;
    if (tb_rules_read(section, at, len, &w->view))
        visit(w, 0, 0);
    size_t count = w->count;
    *ret = w->lines;
    free(w);
    return count;
}

void tb_rules_lines_free(struct tb_rules_line *lines, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(lines[i].route);
    free(lines);
}

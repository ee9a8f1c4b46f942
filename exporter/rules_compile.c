/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compiles the patterns of a service into a set: a tree of segments with sorted edges, laid out without pointers.
 * Entry point: tb_rules_compile. Reading a set back into words is rules_lines.c, several sets in a file rules_bundle.c.
 */
#include "rules_compile.h"

#include <errno.h>
#include <stdlib.h>

#include "agent/route_segment.h"
#include "agent/route_shape.h"
#include "rules_config.h"
#include "rules_measures.h"
#include "rules_pattern.h"

struct node;
struct edge {
    enum tb_part_kind kind;
    uint32_t hash;
    char *text;
    struct node *to;
};
struct item { /* an entry, with what orders it */
    struct tb_rules_entry is;
    const struct tb_pattern *pattern;
    bool is_wild;
    bool is_own; /* of the service, not of every service */
};
struct node {
    struct edge *edges;
    size_t edge_count, edge_space;
    struct item *items;
    size_t item_count, item_space;
    uint32_t number;
};

struct compiler {
    struct node *root;
    struct node **nodes; /* as they are numbered */
    size_t node_count, node_space;
    size_t entry_count;
    struct tb_buffer texts;
    struct {
        uint16_t *slots; /* offset in texts, by hash; 0 = free */
        size_t count;
    } known;
    struct tb_config_errors *errors;
    unsigned error_count;
};

/* --- texts ---------------------------------------------------------------------------------------------------------
 */

#define KNOWN_SLOTS 8192u

/* The offset of a text, appended when new; 0 for "" and when there is no room. */
static uint16_t text_of(struct compiler *c, const char *text)
{
    size_t len = strlen(text);
    if (!len || len > 255)
        return 0;
    if (!c->texts.len)
        tb_put(&c->texts, "", 1); /* offset 0 is the empty text */
    uint32_t at = tb_segment_hash(tb_bytes(text, len));
    for (size_t i = 0; i < KNOWN_SLOTS; i++) {
        uint16_t *slot = &c->known.slots[(at + i) % KNOWN_SLOTS];
        if (*slot && (uint8_t)c->texts.data[*slot] == len && memcmp(c->texts.data + *slot + 1, text, len) == 0)
            return *slot;
        if (*slot)
            continue;
        if (c->texts.len + len > UINT16_MAX - 1 || c->known.count >= KNOWN_SLOTS / 2)
            break;
        char head = (char)(uint8_t)len;
        *slot = (uint16_t)c->texts.len;
        c->known.count++;
        tb_put(&c->texts, &head, 1);
        tb_put(&c->texts, text, len);
        return *slot;
    }
    return 0;
}

/* --- the tree ------------------------------------------------------------------------------------------------------
 */

static struct node *new_node(struct compiler *c)
{
    struct node *n = tb_alloc(sizeof *n);
    n->number = (uint32_t)c->node_count;
    c->nodes = tb_grow(c->nodes, c->node_count, &c->node_space, sizeof(struct node *));
    c->nodes[c->node_count++] = n;
    return n;
}

static struct node *follow(struct compiler *c, struct node *n, const struct tb_pattern_part *part)
{
    for (size_t i = 0; i < n->edge_count; i++)
        if (n->edges[i].kind == part->kind && strcmp(n->edges[i].text, part->text) == 0)
            return n->edges[i].to;
    n->edges = tb_grow(n->edges, n->edge_count, &n->edge_space, sizeof *n->edges);
    struct edge *e = &n->edges[n->edge_count++];
    *e = (struct edge){.kind = part->kind,
                       .hash = tb_segment_hash(tb_bytes(part->text, strlen(part->text))),
                       .text = tb_strndup(part->text, strlen(part->text)),
                       .to = new_node(c)};
    return e->to;
}

static void complain(struct compiler *c, const struct tb_pattern *p, const char *why)
{
    c->error_count++;
    if (c->errors)
        tb_config_error(c->errors, p->file, p->line, p->column, "pattern \"%s\": %s", p->path, why);
}

static void complain_measures(struct compiler *c, const struct tb_config *config, const struct tb_service_config *is,
                              const char *why)
{
    const struct tb_metrics_config *m = is->metrics.is_given ? &is->metrics : &config->metrics;
    c->error_count++;
    if (c->errors)
        tb_config_error(c->errors, config->path, m->line ? m->line : 1, m->column ? m->column : 1, "metrics: %s", why);
}

/* The same path, method and host twice: the first counts, so a service's own line, and one written by hand. */
static bool is_repeated(struct compiler *c, const struct node *n, const struct item *new)
{
    for (size_t i = 0; i < n->item_count; i++) {
        const struct item *old = &n->items[i];
        if (old->is_wild != new->is_wild || old->is.method != new->is.method || old->is.host != new->is.host ||
            (old->is.flags ^ new->is.flags) & TB_RULES_DROP)
            continue;
        if (old->is_own == new->is_own && !old->pattern->is_openapi && !new->pattern->is_openapi) {
            char *why = tb_format("line %u says the same: only the first would count: remove one", old->pattern->line);
            complain(c, new->pattern, why);
            free(why);
        }
        return true;
    }
    return false;
}

static uint16_t label_of(struct compiler *c, const struct tb_pattern *p, const struct tb_pattern_parts *parts)
{
    char names[TB_RULES_LABEL_MAX + 1];
    size_t len = 0;
    if (p->label)
        return text_of(c, p->label);
    for (uint32_t i = 0; i < parts->count; i++) {
        size_t part = strlen(parts->parts[i].label);
        if (parts->parts[i].kind == TB_PART_LITERAL || len + part + 1 > sizeof names - 1)
            continue;
        if (len)
            names[len++] = '/';
        memcpy(names + len, parts->parts[i].label, part);
        len += part;
    }
    names[len] = 0;
    return text_of(c, names);
}

static void add_pattern(struct compiler *c, const struct tb_pattern *p, bool is_own)
{
    struct tb_pattern_parts parts;
    if (c->entry_count > TB_RULES_ENTRIES_MAX) { /* only counted: they do not fit */
        c->entry_count++;
        return;
    }
    const char *why = tb_pattern_parse(p->path, &parts);
    if (why) {
        complain(c, p, why);
        return;
    }
    struct node *n = c->root;
    for (uint32_t i = 0; i < parts.count; i++)
        n = follow(c, n, &parts.parts[i]);
    struct item item = {.pattern = p, .is_wild = parts.is_wild, .is_own = is_own};
    item.is.label = label_of(c, p, &parts);
    item.is.method = p->method;
    item.is.host = p->host ? text_of(c, p->host) : 0;
    item.is.source = p->line < UINT16_MAX ? (uint16_t)p->line : UINT16_MAX;
    item.is.flags = (uint8_t)((p->is_drop ? TB_RULES_DROP : 0) | (p->label ? TB_RULES_WHOLE_LABEL : 0) |
                              (p->is_openapi ? TB_RULES_OPENAPI : 0));
    if (is_repeated(c, n, &item))
        return;
    n->items = tb_grow(n->items, n->item_count, &n->item_space, sizeof *n->items);
    n->items[n->item_count++] = item;
    c->entry_count++;
}

static void free_compiler(struct compiler *c)
{
    for (size_t i = 0; i < c->node_count; i++) {
        for (size_t k = 0; k < c->nodes[i]->edge_count; k++)
            free(c->nodes[i]->edges[k].text);
        free(c->nodes[i]->edges);
        free(c->nodes[i]->items);
        free(c->nodes[i]);
    }
    free(c->nodes);
    free(c->known.slots);
    tb_buffer_free(&c->texts);
}

/* --- laying it out -------------------------------------------------------------------------------------------------
 */

/* Literals by hash, then globs with the longest text first, then the parameter. */
static int by_edge(const void *a, const void *b)
{
    const struct edge *x = a, *y = b;
    if (x->kind != y->kind)
        return x->kind < y->kind ? -1 : 1;
    if (x->kind == TB_PART_LITERAL)
        return (x->hash > y->hash) - (x->hash < y->hash);
    size_t xl = strlen(x->text), yl = strlen(y->text);
    return xl != yl ? (xl < yl) - (xl > yl) : strcmp(x->text, y->text);
}

/* Ends before wildcards; more conditions first; what is dropped first; else as written. */
static int item_rank(const struct item *i)
{
    return (i->is_wild ? 0 : 16) + (i->is.host ? 8 : 0) + (i->is.method ? 4 : 0) +
           (i->is.flags & TB_RULES_DROP ? 1 : 0);
}

static void sort_items(struct node *n)
{
    for (size_t i = 1; i < n->item_count; i++) /* few of them, and their order must be kept */
        for (size_t k = i; k && item_rank(&n->items[k - 1]) < item_rank(&n->items[k]); k--) {
            struct item swap = n->items[k];
            n->items[k] = n->items[k - 1];
            n->items[k - 1] = swap;
        }
}

struct layout {
    struct tb_buffer parts[TB_RULES_SECTIONS];
};

static bool put_node(struct compiler *c, struct node *n, struct layout *out)
{
    struct tb_buffer *edges = &out->parts[TB_RULES_EDGES], *entries = &out->parts[TB_RULES_ENTRIES];
    size_t first_edge = edges->len / sizeof(struct tb_rules_edge), counts[3] = {0}, wilds = 0;
    size_t first_entry = entries->len / sizeof(struct tb_rules_entry);
    if (n->edge_count)
        qsort(n->edges, n->edge_count, sizeof *n->edges, by_edge);
    sort_items(n);
    for (size_t i = 0; i < n->edge_count; i++) {
        const struct edge *e = &n->edges[i];
        struct tb_rules_edge is = {e->hash, text_of(c, e->text), (uint16_t)e->to->number};
        counts[e->kind]++;
        tb_put(edges, (const char *)&is, sizeof is);
    }
    for (size_t i = 0; i < n->item_count; i++) {
        wilds += n->items[i].is_wild;
        tb_put(entries, (const char *)&n->items[i].is, sizeof n->items[i].is);
    }
    struct tb_rules_node is = {.edges = (uint16_t)first_edge,
                               .literals = (uint16_t)counts[TB_PART_LITERAL],
                               .globs = (uint8_t)counts[TB_PART_GLOB],
                               .params = (uint8_t)counts[TB_PART_PARAMETER],
                               .entries = (uint16_t)first_entry,
                               .ends = (uint8_t)(n->item_count - wilds),
                               .wilds = (uint8_t)wilds};
    tb_put(&out->parts[TB_RULES_NODES], (const char *)&is, sizeof is);
    return counts[TB_PART_GLOB] <= 255 && n->item_count <= 255 && first_edge + n->edge_count <= UINT16_MAX;
}

static void put_hosts(struct compiler *c, const struct tb_text_list *hosts, struct layout *out)
{
    for (size_t i = 0; i < hosts->count; i++) {
        uint16_t text = text_of(c, hosts->items[i]);
        tb_put(&out->parts[TB_RULES_HOSTS], (const char *)&text, sizeof text);
    }
}

static uint32_t first_given(uint32_t own, uint32_t common)
{
    return own ? own : common;
}

/* What targets are called; a service's own first. False: it does not fit. */
static bool put_targets(struct compiler *c, const struct tb_calls_config *calls, struct layout *out)
{
    bool fits = true;
    for (size_t i = 0; i < calls->globs.count; i++) {
        struct tb_rules_target is = {text_of(c, calls->globs.items[i]), text_of(c, calls->names.items[i])};
        fits &= is.glob && is.name;
        tb_put(&out->parts[TB_RULES_TARGETS], (const char *)&is, sizeof is);
    }
    return fits;
}

static bool put_calls(struct compiler *c, const struct tb_calls_config *own, const struct tb_calls_config *common,
                      struct layout *out)
{
    uint32_t max_targets = first_given(own->max_targets, common->max_targets);
    if (max_targets)
        tb_put(&out->parts[TB_RULES_LIMITS], (const char *)&max_targets, sizeof max_targets);
    bool fits = put_targets(c, own, out);
    return put_targets(c, common, out) && fits;
}

/* What is to be recorded. False: it does not fit. */
static bool put_measures(struct compiler *c, const struct tb_measures_out *m, struct layout *out)
{
    bool fits = true;
    for (size_t i = 0; i < m->routes.count; i++) {
        struct tb_rules_bounds is;
        memcpy(&is, m->bounds.data + i * sizeof is, sizeof is);
        is.route = text_of(c, m->routes.items[i]);
        fits &= is.route || !*m->routes.items[i];
        tb_put(&out->parts[TB_RULES_BOUNDS], (const char *)&is, sizeof is);
    }
    tb_put(&out->parts[TB_RULES_AT_MOST], m->at_most.data, m->at_most.len);
    return fits;
}

/* The user's own metrics. */
static void put_custom(struct compiler *c, const struct tb_config *config, const struct tb_service_config *is,
                       struct layout *out)
{
    const struct tb_custom_rule_config *at = NULL;
    const char *why = tb_custom_compile(&is->custom, &config->custom, &out->parts[TB_RULES_CUSTOM], &at);
    if (!why)
        return;
    c->error_count++;
    if (c->errors)
        tb_config_error(c->errors, config->path, at->line, at->column, "rules: %s", why);
}

/* Head and parts, each part at a multiple of 8. False: it does not fit. */
static bool put_set(struct compiler *c, struct layout *l, struct tb_rules_set set, struct tb_buffer *out)
{
    size_t start = out->len, at = sizeof set;
    tb_put(&l->parts[TB_RULES_TEXTS], c->texts.data, c->texts.len);
    for (size_t i = 0; i < TB_RULES_SECTIONS; i++) {
        set.parts[i] = (struct tb_rules_part){(uint32_t)at, (uint32_t)l->parts[i].len};
        at += (l->parts[i].len + 7) & ~(size_t)7;
    }
    if (at > TB_RULES_BUFFER || c->entry_count > TB_RULES_ENTRIES_MAX || c->texts.len > UINT16_MAX)
        return false;
    set.length = (uint32_t)at;
    tb_put(out, (const char *)&set, sizeof set);
    for (size_t i = 0; i < TB_RULES_SECTIONS; i++) {
        tb_put(out, l->parts[i].data, l->parts[i].len);
        while ((out->len - start) % 8)
            tb_put(out, "", 1);
    }
    set.checksum = tb_rules_checksum(out->data + start + TB_RULES_CHECKED, at - TB_RULES_CHECKED);
    memcpy(out->data + start, &set, sizeof set);
    return true;
}

/* --- entry point ---------------------------------------------------------------------------------------------------
 */

/* May it match one value of those that route_shape.h leaves out, and not another? */
static bool tells_values_apart(const struct edge *e)
{
    size_t len = strlen(e->text);
    if (e->kind == TB_PART_LITERAL)
        return strspn(e->text, "0123456789") == len ||
               (len >= TB_SHAPE_HEX && strspn(e->text, "0123456789abcdefABCDEF-") == len);
    return e->kind == TB_PART_GLOB && strspn(e->text, "0123456789abcdefABCDEF-*?") == len;
}

static bool has_shapes(const struct compiler *c)
{
    for (size_t i = 0; i < c->node_count; i++)
        for (size_t k = 0; k < c->nodes[i]->edge_count; k++)
            if (tells_values_apart(&c->nodes[i]->edges[k]))
                return false;
    return true;
}

#define HOSTS_DEFAULT 20u

static struct tb_rules_set settings(const struct tb_route_config *own, const struct tb_route_config *common,
                                    enum tb_rules_origin origin)
{
    const struct tb_route_config *host = own->has_host ? own : common;
    struct tb_rules_set set = {.magic = TB_RULES_MAGIC, .version = TB_RULES_VERSION, .origin = (uint8_t)origin};
    int route = own->route >= 0 ? own->route : common->route;
    set.route = (uint8_t)(route >= 0 ? route : TB_RULES_INFERRED);
    set.flags = host->has_host_label ? TB_RULES_HOST_LABEL : 0;
    set.max_hosts = (uint16_t)(host->max_hosts ? host->max_hosts : HOSTS_DEFAULT);
    set.max_routes = first_given(own->max_routes, common->max_routes);
    set.max_series = first_given(own->max_series, common->max_series);
    return set;
}

static void add_all(struct compiler *c, const struct tb_route_config *r, bool is_own, struct tb_rules_set *set)
{
    set->flags |= r->has_probe_agents ? TB_RULES_PROBES : 0;
    for (size_t i = 0; i < r->pattern_count; i++) {
        if (r->patterns[i].host)
            set->flags |= TB_RULES_HOST_RULES;
        add_pattern(c, &r->patterns[i], is_own);
    }
}

int tb_rules_compile(const struct tb_config *config, size_t service, enum tb_rules_origin origin,
                     struct tb_config_errors *errors, struct tb_buffer *out)
{
    static const struct tb_service_config none = {.routes = {.route = -1}};
    const struct tb_service_config *is = service < config->service_count ? &config->services[service] : &none;
    const struct tb_route_config *common = &config->routes, *own = &is->routes;
    struct compiler c = {.errors = errors};
    struct layout layout = {0};
    struct tb_rules_set set = settings(own, common, origin);
    struct tb_measures_out measures = {0};
    bool fits = true;
    c.known.slots = tb_alloc(KNOWN_SLOTS * sizeof *c.known.slots);
    c.root = new_node(&c);
    add_all(&c, own, true, &set);
    add_all(&c, common, false, &set);
    bool has_paths = tb_custom_has_paths(&is->custom) || tb_custom_has_paths(&config->custom);
    set.flags |= has_shapes(&c) && !has_paths ? TB_RULES_SHAPES : 0;
    for (size_t i = 0; i < c.node_count; i++)
        fits = put_node(&c, c.nodes[i], &layout) && fits;
    const char *why = tb_measures_compile(&is->metrics, &config->metrics, own, common, &measures);
    if (why)
        complain_measures(&c, config, is, why);
    set.flags |= measures.flags;
    fits = put_measures(&c, &measures, &layout) && fits;
    fits = put_calls(&c, &is->calls, &config->calls, &layout) && fits;
    put_custom(&c, config, is, &layout);
    put_hosts(&c, own->has_host ? &own->hosts : &common->hosts, &layout);
    if (!c.error_count && (!fits || c.node_count > UINT16_MAX || !put_set(&c, &layout, set, out))) {
        const struct tb_route_config *at = own->is_given ? own : common;
        c.error_count++;
        if (errors)
            tb_config_error(errors, config->path, at->line, at->column,
                            "routes: %zu patterns do not fit: there is room for %u of them and %u KiB in a program's "
                            "region: end some with /*, or leave some out",
                            c.entry_count, TB_RULES_ENTRIES_MAX, TB_RULES_BUFFER >> 10);
    }
    int r = c.error_count ? -EINVAL : 0;
    for (size_t i = 0; i < TB_RULES_SECTIONS; i++)
        tb_buffer_free(&layout.parts[i]);
    tb_measures_free(&measures);
    free_compiler(&c);
    return r;
}

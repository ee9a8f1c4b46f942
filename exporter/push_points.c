/* SPDX-License-Identifier: Apache-2.0 */
/* From an exposition to points (push_points.h): which rules want a sample, under which labels, and the table of points.
 */
#include "push_points.h"

#include <math.h>
#include <stdlib.h>

#include "agent/histogram.h"
#include "agent/rules.h"
#include "push_delta.h"
#include "push_state.h"

#define CHUNK_BYTES ((size_t)256 << 10)
#define LABELS_MAX 64u
#define EXEMPLARS_MAX 64u /* of a point */
#define FIRST_TABLE 1024u /* a power of 2, as are all its sizes */

/* Memory of points, freed as a whole. */
struct tb_point_chunk {
    struct tb_point_chunk *next;
    size_t used, space;
    _Alignas(uint64_t) char bytes[];
};

static void *arena(struct tb_points *p, size_t len)
{
    len = (len + 7) & ~(size_t)7;
    if (!p->memory || p->memory->space - p->memory->used < len) {
        size_t space = len > CHUNK_BYTES ? len : CHUNK_BYTES;
        struct tb_point_chunk *chunk = tb_realloc(NULL, sizeof *chunk + space);
        *chunk = (struct tb_point_chunk){.next = p->memory, .space = space};
        p->memory = chunk;
    }
    void *at = p->memory->bytes + p->memory->used;
    p->memory->used += len;
    return at;
}

static char *arena_text(struct tb_points *p, const char *text, size_t len)
{
    char *copy = arena(p, len + 1);
    memcpy(copy, text, len);
    copy[len] = 0;
    return copy;
}

void tb_points_free(struct tb_points *p)
{
    while (p->memory) {
        struct tb_point_chunk *next = p->memory->next;
        free(p->memory);
        p->memory = next;
    }
    free(p->items);
    free(p->table);
    *p = (struct tb_points){0};
}

/* --- labels ----------------------------------------------------------------------------------------------------------
 */

/* The labels of a sample, values as they are meant; all in one text that is used again. */
struct sample_labels {
    struct {
        const char *name, *value;
    } items[LABELS_MAX];
    size_t count;
    struct tb_buffer text;
};

/* From `a="1",b="x\"y"`: names and values behind each other, each terminated. */
static void read_labels(struct sample_labels *l, struct tb_labels from)
{
    const char *at = from.text, *end = at + from.len;
    l->count = 0;
    l->text.len = 0;
    char *to = tb_buffer_room(&l->text, from.len + 2); /* what is left out is more than what is put in */
    while (at < end && l->count < LABELS_MAX) {
        l->items[l->count].name = to;
        while (*at != '=')
            *to++ = *at++;
        *to++ = 0;
        l->items[l->count++].value = to;
        for (at += 2; *at != '"'; at++) {
            bool is_escaped = *at == '\\';
            at += is_escaped;
            *to = *at;
            if (is_escaped && *at == 'n')
                *to = '\n';
            to++;
        }
        *to++ = 0;
        at += 2; /* the quote and a comma */
    }
}

static const char *find_label(const struct sample_labels *l, const char *name)
{
    for (size_t i = 0; i < l->count; i++)
        if (strcmp(l->items[i].name, name) == 0)
            return l->items[i].value;
    return NULL;
}

static bool is_wanted(const struct tb_push_rule *rule, const struct sample_labels *l)
{
    for (size_t i = 0; i < rule->where.count; i++) {
        const char *value = find_label(l, rule->where.items[i].name);
        if (!tb_glob(tb_bytes_str(rule->where.items[i].value), tb_bytes_str(value ? value : "")))
            return false;
    }
    return true;
}

static const char *find_constant(const struct tb_push_output_config *c, const char *name)
{
    for (size_t i = 0; i < c->constants.count; i++)
        if (strcmp(c->constants.items[i].name, name) == 0)
            return c->constants.items[i].value;
    return NULL;
}

/* What one point is called by: labels of a sample as a set has them. */
struct point_key {
    struct tb_point_label labels[LABELS_MAX + TB_PUSH_DIMENSIONS_MAX];
    uint32_t count;
    uint64_t hash;
};

static void add_label(struct point_key *key, const char *name, const char *value)
{
    if (value && key->count < LABELS_MAX + TB_PUSH_DIMENSIONS_MAX)
        key->labels[key->count++] = (struct tb_point_label){name, value};
}

static bool has_label(const struct point_key *key, const char *name)
{
    for (uint32_t i = 0; i < key->count; i++)
        if (strcmp(key->labels[i].name, name) == 0)
            return true;
    return false;
}

/* @set NULL: every label, and the constants. Of a label and a constant of one name the constant counts: receivers take
 * no name twice. */
static void make_key(struct point_key *key, const struct tb_push_output_config *c, const struct tb_push_set *set,
                     const struct sample_labels *l)
{
    key->count = 0;
    for (size_t i = 0; set && i < set->dimensions.count; i++) {
        const struct tb_push_pair *d = &set->dimensions.items[i];
        const char *constant = *d->name ? NULL : find_constant(c, d->value);
        add_label(key, *d->name ? d->name : d->value, constant ? constant : find_label(l, d->value));
    }
    for (size_t i = 0; !set && i < l->count; i++)
        if (!find_constant(c, l->items[i].name))
            add_label(key, l->items[i].name, l->items[i].value);
    for (size_t i = 0; (!set || c->kind->has_label_names) && i < c->constants.count; i++)
        if (!has_label(key, c->constants.items[i].name))
            add_label(key, c->constants.items[i].name, c->constants.items[i].value);
}

static uint64_t hash_text(uint64_t h, const char *text)
{
    do
        h = (h ^ (unsigned char)*text) * UINT64_C(0x100000001b3);
    while (*text++);
    return h;
}

static void hash_key(struct point_key *key, const struct tb_push_rule *rule, const char *family)
{
    uint64_t h = hash_text(UINT64_C(0xcbf29ce484222325) ^ (uint64_t)(uintptr_t)rule, family);
    for (uint32_t i = 0; i < key->count; i++)
        h = hash_text(hash_text(h, key->labels[i].name), key->labels[i].value);
    key->hash = h ^ h >> 29;
}

static bool is_point(const struct tb_point *p, const struct point_key *key, const struct tb_push_rule *rule,
                     const char *family)
{
    bool is_same = p->hash == key->hash && p->rule == rule && p->label_count == key->count && p->family == family;
    for (uint32_t i = 0; is_same && i < key->count; i++)
        is_same = strcmp(p->labels[i].name, key->labels[i].name) == 0 &&
                  strcmp(p->labels[i].value, key->labels[i].value) == 0;
    return is_same;
}

/* --- the table -------------------------------------------------------------------------------------------------------
 */

static void grow_table(struct tb_points *p)
{
    size_t size = p->table_size ? p->table_size * 2 : FIRST_TABLE;
    free(p->table);
    p->table = tb_alloc(size * sizeof *p->table);
    p->table_size = size;
    for (size_t i = 0; i < p->count; i++) {
        struct tb_point **place = &p->table[p->items[i]->hash & (size - 1)];
        p->items[i]->next = *place;
        *place = p->items[i];
    }
}

/* The family that is being read. */
struct family {
    const struct tb_metric *metric; /* texts in @p's memory */
    struct tb_metric copy;
    bool has_copy;
};

static const struct tb_metric *kept_family(struct tb_points *p, struct family *f)
{
    if (f->has_copy)
        return &f->copy;
    f->copy = *f->metric;
    f->copy.name = arena_text(p, f->metric->name, strlen(f->metric->name));
    f->copy.unit = arena_text(p, f->metric->unit, strlen(f->metric->unit));
    f->copy.help = arena_text(p, f->metric->help, strlen(f->metric->help));
    f->has_copy = true;
    return &f->copy;
}

static struct tb_point *new_point(struct tb_points *p, const struct tb_metric *m, const struct tb_push_rule *rule,
                                  const struct point_key *key)
{
    struct tb_point *point = arena(p, sizeof *point);
    *point = (struct tb_point){.rule = rule,
                               .family = m->name,
                               .unit = m->unit,
                               .help = m->help,
                               .type = m->type,
                               .decimals = m->decimals,
                               .label_count = key->count,
                               .labels = arena(p, key->count * sizeof *point->labels),
                               .hash = key->hash};
    for (uint32_t i = 0; i < key->count; i++)
        point->labels[i] = (struct tb_point_label){arena_text(p, key->labels[i].name, strlen(key->labels[i].name)),
                                                   arena_text(p, key->labels[i].value, strlen(key->labels[i].value))};
    p->items = tb_grow(p->items, p->count, &p->space, sizeof(struct tb_point *));
    p->items[p->count++] = point;
    if (p->count > p->table_size) {
        grow_table(p);
    } else {
        point->next = p->table[point->hash & (p->table_size - 1)];
        p->table[point->hash & (p->table_size - 1)] = point;
    }
    return point;
}

static struct tb_point *find_point(struct tb_points *p, struct family *f, const struct tb_push_rule *rule,
                                   struct point_key *key, bool *ret_is_new)
{
    const struct tb_metric *m = kept_family(p, f);
    hash_key(key, rule, m->name);
    struct tb_point *at = p->table_size ? p->table[key->hash & (p->table_size - 1)] : NULL;
    while (at && !is_point(at, key, rule, m->name))
        at = at->next;
    *ret_is_new = !at;
    return at ? at : new_point(p, m, rule, key);
}

/* --- adding ----------------------------------------------------------------------------------------------------------
 */

static void add_cells(struct tb_points *p, struct tb_point *to, const struct tb_sample *s)
{
    if (!s->cell_count)
        return;
    struct tb_exposed_cell *merged = arena(p, (to->cell_count + s->cell_count) * sizeof *merged);
    uint32_t a = 0, b = 0, count = 0;
    while (a < to->cell_count || b < s->cell_count) {
        if (b == s->cell_count || (a < to->cell_count && to->cells[a].index < s->cells[b].index)) {
            merged[count++] = to->cells[a++];
        } else {
            merged[count] = s->cells[b++];
            if (a < to->cell_count && to->cells[a].index == merged[count].index)
                merged[count].count += to->cells[a++].count;
            count++;
        }
    }
    to->cells = merged;
    to->cell_count = count;
}

static void add_buckets(struct tb_points *p, struct tb_point *to, const struct tb_sample *s, bool is_new)
{
    if (is_new) {
        to->bounds = arena(p, s->bound_count * sizeof *to->bounds);
        to->buckets = arena(p, (s->bound_count + 1) * sizeof *to->buckets);
        memcpy(to->bounds, s->bounds, s->bound_count * sizeof *to->bounds);
        memset(to->buckets, 0, (s->bound_count + 1) * sizeof *to->buckets);
        to->bound_count = s->bound_count;
        to->has_buckets = true;
    }
    to->has_buckets &=
        to->bound_count == s->bound_count && memcmp(to->bounds, s->bounds, s->bound_count * sizeof *to->bounds) == 0;
    for (uint32_t i = 0; to->has_buckets && i <= s->bound_count; i++)
        to->buckets[i] += s->buckets[i];
}

/* Their labels are `trace_id="..."`. */
static void add_exemplars(struct tb_points *p, struct tb_point *to, const struct tb_sample *s)
{
    uint32_t room = EXEMPLARS_MAX - to->exemplar_count, more = s->exemplar_count < room ? s->exemplar_count : room;
    if (!more)
        return;
    struct tb_point_exemplar *all = arena(p, (to->exemplar_count + more) * sizeof *all);
    if (to->exemplar_count)
        memcpy(all, to->exemplars, to->exemplar_count * sizeof *all);
    for (const struct tb_exposed_exemplar *x = s->exemplars; x < s->exemplars + more; x++) {
        const char *quote = memchr(x->labels.text, '"', x->labels.len);
        const char *id = quote ? quote + 1 : x->labels.text, *end = x->labels.text + x->labels.len - !!quote;
        all[to->exemplar_count++] =
            (struct tb_point_exemplar){arena_text(p, id, (size_t)(end - id)), x->value, x->time_ns, x->bucket};
    }
    to->exemplars = all;
}

static void add_sample(struct tb_points *p, struct tb_point *to, const struct tb_sample *s, bool is_new)
{
    const enum tb_push_gauges how = to->rule->gauges;
    if (to->type == TB_METRIC_GAUGE && !is_new && how != TB_PUSH_SUM) {
        bool is_better = how == TB_PUSH_MAX ? s->value > to->value : s->value < to->value;
        to->value = is_better ? s->value : to->value;
        return;
    }
    to->value += s->value;
    to->sum += s->sum;
    to->zero_count += s->zero_count;
    if (is_new || s->created_ns < to->created_ns)
        to->created_ns = s->created_ns;
    if (to->type == TB_METRIC_HISTOGRAM) {
        add_cells(p, to, s);
        if (s->buckets)
            add_buckets(p, to, s, is_new);
        add_exemplars(p, to, s);
    }
}

/* --- families and samples --------------------------------------------------------------------------------------------
 */

bool tb_push_wants_family(const struct tb_push_output_config *c, const char *family)
{
    for (size_t i = 0; i < c->rule_count; i++)
        if (tb_glob(tb_bytes_str(c->rules[i].metric), tb_bytes_str(family)))
            return true;
    return false;
}

/* The rules that want the family; those of an output are few, families are many. */
struct wanting {
    const struct tb_push_rule **rules;
    size_t count;
};

static void find_rules(struct wanting *w, const struct tb_push_output_config *c, const char *family)
{
    w->count = 0;
    for (size_t i = 0; i < c->rule_count; i++)
        if (tb_glob(tb_bytes_str(c->rules[i].metric), tb_bytes_str(family)))
            w->rules[w->count++] = &c->rules[i];
}

/* Without sets of its own a rule has the output's; without those, labels as they are, or the service. */
static void add_to_points(const struct tb_push_output_config *c, const struct tb_push_rule *rule, struct family *f,
                          const struct sample_labels *l, const struct tb_sample *s, struct tb_points *p)
{
    static struct tb_push_pair service_pair = {(char *)(uintptr_t) "", (char *)(uintptr_t) "service"};
    static const struct tb_push_set service = {{&service_pair, 1, 1}};
    const bool has_sets = rule->has_sets || c->has_sets;
    const struct tb_push_set *sets = rule->has_sets ? rule->sets : c->sets;
    const size_t count = rule->has_sets ? rule->set_count : c->set_count;
    struct point_key key;
    bool is_new = false;
    for (size_t i = 0; i < (has_sets ? count : 1); i++) {
        make_key(&key, c, has_sets ? &sets[i] : c->kind->has_label_names ? NULL : &service, l);
        struct tb_point *to = find_point(p, f, rule, &key, &is_new);
        add_sample(p, to, s, is_new);
    }
}

static struct tb_sample sample_of(const struct tb_reader *r, enum tb_exposed_kind kind)
{
    const struct tb_exposed_histogram *h = &r->histogram;
    struct tb_sample s = {.value = r->value, .created_ns = r->created_ns};
    if (kind == TB_EXPOSED_SUMMARY)
        s.sum = r->sum;
    if (kind != TB_EXPOSED_HISTOGRAM)
        return s;
    s.sum = h->sum;
    s.cells = (struct tb_exposed_cell *)(uintptr_t)h->cells;
    s.cell_count = (uint32_t)h->cell_count;
    s.zero_count = h->zero_count;
    s.bounds = h->bounds;
    s.buckets = h->buckets;
    s.bound_count = (uint32_t)h->bound_count;
    s.exemplars = h->exemplars;
    s.exemplar_count = (uint32_t)h->exemplar_count;
    return s;
}

/* What others measured, in millionths: outputs add up whole numbers. False: it is no number from 0 to 2^63 of them. */
static bool to_millionths(uint64_t *bits)
{
    double value = tb_bits_real(*bits) * 1e6;
    if (!(value >= 0 && value < 0x1p63))
        return false;
    *bits = (uint64_t)llround(value);
    return true;
}

/* A sample of a family of TB_METRIC_REAL as @s; @bounds is room for those that a histogram has. */
static bool from_real(const struct tb_reader *r, struct tb_sample *s, uint64_t bounds[TB_BOUNDS_MAX])
{
    if (r->metric.type == TB_METRIC_COUNTER || r->metric.type == TB_METRIC_GAUGE)
        return to_millionths(&s->value);
    for (uint32_t i = 0; i < s->bound_count; i++) {
        bounds[i] = s->bounds[i];
        if (!to_millionths(&bounds[i]))
            return false;
    }
    s->bounds = s->bound_count ? bounds : s->bounds;
    return to_millionths(&s->sum);
}

void tb_points_make(const struct tb_push_output_config *c, const struct tb_exposition *x, struct tb_push_state *state,
                    struct tb_points *ret)
{
    struct tb_reader *r = tb_alloc(sizeof *r);
    struct sample_labels *labels = tb_alloc(sizeof *labels);
    struct tb_delta *delta = state ? tb_delta_new(state) : NULL;
    struct wanting wanting = {tb_alloc(c->rule_count * sizeof(struct tb_push_rule *)), 0};
    struct tb_metric metric;
    struct family family = {.metric = &metric};
    uint64_t bounds[TB_BOUNDS_MAX];
    tb_reader_start(r, x);
    for (enum tb_exposed_kind kind; (kind = tb_reader_next(r)) != TB_EXPOSED_END;) {
        if (kind == TB_EXPOSED_FAMILY) {
            find_rules(&wanting, c, r->metric.name);
            family.has_copy = false;
            metric = r->metric;
            metric.decimals = metric.decimals == TB_METRIC_REAL ? 6 : metric.decimals;
        }
        if (kind == TB_EXPOSED_FAMILY || kind == TB_EXPOSED_BOUNDS || !wanting.count)
            continue;
        bool is_total = r->metric.type != TB_METRIC_GAUGE, has_delta = false;
        struct tb_sample s = sample_of(r, kind);
        if (r->metric.decimals == TB_METRIC_REAL && !from_real(r, &s, bounds))
            continue;
        read_labels(labels, r->labels);
        for (size_t i = 0; i < wanting.count; i++) {
            if (!is_wanted(wanting.rules[i], labels))
                continue;
            if (is_total && delta && !has_delta)
                tb_delta_take(delta, r->metric.name, r->labels, &s);
            has_delta = true;
            add_to_points(c, wanting.rules[i], &family, labels, &s, ret);
        }
    }
    tb_buffer_free(&labels->text);
    tb_delta_free(delta);
    free(wanting.rules);
    free(labels);
    free(r);
}

/* --- numbers ---------------------------------------------------------------------------------------------------------
 */

double tb_point_real(const struct tb_point *p, uint64_t n)
{
    static const double powers[] = {1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9};
    return (double)n / powers[p->decimals];
}

/* Cells are cut at powers of 2 of seconds or bytes; durations may be served in milliseconds. */
static double cell_unit(const struct tb_point *p)
{
    return p->decimals == 6 ? 1e3 : 1;
}

void tb_point_cell_bounds(const struct tb_point *p, int32_t index, double *ret_above, double *ret_most)
{
    *ret_above = exp2((index - 1) / 8.0) * cell_unit(p);
    *ret_most = exp2(index / 8.0) * cell_unit(p);
}

double tb_point_zero_bound(const struct tb_point *p)
{
    uint8_t unit = p->decimals == 0 ? TB_UNIT_BYTES : TB_UNIT_SECONDS;
    return exp2(tb_histogram_zero_index(unit) / 8.0) * cell_unit(p);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads `push` of config.yml (push_config.h). A key that a kind of output does not have is an error: which ones it has
 * is in its struct tb_push_kind.
 */
#include "config_yaml.h"

#include <stdlib.h>

#include "config_metrics.h"
#include "push_kind.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

#define SECOND UINT64_C(1000000000)

/* One output being read; keys are checked against its kind when all of them are known. */
struct output_reader {
    struct tb_push_output_config *to;
    yaml_node_t *places[32]; /* by key: where it was given */
};
struct set_reader {
    struct tb_push_set *to;
};

static void add_pair(struct tb_push_pairs *to, const char *name, const char *value)
{
    to->items = tb_grow(to->items, to->count, &to->space, sizeof *to->items);
    to->items[to->count++] = (struct tb_push_pair){tb_strndup(name, strlen(name)), tb_strndup(value, strlen(value))};
}

/* A mapping of names to texts. */
static void read_pairs(struct tb_yaml *y, yaml_node_t *value, const char *what, struct tb_push_pairs *to)
{
    yaml_node_t *key, *text;
    size_t at = 0;
    if (tb_yaml_is_none(value))
        return;
    if (value->type != YAML_MAPPING_NODE) {
        tb_yaml_error(y, value, "%s: it is no mapping: write names with values", what);
        return;
    }
    while (tb_yaml_pair(y, value, &at, &key, &text)) {
        const char *as = tb_yaml_text(y, text, what);
        if (as)
            add_pair(to, (const char *)key->data.scalar.value, as);
    }
}

/* One of two or three words. Returns its number, or -1, told. */
static int read_word(struct tb_yaml *y, yaml_node_t *value, const char *what, const char *const *words, size_t count)
{
    const char *text = tb_yaml_text(y, value, what);
    for (size_t i = 0; text && i < count; i++)
        if (strcmp(words[i], text) == 0)
            return (int)i;
    if (text)
        tb_yaml_error(y, value, "%s: \"%s\" is neither %s nor %s: write one of them", what, text, words[0],
                      words[count - 1]);
    return -1;
}

/* --- dimensions ------------------------------------------------------------------------------------------------------
 */

/* A label, or {Name: label}. */
static void read_dimension(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    struct tb_push_pairs *set = &((struct set_reader *)to)->to->dimensions;
    const size_t before = set->count;
    if (value->type == YAML_MAPPING_NODE) {
        read_pairs(y, value, "dimensions", set);
    } else {
        const char *label = tb_yaml_text(y, value, "dimensions");
        if (label)
            add_pair(set, "", label);
    }
    if (set->count > TB_PUSH_DIMENSIONS_MAX && before <= TB_PUSH_DIMENSIONS_MAX)
        tb_yaml_error(y, value, "dimensions: more than %u in a set: leave some out", TB_PUSH_DIMENSIONS_MAX);
}

struct sets_reader {
    struct tb_push_set **sets;
    size_t *count, *space;
};

static void read_set(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    struct sets_reader *r = to;
    *r->sets = tb_grow(*r->sets, *r->count, r->space, sizeof **r->sets);
    struct set_reader set = {&(*r->sets)[(*r->count)++]};
    *set.to = (struct tb_push_set){0};
    tb_yaml_each(y, value, read_dimension, &set);
}

static void read_rule_dimensions(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    struct tb_push_rule *rule = to;
    struct sets_reader r = {&rule->sets, &rule->set_count, &rule->set_space};
    rule->has_sets = true;
    if (!tb_yaml_is_none(value) && value->type != YAML_SEQUENCE_NODE)
        tb_yaml_error(y, value, "dimensions: it is no list: write a list of sets like [[], [service]]");
    else
        tb_yaml_each(y, value, read_set, &r);
}

/* One set: the labels that a point keeps. */
static void read_rule_labels(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    struct tb_push_rule *rule = to;
    struct sets_reader r = {&rule->sets, &rule->set_count, &rule->set_space};
    rule->has_sets = true;
    read_set(y, value, &r);
}

static void read_default_dimensions(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    struct tb_push_output_config *o = ((struct output_reader *)to)->to;
    struct sets_reader r = {&o->sets, &o->set_count, &o->set_space};
    o->has_sets = true;
    tb_yaml_each(y, value, read_set, &r);
}

static void read_default_labels(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    struct tb_push_output_config *o = ((struct output_reader *)to)->to;
    struct sets_reader r = {&o->sets, &o->set_count, &o->set_space};
    o->has_sets = true;
    read_set(y, value, &r);
}

/* --- metrics ---------------------------------------------------------------------------------------------------------
 */

static void rule_metric(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    ((struct tb_push_rule *)to)->metric = tb_yaml_copy(y, value, "metric");
}

static void rule_name(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    ((struct tb_push_rule *)to)->name = tb_yaml_copy(y, value, "name");
}

static void rule_unit(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    ((struct tb_push_rule *)to)->unit = tb_yaml_copy(y, value, "unit");
}

static void rule_where(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    read_pairs(y, value, "where", &((struct tb_push_rule *)to)->where);
}

static void rule_gauges(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    static const char *const words[] = {"sum", "max", "min"};
    int word = read_word(y, value, "gauges", words, COUNT(words));
    if (word >= 0)
        ((struct tb_push_rule *)to)->gauges = (enum tb_push_gauges)word;
}

static void read_rule(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    static const struct tb_yaml_key keys[] = {{"metric", rule_metric},     {"name", rule_name},
                                              {"unit", rule_unit},         {"where", rule_where},
                                              {"gauges", rule_gauges},     {"dimensions", read_rule_dimensions},
                                              {"labels", read_rule_labels}};
    struct tb_push_output_config *o = ((struct output_reader *)to)->to;
    const unsigned before = y->errors->count;
    o->rules = tb_grow(o->rules, o->rule_count, &o->rule_space, sizeof *o->rules);
    struct tb_push_rule *rule = &o->rules[o->rule_count++];
    *rule = (struct tb_push_rule){.line = (uint32_t)tb_yaml_line(value), .column = (uint32_t)tb_yaml_column(value)};
    if (value->type == YAML_SCALAR_NODE)
        rule->metric = tb_yaml_copy(y, value, "metrics");
    else
        tb_yaml_mapping(y, value, "metrics", TB_YAML_KEYS(keys), rule);
    if (!rule->metric && y->errors->count == before)
        tb_yaml_error(y, value, "metrics: an entry names no metric: write metric: NAME");
    else if (rule->metric && rule->name && strpbrk(rule->metric, "*?"))
        tb_yaml_error(y, value, "name: \"%s\" may match several families, which would have one name: name each",
                      rule->metric);
}

/* --- an output -------------------------------------------------------------------------------------------------------
 */

static void note(struct output_reader *r, unsigned key, yaml_node_t *value)
{
    r->places[key] = value;
}

static void output_name(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    struct tb_push_output_config *o = ((struct output_reader *)to)->to;
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789-_";
    o->name = tb_yaml_copy(y, value, "name");
    if (o->name && (strspn(o->name, letters) != strlen(o->name) || strlen(o->name) > 64))
        tb_yaml_error(y, value, "name: \"%s\" is no name: up to 64 of a-z, 0-9, - and _", o->name);
}

static void output_type(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    struct tb_push_output_config *o = ((struct output_reader *)to)->to;
    const char *text = tb_yaml_text(y, value, "type");
    char *known = NULL;
    if (text && !(o->kind = tb_push_kind_find(text, &known)))
        tb_yaml_error(y, value, "type: \"%s\" is no kind of output: one of %s", text, known);
    free(known);
}

static void output_metrics(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    tb_yaml_each(y, value, read_rule, to);
}

static void output_constants(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    read_pairs(y, value, "constants", &((struct output_reader *)to)->to->constants);
}

static void output_headers(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    note(to, TB_PUSH_KEY_HEADERS, value);
    read_pairs(y, value, "headers", &((struct output_reader *)to)->to->headers);
}

static void output_resource(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    note(to, TB_PUSH_KEY_RESOURCE, value);
    read_pairs(y, value, "resource", &((struct output_reader *)to)->to->resource);
}

static void output_temporality(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    static const char *const words[] = {"delta", "cumulative"};
    note(to, TB_PUSH_KEY_TEMPORALITY, value);
    ((struct output_reader *)to)->to->is_delta = read_word(y, value, "temporality", words, COUNT(words)) == 0;
}

static void output_uncertain(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    static const char *const words[] = {"resend", "drop"};
    note(to, TB_PUSH_KEY_UNCERTAIN, value);
    ((struct output_reader *)to)->to->drops_uncertain = read_word(y, value, "uncertain", words, COUNT(words)) == 1;
}

static void output_histograms(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    static const char *const words[] = {"exponential", "classic"};
    note(to, TB_PUSH_KEY_HISTOGRAMS, value);
    int word = read_word(y, value, "histograms", words, COUNT(words));
    if (word >= 0)
        ((struct output_reader *)to)->to->histograms =
            word ? TB_PUSH_HISTOGRAMS_CLASSIC : TB_PUSH_HISTOGRAMS_EXPONENTIAL;
}

static void output_start(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    static const char *const words[] = {"now", "beginning"};
    note(to, TB_PUSH_KEY_START, value);
    int word = read_word(y, value, "start", words, COUNT(words));
    if (word >= 0)
        ((struct output_reader *)to)->to->start = word ? TB_PUSH_START_BEGINNING : TB_PUSH_START_NOW;
}

static void output_gzip(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    bool is_on = true;
    note(to, TB_PUSH_KEY_GZIP, value);
    if (tb_yaml_switch(y, value, "gzip", &is_on))
        ((struct output_reader *)to)->to->has_no_gzip = !is_on;
}

static void output_resolution(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    uint32_t seconds = 0;
    note(to, TB_PUSH_KEY_RESOLUTION, value);
    if (!tb_yaml_number(y, value, "resolution", 1, 60, &seconds))
        return;
    if (seconds != 1 && seconds != 60)
        tb_yaml_error(y, value, "resolution: %u is neither 1 nor 60: write one of them", seconds);
    ((struct output_reader *)to)->to->resolution = seconds;
}

static void output_version(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    note(to, TB_PUSH_KEY_VERSION, value);
    tb_yaml_number(y, value, "version", 1, 2, &((struct output_reader *)to)->to->version);
}

static void output_timeout(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    note(to, TB_PUSH_KEY_TIMEOUT, value);
    tb_yaml_duration(y, value, "timeout", SECOND, &((struct output_reader *)to)->to->timeout_ns);
}

static void output_queue(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    uint32_t mib = 0;
    if (tb_yaml_number(y, value, "queue_mib", 1, 1024, &mib))
        ((struct output_reader *)to)->to->queue_bytes = (uint64_t)mib << 20;
}

static void output_file_size(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    uint32_t mib = 0;
    note(to, TB_PUSH_KEY_FILES, value);
    if (tb_yaml_number(y, value, "max_file_mib", 1, 4096, &mib))
        ((struct output_reader *)to)->to->max_file_bytes = (uint64_t)mib << 20;
}

static void output_keep_files(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    note(to, TB_PUSH_KEY_FILES, value);
    tb_yaml_number(y, value, "keep_files", 1, 100, &((struct output_reader *)to)->to->keep_files);
}

static const char *const text_names[TB_PUSH_TEXTS] = {"endpoint", "region",    "profile", "namespace",
                                                      "to",       "log_group", "ca_file"};

/* TEXT(endpoint, ...) - the handler of a setting that is a text. */
#define TEXT(function, key)                                                                                            \
    static void function(struct tb_yaml *y, yaml_node_t *value, void *to)                                              \
    {                                                                                                                  \
        note(to, key, value);                                                                                          \
        ((struct output_reader *)to)->to->texts[key] = tb_yaml_copy(y, value, text_names[key]);                        \
    }
TEXT(output_endpoint, TB_PUSH_ENDPOINT)
TEXT(output_region, TB_PUSH_REGION)
TEXT(output_profile, TB_PUSH_PROFILE)
TEXT(output_namespace, TB_PUSH_NAMESPACE)
TEXT(output_to, TB_PUSH_TO)
TEXT(output_log_group, TB_PUSH_LOG_GROUP)

static void output_ca_file(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    const char *text = tb_yaml_text(y, value, "ca_file");
    note(to, TB_PUSH_CA_FILE, value);
    if (text)
        ((struct output_reader *)to)->to->texts[TB_PUSH_CA_FILE] = tb_yaml_beside(y, text);
}

/* What cannot be told before the kind is known. */
static void check_output(struct tb_yaml *y, yaml_node_t *value, const struct output_reader *r)
{
    const struct tb_push_output_config *o = r->to;
    const struct tb_push_kind *kind = o->kind;
    for (unsigned key = 0; key < COUNT(r->places); key++)
        if (r->places[key] && !(kind->keys & TB_PUSH_HAS(key)))
            tb_yaml_error(y, r->places[key], "type: an output of type %s has no such key: leave it out", kind->type);
    for (unsigned key = 0; key < TB_PUSH_TEXTS; key++)
        if (kind->required & TB_PUSH_HAS(key) && !r->places[key])
            tb_yaml_error(y, value, "%s: an output of type %s needs it: write %s: VALUE", text_names[key], kind->type,
                          text_names[key]);
    const char *url = o->texts[TB_PUSH_ENDPOINT];
    if (url && strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0)
        tb_yaml_error(y, r->places[TB_PUSH_ENDPOINT], "endpoint: \"%s\" is no URL: write http://... or https://...",
                      url);
    if (!o->rule_count)
        tb_yaml_error(y, value, "metrics: nothing would be pushed: name at least one metric");
}

static void finish_output(struct tb_yaml *y, yaml_node_t *value, struct output_reader *r, struct tb_push_config *c)
{
    struct tb_push_output_config *o = r->to;
    if (!o->name)
        o->name = tb_strndup(o->kind->type, strlen(o->kind->type));
    check_output(y, value, r);
    for (size_t i = 0; i + 1 < c->count; i++)
        if (c->outputs[i].name && strcmp(c->outputs[i].name, o->name) == 0)
            tb_yaml_error(y, value, "outputs: two are called \"%s\": give one a name of its own", o->name);
    char *wrong = o->kind->check ? o->kind->check(o) : NULL;
    if (wrong)
        tb_yaml_error(y, value, "%s", wrong);
    free(wrong);
}

static void read_output(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    static const struct tb_yaml_key keys[] = {{"type", output_type},
                                              {"name", output_name},
                                              {"metrics", output_metrics},
                                              {"constants", output_constants},
                                              {"dimensions", read_default_dimensions},
                                              {"labels", read_default_labels},
                                              {"endpoint", output_endpoint},
                                              {"region", output_region},
                                              {"profile", output_profile},
                                              {"namespace", output_namespace},
                                              {"to", output_to},
                                              {"log_group", output_log_group},
                                              {"ca_file", output_ca_file},
                                              {"headers", output_headers},
                                              {"resource", output_resource},
                                              {"temporality", output_temporality},
                                              {"histograms", output_histograms},
                                              {"uncertain", output_uncertain},
                                              {"gzip", output_gzip},
                                              {"resolution", output_resolution},
                                              {"version", output_version},
                                              {"timeout", output_timeout},
                                              {"queue_mib", output_queue},
                                              {"max_file_mib", output_file_size},
                                              {"keep_files", output_keep_files},
                                              {"start", output_start}};
    struct tb_push_config *c = to;
    const unsigned before = y->errors->count;
    if (c->count == TB_PUSH_OUTPUTS_MAX) {
        tb_yaml_error(y, value, "outputs: more than %u: leave some out", TB_PUSH_OUTPUTS_MAX);
        return;
    }
    c->outputs = tb_grow(c->outputs, c->count, &c->space, sizeof *c->outputs);
    struct output_reader r = {.to = &c->outputs[c->count++]};
    *r.to = (struct tb_push_output_config){.resolution = 60,
                                           .version = 1,
                                           .timeout_ns = 10 * SECOND,
                                           .queue_bytes = (uint64_t)64 << 20,
                                           .max_file_bytes = (uint64_t)16 << 20,
                                           .keep_files = 4,
                                           .line = (uint32_t)tb_yaml_line(value),
                                           .column = (uint32_t)tb_yaml_column(value)};
    tb_yaml_mapping(y, value, "outputs", TB_YAML_KEYS(keys), &r);
    if (!r.to->kind && y->errors->count == before)
        tb_yaml_error(y, value, "outputs: an entry has no type: write type: KIND");
    else if (r.to->kind && y->errors->count == before)
        finish_output(y, value, &r, c);
}

/* --- the section -----------------------------------------------------------------------------------------------------
 */

static void push_interval(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    tb_yaml_duration(y, value, "interval", SECOND, &((struct tb_push_config *)to)->interval_ns);
}

static void push_price(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    const char *text = tb_yaml_text(y, value, "price");
    uint64_t millionths = 0;
    if (text && tb_config_decimal(text, 6, &millionths))
        ((struct tb_push_config *)to)->price = (double)millionths / 1e6;
    else if (text)
        tb_yaml_error(y, value, "price: \"%s\" is no price: write one like 0.30", text);
}

static void push_outputs(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    tb_yaml_each(y, value, read_output, to);
}

void tb_config_read_push(struct tb_yaml *y, yaml_node_t *value, struct tb_config *c)
{
    static const struct tb_yaml_key keys[] = {
        {"interval", push_interval}, {"price", push_price}, {"outputs", push_outputs}};
    c->push = tb_alloc(sizeof *c->push);
    *c->push = (struct tb_push_config){.interval_ns = 60 * SECOND, .price = 0.30};
    c->push->hash = tb_yaml_hash(y, value);
    tb_yaml_mapping(y, value, "push", TB_YAML_KEYS(keys), c->push);
}

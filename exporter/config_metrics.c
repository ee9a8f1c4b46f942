/* SPDX-License-Identifier: Apache-2.0 */
/* Reads what programs are to record beside counts and durations of the default bounds (config_metrics.h). */
#include "config_metrics.h"

#include <stdlib.h>

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

#define SECOND UINT64_C(1000000000)

bool tb_config_decimal(const char *text, unsigned decimals, uint64_t *ret)
{
    uint64_t value = 0;
    unsigned behind = 0;
    bool has_digit = false, has_point = false;
    for (const char *p = text; *p; p++) {
        if (*p == '.' && !has_point) {
            has_point = true;
            continue;
        }
        if (*p < '0' || *p > '9' || value > UINT64_MAX / 100 || (has_point && ++behind > decimals && *p != '0'))
            return false;
        has_digit = true;
        if (behind <= decimals)
            value = value * 10 + (uint64_t)(*p - '0');
    }
    for (; behind < decimals; behind++) {
        if (value > UINT64_MAX / 10)
            return false;
        value *= 10;
    }
    *ret = value;
    return has_digit;
}

struct bounds_reader {
    const char *what;
    struct tb_bounds_config *to;
};

/* What a bound must be above, and may be at most: the range of the exponential bounds. */
static void range_of(uint8_t unit, uint64_t *ret_above, uint64_t *ret_most)
{
    *ret_above = unit == TB_UNIT_BYTES ? 0 : SECOND >> 20;
    *ret_most = unit == TB_UNIT_BYTES ? (UINT64_C(1) << 36) * TB_BYTE_TICKS : SECOND << 17;
}

static void read_bound(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    struct bounds_reader *r = to;
    struct tb_bounds_config *b = r->to;
    const char *text = tb_yaml_text(y, value, r->what);
    uint64_t bound = 0, above, most;
    range_of(b->unit, &above, &most);
    if (!text)
        return;
    bool is_number = tb_config_decimal(text, b->unit == TB_UNIT_BYTES ? 0 : 9, &bound);
    if (is_number && b->unit == TB_UNIT_BYTES)
        bound = tb_byte_ticks(bound);
    if (!is_number || bound <= above || bound > most)
        tb_yaml_error(y, value, "%s: \"%s\" is no bound: give %s", r->what, text,
                      b->unit == TB_UNIT_BYTES ? "a number of bytes from 1 to 68719476736"
                                               : "a number of seconds from 0.000001 to 131072, like 0.25");
    else if (b->count && bound <= b->at_most[b->count - 1])
        tb_yaml_error(y, value, "%s: %s is not above the bound before it: give rising ones", r->what, text);
    else if (b->count == TB_BOUNDS_MAX)
        tb_yaml_error(y, value, "%s: more than %u bounds: leave some out", r->what, TB_BOUNDS_MAX);
    else
        b->at_most[b->count++] = bound;
}

void tb_config_read_bounds(struct tb_yaml *y, yaml_node_t *value, const char *what, enum tb_unit unit,
                           struct tb_bounds_config *to)
{
    struct bounds_reader r = {what, to};
    struct tb_histogram *table = tb_alloc(sizeof *table);
    unsigned before = y->errors->count;
    to->unit = (uint8_t)unit;
    to->count = 0;
    tb_yaml_each(y, value, read_bound, &r);
    struct tb_bounds bounds = {to->unit, to->count, to->at_most};
    if (y->errors->count == before && !to->count)
        tb_yaml_error(y, value, "%s: there is none: give at least one, or leave the key out", what);
    else if (y->errors->count == before && !tb_histogram_build(&bounds, table))
        tb_yaml_error(y, value,
                      "%s: three of them (or two and a power of the eighth root of 2) lie within 3 %%: take "
                      "them further apart",
                      what);
    free(table);
}

/* --- the families ----------------------------------------------------------------------------------------------------
 */

static void note_place(yaml_node_t *value, struct tb_metrics_config *to)
{
    to->is_given = true;
    to->line = (uint32_t)tb_yaml_line(value);
    to->column = (uint32_t)tb_yaml_column(value);
}

static void duration_bounds(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    tb_config_read_bounds(y, value, "bounds", TB_UNIT_SECONDS, &((struct tb_metrics_config *)to)->duration);
}

void tb_config_read_duration(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    static const struct tb_yaml_key keys[] = {{"bounds", duration_bounds}};
    note_place(value, to);
    tb_yaml_mapping(y, value, "duration", TB_YAML_KEYS(keys), to);
}

/* A word, or a mapping with `on` and `bounds`. */
struct switched_reader {
    const char *what;
    struct tb_metrics_config *metrics;
    struct tb_switch_config *to;
    struct tb_bounds_config *bounds; /* NULL: it has none of its own */
};

static void read_switch(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    struct switched_reader *r = to;
    r->to->is_given = tb_yaml_switch(y, value, r->what, &r->to->is_on);
}

static void read_size_bounds(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    struct switched_reader *r = to;
    tb_config_read_bounds(y, value, "bounds", TB_UNIT_BYTES, r->bounds);
}

static void read_switched(struct tb_yaml *y, yaml_node_t *value, struct switched_reader r)
{
    static const struct tb_yaml_key keys[] = {{"on", read_switch}, {"bounds", read_size_bounds}};
    note_place(value, r.metrics);
    if (!r.bounds || value->type != YAML_MAPPING_NODE) {
        read_switch(y, value, &r);
        return;
    }
    r.to->is_given = r.to->is_on = true; /* whoever gives its bounds wants it */
    tb_yaml_mapping(y, value, r.what, TB_YAML_KEYS(keys), &r);
}

void tb_config_read_request_size(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    struct tb_metrics_config *m = to;
    read_switched(y, value, (struct switched_reader){"request_size", m, &m->request_size, &m->request_bounds});
}

void tb_config_read_response_size(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    struct tb_metrics_config *m = to;
    read_switched(y, value, (struct switched_reader){"response_size", m, &m->response_size, &m->response_bounds});
}

void tb_config_read_first_byte(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    struct tb_metrics_config *m = to;
    read_switched(y, value, (struct switched_reader){"first_byte", m, &m->first_byte, NULL});
}

void tb_config_read_exemplars(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    struct tb_metrics_config *m = to;
    read_switched(y, value, (struct switched_reader){"exemplars", m, &m->exemplars, NULL});
}

void tb_config_read_metrics(struct tb_yaml *y, yaml_node_t *value, struct tb_metrics_config *to)
{
    static const struct tb_yaml_key keys[] = {{"duration", tb_config_read_duration},
                                              {"first_byte", tb_config_read_first_byte},
                                              {"request_size", tb_config_read_request_size},
                                              {"response_size", tb_config_read_response_size},
                                              {"exemplars", tb_config_read_exemplars}};
    tb_yaml_mapping(y, value, "metrics", TB_YAML_KEYS(keys), to);
}

void tb_config_preset_bounds(enum tb_preset preset, struct tb_metrics_config *to)
{
    static const uint16_t otel[] = {5, 10, 25, 50, 75, 100, 250, 500, 750, 1000, 2500, 5000, 7500, 10000},
                          prom_client[] = {1, 5, 15, 50, 100, 200, 500, 1000, 2000}; /* ms */
    const uint16_t *ms = preset == TB_PRESET_OTEL ? otel : prom_client;
    if (preset == TB_PRESET_CLASSIC || to->duration.count)
        return;
    to->is_given = true;
    to->duration.count = preset == TB_PRESET_OTEL ? COUNT(otel) : COUNT(prom_client);
    for (size_t i = 0; i < to->duration.count; i++)
        to->duration.at_most[i] = ms[i] * (SECOND / 1000);
}

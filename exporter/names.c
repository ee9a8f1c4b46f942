/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Presets, and the rules that names follow (names.h). The rules for identifiers are those of Prometheus' data model;
 * which ends of names are taken is what the formats add to the names of samples.
 */
#include "names.h"

#include <stdio.h>
#include <stdlib.h>

#include "agent/pick.h"
#include "buffer.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

static const char *const preset_labels[TB_PRESET_COUNT][TB_LABEL_COUNT] = {
#define LABEL(id, key, otel, prom_client) [TB_PRESET_CLASSIC][TB_LABEL_##id] = key,
#include "labels.def"
#define LABEL(id, key, otel, prom_client) [TB_PRESET_OTEL][TB_LABEL_##id] = otel,
#include "labels.def"
#define LABEL(id, key, otel, prom_client) [TB_PRESET_PROM_CLIENT][TB_LABEL_##id] = prom_client,
#include "labels.def"
};

/* What a preset calls otherwise than metrics.def. */
static const struct {
    enum tb_preset preset;
    size_t family;
    const char *name;
} preset_metrics[] = {
    {TB_PRESET_OTEL, TB_M_DURATION, "http_server_request_duration_seconds"},
    {TB_PRESET_OTEL, TB_M_IN_FLIGHT, "http_server_active_requests"},
    {TB_PRESET_OTEL, TB_M_REQUEST_SIZE, "http_server_request_body_size_bytes"},
    {TB_PRESET_OTEL, TB_M_RESPONSE_SIZE, "http_server_response_body_size_bytes"},
    {TB_PRESET_OTEL, TB_M_CLIENT_REQUEST_SIZE, "http_client_request_body_size_bytes"},
    {TB_PRESET_OTEL, TB_M_CLIENT_RESPONSE_SIZE, "http_client_response_body_size_bytes"},
};

/* How a unit is written at the end of a name, the first is ours; and its power of ten in nanoseconds. */
static const struct {
    const char *name, *words[2];
    uint8_t decimals;
} units[TB_NAMES_UNITS] = {{"seconds", {"seconds", "seconds"}, 9}, {"milliseconds", {"ms", "milliseconds"}, 6}};

const char *tb_preset_name(enum tb_preset preset)
{
    static const char *const names[TB_PRESET_COUNT] = {"classic", "otel", "prom-client"};
    return names[preset];
}

const char *tb_names_unit_name(enum tb_names_unit unit)
{
    return units[unit].name;
}

const char *tb_label_key(enum tb_label_id label)
{
    return preset_labels[TB_PRESET_CLASSIC][label];
}

const char *tb_instance_key(enum tb_instance_label label)
{
    static const char *const keys[TB_INSTANCE_COUNT] = {
#define INSTANCE(id, key) key,
#include "instances.def"
#undef INSTANCE
    };
    return keys[label];
}

const struct tb_names *tb_names_default(void)
{
    static struct tb_names names;
    if (!names.constant)
        tb_names_make(&names, TB_PRESET_CLASSIC);
    return &names;
}

void tb_names_make(struct tb_names *ret, enum tb_preset preset)
{
    *ret = (struct tb_names){.preset = preset, .constant = ""};
    memcpy(ret->metrics, tb_metrics_default, sizeof ret->metrics);
    memcpy(ret->labels, preset_labels[preset], sizeof ret->labels);
    for (size_t i = 0; i < COUNT(preset_metrics); i++)
        if (preset_metrics[i].preset == preset)
            tb_names_rename(ret, preset_metrics[i].family, preset_metrics[i].name);
    for (size_t i = 0; preset == TB_PRESET_PROM_CLIENT && i < TB_FAMILIES; i++)
        if (tb_names_has_unit(i))
            tb_names_set_unit(ret, i, TB_NAMES_MILLISECONDS);
}

void tb_names_free(struct tb_names *names)
{
    for (size_t i = 0; i < names->text_count; i++)
        free(names->texts[i]);
    free(names->texts);
    free(names->custom);
    *names = (struct tb_names){0};
}

const char *tb_names_keep(struct tb_names *names, char *text)
{
    names->texts = tb_grow(names->texts, names->text_count, &names->text_space, sizeof(char *));
    return names->texts[names->text_count++] = text;
}

/* --- units -----------------------------------------------------------------------------------------------------------
 */

/* Does the name end with `_` and @word? Returns the length before it, 0: no. */
static size_t ends_with(const char *name, const char *word)
{
    size_t len = strlen(name), tail = strlen(word);
    return len > tail + 1 && name[len - tail - 1] == '_' && strcmp(name + len - tail, word) == 0 ? len - tail - 1 : 0;
}

bool tb_names_has_unit(size_t family)
{
    const struct tb_metric *m = &tb_metrics_default[family];
    return m->decimals == units[TB_NAMES_SECONDS].decimals && strncmp(m->name, "http_", 5) == 0;
}

enum tb_names_unit tb_names_unit(const struct tb_names *names, size_t family)
{
    return names->metrics[family].decimals == units[TB_NAMES_SECONDS].decimals ? TB_NAMES_SECONDS
                                                                               : TB_NAMES_MILLISECONDS;
}

/* OpenMetrics wants the unit to be the end of the name, so what does not end so has none. */
static const char *unit_word(const char *name, enum tb_names_unit unit)
{
    for (size_t i = 0; i < COUNT(units[unit].words); i++)
        if (ends_with(name, units[unit].words[i]))
            return units[unit].words[i];
    return "";
}

void tb_names_set_unit(struct tb_names *names, size_t family, enum tb_names_unit unit)
{
    struct tb_metric *m = &names->metrics[family];
    enum tb_names_unit before = tb_names_unit(names, family);
    if (unit == before)
        return;
    size_t stem = ends_with(m->name, unit_word(m->name, before));
    if (stem)
        m->name = tb_names_keep(names, tb_format("%.*s_%s", (int)stem, m->name, units[unit].words[0]));
    m->decimals = units[unit].decimals;
    m->unit = unit_word(m->name, unit);
}

void tb_names_rename(struct tb_names *names, size_t family, const char *name)
{
    struct tb_metric *m = &names->metrics[family];
    if (tb_names_has_unit(family)) {
        for (unsigned unit = 0; unit < TB_NAMES_UNITS; unit++)
            if (*unit_word(name, unit))
                m->decimals = units[unit].decimals;
        m->unit = unit_word(name, tb_names_unit(names, family));
    } else {
        size_t total = ends_with(name, "total");
        char *stem = tb_strndup(name, total ? total : strlen(name));
        m->unit = ends_with(stem, tb_metrics_default[family].unit) ? tb_metrics_default[family].unit : "";
        free(stem);
    }
    m->name = name;
}

/* --- what names may be -----------------------------------------------------------------------------------------------
 */

/* No bytes that would have to be escaped in quotes, or would end a name where text of labels is read. */
static bool is_quotable(const char *name)
{
    for (const char *c = name; *c; c++)
        if ((unsigned char)*c < 0x20 || strchr("\"\\={}\x7f", *c))
            return false;
    return *name && tb_utf8_is_valid(tb_bytes_str(name));
}

const char *tb_metric_name_complaint(const char *name, enum tb_metric_type type)
{
    static const char *const taken[] = {"bucket", "count", "sum", "created", "info"};
    char shown[TB_ESCAPED_MEET + 1]; /* no other escaping ends otherwise */
    if (!is_quotable(name))
        return "it is no metric name: write UTF-8 without controls, quotes, \\, =, { and }";
    if (strlen(name) > TB_NAME_MAX)
        return "it is longer than 200 bytes: shorten it";
    *tb_escape_name(shown, name, strlen(name), TB_ESCAPE_UNDERSCORES, false) = 0;
    if (type == TB_METRIC_COUNTER)
        return ends_with(name, "total") ? NULL : "it is a counter's, and does not end with _total: add _total";
    if (ends_with(shown, "total"))
        return "it ends with _total and is no counter's: write another name";
    for (size_t i = 0; i < COUNT(taken); i++)
        if (ends_with(shown, taken[i]))
            return "it ends like the samples of a histogram or summary: write another name";
    return NULL;
}

const char *tb_label_name_complaint(const char *name, bool may_be_quoted)
{
    char shown[TB_ESCAPED_MEET + 1];
    if (!may_be_quoted && !tb_is_identifier(name, strlen(name), false))
        return "it is no label name: write letters, digits and _, no digit first";
    if (!is_quotable(name))
        return "it is no label name: write UTF-8 without controls, quotes, \\, =, { and }";
    if (strlen(name) > TB_NAME_MAX)
        return "it is longer than 200 bytes: shorten it";
    *tb_escape_name(shown, name, strlen(name), TB_ESCAPE_UNDERSCORES, true) = 0;
    if (strncmp(shown, "__", 2) == 0)
        return "labels that begin with __ are Prometheus' own: write another name";
    if (strcmp(name, "le") == 0 || strcmp(name, "quantile") == 0)
        return "it is a label of buckets and quantiles: write another name";
    return NULL;
}

bool tb_label_is_fixed(const char *name)
{
    static const char *const fixed[] = {
#define FIXED(name) name,
#include "labels.def"
    };
    for (size_t i = 0; i < COUNT(fixed); i++)
        if (tb_escape_meet(fixed[i], name, true))
            return true;
    return false;
}

const char *tb_names_label(struct tb_names *names, const char *name)
{
    const bool is_quoted = !tb_is_identifier(name, strlen(name), false);
    names->has_quotes |= is_quoted;
    return tb_names_keep(names, tb_format(is_quoted ? "\"%s\"" : "%s", name));
}

bool tb_labels_meet(enum tb_label_id a, enum tb_label_id b)
{
    bool is_either = (a == TB_LABEL_HOST && b == TB_LABEL_TARGET) || (a == TB_LABEL_TARGET && b == TB_LABEL_HOST) ||
                     (a == TB_LABEL_STATUS && b == TB_LABEL_REASON) || (a == TB_LABEL_REASON && b == TB_LABEL_STATUS);
    return !is_either;
}

/* What the names of samples of a family add to its name, in any format; ends with NULL. */
static const char *const *suffixes(enum tb_metric_type type)
{
    static const char *const of[][6] = {
        [TB_METRIC_COUNTER] = {"", "_total", "_created"},
        [TB_METRIC_GAUGE] = {""},
        [TB_METRIC_SUMMARY] = {"", "_count", "_sum", "_created"},
        [TB_METRIC_HISTOGRAM] = {"", "_bucket", "_count", "_sum", "_created"},
    };
    return of[type];
}

static size_t stem_length(const struct tb_metric *m)
{
    size_t stem = m->type == TB_METRIC_COUNTER ? ends_with(m->name, "total") : 0;
    return stem ? stem : strlen(m->name);
}

bool tb_names_collide(const struct tb_metric *a, const struct tb_metric *b)
{
    char left[TB_NAME_MAX + 16], right[TB_NAME_MAX + 16];
    if (!a->name || !b->name)
        return false;
    for (const char *const *i = suffixes(a->type); *i; i++)
        for (const char *const *j = suffixes(b->type); *j; j++) {
            snprintf(left, sizeof left, "%.*s%s", (int)stem_length(a), a->name, *i);
            snprintf(right, sizeof right, "%.*s%s", (int)stem_length(b), b->name, *j);
            if (tb_escape_meet(left, right, false))
                return true;
        }
    return false;
}

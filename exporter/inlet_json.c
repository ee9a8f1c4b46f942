/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers out of a JSON text (inlet_json.h). Parsed as a whole by jansson, whose allocations are counted meanwhile: two
 * bytes of text may become a hundred of memory.
 */
#include "inlet_json.h"

#include <jansson.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

#include "json_path.h"

#define LARGE ((size_t)64 << 10)     /* bytes of a text */
#define MEMORY_MAX ((size_t)8 << 20) /* that the values of a text may take */

static _Thread_local size_t room = SIZE_MAX; /* SIZE_MAX: not bounded */
static _Thread_local bool has_run_out;

static void *take_memory(size_t len)
{
    if (room == SIZE_MAX)
        return malloc(len);
    has_run_out |= len > room;
    if (has_run_out)
        return NULL;
    room -= len;
    return malloc(len);
}

void tb_inlet_json_set_up(void)
{
    json_set_alloc_funcs(take_memory, free);
}

/* NULL: there is no such value. */
static const json_t *follow(const json_t *from, const struct tb_pull_path *p)
{
    char name[TB_JSON_KEY + 1];
    for (size_t i = 0; from && i < p->len;) {
        const uint8_t *step = p->steps + i;
        if (*step == TB_JSON_INDEX) {
            from = json_array_get(from, (size_t)(step[1] | step[2] << 8));
            i += 3;
        } else {
            memcpy(name, step + 1, *step);
            name[*step] = 0;
            from = json_object_get(from, name);
            i += 1 + (size_t)*step;
        }
    }
    return from;
}

static bool number_of(const json_t *value, double *ret)
{
    if (json_is_number(value))
        *ret = json_number_value(value);
    else if (json_is_boolean(value))
        *ret = json_is_true(value);
    else
        return json_is_string(value) && strlen(json_string_value(value)) == json_string_length(value) &&
               tb_pull_number(json_string_value(value), ret);
    return true;
}

/* As the value of a label, the caller's; NULL: it is no single value. */
static char *text_of(const json_t *value)
{
    struct tb_buffer b = {0};
    if (json_is_string(value))
        return tb_label_clean(json_string_value(value), json_string_length(value));
    if (json_is_array(value) || json_is_object(value))
        return NULL;
    if (json_is_number(value))
        tb_put_real(&b, json_number_value(value));
    else if (json_is_boolean(value))
        tb_puts(&b, json_is_true(value) ? "true" : "false");
    tb_put(&b, "", 1);
    return tb_buffer_text(&b);
}

/* Where a sample may be: the whole text, or an element. */
struct place {
    const json_t *value;
    char *key; /* "" for the whole text */
};

/* Returns whether there was something, be it null or refused. */
static bool add_sample(struct tb_pull_gather *g, const struct tb_pull_metric *m, const struct place *at)
{
    char *found[TB_PULL_LABELS_MAX] = {0};
    const json_t *value = follow(at->value, &m->path);
    double number = 0;
    bool has_labels = true;
    if (!value || json_is_null(value))
        return value != NULL;
    if (!number_of(value, &number)) {
        tb_pull_refuse(g, m, TB_INLET_VALUE);
        return true;
    }
    for (size_t i = 0; i < m->label_count && has_labels; i++) {
        const struct tb_pull_label *l = &m->labels[i];
        if (l->value)
            continue;
        found[i] = l->is_key ? tb_label_clean(at->key, strlen(at->key)) : text_of(follow(at->value, &l->path));
        has_labels = found[i] != NULL;
    }
    if (has_labels)
        tb_pull_add(g, m, found, number);
    else
        tb_pull_refuse(g, m, TB_INLET_LABEL);
    for (size_t i = 0; i < m->label_count; i++)
        free(found[i]);
    return true;
}

/* Returns whether any element had something, or there was none. */
static bool add_each(struct tb_pull_gather *g, const struct tb_pull_metric *m, json_t *elements)
{
    bool has_any = false;
    const char *key;
    json_t *value;
    if (json_is_object(elements)) {
        json_object_foreach(elements, key, value) has_any |= add_sample(g, m, &(struct place){value, (char *)key});
        return has_any || !json_object_size(elements);
    }
    const size_t count = json_array_size(elements);
    for (size_t i = 0; i < count; i++) {
        char number[24];
        snprintf(number, sizeof number, "%zu", i);
        has_any |= add_sample(g, m, &(struct place){json_array_get(elements, i), number});
    }
    return has_any || (json_is_array(elements) && !count);
}

static void add_metric(struct tb_pull_gather *g, const struct tb_pull_metric *m, const json_t *root)
{
    const bool has_any = m->has_each ? add_each(g, m, (json_t *)follow(root, &m->each))
                                     : add_sample(g, m, &(struct place){root, (char[]){""}});
    if (!has_any)
        tb_pull_refuse(g, m, TB_INLET_INCOMPLETE);
}

/* What a large text took goes back to the system: the next one like it may not come for long. */
static void give_back(size_t len)
{
#ifdef __GLIBC__
    if (len > LARGE)
        malloc_trim(0);
#else
    (void)len;
#endif
}

static json_t *parse(const char *text, size_t len, json_error_t *ret_error)
{
    room = MEMORY_MAX;
    has_run_out = false;
    json_t *root = json_loadb(text, len, JSON_DECODE_ANY | JSON_DECODE_INT_AS_REAL | JSON_ALLOW_NUL, ret_error);
    room = SIZE_MAX;
    return root;
}

void tb_inlet_json(const char *text, size_t len, const struct tb_pull_config *c, struct tb_pull_answer *ret)
{
    struct tb_pull_gather g;
    json_error_t error;
    json_t *root = parse(text, len, &error);
    if (root) {
        tb_pull_begin(&g, ret);
        for (size_t i = 0; i < c->metric_count; i++)
            add_metric(&g, &c->metrics[i], root);
        tb_pull_end(&g);
        json_decref(root);
    } else {
        tb_pull_fail(ret, has_run_out ? TB_INLET_LIMIT : TB_INLET_SYNTAX, "the answer is no JSON that can be read: %s",
                     has_run_out ? "too many values" : error.text);
    }
    give_back(len);
}

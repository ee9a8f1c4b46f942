/* SPDX-License-Identifier: Apache-2.0 */
/* Reads `calls` (config_calls.h). */
#include "config_calls.h"

#include <ctype.h>
#include <stdlib.h>

#include "agent/rules_format.h"

#define MAX_TARGETS 1000u
#define NAMES_MAX 500u

struct name_reader {
    const char *match, *name;
};

static void read_match(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    ((struct name_reader *)to)->match = tb_yaml_text(y, value, "match");
}

static void read_name(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    ((struct name_reader *)to)->name = tb_yaml_text(y, value, "name");
}

static bool is_printable(const char *text)
{
    while (*text > ' ' && *text < 127)
        text++;
    return !*text;
}

static void read_target(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    static const struct tb_yaml_key keys[] = {{"match", read_match}, {"name", read_name}};
    struct tb_calls_config *calls = to;
    struct name_reader r = {0};
    unsigned before = y->errors->count;
    tb_yaml_mapping(y, value, "targets", TB_YAML_KEYS(keys), &r);
    if (y->errors->count != before)
        return;
    if (!r.match || !r.name || !*r.match || !*r.name)
        tb_yaml_error(y, value,
                      "targets: an entry wants match and name: write {match: \"*.example.com\", name: example}");
    else if (strlen(r.match) > 255 || strlen(r.name) > TB_RULES_LABEL_MAX || !is_printable(r.match) ||
             !is_printable(r.name))
        tb_yaml_error(y, value,
                      "targets: \"%s\": match has at most 255, name 200 printable characters of ASCII, no blank",
                      r.name);
    else if (calls->globs.count == NAMES_MAX)
        tb_yaml_error(y, value, "targets: more than %u entries: join some with a *", NAMES_MAX);
    if (y->errors->count != before)
        return;
    tb_text_list_add(&calls->globs, r.match);
    for (char *c = calls->globs.items[calls->globs.count - 1]; *c; c++)
        *c = (char)tolower((unsigned char)*c);
    tb_text_list_add(&calls->names, r.name);
}

static void read_targets(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    tb_yaml_each(y, value, read_target, to);
}

static void read_max(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    tb_yaml_number(y, value, "max_targets", 1, MAX_TARGETS, &((struct tb_calls_config *)to)->max_targets);
}

void tb_config_read_calls(struct tb_yaml *y, yaml_node_t *value, struct tb_calls_config *to)
{
    static const struct tb_yaml_key keys[] = {{"max_targets", read_max}, {"targets", read_targets}};
    to->is_given = true;
    tb_yaml_mapping(y, value, "calls", TB_YAML_KEYS(keys), to);
}

void tb_config_free_calls(struct tb_calls_config *calls)
{
    tb_text_list_free(&calls->globs);
    tb_text_list_free(&calls->names);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a route came to be (route_origin.h). Regions of one service mostly have the same set: it is read once. A set does
 * not name its file; that it is the one of a file at hand is told by compiling that file, and comparing.
 */
#include "route_origin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/rules.h"
#include "exporter/rules_compile.h"
#include "exporter/rules_publish.h"

#define SETS_MAX 16u /* different ones at a time: while new rules spread there are two */

struct tb_origin_set {
    uint32_t tag;
    uint8_t route;    /* enum tb_rules_route: what no entry matches */
    const char *file; /* NULL: not known */
    struct tb_rules_line *lines;
    size_t count;
};

/* Placeholders that the core makes by itself (docs/routes.md); an extension may follow. */
static const char *const placeholders[] = {"id",    "uuid", "hash",   "date", "email", "ip",
                                           "token", "host", "locale", "file", "name",  "rest"};

static bool is_file_of(const struct tb_config *c, const char *service, enum tb_rules_origin origin, const uint8_t *set,
                       size_t len)
{
    struct tb_buffer own = {0};
    bool is_same = tb_rules_compile(c, tb_config_service(c, service), origin, NULL, &own) == 0 && own.len == len &&
                   memcmp(own.data, set, len) == 0;
    tb_buffer_free(&own);
    return is_same;
}

static void add_set(struct tb_origins *o, const struct tb_snap_region *region)
{
    struct tb_buffer section = {0};
    uint32_t at = 0, len = 0;
    struct tb_rules_view view;
    if (tb_rules_in_force(region->path, &section, &at, &len) == 0 &&
        tb_rules_read((const uint8_t *)section.data, at, len, &view)) {
        const uint8_t *set = (const uint8_t *)section.data + at;
        struct tb_rules_set head;
        memcpy(&head, set, sizeof head);
        o->sets = tb_grow(o->sets, o->count, &o->space, sizeof *o->sets);
        struct tb_origin_set *new = &o->sets[o->count++];
        *new = (struct tb_origin_set){.tag = region->rules_tag, .route = head.route};
        new->count = tb_rules_lines((const uint8_t *)section.data, at, len, &new->lines);
        if (o->config && is_file_of(o->config, o->service, (enum tb_rules_origin)head.origin, set, len))
            new->file = o->config->path;
    }
    tb_buffer_free(&section);
}

void tb_origins_of(struct tb_origins *o, const struct tb_snapshot *s, const char *service)
{
    tb_origins_free(o);
    o->service = service;
    for (size_t i = 0; i < s->region_count && o->count < SETS_MAX; i++) {
        const struct tb_snap_region *region = &s->regions[i];
        bool is_new = !region->unreadable && region->rules_length && region->service &&
                      strcmp(region->service->name, service) == 0;
        for (size_t k = 0; k < o->count && is_new; k++)
            is_new = o->sets[k].tag != region->rules_tag;
        if (is_new)
            add_set(o, region);
    }
}

void tb_origins_free(struct tb_origins *o)
{
    for (size_t i = 0; i < o->count; i++)
        tb_rules_lines_free(o->sets[i].lines, o->sets[i].count);
    free(o->sets);
    o->sets = NULL;
    o->count = o->space = 0;
}

static bool is_own(const char *name, size_t len)
{
    for (size_t i = 0; i < sizeof placeholders / sizeof *placeholders; i++) {
        size_t n = strlen(placeholders[i]);
        if (len >= n && memcmp(name, placeholders[i], n) == 0 && (len == n || name[n] == '.'))
            return true;
    }
    return false;
}

static const char *of_label(const char *route, bool is_path)
{
    bool has_value = false, has_word = false;
    if (strcmp(route, "*") == 0)
        return "literal";
    if (route[0] != '/')
        return "pattern of before";
    for (const char *p = route; p; p = strchr(p + 1, '/')) {
        size_t len = strcspn(p + 1, "/");
        if (p[1] != ':')
            continue;
        if (!is_own(p + 2, len - 1))
            return "pattern of before";
        has_value |= strcmp(p, "/:rest") != 0; /* a long path has that, too */
        has_word |= len >= 5 && memcmp(p + 2, "name", 4) == 0;
    }
    if (is_path && !has_value)
        return "path";
    return has_word ? "learned" : has_value ? "typed" : "literal";
}

const char *tb_origin(const struct tb_origins *o, const char *route, char ret[TB_ORIGIN_MAX])
{
    static const char *const specials[] = {"_unmatched", "_other", "_none", "_ignored"};
    bool is_path = false;
    for (size_t i = 0; i < o->count; i++) {
        const struct tb_origin_set *set = &o->sets[i];
        is_path |= set->route == TB_RULES_PATH;
        for (size_t k = 0; k < set->count; k++) {
            const struct tb_rules_line *line = &set->lines[k];
            if (line->is_drop || strcmp(line->route, route) != 0)
                continue;
            if (line->is_openapi)
                return "openapi";
            snprintf(ret, TB_ORIGIN_MAX, "pattern line %u%s%s%s", line->source,
                     line->source == 0xffff ? " or later" : "", set->file ? " of " : "", set->file ? set->file : "");
            return ret;
        }
    }
    for (size_t i = 0; i < sizeof specials / sizeof *specials; i++)
        if (strcmp(route, specials[i]) == 0)
            return specials[i];
    return of_label(route, is_path);
}

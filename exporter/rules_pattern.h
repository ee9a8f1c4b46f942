/* SPDX-License-Identifier: Apache-2.0 */
/* A pattern such as /users/:name/repos or /static/{file}.js taken apart. */
#ifndef TB_RULES_PATTERN_H
#define TB_RULES_PATTERN_H

#include <stdbool.h>

#include "agent/rules_format.h"

enum tb_part_kind { TB_PART_LITERAL, TB_PART_GLOB, TB_PART_PARAMETER };

struct tb_pattern_part {
    enum tb_part_kind kind;
    char text[256];  /* literal, or glob */
    char label[256]; /* as it stands in the route */
};

struct tb_pattern_parts {
    struct tb_pattern_part parts[TB_RULES_DEPTH_MAX];
    uint32_t count;
    bool is_wild;     /* ends with a wildcard */
    size_t label_len; /* of the whole route */
};

/* tb_pattern_parse - returns NULL, or `why: what to do` (static). */
const char *tb_pattern_parse(const char *path, struct tb_pattern_parts *ret);

#endif

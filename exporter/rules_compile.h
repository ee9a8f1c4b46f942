/* SPDX-License-Identifier: Apache-2.0 */
/* Configuration -> compiled rules (agent/rules_format.h), and back into words. */
#ifndef TB_RULES_COMPILE_H
#define TB_RULES_COMPILE_H

#include "agent/rules_format.h"
#include "config.h"

/*
 * tb_rules_compile - the set for services of entry @service (c->service_count: those that no entry names), its own
 * lines first and those for every service after them.
 *
 * @errors  what is wrong, may be NULL when the same was compiled before
 * @out     the set, appended; nothing when there is an error
 *
 * Returns 0 or -EINVAL.
 */
int tb_rules_compile(const struct tb_config *c, size_t service, enum tb_rules_origin origin,
                     struct tb_config_errors *errors, struct tb_buffer *out);

/*
 * tb_rules_use - the rules that the file at @path has for @service (NULL: any) in force in @core, whose region is this
 * process's own memory and has had none yet. Returns 0, or -EINVAL after a message on standard error.
 */
struct tb_core;
int tb_rules_use(struct tb_core *core, const char *path, const char *service);

/* tb_rules_bundle - all sets of a file, as agent/rules_file.c reads them. */
int tb_rules_bundle(const struct tb_config *c, enum tb_rules_origin origin, struct tb_buffer *out);

/* One declared route of a set, in words. */
struct tb_rules_line {
    char *route; /* owned by the list */
    uint32_t source;
    bool is_openapi, is_drop;
};
/* tb_rules_lines - every entry of the set of @len bytes at @at of a rules section. Returns their number; @ret to be
 * freed with tb_rules_lines_free. */
size_t tb_rules_lines(const uint8_t *section, uint32_t at, uint32_t len, struct tb_rules_line **ret);
void tb_rules_lines_free(struct tb_rules_line *lines, size_t count);

#endif

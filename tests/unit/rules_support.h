/* SPDX-License-Identifier: Apache-2.0 */
/* Configuration texts for tests: written to a file, loaded, compiled, put in force in a region. Include once. */
#ifndef TB_TESTS_RULES_SUPPORT_H
#define TB_TESTS_RULES_SUPPORT_H

#include "support.h"

#include "exporter/config.h"
#include "exporter/rules_compile.h"
#include "host.h"
#include "route.h"
#include "rules.h"

/* A file of @text in @dir. */
SUPPORT char *rules_file(const char *dir, const char *name, const char *text)
{
    char *path = tb_format("%s/%s", dir, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
    assert_int_equal(fclose(f), 0);
    return path;
}

/* Loads @text, which must be right. */
SUPPORT struct tb_config *rules_config(const char *text)
{
    char *dir = support_dir(), *path = rules_file(dir, "config.yml", text), *errors = NULL;
    struct tb_config *c = tb_config_load(path, &errors);
    if (!c)
        fail_msg("%s", errors);
    free(path);
    support_remove_dir(dir);
    return c;
}

SUPPORT void rules_put(struct tb_core *core, const void *set, size_t len)
{
    struct tb_rules_head *head = core->rules;
    uint32_t other = (head->active & 1) ^ 1;
    assert_true(len <= TB_RULES_BUFFER);
    memcpy((uint8_t *)(head + 1) + other * TB_RULES_BUFFER, set, len);
    head->length[other] = (uint32_t)len;
    head->active = other;
    head->generation++;
}

/* The rules of @text for @service in force in @core. */
SUPPORT void rules_use(struct tb_core *core, const char *text, const char *service)
{
    struct tb_config *c = rules_config(text);
    struct tb_buffer set = {0};
    assert_int_equal(tb_rules_compile(c, tb_config_service(c, service), TB_RULES_FROM_EXPORTER, NULL, &set), 0);
    rules_put(core, set.data, set.len);
    assert_false(tb_rules_are_seen(core));
    tb_rules_adopt(core);
    assert_true(tb_rules_are_seen(core));
    tb_buffer_free(&set);
    tb_config_free(c);
}

/* The label of one request. */
SUPPORT const char *rules_ask(struct tb_core *core, uint8_t method, const char *host, const char *path, uint16_t status)
{
    uint32_t handle = tb_route_begin_at(core, method, tb_bytes_str(host), tb_bytes_str(path), false);
    uint32_t ref = tb_route_end(core, handle, method, status);
    if (ref == TB_STR_IGNORED)
        return "(ignored)";
    return (const char *)tb_string_get(core->strings, TB_LEN_STRINGS, ref).ptr;
}

#endif

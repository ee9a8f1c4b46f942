/* SPDX-License-Identifier: Apache-2.0 */
/* Which commands an inlet may send to a Redis server: those that only read, quickly, and answer with one number. */
#include "config_inlets.h"

#include <strings.h>

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

static const struct {
    const char *name;
    size_t words; /* with its arguments */
} commands[] = {{"DBSIZE", 1}, {"GET", 2},    {"HGET", 3}, {"HLEN", 2}, {"LLEN", 2},
                {"SCARD", 2},  {"STRLEN", 2}, {"XLEN", 2}, {"ZCARD", 2}};

static void read_word(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    struct tb_pull_metric *m = to;
    char *word = tb_yaml_copy(y, value, "command");
    if (!word)
        return;
    m->command = tb_grow(m->command, m->word_count, &m->word_space, sizeof *m->command);
    m->command[m->word_count++] = word;
}

void tb_config_redis_command(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    struct tb_pull_metric *m = to;
    struct tb_buffer known = {0};
    const unsigned before = y->errors->count;
    tb_yaml_each(y, value, read_word, m);
    if (y->errors->count > before)
        return;
    for (size_t i = 0; i < COUNT(commands); i++) {
        if (m->word_count == commands[i].words && strcasecmp(m->command[0], commands[i].name) == 0)
            return;
        tb_puts(&known, i ? ", " : "");
        tb_puts(&known, commands[i].name);
    }
    tb_put(&known, "", 1);
    tb_yaml_error(
        y, value,
        "command: it is none that may be sent, or has too few or too many arguments: one of %s, as [LLEN, KEY]",
        known.data);
    tb_buffer_free(&known);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Settings of one program, from agent/options.def: a flag wins over its variable, a variable over the configuration
 * file (config.h), that over the default.
 * Everything is checked here, so that the rest of the program asks for values that make sense.
 */
#ifndef TB_OPTIONS_H
#define TB_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum tb_option {
#define OPTION(id, env, flag, type, default_value, help, side) TB_OPTION_##id,
#include "agent/options.def"
#undef OPTION
    TB_OPTION_COUNT
};

enum tb_side { TB_SIDE_AGENT = 1, TB_SIDE_RUN = 2, TB_SIDE_EXPORTER = 4, TB_SIDE_COMMAND = 8 };

enum tb_option_type {
    TB_TYPE_TEXT,
    TB_TYPE_PATH,
    TB_TYPE_NUMBER,
    TB_TYPE_ADDRESS,
    TB_TYPE_DURATION,
    TB_TYPE_SWITCH,
    TB_TYPE_LIST,
    TB_TYPE_CHOICE
};

struct tb_option_row {
    const char *env, *flag, *default_value, *help;
    enum tb_option_type type;
    unsigned sides;
};
const struct tb_option_row *tb_option_row(enum tb_option id);

struct tb_options {
    struct {
        char **items; /* owned; one, or any number of a LIST or of ADDRESSes */
        size_t count;
        bool is_default; /* neither flag nor variable nor, once it is read, file */
        bool is_of_file;
    } values[TB_OPTION_COUNT];
    bool wants_help, wants_version;
};

/*
 * tb_options_parse - flags and variables of one side.
 * @ret        to be freed with tb_options_free in any case
 * @ret_error  `what: why: what to do`, the caller's to free
 * Returns 0 or -EINVAL.
 */
int tb_options_parse(int argc, char *const *argv, enum tb_side side, struct tb_options *ret, char **ret_error);
void tb_options_free(struct tb_options *o);

/* tb_options_usage - the list of flags of a side, for --help; the caller's to free. */
char *tb_options_usage(enum tb_side side);

/* tb_option_is_list - may it be given several times? */
bool tb_option_is_list(const struct tb_option_row *row);

/* The value of an option that is no list; "" when it has none. */
const char *tb_option_text(const struct tb_options *o, enum tb_option id);
bool tb_option_is_on(const struct tb_options *o, enum tb_option id);
uint64_t tb_option_ns(const struct tb_options *o, enum tb_option id);
unsigned tb_option_number(const struct tb_options *o, enum tb_option id);

/* tb_options_file - an option that has neither flag nor variable takes these values, which were checked, in place of
 * what the file said before; none: its default, of an option that is no list. */
void tb_options_file(struct tb_options *o, enum tb_option id, char *const *items, size_t count);

/* tb_option_complaint - why a value cannot be, or NULL. */
const char *tb_option_complaint(const struct tb_option_row *row, const char *text);

/* tb_duration_parse - 250ms, 10s, 5m, 24h, 7d and sums of them (1h30m); "0" too. False when it is none. */
bool tb_duration_parse(const char *text, uint64_t *ret_ns);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the verbs of the `tickbird` command share: the verb table's row, messages, options, text that strangers wrote.
 *
 * Messages are one line on standard error, `tickbird: what: why: what to do`. Exit codes: 0 done, 1 it did not
 * work (or `doctor`: not observable), 2 wrong usage; `run` has those of env(1).
 */
#ifndef TB_CLI_H
#define TB_CLI_H

#include <getopt.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define TB_EXIT_OK 0
#define TB_EXIT_FAILED 1
#define TB_EXIT_USAGE 2

struct tb_verb {
    const char *name;
    const char *summary;               /* one line of `tickbird --help` */
    const char *usage;                 /* the whole text of `tickbird VERB --help` */
    int (*run)(int argc, char **argv); /* argv[0] is the verb; returns the exit code */
};

extern const struct tb_verb tb_verb_run, tb_verb_status, tb_verb_doctor, tb_verb_series, tb_verb_routes, tb_verb_top,
    tb_verb_off, tb_verb_on, tb_verb_forget, tb_verb_check_config, tb_verb_install, tb_verb_uninstall, tb_verb_enable,
    tb_verb_disable;

/* tb_cli_message - one line on standard error, prefixed; control characters become '?'. */
void tb_cli_message(const char *format, ...) __attribute__((format(printf, 1, 2)));

#define TB_OPTION_HELP 'h'
#define TB_OPTION_END (-1)
#define TB_OPTION_BAD (-2)

/*
 * tb_cli_option - getopt_long with messages of our own.
 *
 * @letters  short options; begin with '+' to stop at the first operand, no ':' in front
 *
 * Returns the option's value, TB_OPTION_END (optind is the first operand) or TB_OPTION_BAD, already reported. Every
 * table has {"help", no_argument, NULL, TB_OPTION_HELP}.
 */
int tb_cli_option(int argc, char **argv, const char *letters, const struct option *options);

/* tb_cli_operands - for verbs that take none: 0, or -1 after reporting the first one left behind the options. */
int tb_cli_operands(int argc, char **argv);

/* tb_cli_number - a decimal number from @min to @max. Returns 0, or -1 after reporting @what. */
int tb_cli_number(const char *what, const char *text, unsigned long min, unsigned long max, unsigned long *ret_number);

/*
 * tb_cli_text - @text with control characters and broken UTF-8 replaced by '?', so that a name chosen by a stranger
 * cannot drive the terminal. Returns @buffer, always terminated.
 */
const char *tb_cli_text(char *buffer, size_t size, const char *text);

#endif

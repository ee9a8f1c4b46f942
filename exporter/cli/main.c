/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The `tickbird` command: a table of verbs, and nothing else. Each verb is a file of its own (cmd_<verb>.c).
 */
#include "cli.h"

#include <string.h>

static const struct tb_verb *const verbs[] = {
    &tb_verb_run,    &tb_verb_status,  &tb_verb_doctor,  &tb_verb_series,   &tb_verb_routes,
    &tb_verb_top,    &tb_verb_off,     &tb_verb_on,      &tb_verb_forget,   &tb_verb_check_config,
    &tb_verb_enable, &tb_verb_disable, &tb_verb_install, &tb_verb_uninstall};
#define VERB_COUNT (sizeof(verbs) / sizeof(verbs[0]))

static const struct tb_verb *find(const char *name)
{
    for (size_t i = 0; i < VERB_COUNT; i++)
        if (strcmp(verbs[i]->name, name) == 0)
            return verbs[i];
    return NULL;
}

static void print_help(FILE *out)
{
    fputs("Usage: tickbird VERB [OPTIONS]\n"
          "Counts the HTTP requests of unmodified servers.\n\n",
          out);
    for (size_t i = 0; i < VERB_COUNT; i++)
        fprintf(out, "  %-12s %s\n", verbs[i]->name, verbs[i]->summary);
    fputs("\nFor one of them: tickbird VERB --help. The metrics are served by tickbird-exporter.\n", out);
}

/* `tickbird help`, `tickbird help VERB` */
static int help(int argc, char **argv)
{
    const struct tb_verb *verb = argc > 1 ? find(argv[1]) : NULL;
    if (argc > 1 && !verb) {
        tb_cli_message("%s: no such verb: see tickbird --help", argv[1]);
        return TB_EXIT_USAGE;
    }
    if (verb)
        fputs(verb->usage, stdout);
    else
        print_help(stdout);
    return TB_EXIT_OK;
}

static int dispatch(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "";
    if (!strcmp(name, "--help") || !strcmp(name, "-h") || !strcmp(name, "help"))
        return help(!strcmp(name, "help") ? argc - 1 : 1, argv + 1);
    if (!strcmp(name, "--version") || !strcmp(name, "-V")) {
        puts("tickbird " TB_VERSION);
        return TB_EXIT_OK;
    }
    const struct tb_verb *verb = find(name);
    if (verb)
        return verb->run(argc - 1, argv + 1);
    if (!name[0])
        print_help(stderr);
    else
        tb_cli_message("%s: no such %s: see tickbird --help", name, name[0] == '-' ? "option" : "verb");
    return TB_EXIT_USAGE;
}

int main(int argc, char **argv)
{
    int code = dispatch(argc, argv);
    /* A full disk or a closed pipe must not look like success. */
    if ((fflush(stdout) != 0 || ferror(stdout)) && code == TB_EXIT_OK) {
        tb_cli_message("standard output: it cannot be written: free space, or keep the reader open");
        code = TB_EXIT_FAILED;
    }
    return code;
}

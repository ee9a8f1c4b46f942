/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `tickbird check-config`: is a configuration file right, and what does it say? Every error is one line on standard
 * error, `file:line:column: what: why: what to do`. Exit codes: 0 it is right, 1 it is not, 2 wrong usage.
 */
#include "cli.h"

#include <stdlib.h>

#include "agent/rules_format.h"
#include "describe_names.h"
#include "exporter/config.h"
#include "exporter/rules_compile.h"

static size_t count_of(const struct tb_route_config *r, bool is_openapi, bool is_drop)
{
    size_t n = 0;
    for (size_t i = 0; i < r->pattern_count; i++)
        n += r->patterns[i].is_openapi == is_openapi && r->patterns[i].is_drop == is_drop;
    return n;
}

static void describe_routes(const struct tb_config *c, size_t service)
{
    static const char *const modes[] = {"inferred", "path", "none"};
    bool is_common = service == c->service_count;
    const struct tb_route_config *r = is_common ? &c->routes : &c->services[service].routes;
    struct tb_buffer set = {0};
    char name[256];
    if (!r->is_given)
        return;
    (void)tb_rules_compile(c, service, TB_RULES_FROM_RUN, NULL, &set);
    printf("%s%s: %zu patterns, %zu from OpenAPI, %zu ignored; other routes are %s", is_common ? "" : "service ",
           is_common ? "every service" : tb_cli_text(name, sizeof(name), c->services[service].name),
           count_of(r, false, false), count_of(r, true, false), count_of(r, false, true),
           modes[r->route >= 0 ? r->route : 0]);
    if (r->has_host_label)
        printf("; host label (%zu allowed)", r->hosts.count);
    printf("; %zu of %u bytes\n", set.len, TB_RULES_BUFFER);
    tb_buffer_free(&set);
}

static void describe(const struct tb_config *c)
{
    char file[4096];
    for (size_t i = 0; i < c->openapi_count; i++) {
        const struct tb_openapi_note *o = &c->openapi[i];
        printf("%s: OpenAPI %s: %zu paths, %zu operations, %zu prefix%s\n", tb_cli_text(file, sizeof(file), o->file),
               o->version, o->paths, o->operations, o->prefixes, o->prefixes == 1 ? "" : "es");
    }
    for (size_t i = 0; i <= c->service_count; i++)
        describe_routes(c, i);
    if (c->names.custom_count)
        printf("rules: %zu metrics of your own\n", c->names.custom_count);
    if (c->names.is_given)
        tb_describe_names(c);
    printf("%s: no errors\n", tb_cli_text(file, sizeof(file), c->path));
}

static int run(int argc, char **argv)
{
    static const struct option options[] = {{"help", no_argument, NULL, TB_OPTION_HELP}, {0}};
    const char *path = getenv("TICKBIRD_CONFIG");
    char *errors = NULL;
    int got;
    while ((got = tb_cli_option(argc, argv, "h", options)) != TB_OPTION_END) {
        if (got == TB_OPTION_BAD)
            return TB_EXIT_USAGE;
        fputs(tb_verb_check_config.usage, stdout);
        return TB_EXIT_OK;
    }
    if (optind < argc)
        path = argv[optind++];
    if (tb_cli_operands(argc, argv) != 0)
        return TB_EXIT_USAGE;
    if (!path || !path[0]) {
        tb_cli_message("check-config: no file is named: tickbird check-config FILE");
        return TB_EXIT_USAGE;
    }
    struct tb_config *c = tb_config_load(path, &errors);
    if (c)
        describe(c);
    else
        fputs(errors, stderr);
    int code = c ? TB_EXIT_OK : TB_EXIT_FAILED;
    tb_config_free(c);
    free(errors);
    return code;
}

const struct tb_verb tb_verb_check_config = {"check-config", "is a configuration file right, and what does it say",
                                             "Usage: tickbird check-config [FILE]\n"
                                             "Reads FILE (default: the one that TICKBIRD_CONFIG names) as the exporter "
                                             "and `tickbird run` would, lists every error\n"
                                             "with its line and column, or says what was read.\n"
                                             "\n"
                                             "  --help  this text\n"
                                             "\n"
                                             "Exit status: 0 it is right, 1 it is not, 2 wrong usage.\n",
                                             run};

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `tickbird routes --stdin`: runs the core's own learner over a list of paths. The region is plain memory, formatted
 * like a real one, so the same code decides as in an observed program.
 *
 * Entry point: tb_routes_stdin.
 */
#include "routes_stdin.h"
#include "cli.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/methods.h"
#include "agent/region.h"
#include "agent/route.h"
#include "agent/rules.h"
#include "exporter/config.h"
#include "exporter/rules_compile.h"

#define ROUTE_TEXT_MAX 1024u

struct entry {
    const char *path;
    uint8_t method;
    uint16_t status;
};

/* Plain memory: every page is there, so "reserve this page" always succeeds. */
static long no_syscall(long nr, long a, long b, long c, long d, long e, long f)
{
    (void)nr, (void)a, (void)b, (void)c, (void)d, (void)e, (void)f;
    return 0;
}

static uint64_t no_clock(void)
{
    return 0;
}

static int start_learner(struct tb_core **ret_core, void **ret_region)
{
    struct tb_core *core = calloc(1, sizeof(*core));
    void *region = aligned_alloc(TB_PAGE, TB_REGION_BYTES);
    int result = -ENOMEM;
    if (core && region) {
        memset(region, 0, TB_REGION_BYTES);
        core->env = (struct tb_env){no_syscall, no_clock, TB_PAGE, 1};
        tb_region_format(region, &(struct tb_identity){.service = "stdin"}, 1, 1);
        result = tb_region_bind(core, region, TB_REGION_BYTES);
    }
    if (result != 0) {
        free(core);
        free(region);
        return result;
    }
    *ret_core = core;
    *ret_region = region;
    return 0;
}

static uint8_t method_of(const char *name)
{
    uint64_t hash = TB_HASH_START;
    size_t len = strlen(name);
    for (size_t i = 0; i < len; i++)
        hash = tb_hash_step(hash, (uint8_t)name[i]);
    return tb_method_by_hash(hash, len);
}

/* Cuts @line at its tabs. Returns false when it has neither form. */
static bool split(char *line, struct entry *ret_entry)
{
    char *path = strchr(line, '\t'), *status = path ? strchr(path + 1, '\t') : NULL, *end;
    *ret_entry = (struct entry){line, TB_METHOD_GET, 200};
    if (!path)
        return true;
    if (!status || strchr(status + 1, '\t'))
        return false;
    *path++ = *status++ = 0;
    unsigned long number = strtoul(status, &end, 10);
    if (status[0] < '0' || status[0] > '9' || *end || (number && (number < 100 || number > 999)))
        return false;
    *ret_entry = (struct entry){path, method_of(line), (uint16_t)number};
    return true;
}

int tb_routes_stdin(FILE *in, FILE *out, const char *config, const char *service)
{
    struct tb_core *core = NULL;
    void *region = NULL;
    char *line = NULL, route[ROUTE_TEXT_MAX];
    size_t space = 0, number = 0;
    ssize_t len;
    int code = TB_EXIT_OK, result = start_learner(&core, &region);
    if (result != 0) {
        tb_cli_message("routes: the learner cannot be started: %s: free some memory", strerror(-result));
        return TB_EXIT_FAILED;
    }
    if (config && tb_rules_use(core, config, service) != 0)
        code = TB_EXIT_FAILED;
    while (code == TB_EXIT_OK && (len = getline(&line, &space, in)) > 0) {
        struct entry entry;
        number++;
        if (line[len - 1] == '\n')
            line[--len] = 0;
        if (len && line[len - 1] == '\r')
            line[--len] = 0;
        if (strlen(line) != (size_t)len || !split(line, &entry)) {
            tb_cli_message("line %zu: neither PATH nor METHOD<TAB>PATH<TAB>STATUS (status 0: unanswered): correct it",
                           number);
            code = TB_EXIT_USAGE;
            break;
        }
        struct tb_bytes path = tb_bytes(entry.path, strlen(entry.path));
        size_t route_len = tb_route_line(core, entry.method, path, entry.status, route, sizeof(route));
        fprintf(out, "%s\t%.*s\n", entry.path, (int)route_len, route);
    }
    if (code == TB_EXIT_OK && ferror(in)) {
        tb_cli_message("standard input: it cannot be read: name a file behind <");
        code = TB_EXIT_FAILED;
    }
    free(line);
    free(region);
    free(core);
    return code;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads request lines from standard input and prints `path<TAB>route` for each, as the core would have assigned the
 * route at that moment, with a fresh learner in memory. A line is `path` (taken for GET 200) or
 * `method<TAB>path<TAB>status`. A line `service<TAB>template<TAB>path` cannot be told from the latter by its form: give
 * --corpus for such files; then a change of service starts a fresh learner and three columns are printed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "lines.h"

static void stats(struct tb_core *core, const char *service)
{
    struct tb_route_head *h = tb_learn_head(core);
    fprintf(stderr, "%s: %u nodes, %u bytes of text, %u routes, %u trials, epoch %u\n", service, h->nodes, h->text,
            h->routes, h->trials, h->epoch);
}

int main(int argc, char **argv)
{
    bool corpus = argc > 1 && strcmp(argv[1], "--corpus") == 0, verbose = argc > 2;
    struct lines lines;
    char *line = NULL, service[256] = "", route[512];
    size_t room = 0;
    ssize_t len;
    if (!lines_open(&lines))
        return 1;
    struct tb_core *core = lines.core;
    while ((len = getline(&line, &room, stdin)) > 0) {
        if (line[len - 1] == '\n')
            line[--len] = 0;
        char *tab = strchr(line, '\t'), *second = tab ? strchr(tab + 1, '\t') : NULL, *path = line;
        unsigned status = 200;
        if (second) {
            *tab = *second = 0;
            path = corpus ? second + 1 : tab + 1;
            status = corpus ? 200u : (unsigned)strtoul(second + 1, NULL, 10);
        }
        if (corpus && strcmp(line, "noise") == 0)
            status = 404;
        if (corpus && strcmp(service, line) != 0) {
            if (verbose && service[0])
                stats(core, service);
            snprintf(service, sizeof service, "%s", line);
            lines_fresh(&lines);
        }
        size_t n = tb_route_line(core, 1, tb_bytes(path, strlen(path)), (uint16_t)status, route, sizeof route);
        if (corpus)
            printf("%s\t", service);
        printf("%s\t%.*s\n", path, (int)n, route);
    }
    if (verbose)
        stats(core, service);
    free(line);
    lines_close(&lines);
    return 0;
}

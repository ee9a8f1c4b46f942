/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Training rows for the model of routes. Reads lines `service<TAB>template<TAB>path` (a segment of a template that
 * holds a brace is a value), walks them as the core would, and writes one row for each judgement: the features, 1 for a
 * literal or 0 for a value, and the service's number (two bytes). What the walk goes on with is the truth, or with
 * probability EPS the model's own answer, so that rows from its own mistakes are among them.
 *
 * Usage: train OUT EPS SEED <LINES. Linked with -Wl,--wrap=tb_route_judge (fit.py does).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "lines.h"
#include "route_model.h"

#define SEGMENTS 64

int __real_tb_route_judge(const struct tb_route_place *place);
int __wrap_tb_route_judge(const struct tb_route_place *place);

static FILE *rows;
static double own_share;
static unsigned service_number;
static const char *truth[SEGMENTS];
static size_t truth_count;

int __wrap_tb_route_judge(const struct tb_route_place *place)
{
    int score = __real_tb_route_judge(place);
    if (place->path->count != truth_count)
        return score;
    uint8_t row[TB_F_COUNT + 3];
    bool literal = !strchr(truth[place->at], '{');
    tb_route_features(place, row);
    row[TB_F_COUNT] = literal;
    row[TB_F_COUNT + 1] = (uint8_t)service_number;
    row[TB_F_COUNT + 2] = (uint8_t)(service_number >> 8);
    fwrite(row, 1, sizeof row, rows);
    if (drand48() < own_share)
        return score;
    if (literal)
        return score > 1 ? score : 1;
    return score < -20 ? score : -20;
}

int main(int argc, char **argv)
{
    struct lines lines;
    char *line = NULL, service[256] = "", route[512], *save;
    size_t room = 0;
    ssize_t len;
    if (argc != 4 || !(rows = fopen(argv[1], "wb")) || !lines_open(&lines)) {
        fputs("usage: train OUT EPS SEED <LINES\n", stderr);
        return 2;
    }
    own_share = strtod(argv[2], NULL);
    srand48(strtol(argv[3], NULL, 10));
    while ((len = getline(&line, &room, stdin)) > 0) {
        line[len - 1] = 0;
        char *template = strchr(line, '\t'), *path = template ? strchr(template + 1, '\t') : NULL;
        if (!path)
            continue;
        *template ++ = *path++ = 0;
        if (strcmp(service, line) != 0) {
            snprintf(service, sizeof service, "%s", line);
            lines_fresh(&lines);
            service_number++;
        }
        truth_count = 0;
        for (char *s = strtok_r(template, "/", &save); s && truth_count < SEGMENTS; s = strtok_r(NULL, "/", &save))
            truth[truth_count++] = s;
        tb_route_line(lines.core, 1, tb_bytes(path, strlen(path)), 200, route, sizeof route);
    }
    lines_close(&lines);
    free(line);
    return fclose(rows) ? 1 : 0;
}

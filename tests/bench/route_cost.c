/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For callgrind: routes one path of a known route again and again (tb_route_begin and tb_route_end), of a route whose
 * paths have 40 bytes, or LENGTH. Usage: route_cost COUNT [KIND [LENGTH [CONFIG]]], KIND: "same", or another value each
 * time: "new" a number, "uuid", "words". Two runs with different counts give the instructions per request; routes.py
 * does that.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "exporter/rules_compile.h"
#include "lines.h"

#define HEAD "/api/v1/customers/"
#define TAIL "/orders/recent"

#define PATH_MAX_LEN 256u

/* The path of request @i: @len bytes, made so by a long last segment. @ret has PATH_MAX_LEN. */
static size_t make_path(char *ret, const char *kind, unsigned long i, size_t len)
{
    static const char uuid[] = "550e8400-e29b-41d4-a716-446655440000";
    bool is_uuid = strcmp(kind, "uuid") == 0, is_word = strcmp(kind, "words") == 0;
    const char *value = is_uuid ? uuid : is_word ? "gruvalek" : "81350642";
    size_t n = (size_t)snprintf(ret, PATH_MAX_LEN, HEAD "%s" TAIL, value);
    for (; n < len; n++)
        ret[n] = n % 12 ? "abcdefghij"[n / 12 % 10] : '-';
    if (strcmp(kind, "same") != 0)
        for (unsigned long k = 0; k < 6; k++, i /= 10)
            ret[strlen(HEAD) + k] = (is_word ? "bdfgklmnpr" : "0123456789")[i % 10];
    return n;
}

int main(int argc, char **argv)
{
    unsigned long count = argc > 1 ? strtoul(argv[1], NULL, 10) : 1000;
    const char *kind = argc > 2 ? argv[2] : "same";
    size_t len = argc > 3 ? strtoul(argv[3], NULL, 10) : 40;
    struct lines lines;
    char path[PATH_MAX_LEN];
    if (len > sizeof path || !lines_open(&lines) || (argc > 4 && tb_rules_use(lines.core, argv[4], NULL) < 0))
        return 1;
    uint32_t sum = 0;
    for (unsigned long i = 0; i < count; i++) {
        size_t n = make_path(path, kind, i, len);
        uint32_t handle = tb_route_begin(lines.core, 1, tb_bytes(path, n), false);
        sum += tb_route_end(lines.core, handle, 1, 200);
    }
    printf("%u\n", sum);
    lines_close(&lines);
    return 0;
}

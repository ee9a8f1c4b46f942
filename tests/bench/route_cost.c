/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For callgrind: routes one 40-byte path of a known route again and again (tb_route_begin and tb_route_end), or with
 * "new" a path of the same route with another number each time. Usage: route_cost COUNT [new]. Two runs with
 * different counts give the instructions per request; routes.py does that.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "lines.h"

int main(int argc, char **argv)
{
    unsigned long count = argc > 1 ? strtoul(argv[1], NULL, 10) : 1000;
    bool fresh = argc > 2 && strcmp(argv[2], "new") == 0, words = argc > 2 && strcmp(argv[2], "words") == 0;
    struct lines lines;
    if (!lines_open(&lines))
        return 1;
    char path[64], *at = path + strlen("/api/v1/customers/");
    snprintf(path, sizeof path, "%s",
             words ? "/api/v1/customers/gruvalek/orders/recent" : "/api/v1/customers/81350642/orders/recent");
    uint32_t sum = 0;
    for (unsigned long i = 0; i < count; i++) {
        if (fresh || words)
            for (unsigned long k = 0, n = i; k < 6; k++, n /= 10)
                at[k] = (char)((words ? "bdfgklmnpr" : "0123456789")[n % 10]);
        uint32_t handle = tb_route_begin(lines.core, 1, tb_bytes(path, 40), false);
        sum += tb_route_end(lines.core, handle, 1, 200);
    }
    printf("%u\n", sum);
    lines_close(&lines);
    return 0;
}

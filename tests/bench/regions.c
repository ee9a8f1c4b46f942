/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Regions as programs leave them, for the exporter to read: regions DIR SERVICES SERIES. Each service gets its region
 * with so many series of 100 durations, written by the agent's core. Prints a line when they are there, and keeps them
 * alive until its standard input ends.
 */
#include <stdio.h>
#include <stdlib.h>

#define assert_int_equal(a, b) ((a) == (b) ? (void)0 : abort())
#define assert_int_not_equal(a, b) ((a) != (b) ? (void)0 : abort())
#define assert_non_null(a) ((a) ? (void)0 : abort())
#define assert_null(a) ((a) ? abort() : (void)0)
#define assert_true(a) ((a) ? (void)0 : abort())
#include "tests/unit/maker.h"

static void fill(struct tb_core *core, unsigned series)
{
    uint32_t seed = 1;
    for (unsigned i = 0; i < series; i++) {
        char route[40];
        snprintf(route, sizeof route, "/api/v1/things%u/:id", i / 4);
        struct tb_series_key key = maker_key(core, TB_METHOD_GET, route, (uint16_t)(200 + i % 4));
        for (unsigned n = 0; n < 100; n++) {
            seed = seed * 1664525u + 1013904223u;
            maker_observe(core, &key, (UINT64_C(100000) << (seed >> 29)) + (seed >> 8) % 100000, 1);
        }
    }
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: regions DIR SERVICES SERIES\n");
        return 2;
    }
    unsigned services = (unsigned)strtoul(argv[2], NULL, 10), series = (unsigned)strtoul(argv[3], NULL, 10);
    for (unsigned i = 0; i < services; i++) {
        char name[32];
        snprintf(name, sizeof name, "service-%u", i);
        fill(maker_start(argv[1], name), series);
    }
    puts("ready");
    fflush(stdout);
    while (getchar() != EOF)
        ;
    return 0;
}

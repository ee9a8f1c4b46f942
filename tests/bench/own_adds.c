/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program under measurement: COUNT additions by tickbird.h to a metric that it holds.
 * Usage: own_adds counter|sum|gauge|histogram COUNT
 */
#include <stdio.h>
#include <stdlib.h>

#include "shim/tickbird.h"

int main(int argc, char **argv)
{
    static const double bounds[] = {0.1, 0.5, 1, 2, 5, 10};
    long count = argc == 3 ? strtol(argv[2], NULL, 10) : 0;
    const char *kind = argc == 3 ? argv[1] : "";
    tickbird_metric *counter = tickbird_counter("bench_things_total", NULL, NULL, 0);
    tickbird_metric *sum = tickbird_sum("bench_seconds_total", NULL, NULL, 0);
    tickbird_metric *gauge = tickbird_gauge("bench_level", NULL, NULL, 0);
    tickbird_metric *histogram = tickbird_histogram("bench_sizes", NULL, NULL, 0, bounds, 6);
    if (count <= 0) {
        fprintf(stderr, "usage: %s counter|sum|gauge|histogram COUNT\n", argv[0]);
        return 2;
    }
    for (long i = 0; i < count; i++) {
        if (*kind == 'c')
            tickbird_counter_add(counter, 1);
        else if (*kind == 's')
            tickbird_sum_add(sum, 0.25);
        else if (*kind == 'g')
            tickbird_gauge_add(gauge, 1);
        else
            tickbird_histogram_observe(histogram, 0.3);
    }
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A batch job that measures itself with tickbird.h: it adds up the numbers of its standard input, one a line, and
 * prints their sum. Its output is the same with Tickbird and without.
 *
 *     cc -std=c99 -o batch batch.c
 *     seq 1000 | ./batch
 *     seq 1000 | tickbird run --service nightly -- ./batch
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <tickbird.h>

int main(void)
{
    static const tickbird_label good[] = {{"result", "good"}}, bad[] = {{"result", "bad"}};
    static const double bounds[] = {1, 10, 100, 1000, 10000};
    tickbird_metric *lines_good = tickbird_counter("batch_lines_total", "Lines that were read.", good, 1);
    tickbird_metric *lines_bad = tickbird_counter("batch_lines_total", "Lines that were read.", bad, 1);
    tickbird_metric *amount = tickbird_sum("batch_amount_total", "All numbers together.", NULL, 0);
    tickbird_metric *sizes = tickbird_histogram("batch_number", "Numbers as they are.", NULL, 0, bounds, 5);
    tickbird_metric *running = tickbird_gauge("batch_jobs_running", "Jobs at work.", NULL, 0);
    tickbird_metric *ended = tickbird_last("batch_last_end_timestamp_seconds", "When a job last ended.", NULL, 0);
    char line[100], *end;
    double sum = 0;

    tickbird_gauge_add(running, 1);
    while (fgets(line, sizeof line, stdin)) {
        double number = strtod(line, &end);
        if (end == line || *end != '\n') {
            tickbird_counter_add(lines_bad, 1);
            continue;
        }
        tickbird_counter_add(lines_good, 1);
        tickbird_sum_add(amount, number);
        tickbird_histogram_observe(sizes, number);
        sum += number;
    }
    printf("%g\n", sum);
    tickbird_gauge_add(running, -1);
    tickbird_last_set(ended, (double)time(NULL));
    return 0;
}

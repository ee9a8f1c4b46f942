/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Times the way from a snapshot to bytes: render FORMAT HISTOGRAMS ROUNDS. One service, 50 routes of every method and
 * status as need be, 1,000 durations in each histogram. Prints processor time per round and histogram, walk and
 * encoding apart; with 0 rounds the exposition itself. FORMAT may end in +native.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "exporter/boot.h"
#include "exporter/families.h"
#include "exporter/render.h"
#include "tests/unit/formats.h"
#include "tests/unit/random_snapshot.h"

static struct tb_snapshot *make_snapshot(unsigned histograms)
{
    struct tb_snapshot *s = tb_snapshot_new();
    seed = 1;
    tb_snapshot_begin(s, tb_clock_ns(CLOCK_REALTIME));
    for (unsigned i = 0; i < histograms; i++) {
        char route[40];
        snprintf(route, sizeof route, "/api/v1/things/%u/:id", i / 4);
        struct tb_snap_key key = {.family = TB_FAMILY_REQUESTS,
                                  .role = TB_ROLE_SERVER,
                                  .method = TB_METHOD_GET,
                                  .status = (uint16_t)(200 + i % 4),
                                  .route = route,
                                  .target = "",
                                  .ext = ""};
        struct tb_snap_series *e = tb_snapshot_series(s, tb_snapshot_service(s, "frontend", 8), &key);
        for (unsigned n = 0; n < 1000; n++) {
            uint64_t ns = (UINT64_C(1) << (17 + random_below(8))) + random_below(1u << 17);
            ++*tb_values_cell(&e->base, 0, ns);
            e->base.sum_ns += ns;
        }
    }
    tb_snapshot_begin(s, tb_clock_ns(CLOCK_REALTIME));
    tb_snapshot_finish(s);
    return s;
}

int main(int argc, char **argv)
{
    static const char tail[] = "+native";
    size_t len = argc > 1 ? strlen(argv[1]) : 0;
    bool is_native = len > sizeof tail && strcmp(argv[1] + len + 1 - sizeof tail, tail) == 0;
    if (is_native)
        argv[1][len + 1 - sizeof tail] = 0;
    const struct tb_encoding *format = argc == 4 ? format_named(argv[1]) : NULL;
    if (!format) {
        fprintf(stderr, "usage: render " FORMAT_NAMES " HISTOGRAMS ROUNDS\n");
        return 2;
    }
    unsigned histograms = (unsigned)strtoul(argv[2], NULL, 10), rounds = (unsigned)strtoul(argv[3], NULL, 10);
    struct tb_snapshot *s = make_snapshot(histograms);
    struct tb_expose_options options = {tb_metrics_default, is_native};
    struct tb_buffer out = {0};
    for (unsigned round = 0; round < rounds || !out.len; round++) {
        struct tb_exposition x = {.has_pairs = format->has_pairs};
        struct tb_encoder e;
        size_t bytes = 0;
        uint64_t start = tb_clock_ns(CLOCK_PROCESS_CPUTIME_ID);
        tb_expose_snapshot(&x, s, &options);
        uint64_t walked = tb_clock_ns(CLOCK_PROCESS_CPUTIME_ID);
        tb_encoder_start(&e, format, &x);
        for (bool more = true; more; bytes += out.len) {
            out.len = 0;
            more = tb_encoder_next(&e, &out, rounds ? 65536 : SIZE_MAX);
        }
        uint64_t end = tb_clock_ns(CLOCK_PROCESS_CPUTIME_ID);
        if (rounds)
            printf("walk %lu ns, encode %lu ns a histogram; %zu bytes, exposition %zu\n", (walked - start) / histograms,
                   (end - walked) / histograms, bytes, x.records.len);
        tb_exposition_free(&x);
        if (!rounds)
            break;
    }
    if (!rounds)
        fwrite(out.data, 1, out.len, stdout);
    tb_buffer_free(&out);
    tb_snapshot_free(s);
    return 0;
}

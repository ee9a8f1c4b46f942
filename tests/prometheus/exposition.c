/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Prints a random exposition for others' software to judge: exposition SEED FORMAT [native] [created] [ESCAPING]. The
 * same seed gives the same exposition in every format: label values of any byte, all families of a snapshot, and one
 * family with what a snapshot seldom holds (exemplars, the largest numbers, small and large bounds, no labels). With
 * ESCAPING (the words of Accept) there are families and labels besides whose names are no identifiers.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "exporter/families.h"
#include "exporter/render.h"
#include "tests/unit/formats.h"
#include "tests/unit/random_snapshot.h"

#define SOME_TIME_NS UINT64_C(1700000000123456789)

static void expose_extremes(struct tb_exposition *x)
{
    static const struct tb_metric counter = {"extremes_total", "", "Of \\ \" and\nlines.", TB_METRIC_COUNTER, 0};
    static const struct tb_metric histogram = {"extremes_milliseconds", "milliseconds", "", TB_METRIC_HISTOGRAM, 6};
    static const uint64_t bounds[] = {1, 25, 1000000, 1500000, 1000000000, UINT64_C(10000000000000000000)};
    const uint64_t buckets[] = {1, 0, 2, UINT64_C(1) << 40, 0, 5, 7};
    const struct tb_exposed_exemplar exemplars[] = {
        {0, tb_labels("trace_id=\"4bf92f3577b34da6a3ce929d0e0e4736\""), 1, SOME_TIME_NS},
        {2, tb_labels("trace_id=\"80f198ee56343ba864fe8b2a57d3eff7\",span_id=\"e457b5a2e4d86bd1\""), 999999, 0},
        {6, tb_labels("trace_id=\"a\""), UINT64_C(10000000000000000001), SOME_TIME_NS + 1000000000}};
    struct tb_exposed_histogram h = {
        bounds, 6, buckets, UINT64_C(9007199254740993), SOME_TIME_NS, .exemplars = exemplars, .exemplar_count = 3};
    tb_expose_single(x, &counter, UINT64_MAX, SOME_TIME_NS);
    tb_expose_family(x, &histogram);
    tb_expose_histogram(x, tb_labels(""), &h);
    h.exemplar_count = 0;
    tb_expose_histogram(x, tb_labels("b=\"1\",a=\"\\\\\\\"\\n\\\\n\",ab=\"\""), &h);
}

static void expose_odd_names(struct tb_exposition *x)
{
    static const struct tb_metric counter = {"shop.orders \xc3\xa9_total", "", "", TB_METRIC_COUNTER, 0};
    static const struct tb_metric histogram = {"shop.wait_seconds", "seconds", "", TB_METRIC_HISTOGRAM, 3};
    static const uint64_t bounds[] = {5, 1000};
    const uint64_t buckets[] = {1, 2, 3};
    const struct tb_exposed_histogram h = {
        .bounds = bounds, .bound_count = 2, .buckets = buckets, .sum = 1234, .created_ns = SOME_TIME_NS};
    const struct tb_labels labels = tb_labels("\"service.name\"=\"a.b\",plain_one=\"\",\"\xe8\x8a\xb1\"=\"\\\"=,\"");
    tb_expose_family(x, &counter);
    tb_expose_value(x, labels, 7, SOME_TIME_NS);
    tb_expose_family(x, &histogram);
    tb_expose_histogram(x, tb_labels(""), &h);
    tb_expose_histogram(x, labels, &h);
}

int main(int argc, char **argv)
{
    const struct tb_encoding *format = argc > 2 ? format_named(argv[2]) : NULL;
    struct tb_expose_options options = {.metrics = tb_metrics_default};
    enum tb_escaping escaping = TB_ESCAPE_COUNT;
    bool has_created = false;
    if (!format) {
        fprintf(stderr, "usage: exposition SEED " FORMAT_NAMES " [native] [created] [ESCAPING]\n");
        return 2;
    }
    for (int i = 3; i < argc; i++) {
        options.has_native |= strcmp(argv[i], "native") == 0;
        has_created |= strcmp(argv[i], "created") == 0;
        for (enum tb_escaping k = TB_ESCAPE_NONE; k < TB_ESCAPE_COUNT; k++)
            if (strcmp(argv[i], tb_escaping_name(k)) == 0)
                escaping = k;
    }
    struct tb_exposition x = {.has_pairs = format->has_pairs};
    if (escaping < TB_ESCAPE_COUNT)
        x.escaping = x.label_escaping = escaping;
    struct tb_encoder e;
    struct tb_buffer out = {0};
    seed = (uint32_t)strtoul(argv[1], NULL, 10);
    struct tb_snapshot *s = random_snapshot(random_below(60));
    tb_snapshot_begin(s, SOME_TIME_NS);
    tb_snapshot_finish(s);
    tb_expose_snapshot(&x, s, &options);
    expose_extremes(&x);
    if (escaping < TB_ESCAPE_COUNT)
        expose_odd_names(&x);
    tb_encoder_start(&e, format, &x);
    e.has_created_lines = has_created;
    tb_encoder_next(&e, &out, SIZE_MAX);
    fwrite(out.data, 1, out.len, stdout);
    tb_buffer_free(&out);
    tb_exposition_free(&x);
    tb_snapshot_free(s);
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers of any bytes to an inlet that reads JSON. One is refused with a reason and nothing of it stays, or it can be
 * shown: the text of it is read again by the reader of text files, with as many samples.
 */
#include <stdlib.h>

#include "exporter/inlet_json.h"
#include "exporter/inlet_text.h"
#include "exporter/render.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Compiled paths: a; [0].b; the value itself. */
#define PATH(steps)                                                                                                    \
    {                                                                                                                  \
        (uint8_t *)(char[]){steps}, sizeof(steps) - 1                                                                  \
    }
static struct tb_pull_label labels[] = {{.name = "key", .is_key = true}, {.name = "text", .path = PATH("\1a")}};
static struct tb_pull_metric metrics[] = {
    {.name = "plain", .help = "A.", .type = TB_METRIC_GAUGE, .scale = 1, .path = PATH("\1a")},
    {.name = "element", .type = TB_METRIC_GAUGE, .scale = -0.5, .path = PATH("\377\0\0\1b")},
    {.name = "each_total",
     .type = TB_METRIC_COUNTER,
     .scale = 1e300,
     .has_each = true,
     .labels = labels,
     .label_count = 2},
    {.name = "inner", .type = TB_METRIC_GAUGE, .scale = 1, .has_each = true, .each = PATH("\1a"), .path = PATH("\1b")},
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct tb_pull_config config = {.metrics = metrics, .metric_count = sizeof metrics / sizeof *metrics};
    const struct tb_inlet_set none = {0};
    struct tb_pull_answer answer = {0};
    struct tb_inlet_set again = {0};
    struct tb_exposition x = {0};
    struct tb_buffer text = {0};
    struct tb_inlet_fault fault;
    size_t lines = 0, refused = 0;
    tb_inlet_json_set_up();
    tb_inlet_json((const char *)data, size, &config, &answer);
    for (size_t i = 0; i < TB_INLET_REASONS; i++)
        refused += answer.refused[i] > 0;
    if ((!answer.is_good && (answer.set.count || !refused)) || (refused > 0) != (*answer.why != 0))
        abort();
    tb_inlet_set_expose(&x, &answer.set, &none);
    tb_render(&tb_encoding_text, &x, &text);
    if ((text.len && !tb_inlet_text(text.data, text.len, &again, &lines, &fault)) || lines != answer.accepted)
        abort();
    tb_inlet_set_free(&again);
    tb_exposition_free(&x);
    tb_buffer_free(&text);
    tb_pull_answer_free(&answer);
    return 0;
}

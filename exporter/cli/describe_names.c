/* SPDX-License-Identifier: Apache-2.0 */
/* What check-config says of `metrics`: what is called otherwise than without a configuration. */
#include "describe_names.h"

#include <string.h>

#include "cli.h"

static void describe_labels(const struct tb_names *names)
{
    for (unsigned i = 0; i < TB_LABEL_COUNT; i++) {
        const char *key = tb_label_key((enum tb_label_id)i), *name = names->labels[i];
        if (!name || strcmp(name, key) != 0)
            printf("  label %-46s %s\n", key, name ? name : "(left out)");
    }
    char text[4096];
    if (*names->constant)
        printf("  constant labels %-36s %s\n", "", tb_cli_text(text, sizeof(text), names->constant));
}

static void describe_bounds(const struct tb_bounds_config *bounds, unsigned decimals)
{
    struct tb_buffer text = {0};
    for (size_t i = 0; i < bounds->count; i++) {
        tb_puts(&text, i ? " " : "");
        tb_put_decimal(&text, bounds->at_most[i], decimals);
    }
    tb_put(&text, "", 1);
    printf("  buckets of durations: %s\n", bounds->count ? text.data : "the default ones");
    tb_buffer_free(&text);
}

void tb_describe_names(const struct tb_config *c)
{
    const struct tb_names *names = &c->names;
    enum tb_names_unit unit = tb_names_unit(names, TB_M_DURATION);
    printf("metrics: preset %s, request durations in %s\n", tb_preset_name(names->preset), tb_names_unit_name(unit));
    describe_bounds(&c->metrics.duration, names->metrics[TB_M_DURATION].decimals);
    describe_labels(names);
    for (size_t i = 0; i < TB_FAMILIES; i++) {
        const char *before = tb_metrics_default[i].name, *now = names->metrics[i].name;
        if (!now || strcmp(before, now) != 0)
            printf("  %-52s %s\n", before, now ? now : "(off)");
    }
}

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

void tb_describe_names(const struct tb_names *names)
{
    enum tb_names_unit unit = tb_names_unit(names, TB_M_DURATION);
    printf("metrics: preset %s, request durations in %s\n", tb_preset_name(names->preset), tb_names_unit_name(unit));
    describe_labels(names);
    for (size_t i = 0; i < TB_FAMILIES; i++) {
        const char *before = tb_metrics_default[i].name, *now = names->metrics[i].name;
        if (!now || strcmp(before, now) != 0)
            printf("  %-52s %s\n", before, now ? now : "(off)");
    }
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The formats of expositions, by the names that programs of tests and benchmarks know them by. */
#ifndef TB_TEST_FORMATS_H
#define TB_TEST_FORMATS_H

#include <string.h>

#include "exporter/render.h"

#define FORMAT_NAMES "text|openmetrics|openmetrics2|protobuf"

/* NULL: no such format. */
static inline const struct tb_encoding *format_named(const char *name)
{
    static const struct {
        const char *name;
        const struct tb_encoding *encoding;
    } formats[] = {{"text", &tb_encoding_text},
                   {"openmetrics", &tb_encoding_openmetrics},
                   {"openmetrics2", &tb_encoding_openmetrics2},
                   {"protobuf", &tb_encoding_protobuf}};
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        if (strcmp(formats[i].name, name) == 0)
            return formats[i].encoding;
    return NULL;
}

#endif

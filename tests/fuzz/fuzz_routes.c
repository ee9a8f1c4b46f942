/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lines of any bytes into `tickbird routes --stdin`: the command's line reader and the route learner behind it. Each
 * line that it accepts has one line of output whose route has no byte that a raw value would need to hide.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "exporter/cli/routes_stdin.c"
#include "exporter/cli/text.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = NULL;
    size_t len = 0;
    if (size < 1 || size > 16384)
        return 0;
    FILE *in = fmemopen((void *)(uintptr_t)data, size, "r"), *out = open_memstream(&text, &len);
    if (!in || !out)
        abort();
    int code = tb_routes_stdin(in, out, NULL, NULL);
    fclose(in);
    fclose(out);
    if (code != TB_EXIT_OK && code != TB_EXIT_USAGE)
        abort();
    free(text);
    return 0;
}

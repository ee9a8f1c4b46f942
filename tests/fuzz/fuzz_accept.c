/* SPDX-License-Identifier: Apache-2.0 */
/* Any Accept and Accept-Encoding header: there is an answer, and a version is given only to who names it. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "exporter/accept.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *header = tb_strndup((const char *)data, size);
    struct tb_accepted a = tb_accept(header);
    char *type = tb_accepted_type(a);
    if (a.media->encoding == &tb_encoding_openmetrics2 && !strstr(header, "2.0.0"))
        abort();
    if (a.media != tb_media_default && !strchr(header, '/'))
        abort();
    if (tb_accept_coding(header) > TB_CODING_ZSTD)
        abort();
    free(type);
    free(header);
    return 0;
}

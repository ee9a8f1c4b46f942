/* SPDX-License-Identifier: Apache-2.0 */
/* One number for what files look like (file_look.h). */
#include "file_look.h"

#include <sys/stat.h>

static uint64_t mix(uint64_t h, uint64_t word)
{
    h = (h ^ word) * UINT64_C(0x9fb21c651e98df25);
    return h ^ h >> 29;
}

uint64_t tb_file_look(const char *path, uint64_t h)
{
    struct stat st;
    if (stat(path, &st) < 0)
        return mix(h, 1);
    h = mix(mix(h, st.st_ino), (uint64_t)st.st_size);
    return mix(mix(h, (uint64_t)st.st_mtim.tv_sec), (uint64_t)st.st_mtim.tv_nsec);
}

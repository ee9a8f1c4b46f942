/* SPDX-License-Identifier: Apache-2.0 */
/* Passwords and tokens that stand in files of their own (secret.h). */
#include "secret.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "config.h"

#define SECRET_MAX ((size_t)64 << 10)

char *tb_secret_read(const char *path, char *why, size_t why_size)
{
    size_t len = 0;
    char *text = tb_read_whole(path, SECRET_MAX, &len);
    if (!text) {
        snprintf(why, why_size, "%s: %s", path, strerror(errno));
        return NULL;
    }
    while (len && (text[len - 1] == '\n' || text[len - 1] == '\r'))
        text[--len] = 0;
    return text;
}

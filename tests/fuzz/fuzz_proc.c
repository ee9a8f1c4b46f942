/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What /proc and the preload list say, in any bytes: a process names itself, its files and its environment, and the
 * command reads that as another user. The files of /proc are replaced by parts of the input, separated by a byte 0xff.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static FILE *part(const char *path, const char *mode);
#define fopen part
#include "exporter/cli/object.c"
#include "exporter/elf_file.c"
#include "exporter/process.c"
#include "exporter/sockets.c"
#include "exporter/cli/text.c"
#undef fopen

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t *rest;
static size_t rest_len;

/* The next part. */
static FILE *part(const char *path, const char *mode)
{
    uint8_t *end = rest_len ? memchr(rest, 0xff, rest_len) : NULL;
    size_t len = end ? (size_t)(end - rest) : rest_len;
    (void)path, (void)mode;
    if (!len) {
        rest += end != NULL;
        rest_len -= end != NULL;
        return NULL;
    }
    FILE *file = fmemopen(rest, len, "r");
    len += end != NULL;
    rest += len;
    rest_len -= len;
    return file;
}

static void must_be_text(const char *text)
{
    for (const unsigned char *c = (const unsigned char *)text; *c; c++)
        if (*c < 0x20 || *c == 0x7f || (*c == 0xc2 && c[1] >= 0x80 && c[1] < 0xa0))
            abort(); /* it would reach a terminal */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct tb_process p;
    static const struct tb_process_known known = {0, 0};
    struct tb_inodes listening;
    char clean[256], value[512];
    uint8_t *copy = malloc(size + 1);
    memcpy(copy, data, size);
    copy[size] = 0;
    rest = copy;
    rest_len = size;
    if (tb_process_read(getpid(), &known, &p) == 0) {
        must_be_text(tb_cli_text(clean, sizeof clean, p.name));
        must_be_text(tb_cli_text(clean, sizeof clean, p.object));
        must_be_text(tb_cli_text(clean, sizeof clean, p.dir));
        (void)tb_object_preload("/usr/lib/libtickbird.so", p.preload, value, sizeof value);
    }
    tb_sockets_listening(getpid(), true, &listening);
    free(listening.inodes);
    must_be_text(tb_cli_text(clean, sizeof clean, (const char *)copy));
    free(copy);
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A ledger of any bytes: load it, collect nothing, write it again and load that. The file's checksum is set right, so
 * that the records behind it are reached; the first byte of the input chooses to leave it as it is.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "exporter/buffer.h"
#include "exporter/ledger_file.c"
#include "exporter/log.h"
#include "tests/unit/rendered.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void load(const char *bytes, size_t len)
{
    struct tb_ledger l = {.dir = (char *)(uintptr_t) "/", .dir_fd = -1, .lock_fd = -1};
    struct tb_snapshot *s = tb_snapshot_new();
    tb_snapshot_begin(s, 1);
    if (load_bytes(&l, s, bytes, len) == 0) {
        struct tb_buffer out = {0};
        tb_snapshot_finish(s);
        rendered(s, &out);
        out.len = 0;
        tb_ledger_write_records(&out, &l, s);
        tb_buffer_free(&out);
    }
    clear(&l, s);
    for (size_t i = 0; i < TB_MARK_BUCKETS; i++) {
        for (struct tb_mark *m = l.marks[i], *next; m; m = next) {
            next = m->next;
            free(m);
        }
    }
    tb_snapshot_free(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > 65536)
        return 0;
    if (data[0] & 1) {
        load((const char *)data + 1, size - 1);
        return 0;
    }
    struct file_header h = {.magic = LEDGER_MAGIC, .version = LEDGER_VERSION, .length = size - 1};
    char *bytes = malloc(sizeof h + size - 1);
    h.checksum = tb_checksum((const char *)data + 1, size - 1);
    memcpy(bytes, &h, sizeof h);
    memcpy(bytes + sizeof h, data + 1, size - 1);
    load(bytes, sizeof h + size - 1);
    free(bytes);
    return 0;
}

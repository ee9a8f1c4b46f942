/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program file of any bytes, as `tickbird doctor` and `tickbird run` look at it: ELF headers, segments, notes, the
 * dynamic section, a script's first line.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "exporter/elf_file.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int fd = -1;
    struct tb_elf_file file;
    char name[32];
    if (fd < 0)
        fd = memfd_create("program", MFD_CLOEXEC);
    if (fd < 0 || ftruncate(fd, 0) != 0 || pwrite(fd, data, size, 0) != (ssize_t)size)
        abort();
    if (tb_elf_file_read(fd, &file) != 0)
        abort();
    if (!memchr(file.interpreter, 0, sizeof file.interpreter) || !memchr(file.script, 0, sizeof file.script) ||
        !*tb_elf_machine_name(file.machine, file.bits, name))
        abort();
    return 0;
}

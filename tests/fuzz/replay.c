/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs one fuzz target over every file of a corpus folder, with any compiler: what a fuzzer once found stays found.
 * Each input lies in an allocation of exactly its size, so that a sanitizer sees a read past it. Reports `ok NAME` per
 * file; a crash ends the program, and the runner counts that.
 */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay(const char *folder, const char *name)
{
    char path[4096];
    if (snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path)
        return -ENAMETOOLONG;
    FILE *f = fopen(path, "rb");
    if (!f)
        return -errno;
    int error = 0;
    uint8_t *data = NULL;
    long size = -1;
    if (fseek(f, 0, SEEK_END) == 0)
        size = ftell(f);
    rewind(f);
    if (size < 0) {
        error = -EIO;
        goto out;
    }
    data = malloc((size_t)size + (size == 0));
    if (!data || fread(data, 1, (size_t)size, f) != (size_t)size) {
        error = -EIO;
        goto out;
    }
    printf("# %s\n", name); /* the last name before a crash is the culprit */
    fflush(stdout);
    LLVMFuzzerTestOneInput(data, (size_t)size);
    printf("ok %s\n", name);
out:
    free(data);
    fclose(f);
    return error;
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: %s CORPUS-FOLDER\n", argv[0]);
        return 2;
    }
    DIR *dir = opendir(argv[1]);
    if (!dir) {
        printf("not ok %s: %s\n", argv[1], strerror(errno));
        return 1;
    }
    int failed = 0;
    for (struct dirent *e; (e = readdir(dir));) {
        if (e->d_name[0] == '.')
            continue;
        int error = replay(argv[1], e->d_name);
        if (error) {
            printf("not ok %s: %s\n", e->d_name, strerror(-error));
            failed = 1;
        }
    }
    closedir(dir);
    return failed;
}

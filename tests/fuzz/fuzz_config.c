/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config.yml and OpenAPI files of any bytes. A file is either refused with lines that say where and why, or all of it
 * can be compiled, for every service, into sets that the agent's reader accepts.
 *
 * Input: a configuration file; behind the first NUL, what every OpenAPI file that it names contains.
 * LDFLAGS: -Wl,--wrap=tb_read_whole
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "agent/rules.h"
#include "exporter/config.h"
#include "exporter/rules_compile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
char *__wrap_tb_read_whole(const char *path, size_t max, size_t *ret_len);

static struct tb_bytes openapi;

/* Instead of the file that an input names. */
char *__wrap_tb_read_whole(const char *path, size_t max, size_t *ret_len)
{
    char *copy = tb_strndup((const char *)openapi.ptr, openapi.len);
    (void)path, (void)max;
    if (strlen(copy) != openapi.len) /* ends at a NUL */
        openapi.len = strlen(copy);
    *ret_len = openapi.len;
    return copy;
}

/* As a file: returns its descriptor, and its name in @ret_path. */
static int put_file(const uint8_t *data, size_t len, char ret_path[32])
{
    int fd = memfd_create("config", MFD_CLOEXEC);
    if (fd < 0 || (len && write(fd, data, len) != (ssize_t)len))
        abort();
    snprintf(ret_path, 32, "/proc/self/fd/%d", fd);
    return fd;
}

/* Every line: place, what is wrong. */
static void check_errors(const char *errors, const char *path)
{
    size_t count = 0;
    if (!errors || !*errors)
        abort();
    for (const char *line = errors; *line; line = strchr(line, '\n') + 1, count++)
        if (!strchr(line, '\n') || (*line != '(' && *line != '/' && strncmp(line, path, strlen(path)) != 0))
            abort();
    if (count > TB_CONFIG_ERRORS_MAX + 1)
        abort();
}

static void check_sets(const struct tb_config *c)
{
    static struct tb_rules_view view;
    uint8_t *section = calloc(1, sizeof(struct tb_rules_head) + 2 * TB_RULES_BUFFER);
    for (size_t i = 0; section && i <= c->service_count; i++) {
        struct tb_buffer set = {0};
        if (tb_rules_compile(c, i, TB_RULES_FROM_RUN, NULL, &set) < 0 || set.len > TB_RULES_BUFFER)
            abort();
        memcpy(section + sizeof(struct tb_rules_head), set.data, set.len);
        if (!tb_rules_read(section, sizeof(struct tb_rules_head), (uint32_t)set.len, &view))
            abort();
        tb_buffer_free(&set);
    }
    free(section);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[32], *errors = NULL;
    const uint8_t *nul = size ? memchr(data, 0, size) : NULL;
    size_t len = nul ? (size_t)(nul - data) : size;
    openapi = nul ? tb_bytes(nul + 1, size - len - 1) : tb_bytes(data, 0);
    int fd = put_file(data, len, path);
    struct tb_config *c = tb_config_load(path, &errors);
    if (c)
        check_sets(c);
    else
        check_errors(errors, path);
    tb_config_free(c);
    free(errors);
    close(fd);
    return 0;
}

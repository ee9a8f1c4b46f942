/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Prints what the regions of a directory have counted, one fact a line, for run.py:
 *   requests|aborted|stream ROLE METHOD STATUS ROUTE COUNT INCOMPLETE UNTIMED SUM_NS FIRST_BYTE_NS
 *   errors|connect|tls|result, as above: of calls to others
 *   counter NAME VALUE, owner PID IN_FLIGHT UNOBSERVABLE, inflight COUNT, region SERVICE BYTES
 * Uses the same readers as the exporter. Usage: dump DIRECTORY
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../agent/methods.h"
#include "../../agent/region.h"
#include "../../agent/series.h"
#include "../../agent/series_read.h"

static const uint8_t *section(const uint8_t *base, uint32_t type, uint64_t *ret_len)
{
    uint64_t offset = 0;
    if (tb_region_section((const struct tb_region_header *)base, type, &offset, ret_len))
        exit(3);
    return base + offset;
}

static void dump_series(const uint8_t *base, size_t len)
{
    static const char *const families[] = {
        [TB_FAMILY_REQUESTS] = "requests",  [TB_FAMILY_ABORTED] = "aborted",      [TB_FAMILY_STREAM] = "stream",
        [TB_FAMILY_CALL_ERRORS] = "errors", [TB_FAMILY_CALL_CONNECT] = "connect", [TB_FAMILY_CALL_TLS] = "tls",
        [TB_FAMILY_CALL_RESULT] = "result", [TB_FAMILY_CALL_RESULT + 1] = NULL};
    static const char *const roles[] = {"unknown", "server", "client"};
    const struct tb_region_header *header = (const struct tb_region_header *)base;
    uint64_t strings_len;
    const uint8_t *strings = section(base, TB_SEC_STRINGS, &strings_len);
    for (uint32_t slot = 0; slot < tb_series_slots(header); slot++) {
        struct tb_series_key key;
        static struct tb_series_sum sum;
        if (tb_series_read(base, len, header, slot, &key, &sum))
            continue;
        struct tb_bytes route = tb_string_get(strings, strings_len, key.route);
        const char *method = key.method ? tb_method_name((uint8_t)(key.method)) : "_OTHER";
        const char *family = key.family <= TB_FAMILY_CALL_RESULT ? families[key.family] : NULL;
        printf("%s %s %s %u %.*s %llu %llu %llu %llu %llu\n", family ? family : "?", roles[key.role < 3 ? key.role : 0],
               method, key.status, route.len ? (int)route.len : 1, route.len ? (const char *)route.ptr : "-",
               (unsigned long long)sum.count, (unsigned long long)sum.incomplete, (unsigned long long)sum.untimed,
               (unsigned long long)sum.sum_ns, (unsigned long long)sum.first_byte_ns);
    }
}

static void dump_rest(const uint8_t *base)
{
    static const char *const names[] = {
#define COUNTER(id, family, reason, help) #id,
#include "../../agent/counters.def"
#undef COUNTER
    };
    uint64_t len;
    const uint64_t *counters = (const uint64_t *)(const void *)section(base, TB_SEC_COUNTERS, &len);
    for (uint32_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (tb_counter_total(counters, len, i))
            printf("counter %s %llu\n", names[i], (unsigned long long)tb_counter_total(counters, len, i));
    const struct tb_owner *owners = (const struct tb_owner *)(const void *)section(base, TB_SEC_OWNERS, &len);
    for (size_t i = 0; i < len / sizeof(*owners); i++)
        if (owners[i].pid)
            printf("owner %u %lld %llu\n", owners[i].pid, (long long)owners[i].in_flight,
                   (unsigned long long)owners[i].unobservable);
    const struct tb_inflight *inflight = (const struct tb_inflight *)(const void *)section(base, TB_SEC_INFLIGHT, &len);
    size_t open = 0;
    for (size_t i = 0; i < len / sizeof(*inflight); i++)
        open += inflight[i].start_ns != 0;
    printf("inflight %zu\n", open);
}

static int dump_file(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st))
        return 1;
    size_t len = (size_t)st.st_size;
    uint8_t *copy = aligned_alloc(64, (len + 63) & ~(size_t)63);
    ssize_t got = copy ? pread(fd, copy, len, 0) : -1;
    close(fd);
    const struct tb_region_header *header = (const struct tb_region_header *)copy;
    if (got != (ssize_t)len || tb_region_validate(header, len)) {
        printf("bad %s\n", path);
        free(copy);
        return 1;
    }
    printf("region %s %llu\n", header->service, (unsigned long long)st.st_blocks * 512);
    dump_series(copy, len);
    dump_rest(copy);
    free(copy);
    return 0;
}

int main(int argc, char **argv)
{
    DIR *dir = argc == 2 ? opendir(argv[1]) : NULL;
    if (!dir)
        return 2;
    int status = 0;
    for (struct dirent *e; (e = readdir(dir));) {
        char path[4096];
        if (e->d_name[0] == '.' || snprintf(path, sizeof(path), "%s/%s", argv[1], e->d_name) >= (int)sizeof(path))
            continue;
        status |= dump_file(path);
    }
    closedir(dir);
    return status;
}

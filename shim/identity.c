/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names: the settings (from libc's environment, or from procfs in a process without libc) and the service that the
 * region is made for. Everything is copied, because programs overwrite their arguments and environment.
 * What a service is called is in agent/service_name.c, which the exporter uses too.
 */
#include "identity.h"

#include "../agent/place.h"
#include "../agent/service_name.h"
#include "raw.h"
#include "resolve.h"

#include <sys/stat.h>
#include <sys/utsname.h>

struct tb_settings tb_settings = {.is_inline_allowed = true};

/* ---- small strings ---- */

static bool is_text(const char *a, const char *b)
{
    size_t len = tb_strnlen(b, 64);
    return tb_strnlen(a, 64) == len && tb_equal(a, b, len);
}

static long read_file(const struct tb_core *core, const char *path, char *to, size_t size)
{
    long fd = core->env.syscall(SYS_openat, AT_FDCWD, (long)path, O_RDONLY | O_CLOEXEC, 0, 0, 0);
    if (fd < 0)
        return fd;
    size_t got = 0;
    for (int tries = 0; tries < 64 && got < size; tries++) {
        long n = core->env.syscall(SYS_read, fd, (long)(to + got), (long)(size - got), 0, 0, 0);
        if (n <= 0)
            break;
        got += (size_t)n;
    }
    core->env.syscall(SYS_close, fd, 0, 0, 0, 0, 0);
    return (long)got;
}

/* ---- settings ---- */

static struct setting {
    const char *name;
    char *to;
    size_t size;
} text_settings[] = {
    {"TICKBIRD_DIR", tb_settings.dir, sizeof(tb_settings.dir)},
    {"TICKBIRD_SERVICE", tb_settings.service, sizeof(tb_settings.service)},
    {"OTEL_SERVICE_NAME", tb_settings.otel_service, sizeof(tb_settings.otel_service)},
    {"OTEL_RESOURCE_ATTRIBUTES", tb_settings.otel_resource, sizeof(tb_settings.otel_resource)},
    {"TICKBIRD_LABELS", tb_settings.labels, sizeof(tb_settings.labels)},
    {"TICKBIRD_SIMD", tb_settings.simd, sizeof(tb_settings.simd)},
    {"TICKBIRD_RULES", tb_settings.rules, sizeof(tb_settings.rules)},
    {"TICKBIRD_INCLUDE", tb_settings.include, sizeof(tb_settings.include)},
    {"TICKBIRD_EXCLUDE", tb_settings.exclude, sizeof(tb_settings.exclude)},
    {"TICKBIRD_SELECT_FILE", tb_settings.select_file, sizeof(tb_settings.select_file)},
    {"TICKBIRD_DIR_QUOTA", tb_settings.dir_quota, sizeof(tb_settings.dir_quota)},
    {"AWS_LAMBDA_RUNTIME_API", tb_settings.runtime_api, sizeof(tb_settings.runtime_api)},
    {"AWS_LAMBDA_MAX_CONCURRENCY", tb_settings.concurrency, sizeof(tb_settings.concurrency)},
};

static struct {
    const char *name;
    bool *to;
} switch_settings[] = {
    {"TICKBIRD_DISABLE", &tb_settings.is_disabled},       {"TICKBIRD_DEBUG", &tb_settings.is_debug},
    {"TICKBIRD_DIR_FORCE", &tb_settings.is_disk_allowed}, {"TICKBIRD_INLINE_HOOKS", &tb_settings.is_inline_allowed},
    {"LISTEN_FDS", &tb_settings.has_listen_fds},
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static bool is_on(const char *value)
{
    return value[0] && !is_text(value, "0") && !is_text(value, "no") && !is_text(value, "off") &&
           !is_text(value, "false");
}

static void set(const char *name, size_t name_len, const char *value)
{
    for (size_t i = 0; i < COUNT(text_settings); i++)
        if (tb_strnlen(text_settings[i].name, 64) == name_len && tb_equal(text_settings[i].name, name, name_len))
            tb_text_copy(text_settings[i].to, text_settings[i].size, value, tb_strnlen(value, text_settings[i].size));
    for (size_t i = 0; i < COUNT(switch_settings); i++)
        if (tb_strnlen(switch_settings[i].name, 64) == name_len && tb_equal(switch_settings[i].name, name, name_len))
            *switch_settings[i].to = is_on(value);
}

/* A variable longer than the buffer: its start, which is more than any setting may have. */
static void set_cut(char *buffer, size_t size)
{
    buffer[size - 1] = 0;
    for (size_t eq = 0; eq < size; eq++)
        if (buffer[eq] == '=') {
            set(buffer, eq, buffer + eq + 1);
            return;
        }
}

/* A process without libc: the environment as it was at exec, in pieces. */
static void read_procfs(void)
{
    static char buffer[4096];
    long fd = TB_RAW4(SYS_openat, AT_FDCWD, "/proc/self/environ", O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0)
        return;
    size_t have = 0;
    bool is_skipped = false;
    for (int tries = 0; tries < 1024; tries++) { /* 4 MiB of environment */
        long got = TB_RAW3(SYS_read, fd, buffer + have, sizeof(buffer) - have);
        if (got <= 0)
            break;
        have += (size_t)got;
        size_t start = 0;
        for (size_t i = 0; i < have; i++) {
            if (buffer[i])
                continue;
            for (size_t eq = start; eq < i && !is_skipped; eq++)
                if (buffer[eq] == '=') {
                    set(buffer + start, eq - start, buffer + eq + 1);
                    break;
                }
            start = i + 1;
            is_skipped = false;
        }
        if (start == 0 && have == sizeof(buffer)) {
            if (!is_skipped)
                set_cut(buffer, sizeof(buffer));
            is_skipped = true;
            start = have;
        }
        have -= start;
        for (size_t i = 0; i < have; i++)
            buffer[i] = buffer[start + i];
    }
    TB_RAW1(SYS_close, fd);
}

/* They name the service when nothing else does, and go behind the labels as far as they fit, whole pairs only. */
static void use_resource_attributes(void)
{
    char *labels = tb_settings.labels;
    size_t len = tb_strnlen(labels, sizeof(tb_settings.labels)), more;
    if (!tb_settings.otel_service[0])
        tb_service_attribute(tb_settings.otel_resource, "service.name", tb_settings.otel_service,
                             sizeof(tb_settings.otel_service));
    more = tb_strnlen(tb_settings.otel_resource, sizeof(tb_settings.otel_resource));
    if (!more || len + 2 > sizeof(tb_settings.labels))
        return;
    size_t from = len;
    if (len)
        labels[len++] = ',';
    bool is_cut = more > sizeof(tb_settings.labels) - 1 - len || more + 1 == sizeof(tb_settings.otel_resource);
    len += tb_text_copy(labels + len, sizeof(tb_settings.labels) - len, tb_settings.otel_resource, more);
    while (is_cut && len > from && labels[--len] != ',')
        ;
    labels[len] = 0;
}

static void read_libc(void)
{
    for (size_t i = 0; i < COUNT(text_settings); i++) {
        const char *value = getenv(text_settings[i].name);
        if (value)
            tb_text_copy(text_settings[i].to, text_settings[i].size, value, tb_strnlen(value, text_settings[i].size));
    }
    for (size_t i = 0; i < COUNT(switch_settings); i++) {
        const char *value = getenv(switch_settings[i].name);
        if (value)
            *switch_settings[i].to = is_on(value);
    }
}

void tb_settings_read(void)
{
    if (getenv)
        read_libc();
    else
        read_procfs();
    use_resource_attributes();
}

/* ---- the service ---- */

static uint64_t hash_bytes(const char *text, size_t len)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325); /* FNV-1a */
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ (uint8_t)text[i]) * UINT64_C(0x100000001b3);
    return hash;
}

void tb_identity_read(const struct tb_core *core, struct tb_identity *ret)
{
    static char service[128], program[256], text[4096];
    static struct utsname names;
    long got =
        core->env.syscall(SYS_readlinkat, AT_FDCWD, (long)"/proc/self/exe", (long)program, sizeof(program) - 1, 0, 0);
    size_t program_len = got > 0 ? (size_t)got : 0;
    program[program_len] = 0;
    const char *base = tb_base_name(program, program_len);

    if (tb_settings.service[0]) {
        tb_text_copy(service, sizeof(service), tb_settings.service, sizeof(tb_settings.service) - 1);
    } else if (tb_settings.otel_service[0]) {
        tb_text_copy(service, sizeof(service), tb_settings.otel_service, sizeof(tb_settings.otel_service) - 1);
    } else {
        got = read_file(core, "/proc/self/cgroup", text, sizeof(text));
        tb_service_unit(text, got > 0 ? (size_t)got : 0, service, sizeof(service));
    }
    got = read_file(core, "/proc/self/cmdline", text, sizeof(text));
    size_t len = got > 0 ? (size_t)got : 0;
    if (!service[0])
        tb_service_script(base, text, len, service, sizeof(service));
    if (!service[0])
        tb_text_copy(service, sizeof(service), base, program_len - (size_t)(base - program));
    if (!service[0])
        tb_text_copy(service, sizeof(service), "unknown", 7);

    struct stat st;
    bool has_ns = core->env.syscall(SYS_newfstatat, AT_FDCWD, (long)"/proc/self/ns/pid", (long)&st, 0, 0, 0) == 0;
    bool has_names = core->env.syscall(SYS_uname, (long)&names, 0, 0, 0, 0, 0) == 0;
    *ret = (struct tb_identity){.service = service,
                                .program = program,
                                .labels = tb_settings.labels,
                                .host = has_names ? names.nodename : "",
                                .version = TB_VERSION,
                                .command_hash = hash_bytes(text, len),
                                .pidns_inode = has_ns ? st.st_ino : 0,
                                .rules = tb_settings.rules,
                                .allow_disk = tb_settings.is_disk_allowed,
                                .quota_mib = tb_place_quota(tb_settings.dir_quota)};
}

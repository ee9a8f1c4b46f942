/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads /proc/PID. Nothing is stopped, traced or changed. Every file may be missing or forbidden: what could not be
 * read is unknown, never assumed. What a program can write itself (its environment, its name) is a stranger's text.
 *
 * Entry point: tb_process_read.
 */
#include "process.h"
#include "agent/place.h"
#include "agent/service_name.h"
#include "boot.h"
#include "buffer.h"
#include "sockets.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define ENVIRON_MAX (1u << 20)

static FILE *open_file(pid_t pid, const char *name)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
    return fopen(path, "re");
}

static void read_link(pid_t pid, const char *name, char *ret_text, size_t size)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
    ssize_t len = readlink(path, ret_text, size - 1);
    ret_text[len > 0 ? len : 0] = 0;
}

static void read_status(struct tb_process *p)
{
    char line[512];
    FILE *file = open_file(p->pid, "status");
    p->seccomp = TB_UNKNOWN;
    if (!file)
        return;
    bool has_memory = false;
    while (fgets(line, sizeof(line), file)) {
        unsigned real, effective;
        int mode;
        if (sscanf(line, "Name: %31[^\n]", p->name) == 1)
            continue;
        if (sscanf(line, "Uid: %u %u", &real, &effective) == 2)
            p->uid = effective;
        else if (sscanf(line, "Seccomp: %d", &mode) == 1)
            p->seccomp = mode;
        else if (strncmp(line, "VmSize:", 7) == 0)
            has_memory = true;
    }
    p->is_kernel = !has_memory;
    fclose(file);
}

static bool ends_deleted(char *path)
{
    static const char mark[] = " (deleted)";
    size_t len = strlen(path), mark_len = sizeof(mark) - 1;
    if (len <= mark_len || strcmp(path + len - mark_len, mark) != 0)
        return false;
    path[len - mark_len] = 0;
    return true;
}

static void take_mapping(struct tb_process *p, char *path)
{
    bool is_deleted = ends_deleted(path);
    const char *base = strrchr(path, '/');
    if (!base)
        return;
    if (strncmp(base + 1, TB_OBJECT_NAME, strlen(TB_OBJECT_NAME)) == 0 && !p->object[0]) {
        snprintf(p->object, sizeof(p->object), "%s", path);
        p->is_object_deleted = is_deleted;
    } else if (strncmp(base + 1, "tb1-", 4) == 0 && !p->region[0]) {
        snprintf(p->region, sizeof(p->region), "%s", path);
        p->is_region_deleted = is_deleted;
    } else if (strcmp(base + 1, "curl.so") == 0 && strstr(path, "/php")) {
        p->has_php_curl = true;
    }
}

static void read_maps(struct tb_process *p)
{
    FILE *file = open_file(p->pid, "maps");
    char *line = NULL;
    size_t space = 0;
    ssize_t len;
    if (!file)
        return;
    while ((len = getline(&line, &space, file)) > 0) {
        int at = 0;
        p->can_see_maps = true;
        if (line[len - 1] == '\n')
            line[len - 1] = 0;
        sscanf(line, "%*s %*s %*s %*s %*s %n", &at);
        if (at > 0 && line[at] == '/')
            take_mapping(p, line + at);
    }
    if (ferror(file))
        p->can_see_maps = false;
    free(line);
    fclose(file);
}

static bool is_on(const char *value)
{
    return value[0] && strcmp(value, "0") != 0;
}

static void take_variable(struct tb_process *p, const char *entry)
{
    const char *value = strchr(entry, '=');
    if (!value)
        return;
    p->has_environ = true;
    size_t len = (size_t)(value++ - entry);
#define IS(name) (len == sizeof(name) - 1 && memcmp(entry, name, len) == 0)
    if (IS("LD_PRELOAD"))
        snprintf(p->preload, sizeof(p->preload), "%s", value);
    else if (IS("TICKBIRD_DIR"))
        snprintf(p->dir, sizeof(p->dir), "%s", value);
    else if (IS("TICKBIRD_SERVICE"))
        snprintf(p->service, sizeof(p->service), "%s", value);
    else if (IS("OTEL_SERVICE_NAME") && value[0])
        snprintf(p->otel_service, sizeof(p->otel_service), "%s", value);
    else if (IS("OTEL_RESOURCE_ATTRIBUTES") && !p->otel_service[0])
        tb_service_attribute(value, "service.name", p->otel_service, sizeof(p->otel_service));
    else if (IS("TICKBIRD_DISABLE"))
        p->is_disabled = is_on(value);
    else if (IS("TICKBIRD_DIR_FORCE"))
        p->is_dir_forced = is_on(value);
    else if (IS("TICKBIRD_DIR_QUOTA"))
        p->dir_quota_mib = tb_place_quota(value);
    else if (IS("TICKBIRD_INCLUDE"))
        snprintf(p->include, sizeof(p->include), "%s", value);
    else if (IS("TICKBIRD_EXCLUDE"))
        snprintf(p->exclude, sizeof(p->exclude), "%s", value);
    else if (IS("TICKBIRD_SELECT_FILE"))
        snprintf(p->select_file, sizeof(p->select_file), "%s", value);
#undef IS
}

static void read_environ(struct tb_process *p)
{
    FILE *file = open_file(p->pid, "environ");
    char *entry = NULL;
    size_t space = 0, total = 0;
    ssize_t len;
    if (!file)
        return;
    p->can_see_environ = true;
    while (total < ENVIRON_MAX && (len = getdelim(&entry, &space, 0, file)) > 0) {
        total += (size_t)len;
        take_variable(p, entry);
    }
    if (ferror(file))
        p->can_see_environ = false;
    free(entry);
    fclose(file);
}

/* A string in the process's memory; stays empty without the right to look. */
static void read_text_at(pid_t pid, uint64_t address, char *ret_text, size_t size)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/mem", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t len = fd < 0 ? -1 : pread(fd, ret_text, size - 1, (off_t)address);
    ret_text[len > 0 ? len : 0] = 0;
    if (fd >= 0)
        close(fd);
}

static void read_auxv(struct tb_process *p)
{
    FILE *file = open_file(p->pid, "auxv");
    ElfW(auxv_t) entry;
    p->is_secure = TB_UNKNOWN;
    if (!file)
        return;
    while (fread(&entry, sizeof(entry), 1, file) == 1 && entry.a_type != AT_NULL) {
        if (entry.a_type == AT_SECURE)
            p->is_secure = entry.a_un.a_val != 0;
        if (entry.a_type == AT_EXECFN)
            read_text_at(p->pid, entry.a_un.a_val, p->executed_name, sizeof(p->executed_name));
    }
    fclose(file);
}

static void read_limits(struct tb_process *p)
{
    char line[256];
    unsigned long long soft;
    FILE *file = open_file(p->pid, "limits");
    p->fsize_limit = UINT64_MAX;
    if (!file)
        return;
    while (fgets(line, sizeof(line), file))
        if (sscanf(line, "Max file size %llu", &soft) == 1)
            p->fsize_limit = soft;
    fclose(file);
}

static void read_descriptors(struct tb_process *p)
{
    struct tb_inodes own = {0}, listening = {0};
    bool has_uring = false;
    p->has_uring = p->listeners = TB_UNKNOWN;
    if (tb_sockets_of(p->pid, &own, &has_uring) == 0) {
        p->has_uring = has_uring;
        if (own.count)
            tb_sockets_listening(p->pid, true, &listening);
        p->listeners = (int)tb_inodes_common(&own, &listening);
    }
    free(own.inodes);
    free(listening.inodes);
}

static void read_start(struct tb_process *p)
{
    uint64_t started_ns = tb_process_started_ns((uint32_t)p->pid);
    if (started_ns && started_ns != UINT64_MAX)
        p->start_ns = tb_clock_ns(CLOCK_REALTIME) - tb_clock_ns(CLOCK_BOOTTIME) + started_ns;
}

/* "nginx_t" of SELinux' user:role:type:level, the profile of AppArmor's "profile (mode)"; not where nothing is
 * confined. */
static void read_domain(struct tb_process *p)
{
    char line[256] = "";
    FILE *file = open_file(p->pid, "attr/current");
    bool is_read = file && fgets(line, sizeof(line), file);
    if (file)
        fclose(file);
    if (!is_read || strstr(line, "unconfined") || strstr(line, ":kernel_t"))
        return;
    line[strcspn(line, "\n")] = 0;
    const char *from = line;
    for (int colons = 0; colons < 2 && strchr(from, ':'); colons++)
        from = strchr(from, ':') + 1;
    snprintf(p->domain, sizeof(p->domain), "%.*s", (int)strcspn(from, ": "), from);
}

const char *tb_process_root(const struct tb_process *p, char buffer[TB_PROCESS_ROOT])
{
    buffer[0] = 0;
    if (p->is_other_mount_ns == 1)
        snprintf(buffer, TB_PROCESS_ROOT, "/proc/%d/root", (int)p->pid);
    return buffer;
}

static void compare_mount_namespace(struct tb_process *p)
{
    char theirs[64], ours[64];
    read_link(p->pid, "ns/mnt", theirs, sizeof(theirs));
    read_link(getpid(), "ns/mnt", ours, sizeof(ours));
    p->is_other_mount_ns = theirs[0] && ours[0] ? strcmp(theirs, ours) != 0 : TB_UNKNOWN;
}

int tb_process_read(pid_t pid, const struct tb_process_known *known, struct tb_process *ret_process)
{
    char path[64];
    struct stat st;
    snprintf(path, sizeof(path), "/proc/%d", (int)pid);
    if (stat(path, &st) != 0)
        return access("/proc/self", F_OK) == 0 ? -ESRCH : -errno;
    memset(ret_process, 0, sizeof(*ret_process));
    ret_process->pid = pid;
    ret_process->uid = st.st_uid;
    read_status(ret_process);
    read_link(pid, "exe", ret_process->exe, sizeof(ret_process->exe));
    read_maps(ret_process);
    ret_process->dir_quota_mib = TB_PLACE_QUOTA_MIB;
    read_environ(ret_process);
    read_auxv(ret_process);
    read_limits(ret_process);
    read_start(ret_process);
    read_domain(ret_process);
    if (known) {
        ret_process->listeners = known->listeners;
        ret_process->has_uring = known->has_uring;
    } else {
        read_descriptors(ret_process);
    }
    compare_mount_namespace(ret_process);
    return 0;
}

const char **tb_process_arguments(pid_t pid, size_t *ret_count)
{
    struct tb_buffer text = {0};
    char piece[4096];
    size_t got, words = 1;
    FILE *file = open_file(pid, "cmdline");
    *ret_count = 0;
    while (file && (got = fread(piece, 1, sizeof(piece), file)) > 0)
        tb_put(&text, piece, got);
    if (file)
        fclose(file);
    if (!text.len)
        return NULL;
    tb_put(&text, "", 1);
    for (size_t i = 0; i < text.len; i++)
        words += !text.data[i];
    const char **args = tb_alloc(words * sizeof(*args) + text.len);
    char *copy = (char *)(args + words), *end = copy + text.len - 1;
    memcpy(copy, text.data, text.len);
    for (char *at = copy + strlen(copy) + 1; at < end; at += strlen(at) + 1)
        args[(*ret_count)++] = at;
    tb_buffer_free(&text);
    return args;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why one process that listens does not record (unobserved.h), from what it is, how it was started and what the agent
 * in it would find. Only what is known is said: what this user may not see is never taken for a reason.
 *
 * Entry points: tb_unobserved_judge, tb_unobserved_service, tb_unobserved_name.
 */
#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "agent/layout.h"
#include "agent/service_name.h"
#include "elf_file.h"
#include "region_dir.h"
#include "region_head.h"
#include "selection.h"
#include "unobserved.h"

#define PRELOAD_FILE "/etc/ld.so.preload"

const char *tb_unobserved_name(enum tb_unobserved why)
{
    static const char *const names[TB_UNOBSERVED_COUNT] = {
        "",
#define UNOBSERVED(id, reason, help) reason,
#include "unobserved.def"
#undef UNOBSERVED
    };
    return why < TB_UNOBSERVED_COUNT ? names[why] : "";
}

static bool is_other_machine(const struct tb_elf_file *file)
{
#if defined(__x86_64__)
    return file->is_foreign || file->machine != EM_X86_64;
#elif defined(__aarch64__)
    return file->is_foreign || file->machine != EM_AARCH64;
#else
    return file->is_foreign;
#endif
}

/* What a file below /proc/PID holds, at most @size - 1 bytes and an end. Returns how many; 0 when it cannot be read. */
static size_t read_of(pid_t pid, const char *name, char *to, size_t size)
{
    char path[128];
    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ssize_t got = fd < 0 ? 0 : read(fd, to, size - 1);
    if (fd >= 0)
        close(fd);
    to[got > 0 ? got : 0] = 0;
    return got > 0 ? (size_t)got : 0;
}

static bool read_executable(pid_t pid, struct tb_elf_file *ret)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/exe", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool is_read = tb_elf_file_read(fd, ret) == 0 && ret->kind == TB_FILE_ELF;
    close(fd);
    return is_read;
}

/* Does the executable itself raise rights, by its mode or file capabilities? Then no domain need be the reason. */
static bool raises_rights(pid_t pid)
{
    char path[64];
    struct stat st;
    snprintf(path, sizeof path, "/proc/%d/exe", (int)pid);
    return stat(path, &st) != 0 || (st.st_mode & (S_ISUID | S_ISGID)) ||
           getxattr(path, "security.capability", NULL, 0) > 0;
}

/*
 * The start of a process is known by the time since boot, the change of a file by the time of day, and that may have
 * been set in between: whoever seems to have started so shortly after the change may have started before.
 */
#define CLOCK_STEP_NS UINT64_C(2000000000)

/* The loader's file as the process sees it: does it name the object, and since when? musl does not read it. */
static enum tb_unobserved judge_machine_wide(const struct tb_process *p, const struct tb_elf_file *file)
{
    char text[4096], path[128];
    struct stat st;
    if (file->libc == TB_LIBC_MUSL)
        return TB_UNOBSERVED_NOT_PRELOADED;
    snprintf(path, sizeof path, "/proc/%d/root" PRELOAD_FILE, (int)p->pid);
    read_of(p->pid, "root" PRELOAD_FILE, text, sizeof text);
    if (!strstr(text, TB_OBJECT_NAME) || stat(path, &st) != 0)
        return TB_UNOBSERVED_NOT_PRELOADED;
    uint64_t changed_ns = (uint64_t)st.st_ctim.tv_sec * 1000000000u + (uint64_t)st.st_ctim.tv_nsec;
    return p->start_ns && p->start_ns < changed_ns + CLOCK_STEP_NS ? TB_UNOBSERVED_STARTED_BEFORE
                                                                   : TB_UNOBSERVED_NOT_LOADED;
}

/* It has the object and no region: what did the agent find? In the order in which it looks. */
static enum tb_unobserved judge_idle(const struct tb_process *p)
{
    static struct tb_region_dir dir; /* large; one thread */
    static struct tb_selection selection;
    char root[TB_PROCESS_ROOT];
    if (p->seccomp == 1)
        return TB_UNOBSERVED_SECCOMP;
    if (!p->can_see_environ || !p->has_environ) /* where it looks, and whether it shall, is in there */
        return TB_UNOBSERVED_NOT_RECORDING;
    if (p->is_disabled)
        return TB_UNOBSERVED_DISABLED;
    tb_selection_of_process(p, &selection);
    if (selection.is_out)
        return TB_UNOBSERVED_EXCLUDED;
    if (p->fsize_limit < TB_REGION_BYTES)
        return TB_UNOBSERVED_LIMIT;
    tb_region_dir_look(tb_process_root(p, root), p->dir, p->uid, p->is_dir_forced, &dir);
    tb_region_dir_limit(&dir, p->dir_quota_mib);
    switch (dir.fault) {
    case TB_DIR_UNUSABLE:
        return TB_UNOBSERVED_DIRECTORY;
    case TB_DIR_ON_DISK:
        return TB_UNOBSERVED_ON_DISK;
    case TB_DIR_FULL:
        return TB_UNOBSERVED_FULL;
    case TB_DIR_OVER_QUOTA:
        return TB_UNOBSERVED_QUOTA;
    case TB_DIR_FIT:
        break;
    }
    return TB_UNOBSERVED_NOT_RECORDING;
}

/* It has a region: is there something beside it that goes unseen? */
static enum tb_unobserved judge_recording(const struct tb_process *p)
{
    static struct tb_region_head region; /* one thread */
    char path[PATH_MAX + TB_PROCESS_ROOT], root[TB_PROCESS_ROOT];
    snprintf(path, sizeof path, "%s%s", tb_process_root(p, root), p->region);
    if (p->has_uring == 1)
        return TB_UNOBSERVED_IO_URING;
    bool is_told = tb_region_head_read(path, &region) == 0;
    return is_told && (region.unobservable & TB_UNOBSERVABLE_BUILT_TLS) ? TB_UNOBSERVED_BUILT_TLS : TB_OBSERVED;
}

enum tb_unobserved tb_unobserved_judge(const struct tb_process *p)
{
    struct tb_elf_file file = {0};
    if (p->is_kernel || !p->can_see_maps)
        return TB_OBSERVED;
    if (p->region[0] && p->is_region_deleted)
        return TB_UNOBSERVED_DELETED;
    if (p->region[0])
        return judge_recording(p);
    bool is_read = read_executable(p->pid, &file);
    if (is_read && is_other_machine(&file))
        return TB_UNOBSERVED_ARCHITECTURE;
    if (is_read && file.is_go)
        return TB_UNOBSERVED_GO;
    if (is_read && file.is_static)
        return TB_UNOBSERVED_STATIC;
    if (p->is_secure == 1)
        return p->domain[0] && !raises_rights(p->pid) ? TB_UNOBSERVED_DOMAIN : TB_UNOBSERVED_SECURE;
    if (p->object[0])
        return judge_idle(p);
    if (strstr(p->preload, TB_OBJECT_NAME))
        return TB_UNOBSERVED_NOT_LOADED;
    return judge_machine_wide(p, &file);
}

void tb_unobserved_service(const struct tb_process *p, char *ret, size_t size)
{
    char text[4096], program[PATH_MAX];
    snprintf(ret, size, "%s", p->service[0] ? p->service : p->otel_service);
    if (ret[0])
        return;
    tb_service_unit(text, read_of(p->pid, "cgroup", text, sizeof text), ret, size);
    if (ret[0])
        return;
    snprintf(program, sizeof program, "%s", p->exe[0] ? p->exe : p->name);
    char *deleted = strstr(program, " (deleted)");
    if (deleted)
        *deleted = 0;
    const char *base = strrchr(program, '/');
    base = base ? base + 1 : program;
    size_t len = read_of(p->pid, "cmdline", text, sizeof text);
    tb_service_script(base, text, len, ret, size);
    if (!ret[0])
        snprintf(ret, size, "%s", base[0] ? base : "unknown");
}

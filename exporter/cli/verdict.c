/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Judges a program before it runs, from what the file is and how exec would start it. It knows nothing about running
 * processes (process.c) and nothing about regions.
 *
 * The rules were measured on real servers; docs/limits.md lists them. Entry points: tb_verdict_program,
 * tb_verdict_file, tb_verdict_slug.
 */
#include "verdict.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#define SCRIPTS_MAX 5 /* the kernel follows four #! lines; env(1) adds one */

static void obstacle(struct tb_verdict *v, enum tb_obstacle what, const char *todo, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

static void obstacle(struct tb_verdict *v, enum tb_obstacle what, const char *todo, const char *format, ...)
{
    va_list args;
    v->obstacle = what;
    va_start(args, format);
    vsnprintf(v->why, sizeof(v->why), format, args);
    va_end(args);
    snprintf(v->todo, sizeof(v->todo), "%s", todo);
}

static void note(struct tb_verdict *v, const char *text)
{
    if (v->note_count < TB_NOTES_MAX)
        v->notes[v->note_count++] = text;
}

/* As execvp does: a name with a slash as it is, else the first executable file in PATH. Returns 0 or -errno. */
static int find_program(const char *name, char ret_path[PATH_MAX])
{
    const char *path = getenv("PATH");
    int result = -ENOENT;
    if (strchr(name, '/') || !name[0]) {
        snprintf(ret_path, PATH_MAX, "%s", name);
        return access(name, X_OK) == 0 ? 0 : -errno;
    }
    for (const char *at = path ? path : "/bin:/usr/bin";;) {
        size_t len = strcspn(at, ":");
        int wrote = snprintf(ret_path, PATH_MAX, "%.*s%s%s", (int)len, at, len ? "/" : "./", name);
        struct stat st;
        if (wrote > 0 && wrote < PATH_MAX && stat(ret_path, &st) == 0 && S_ISREG(st.st_mode)) {
            if (access(ret_path, X_OK) == 0)
                return 0;
            result = -EACCES;
        }
        if (!at[len])
            return result;
        at += len + 1;
    }
}

/*
 * The kernel sets AT_SECURE when exec changes the effective ids or a user without uid 0 gains capabilities
 * (capabilities(7), getauxval(3)); not on a nosuid mount and not under no_new_privs. The dynamic loader then drops
 * LD_PRELOAD.
 */
static bool is_secure(int fd, const struct stat *st)
{
    struct statvfs mount;
    char cap[64];
    if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 || (fstatvfs(fd, &mount) == 0 && (mount.f_flag & ST_NOSUID)))
        return false;
    if ((st->st_mode & S_ISUID) && st->st_uid != getuid())
        return true;
    if ((st->st_mode & S_ISGID) && (st->st_mode & S_IXGRP) && st->st_gid != getgid())
        return true;
    return getuid() != 0 && fgetxattr(fd, "security.capability", cap, sizeof(cap)) > 0;
}

static void judge_architecture(struct tb_verdict *v, const struct tb_object *object)
{
    char ours[32], theirs[32];
#if defined(__x86_64__)
    uint16_t machine = EM_X86_64;
#elif defined(__aarch64__)
    uint16_t machine = EM_AARCH64;
#else
    uint16_t machine = object ? object->file.machine : v->file.machine;
#endif
    uint8_t bits = sizeof(void *) * 8;
    if (object) {
        machine = object->file.machine;
        bits = object->file.bits;
    }
    if (machine == v->file.machine && bits == v->file.bits)
        return;
    obstacle(v, TB_OBSTACLE_ARCHITECTURE,
             "use a build of this program for the same architecture, or observe a proxy in front of it",
             "it is a %s program and the object is for %s", tb_elf_machine_name(v->file.machine, v->file.bits, theirs),
             tb_elf_machine_name(machine, bits, ours));
}

static void add_notes(struct tb_verdict *v)
{
    const char *base = strrchr(v->program, '/');
    base = base ? base + 1 : v->program;
    if (v->file.needs_libssl || v->file.needs_gnutls)
        note(v, "it links a TLS library that is followed: requests inside TLS count as those in clear");
    else if (v->file.has_own_tls)
        note(v, "it brings a TLS library along: requests inside TLS count where its code is of a known form "
                "(docs/limits.md)");
    if (v->file.needs_liburing)
        note(v, "it links liburing: what goes through io_uring is not seen");
    const char *shell = strrchr(v->binary, '/');
    if (strcmp(v->program, v->binary) != 0 && shell &&
        (!strcmp(shell, "/sh") || !strcmp(shell, "/bash") || !strcmp(shell, "/dash")))
        note(v, "it is a shell script: each program that it starts is observed or not by itself, ask about that one");
    if (strcmp(base, "squid") == 0)
        note(v, "squid changes its ids and starts itself again, which drops the preload: run it with -N");
}

static void judge_file(int fd, const char *path, const struct tb_object *object, struct tb_verdict *v)
{
    int result = tb_elf_file_read(fd, &v->file);
    snprintf(v->binary, sizeof(v->binary), "%s", path);
    if (result != 0) {
        obstacle(v, TB_OBSTACLE_UNREADABLE, "ask again as its owner or as root", "%s cannot be read: %s", path,
                 strerror(-result));
        return;
    }
    if (v->file.kind != TB_FILE_ELF) {
        if (v->file.kind == TB_FILE_BROKEN)
            obstacle(v, TB_OBSTACLE_NOT_EXECUTABLE, "install the program again", "%s is a damaged ELF file", path);
        return;
    }
    judge_architecture(v, object);
    if (v->obstacle)
        return;
    if (v->file.is_go)
        obstacle(v, TB_OBSTACLE_GO, "observe a proxy in front of it (nginx, haproxy), or use metrics of its own",
                 "it is a Go program: the Go runtime makes its system calls itself and not through libc");
    else if (v->file.is_static)
        obstacle(v, TB_OBSTACLE_STATIC, "use a dynamically linked build, or observe a proxy in front of it",
                 "it is statically linked: no dynamic loader runs, so nothing can be preloaded");
    else if (access(v->file.interpreter, F_OK) != 0)
        obstacle(v, TB_OBSTACLE_NOT_FOUND, "install the matching C library",
                 "its dynamic loader %s does not exist here", v->file.interpreter);
}

/*
 * The next program of a #! line, in @ret_name: the interpreter, or what env(1) would start. False at its end of
 * options.
 */
static bool script_program(char *line, char **ret_name)
{
    char *rest = line + strcspn(line, " \t");
    if (*rest)
        *rest++ = 0;
    const char *base = strrchr(line, '/');
    *ret_name = line;
    if (!base || strcmp(base + 1, "env") != 0)
        return *line != 0;
    for (char *word = strsep(&rest, " \t"); word; word = strsep(&rest, " \t")) {
        if (!word[0] || word[0] == '-' || strchr(word, '='))
            continue;
        *ret_name = word;
        return true;
    }
    return true;
}

/* One step: opens and judges @name. Returns true when a #! line leads on; the next name is in @next. */
static bool judge_step(const char *name, const struct tb_object *object, struct tb_verdict *v, char next[TB_FILE_TEXT])
{
    char path[PATH_MAX], *program;
    struct stat st;
    int result = find_program(name, path);
    if (!v->program[0])
        snprintf(v->program, sizeof(v->program), "%s", path);
    if (result != 0) {
        bool is_missing = result == -ENOENT || result == -ENOTDIR;
        obstacle(v, is_missing ? TB_OBSTACLE_NOT_FOUND : TB_OBSTACLE_NOT_EXECUTABLE,
                 is_missing ? "check the name, or give the full path" : "check its mode and its directories",
                 is_missing ? "%s is not found" : "%s may not be executed", name);
        return false;
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        bool is_file = fd < 0;
        obstacle(v, is_file ? TB_OBSTACLE_UNREADABLE : TB_OBSTACLE_NOT_EXECUTABLE,
                 is_file ? "ask again as its owner or as root" : "give the path of a program",
                 is_file ? "%s may be executed but not read" : "%s is not a file", path);
        if (fd >= 0)
            close(fd);
        return false;
    }
    judge_file(fd, path, object, v);
    if (!v->obstacle && v->file.kind == TB_FILE_ELF && is_secure(fd, &st))
        obstacle(v, TB_OBSTACLE_SECURE,
                 "start it as the user that it belongs to or without the set-user-ID, set-group-ID and capability bits",
                 "it changes its ids or capabilities when it starts (AT_SECURE): the loader ignores LD_PRELOAD");
    close(fd);
    if (v->obstacle || v->file.kind == TB_FILE_ELF)
        return false;
    /* Neither ELF nor #!: execvp gives it to the shell. */
    if (v->file.kind == TB_FILE_OTHER)
        snprintf(v->file.script, sizeof(v->file.script), "/bin/sh");
    if (!script_program(v->file.script, &program)) {
        obstacle(v, TB_OBSTACLE_NOT_EXECUTABLE, "name an interpreter behind #!", "%s names no interpreter", path);
        return false;
    }
    snprintf(next, TB_FILE_TEXT, "%s", program);
    return true;
}

void tb_verdict_file(int fd, const char *path, const struct tb_object *object, struct tb_verdict *ret_verdict)
{
    memset(ret_verdict, 0, sizeof(*ret_verdict));
    snprintf(ret_verdict->program, sizeof(ret_verdict->program), "%s", path);
    judge_file(fd, path, object, ret_verdict);
    add_notes(ret_verdict);
}

void tb_verdict_program(const char *name, const struct tb_object *object, struct tb_verdict *ret_verdict)
{
    char next[TB_FILE_TEXT];
    memset(ret_verdict, 0, sizeof(*ret_verdict));
    bool leads_on = judge_step(name, object, ret_verdict, next);
    for (int steps = 0; leads_on && steps < SCRIPTS_MAX; steps++) {
        char now[TB_FILE_TEXT];
        memcpy(now, next, sizeof(now));
        leads_on = judge_step(now, object, ret_verdict, next);
    }
    if (leads_on)
        obstacle(ret_verdict, TB_OBSTACLE_NOT_EXECUTABLE, "name a program as interpreter",
                 "%s leads from script to script", ret_verdict->program);
    add_notes(ret_verdict);
}

const char *tb_verdict_slug(enum tb_obstacle what)
{
    static const char *const slugs[] = {[TB_OBSTACLE_NONE] = "none",
                                        [TB_OBSTACLE_NOT_FOUND] = "not_found",
                                        [TB_OBSTACLE_NOT_EXECUTABLE] = "not_executable",
                                        [TB_OBSTACLE_UNREADABLE] = "unreadable",
                                        [TB_OBSTACLE_ARCHITECTURE] = "architecture",
                                        [TB_OBSTACLE_STATIC] = "static",
                                        [TB_OBSTACLE_GO] = "go",
                                        [TB_OBSTACLE_SECURE] = "secure"};
    return slugs[what];
}

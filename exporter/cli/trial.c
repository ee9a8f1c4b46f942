/* SPDX-License-Identifier: Apache-2.0 */
/* Trying an object in a process that is thrown away, before every program of the system gets it (trial.h). */
#include "trial.h"

#include "exporter/buffer.h"
#include "exporter/elf_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *const programs[] = {"/bin/true", "/usr/bin/true", "/usr/sbin/ldconfig"};
#define PROGRAM_COUNT (sizeof(programs) / sizeof(programs[0]))

/* A program of the system that takes preloaded objects from a file; NULL: none, @ret_said says why. */
static const char *suitable(const char *root, char *ret_said, size_t size)
{
    snprintf(ret_said, size, "there is no /bin/true");
    for (size_t i = 0; i < PROGRAM_COUNT; i++) {
        char *path = tb_format("%s%s", root, programs[i]);
        struct tb_elf_file file;
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        bool is_read = fd >= 0 && tb_elf_file_read(fd, &file) == 0 && file.kind == TB_FILE_ELF;
        if (fd >= 0)
            close(fd);
        free(path);
        if (is_read && !file.is_static && file.libc != TB_LIBC_MUSL)
            return programs[i];
        if (is_read)
            snprintf(ret_said, size, "%s is %s", programs[i],
                     file.is_static ? "statically linked" : "a program of musl, whose loader reads no ld.so.preload");
    }
    return NULL;
}

/* In the child; does not return. @line NULL: nothing is preloaded. */
static void become(const char *root, const char *program, const char *line, int output)
{
    char *preload = tb_format("%s%s", line ? "LD_PRELOAD=" : "TRIAL=", line ? line : "plain");
    /* The agent is to load and to do nothing: what is tried is the loader. */
    char *const environment[] = {preload, (char *)"TICKBIRD_DISABLE=1", NULL};
    char *const argv[] = {(char *)(uintptr_t)program, NULL};
    if (dup2(output, 1) < 0 || dup2(output, 2) < 0)
        _exit(126);
    if (root[0] && (chroot(root) != 0 || chdir("/") != 0))
        dprintf(2, "chroot %s: %s", root, strerror(errno));
    else if (execve(program, argv, environment) != 0)
        dprintf(2, "%s: %s", program, strerror(errno));
    _exit(127);
}

/* What comes out of @fd until its end; the first @size - 1 bytes are kept. */
static void gather(int fd, char *ret_said, size_t size)
{
    char rest[512];
    size_t len = 0;
    for (;;) {
        bool is_full = len + 1 >= size;
        ssize_t n = read(fd, is_full ? rest : ret_said + len, is_full ? sizeof(rest) : size - 1 - len);
        if (n == 0 || (n < 0 && errno != EINTR))
            break;
        len += n > 0 && !is_full ? (size_t)n : 0;
    }
    ret_said[len] = 0;
}

/* Runs @program, @line NULL: as it is. Returns its wait status or -errno; *ret_said is what it printed. */
static int try_program(const char *root, const char *program, const char *line, char *ret_said, size_t size)
{
    int pipe_fds[2], status = 0;
    if (pipe2(pipe_fds, O_CLOEXEC) != 0)
        return -errno;
    pid_t child = fork();
    int error = errno;
    if (child == 0)
        become(root, program, line, pipe_fds[1]);
    close(pipe_fds[1]);
    if (child > 0)
        gather(pipe_fds[0], ret_said, size);
    close(pipe_fds[0]);
    if (child < 0)
        return -error;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    return status;
}

int tb_trial_preload(const char *root, const char *line, char *ret_said, size_t size)
{
    char plain[1024] = "";
    const char *program = suitable(root, ret_said, size);
    if (!program)
        return -ENOEXEC;
    int status = try_program(root, program, NULL, plain, size < sizeof(plain) ? size : sizeof(plain));
    if (status >= 0)
        status = try_program(root, program, line, ret_said, size);
    if (status < 0)
        return status;
    if (status == 0 && strcmp(plain, ret_said) == 0)
        return 0;
    if (!ret_said[0])
        snprintf(ret_said, size, "%s ended with status %d", program, status);
    ret_said[strcspn(ret_said, "\n")] = 0;
    return -EIO;
}

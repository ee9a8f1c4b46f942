/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starts a program of the self-contained archive with the loader and the libraries that came with it, whatever the
 * machine has: statically linked, it is found in bin/ under the program's name and executes
 *
 *     ../libexec/NAME --inhibit-cache --library-path ../libexec --argv0 ARGV0 ../libexec/NAME.bin ARGUMENTS
 *
 * where ../libexec/NAME is a link to the loader, so that the process has the program's name. Neither the environment
 * nor what the program starts is changed. Without /proc it goes by the name that the kernel was given.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

enum { OWN_ARGUMENTS = 7 }; /* in front of the caller's */

static int fail(const char *what, int error)
{
    fprintf(stderr, "%s: %s: unpack the whole archive, and keep its directories together\n", what, strerror(error));
    return 127;
}

/* The launcher's own file, links resolved. Returns 0 or -1. */
static int own_path(char ret_path[PATH_MAX])
{
    ssize_t len = readlink("/proc/self/exe", ret_path, PATH_MAX - 1);
    if (len > 0) {
        ret_path[len] = 0;
        return 0;
    }
    const char *name = (const char *)getauxval(AT_EXECFN);
    return name && realpath(name, ret_path) ? 0 : -1;
}

int main(int argc, char **argv)
{
    static char path[PATH_MAX], directory[PATH_MAX + 16], loader[2 * PATH_MAX], program[2 * PATH_MAX + 8];
    if (argc < 1 || own_path(path) != 0)
        return fail("launcher", ENOENT);
    char *name = strrchr(path, '/');
    *name++ = 0;
    snprintf(directory, sizeof(directory), "%s/../libexec", path);
    snprintf(loader, sizeof(loader), "%s/%s", directory, name);
    snprintf(program, sizeof(program), "%s.bin", loader);
    const char **all = calloc((size_t)argc + OWN_ARGUMENTS + 1, sizeof(*all));
    if (!all)
        return fail(name, ENOMEM);
    const char *own[OWN_ARGUMENTS] = {loader,    "--inhibit-cache", "--library-path", directory,
                                      "--argv0", argv[0],           program};
    memcpy(all, own, sizeof(own));
    memcpy(all + OWN_ARGUMENTS, argv + 1, (size_t)(argc - 1) * sizeof(*all));
    execv(loader, (char **)all);
    return fail(loader, errno);
}

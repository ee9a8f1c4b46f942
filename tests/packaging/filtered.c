/* SPDX-License-Identifier: Apache-2.0 */
/*
 * filtered PROGRAM ARGUMENTS: executes it under a filter of system calls as a service manager sets one: those whose
 * names are read from standard input, a line each, are allowed; the others fail with EPERM. Names unknown here are
 * skipped.
 */
#include <errno.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    char name[64];
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    while (filter && fgets(name, sizeof(name), stdin)) {
        name[strcspn(name, "\n")] = 0;
        int number = seccomp_syscall_resolve_name(name);
        if (number >= 0 && seccomp_rule_add(filter, SCMP_ACT_ALLOW, number, 0) != 0)
            return 125;
    }
    if (argc < 2 || !filter || seccomp_load(filter) != 0)
        return 125;
    execv(argv[1], argv + 1);
    return 127;
}

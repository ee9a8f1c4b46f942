/* SPDX-License-Identifier: Apache-2.0 */
/*
 * as_user UID PROGRAM ARGUMENTS: executes it as this user and group, without supplementary groups, capabilities or ways
 * to new ones, as a container engine does. Built statically: it runs in root file systems that have nothing.
 */
#include <grp.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    unsigned id = argc > 2 ? (unsigned)strtoul(argv[1], NULL, 10) : 0;
    for (unsigned long cap = 0; id && prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
        if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) != 0)
            return 125;
    if (!id || setgroups(0, NULL) != 0 || setresgid(id, id, id) != 0 || setresuid(id, id, id) != 0 ||
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return 125;
    execv(argv[2], argv + 2);
    return 127;
}

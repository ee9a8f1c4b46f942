/* SPDX-License-Identifier: Apache-2.0 */
/*
 * User, no_new_privs and system calls (privileges.h). The filter is a list of what is refused, with EPERM: libraries
 * may use whatever else a later version of theirs needs, and nothing is killed for it.
 */
#include "privileges.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <sched.h>
#include <seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "buffer.h"

/* NULL when there is none; errno says why, 0: it is not known. */
static const struct passwd *find_user(const char *user)
{
    char *end;
    unsigned long uid = strtoul(user, &end, 10);
    errno = 0;
    if (*user >= '0' && *user <= '9' && !*end)
        return uid < UINT32_MAX ? getpwuid((uid_t)uid) : NULL;
    return getpwnam(user);
}

int tb_privileges_directory(const char *path, const char *user)
{
    const struct passwd *p = find_user(user);
    if (!p)
        return errno ? -errno : -ENOENT;
    if (mkdir(path, 0750) < 0)
        return errno == EEXIST ? 0 : -errno;
    return lchown(path, p->pw_uid, p->pw_gid) < 0 ? -errno : 0;
}

int tb_privileges_become(const char *user, char **ret_error)
{
    const struct passwd *p = find_user(user);
    int r = p ? 0 : errno ? -errno : -ENOENT;
    if (!p) {
        *ret_error =
            tb_format("--user %s: %s: name a user of this machine", user, errno ? strerror(errno) : "not known");
        return r;
    }
    uid_t uid = p->pw_uid;
    gid_t gid = p->pw_gid;
    if (geteuid() == uid && getuid() == uid && getegid() == gid)
        return 0;
    if (initgroups(p->pw_name, gid) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
        r = -errno;
    if (!r && uid != 0 && setuid(0) == 0) /* it must not be possible to go back */
        r = -EPERM;
    if (r)
        *ret_error = tb_format("--user %s: %s: start as root, or leave it out", user, strerror(-r));
    return r;
}

/* --- system calls ----------------------------------------------------------------------------------------------------
 */

/* By name, so that those that an older library or another architecture does not know are left out. */
static const char *const refused[] = {
    /* another program, another process */
    "execve", "execveat", "fork", "vfork", "ptrace", "process_vm_readv", "process_vm_writev", "process_madvise",
    "pidfd_getfd", "kcmp", "setns", "unshare", "userfaultfd", "personality",
    /* the machine */
    "mount", "umount", "umount2", "pivot_root", "chroot", "move_mount", "open_tree", "fsopen", "fsconfig", "fsmount",
    "fspick", "mount_setattr", "swapon", "swapoff", "reboot", "kexec_load", "kexec_file_load", "init_module",
    "finit_module", "delete_module", "create_module", "acct", "quotactl", "quotactl_fd", "sethostname", "setdomainname",
    "settimeofday", "clock_settime", "clock_adjtime", "adjtimex", "iopl", "ioperm", "modify_ldt", "vhangup", "syslog",
    "nfsservctl", "lookup_dcookie", "open_by_handle_at", "name_to_handle_at", "fanotify_init",
    /* rights */
    "setuid", "setgid", "setreuid", "setregid", "setresuid", "setresgid", "setgroups", "setfsuid", "setfsgid", "capset",
    "add_key", "request_key", "keyctl",
    /* large and seldom used parts of the kernel */
    "bpf", "perf_event_open", "io_uring_setup", "io_uring_enter", "io_uring_register"};

/* A process is a clone without CLONE_THREAD; of clone3 a filter cannot see the flags, so the C library is sent to
 * clone. */
static int refuse_processes(scmp_filter_ctx filter)
{
    int r = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 1,
                             SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, 0));
    return r ? r : seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
}

static int load_filter(void)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    if (!filter)
        return -ENOMEM;
    int r = refuse_processes(filter);
    for (size_t i = 0; !r && i < sizeof refused / sizeof *refused; i++) {
        int number = seccomp_syscall_resolve_name(refused[i]);
        if (number >= 0)
            r = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), number, 0);
    }
    if (!r)
        r = seccomp_load(filter);
    seccomp_release(filter);
    return r;
}

int tb_privileges_limit(bool has_filter)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return -errno;
    return has_filter ? load_filter() : 0;
}

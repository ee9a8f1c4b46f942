/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a program as on Linux 3.10: `oldkernel PROGRAM ARGS`. A system call filter, inherited by all that it starts,
 * answers ENOSYS to every system call newer than 3.10 and EINVAL to the newer requests of madvise, prctl and fcntl
 * that a filter can tell (by number, not through a pointer). `oldkernel --getrandom PROGRAM ARGS` leaves that one
 * call to programs that refuse to start without it. `oldkernel --check` proves that it does: getrandom,
 * statx, clone3, rseq, close_range and MADV_WIPEONFORK fail as they did then.
 *
 * The last call of 3.10 is finit_module: 313 in arch/x86/entry/syscalls/syscall_64.tbl, 273 in
 * include/uapi/asm-generic/unistd.h (AArch64). Numbers never go backwards, so one comparison is the whole list.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#define LAST_OF_3_10 313
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#define LAST_OF_3_10 273
#endif

#define FIELD(name) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, name))
#define ARGUMENT(n) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args) + 8 * (n))
#define IF_EQUAL(value, then, otherwise) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (value), (then), (otherwise))
#define IF_ABOVE(value, then, otherwise) BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, (value), (then), (otherwise))
#define ALLOW BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
#define FAIL(error) BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (error))

/* When @argument of call @number is above @low and not above @high: EINVAL. Leaves the call's number loaded. */
#define NO_REQUEST(number, argument, low, high)                                                                        \
    IF_EQUAL(number, 0, 4), ARGUMENT(argument), IF_ABOVE(low, 0, 2), IF_ABOVE(high, 1, 0), FAIL(EINVAL), FIELD(nr)

static struct sock_filter rules[] = {
    FIELD(arch),
    IF_EQUAL(ARCH, 1, 0),
    ALLOW, /* a 32-bit program: not simulated */
    FIELD(nr),
    IF_EQUAL(0xffffffffu, 0, 1), /* EXCEPTION: its number, or none */
    ALLOW,
    IF_ABOVE(LAST_OF_3_10, 0, 1),
    FAIL(ENOSYS),
    NO_REQUEST(SYS_madvise, 2, 17, 99),       /* MADV_WIPEONFORK and later; MADV_HWPOISON is 100 */
    NO_REQUEST(SYS_prctl, 0, 40, 0x59616d60), /* PR_SET_THP_DISABLE and later; PR_SET_PTRACER is next */
    NO_REQUEST(SYS_fcntl, 1, 1032, 1 << 20),  /* F_ADD_SEALS and later */
    NO_REQUEST(SYS_fcntl, 1, 35, 1023),       /* open file description locks */
    ALLOW,
};

#define EXCEPTION 4

static int expect(const char *what, long result, int error)
{
    if (result == -1 && errno == error)
        return 0;
    fprintf(stderr, "oldkernel: %s: %ld, errno %d\n", what, result, errno);
    return 1;
}

static int check(void)
{
    char buffer[256];
    int wrong = 0;
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    wrong += expect("getrandom", syscall(SYS_getrandom, buffer, 8, 0), ENOSYS);
    wrong += expect("statx", syscall(SYS_statx, AT_FDCWD, "/", 0, 0, buffer), ENOSYS);
    wrong += expect("clone3", syscall(435, NULL, 0), ENOSYS);
    wrong += expect("rseq", syscall(SYS_rseq, NULL, 0, 0, 0), ENOSYS);
    wrong += expect("close_range", syscall(436, 1000, 1001, 0), ENOSYS);
    wrong += expect("renameat2", syscall(SYS_renameat2, AT_FDCWD, "", AT_FDCWD, "", 0), ENOSYS);
    wrong += expect("memfd_create", syscall(SYS_memfd_create, "", 0), ENOSYS);
    wrong += expect("execveat", syscall(SYS_execveat, -1, "", NULL, NULL, 0), ENOSYS);
    wrong += expect("MADV_WIPEONFORK", madvise(page, 4096, 18), EINVAL);
    wrong += expect("PR_SET_THP_DISABLE", prctl(41, 1, 0, 0, 0), EINVAL);
    wrong += madvise(page, 4096, MADV_DONTNEED) != 0 || fcntl(0, F_GETFD) < -1;
    return wrong;
}

int main(int argc, char **argv)
{
    struct sock_fprog program = {sizeof(rules) / sizeof(rules[0]), rules};
    if (argc > 2 && !strcmp(argv[1], "--getrandom")) {
        rules[EXCEPTION].k = SYS_getrandom;
        argv++;
    } else if (argc < 2) {
        return 2;
    }
    /* as root without no_new_privs, so that set-user-ID helpers go on as they did */
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) &&
        (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0))) {
        perror("oldkernel: no system call filter");
        return 77;
    }
    if (!strcmp(argv[1], "--check"))
        return check() ? 1 : 0;
    execvp(argv[1], argv + 1);
    perror(argv[1]);
    return 127;
}

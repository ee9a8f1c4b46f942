/* SPDX-License-Identifier: Apache-2.0 */
/* What the headers of glibc 2.17 do not know yet; included before each source of the preload tests' server. */
#include <linux/seccomp.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define SYS_seccomp 317
#define SYS_getrandom 318
#define SYS_memfd_create 319
#define SYS_preadv2 327
#define SYS_pwritev2 328
#define SYS_rseq 334
#define SYS_close_range 436
#define SECCOMP_RET_KILL_PROCESS SECCOMP_RET_KILL
#define closefrom(first) ((void)syscall(SYS_close_range, first, ~0u, 0))
#define memfd_create(name, flags) ((int)syscall(SYS_memfd_create, name, flags))
#define preadv2(fd, iov, count, offset, flags) syscall(SYS_preadv2, fd, iov, count, offset, 0, flags)
#define pwritev2(fd, iov, count, offset, flags) syscall(SYS_pwritev2, fd, iov, count, offset, 0, flags)
#define pwritev64v2 pwritev2
#define preadv64v2 preadv2
#define MFD_CLOEXEC 1u
#define _Thread_local __thread

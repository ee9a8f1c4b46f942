/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The functions behind the hooks. tb_real holds, for each row of hooks.def, the next definition of the name; until the
 * constructor has run, and for names that the libc lacks, a stand-in that makes the system call.
 */
#ifndef TB_HOOKS_H
#define TB_HOOKS_H

/* hooks.c is built without _FILE_OFFSET_BITS, which would silently give sendfile the name sendfile64. */
#ifdef _FILE_OFFSET_BITS
#error "the hook table needs every name as it is"
#endif

#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

/* Twins that headers do not declare, or only some libc's. */
#undef fcntl64
#undef sendfile64
#undef preadv64v2
#undef pwritev64v2
extern __typeof__(read) __read;
extern __typeof__(write) __write;
extern __typeof__(close) __close;
extern __typeof__(send) __send;
extern __typeof__(connect) __connect;
extern __typeof__(dup2) __dup2;
extern __typeof__(fork) __fork, _Fork;
extern __typeof__(fcntl) fcntl64, __fcntl;
extern ssize_t __read_chk(int fd, void *buf, size_t len, size_t buf_len);
extern ssize_t __recv_chk(int fd, void *buf, size_t len, size_t buf_len, int flags);
extern ssize_t __recvfrom_chk(int fd, void *restrict buf, size_t len, size_t buf_len, int flags,
                              struct sockaddr *restrict from, socklen_t *restrict from_len);
extern ssize_t sendfile64(int out, int in, off64_t *offset, size_t len);
extern ssize_t preadv64v2(int fd, const struct iovec *iov, int count, off64_t offset, int flags);
extern ssize_t pwritev64v2(int fd, const struct iovec *iov, int count, off64_t offset, int flags);
extern int close_range(unsigned first, unsigned last, int flags);
extern void closefrom(int first);
extern int execveat(int dir, const char *path, char *const argv[], char *const envp[], int flags);

#pragma GCC visibility push(hidden)

/* Never a re-typed signature: a row whose parameters differ from the header's does not compile. */
struct tb_real {
#define HOOK(type, name, params, args, raw, before, after) __typeof__(&name) name;
#define HOOK_IO(type, name, params, args, raw, fd, after) __typeof__(&name) name;
#define HOOK_SOCKET(type, name, params, args, raw, fd, after) __typeof__(&name) name;
#define HOOK_ALWAYS(type, name, params, args, raw, after) __typeof__(&name) name;
#define HOOK_VOID(type, name, params, args, raw, before) __typeof__(&name) name;
#define HOOK_NORETURN(type, name, params, args, raw, before) __typeof__(&name) name;
#define HOOK_MANUAL(type, name, params, stand_in) __typeof__(&name) name;
#include "hooks.def"
#include "hooks_undef.h"
};
extern struct tb_real tb_real;

#define TB_EXPORT __attribute__((visibility("default")))

/* tb_hooks_resolve - look all of them up. Once, in the constructor; again is harmless. */
void tb_hooks_resolve(void);

/* tb_raw_result - what libc would return for a raw result; the only place that sets errno. */
long tb_raw_result(long result);

/* tb_late - the real @name found now, for calls before the constructor that no system call can stand in for. */
void *tb_late(const char *name);

#pragma GCC visibility pop
#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Leading a program's calls of a TLS library through this object. Nothing named SSL_* or gnutls_* is exported: a
 * program that tests for such a name would take this object for a library. Instead the libraries are found in the
 * loader's own list, and in each object that calls them the words that hold the functions' addresses (the global offset
 * table) are given those of wrappers. That sees libraries that came by dlopen, RTLD_LOCAL and RTLD_DEEPBIND too, and
 * never a function that is not there. It does not see pointers that the program got from dlsym.
 *
 * When: at listen(), and when a socket begins with TLS that no session known here would account for. A program that
 * neither serves nor speaks TLS is left as it is. dlopen itself is not wrapped: its caller decides where it looks.
 */
#ifndef TB_TLS_SLOTS_H
#define TB_TLS_SLOTS_H

#include <link.h>
#include <stdbool.h>
#include <stdint.h>

#pragma GCC visibility push(hidden)

/* Libraries of one kind that are followed at a time; a process that has more loads copies that came with modules. */
#define TB_TLS_COPIES 4u

/* One loaded library and its own copies of the wrappers, which call it and no other. */
struct tb_tls_set {
    const ElfW(Dyn) * dynamic; /* whose it is; NULL: nobody's. Kept when the library goes, until another needs it. */
    uintptr_t base;
    void **real;           /* the functions, in the order of the names; NULL: it has none */
    void *const *wrappers; /* the same of those that are led here */
    bool is_here;          /* it is in the loader's list, as of the last look */
    bool is_fixed;         /* real is somebody else's business (functions that were changed in place) */
};

/* A kind of library. */
struct tb_tls_family {
    const char *const *names; /* functions; the first @required make a library one of this kind */
    unsigned required;
    unsigned wrapped; /* so many have wrappers */
    unsigned count;   /* those behind are only called; the library may have them of another */
    char prefix;      /* that the names begin with */
    struct tb_tls_set sets[TB_TLS_COPIES];
};

extern struct tb_tls_family tb_openssl, tb_gnutls, tb_mbedtls, tb_nss;

/*
 * tb_tls_claim - the set of wrappers of the library whose dynamic section and base these are, its functions looked up;
 * NULL when all are taken. For whoever leads calls here by other means than words. Only inside tb_tls_look.
 */
struct tb_tls_set *tb_tls_claim(struct tb_tls_family *family, const ElfW(Dyn) * dynamic, uintptr_t base);

/* tb_tls_start - finds what a look needs of libc. In the constructor: while nothing can be unloaded. */
void tb_tls_start(void);

/*
 * tb_tls_look - finds libraries and leads calls here, if the loader's list is not what it was at the last look. That is
 * told in some instructions for each object; a look takes about 4 system calls for each object that calls a library,
 * and two that keep signals out. Waits for another thread that is just adding or removing an object, but not where that
 * may never end: in a child whose parent had threads. Returns true when the list was another.
 */
bool tb_tls_look(void);

/* tb_tls_noticed - a socket begins with TLS: looks, if nothing is followed, or more sockets did than there were
 * sessions. */
void tb_tls_noticed(void);

/* tb_tls_covered - a session was seen. */
void tb_tls_covered(void);

/*
 * tb_tls_look_alone - in the child, right after a fork: there is no other thread, so where the lock may be held for
 * good it is not needed. This once.
 */
void tb_tls_look_alone(void);

/* tb_tls_forked - in the child: a thread that was looking is not here. */
void tb_tls_forked(void);

#pragma GCC visibility pop
#endif

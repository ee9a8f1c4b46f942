/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Functions of the program itself, called inside it past every symbol: their first instructions are replaced by a jump
 * to a wrapper of ours. For programs that bring a library along in their executable (node and its OpenSSL).
 *
 * The one place where code of another object is changed, so: only in the constructor while the process has one thread;
 * only functions whose beginning is of a known form (prologue.h), all that were asked for or none; code is never
 * writable while it can be executed, and never other than executable for the program; what the kernel, a filter or a
 * security module refuses leaves the program as it was. x86-64 only.
 */
#ifndef TB_INLINE_H
#define TB_INLINE_H

#include "../agent/bytes.h"

#pragma GCC visibility push(hidden)

#define TB_INLINE_MAX 32u

struct tb_inline_function {
    struct tb_bytes code; /* of the program (tb_resolve_program_function) */
    const void *wrapper;  /* what is called instead, with the same arguments */
    void **real;          /* gets what the wrapper calls to have the function done */
};

/* Why functions were left alone. */
enum tb_inline_answer {
    TB_INLINE_OK,
    TB_INLINE_UNSUPPORTED,  /* this kind of machine, or too many functions */
    TB_INLINE_UNKNOWN_CODE, /* one of them begins in no known form, or is another one too */
    TB_INLINE_PLACE,   /* they lie too far apart, or outside of what is the program's code, or nothing is free near them
                        */
    TB_INLINE_CHANGED, /* the code is not what the program's file has: a debugger or a tracer is at work in it */
    TB_INLINE_THREADS, /* there is another thread, or that cannot be told */
    TB_INLINE_REFUSED  /* the kernel, a filter or a security module does not permit it */
};

/*
 * tb_inline_place - from now on calls of the functions reach the wrappers.
 *
 * On success every *real is set before the first call can arrive; else they are untouched, and so is the program. About
 * fifteen system calls, and a child that tries them where a filter is in force. Context: the constructor, once.
 */
enum tb_inline_answer tb_inline_place(const struct tb_inline_function *functions, size_t count);

/*
 * tb_inline_remove - their first instructions are again what they were. What *real leads to stays usable, for a thread
 * that is on its way. Context: as above. False: it could not be done.
 */
bool tb_inline_remove(void);

#pragma GCC visibility pop
#endif

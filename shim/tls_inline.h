/* SPDX-License-Identifier: Apache-2.0 */
/* OpenSSL that is part of the program's executable (node): its functions are called inside it, past every symbol. */
#ifndef TB_TLS_INLINE_H
#define TB_TLS_INLINE_H

#include <stdbool.h>
#include <stdint.h>

#pragma GCC visibility push(hidden)

/* tb_tls_inline_is_there - does the program itself define OpenSSL's functions? No system call. */
bool tb_tls_inline_is_there(void);

/*
 * tb_tls_inline_place - leads their calls to the wrappers of tls_openssl.c (inline.h has what that takes and changes).
 * Context: the constructor, of a program that has them and is selected.
 *
 * @ret_why  a few words for TICKBIRD_DEBUG; untouched on success
 *
 * Returns 0, or what is to be told when the program answers TLS (TB_UNOBSERVABLE_).
 */
uint64_t tb_tls_inline_place(const char **ret_why);

#pragma GCC visibility pop
#endif

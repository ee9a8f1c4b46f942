/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OpenSSL inside the executable (tls_inline.h): which of its functions are led to which wrappers. All of them or none;
 * one that does its work by calling another of those that move bytes is left out, since the inner call is seen and
 * must not count twice. What calls what is not the same in all versions (SSL_write_ex became a call of SSL_write_ex2,
 * and compilers copy small functions into others), so the code itself is asked.
 */
#include "tls_inline.h"

#include "inline.h"
#include "process.h"
#include "prologue.h"
#include "resolve.h"
#include "tls_slots.h"

static bool starts_with(const char *text, const char *beginning)
{
    while (*beginning && *text == *beginning)
        text++, beginning++;
    return !*beginning;
}

static bool moves_bytes(const char *name)
{
    return starts_with(name, "SSL_read") || starts_with(name, "SSL_write") || starts_with(name, "SSL_sendfile");
}

bool tb_tls_inline_is_there(void)
{
    for (unsigned i = 0; i < tb_openssl.required; i++)
        if (!tb_resolve_program_function(tb_openssl.names[i]).ptr)
            return false;
    return true;
}

/* Is the one of number @call one that another sees the bytes of? */
static bool is_outer(const struct tb_bytes *codes, unsigned call)
{
    for (unsigned i = 0; moves_bytes(tb_openssl.names[call]) && i < tb_openssl.wrapped; i++) {
        uintptr_t inner = (uintptr_t)codes[i].ptr;
        if (inner && inner != (uintptr_t)codes[call].ptr && moves_bytes(tb_openssl.names[i]) &&
            tb_prologue_branches(codes[call], inner, inner + 1))
            return true;
    }
    return false;
}

static enum tb_inline_answer place(struct tb_tls_set *set)
{
    static struct tb_inline_function functions[TB_INLINE_MAX]; /* once in a process */
    static struct tb_bytes codes[TB_INLINE_MAX];
    size_t count = 0;
    if (!set || tb_openssl.wrapped > TB_INLINE_MAX)
        return TB_INLINE_UNSUPPORTED;
    for (unsigned i = 0; i < tb_openssl.wrapped; i++)
        codes[i] = tb_resolve_program_function(tb_openssl.names[i]);
    for (unsigned i = 0; i < tb_openssl.wrapped; i++)
        if (codes[i].ptr && !is_outer(codes, i))
            functions[count++] = (struct tb_inline_function){codes[i], set->wrappers[i], &set->real[i]};
    return tb_inline_place(functions, count);
}

uint64_t tb_tls_inline_place(const char **ret_why)
{
    static const char *const texts[] = {
        [TB_INLINE_UNSUPPORTED] = "not on this kind of machine",
        [TB_INLINE_UNKNOWN_CODE] = "its code begins in no known form",
        [TB_INLINE_PLACE] = "it lies too far apart, or nothing is free near it",
        [TB_INLINE_CHANGED] = "it is not what the file has, or that cannot be told",
        [TB_INLINE_THREADS] = "there are threads already",
        [TB_INLINE_REFUSED] = "the system does not permit it",
    };
    const struct link_map *program = tb_resolve_objects();
    struct tb_tls_set *set = program ? tb_tls_claim(&tb_openssl, program->l_ld, program->l_addr) : NULL;
    enum tb_inline_answer answer = place(set);
    if (answer != TB_INLINE_OK) {
        *ret_why = texts[answer];
        return answer == TB_INLINE_REFUSED || answer == TB_INLINE_THREADS ? TB_UNOBSERVABLE_TLS_REFUSED
                                                                          : TB_UNOBSERVABLE_TLS_CODE;
    }
    set->is_fixed = true;
    tb_store_relaxed(&tb_core.is_tls_followed, 1);
    return 0;
}

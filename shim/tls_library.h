/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the wrappers of a TLS library begin with: its functions, and one set of them for each library of this kind that
 * is followed. Included at the top of the one file that has the bodies, which names the table of functions
 * (TB_TLS_ROWS, tls_openssl.def says what is in one) and the kind (TB_TLS_LIBRARY); tls_copies.h ends the file.
 */
#include "tls.h"
#include "tls_slots.h"

/* Addresses in the library, in the order of the table. NULL: it has none. */
struct functions {
#define WRAPPED(type, name, params, args) type(*name) params;
#define REQUIRED(type, name, params, args) WRAPPED(type, name, params, args)
#define ASKED(type, name, params) type(*name) params;
#include TB_TLS_ROWS
#undef REQUIRED
#undef ASKED
#undef WRAPPED
};

struct TB_TLS_LIBRARY {
    struct tb_tls_library library;
    struct functions real;
};

/* ask - of struct tb_tls_library. */
static void ask(const struct tb_tls_library *library, const void *session, struct tb_tls_about *ret);

static struct TB_TLS_LIBRARY libraries[TB_TLS_COPIES] = {
    {.library = {ask}}, {.library = {ask}}, {.library = {ask}}, {.library = {ask}}};

static inline const struct functions *functions_of(const struct tb_tls_library *library)
{
    return &((const struct TB_TLS_LIBRARY *)(const void *)library)->real;
}

static inline struct tb_tls_at at(const struct TB_TLS_LIBRARY *l, const void *session)
{
    return (struct tb_tls_at){&l->library, session};
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The generator of a TLS library's wrappers: reads its table of functions (TB_TLS_ROWS, tls_openssl.def says what is in
 * one) once for each need. Included at the end of the one file that has the bodies, on_NAME(library, ...), and that
 * began with tls_library.h; defines TB_TLS_FAMILY.
 */
#define STRIP(...) __VA_ARGS__
#define REQUIRED(...) WRAPPED(__VA_ARGS__)
#define ASKED(type, name, params)
#define COPY(copy, index, type, name, params, args)                                                                    \
    static type copy##_##name params                                                                                   \
    {                                                                                                                  \
        return on_##name(&libraries[index], STRIP args);                                                               \
    }
#define WRAPPED(type, name, params, args)                                                                              \
    COPY(first, 0, type, name, params, args)                                                                           \
    COPY(second, 1, type, name, params, args)                                                                          \
    COPY(third, 2, type, name, params, args)                                                                           \
    COPY(fourth, 3, type, name, params, args)
#include TB_TLS_ROWS
#undef WRAPPED

#define WRAPPED(type, name, params, args) (void *)first_##name,
static void *const first[] = {
#include TB_TLS_ROWS
};
#undef WRAPPED
#define WRAPPED(type, name, params, args) (void *)second_##name,
static void *const second[] = {
#include TB_TLS_ROWS
};
#undef WRAPPED
#define WRAPPED(type, name, params, args) (void *)third_##name,
static void *const third[] = {
#include TB_TLS_ROWS
};
#undef WRAPPED
#define WRAPPED(type, name, params, args) (void *)fourth_##name,
static void *const fourth[] = {
#include TB_TLS_ROWS
};
#undef WRAPPED
#undef ASKED

#define WRAPPED(type, name, params, args) #name,
#define ASKED(type, name, params) #name,
static const char *const names[] = {
#include TB_TLS_ROWS
};
#undef WRAPPED
#undef ASKED
#undef REQUIRED

enum {
    REQUIRED_COUNT = 0
#define WRAPPED(...)
#define ASKED(...)
#define REQUIRED(...) +1
#include TB_TLS_ROWS
};
#undef REQUIRED

_Static_assert(sizeof(struct functions) == sizeof(names), "one function for each name");
_Static_assert(TB_TLS_COPIES == 4, "first to fourth");

struct tb_tls_family TB_TLS_FAMILY = {
    .names = names,
    .required = REQUIRED_COUNT,
    .wrapped = sizeof(first) / sizeof(first[0]),
    .count = sizeof(names) / sizeof(names[0]),
    .prefix = TB_TLS_PREFIX,
    .sets = {{.real = (void **)&libraries[0].real, .wrappers = first},
             {.real = (void **)&libraries[1].real, .wrappers = second},
             {.real = (void **)&libraries[2].real, .wrappers = third},
             {.real = (void **)&libraries[3].real, .wrappers = fourth}},
};

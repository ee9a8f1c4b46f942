/* SPDX-License-Identifier: Apache-2.0 */
/* Finding functions of other objects: the real ones behind the hooks, and the clock in the vDSO. */
#ifndef TB_RESOLVE_H
#define TB_RESOLVE_H

#include <elf.h>
#include <link.h>
#include <stdbool.h>
#include <stdint.h>

#include "../agent/bytes.h"

/* The few references to libc; weak, and absent where the process has no libc. Declared here, not by headers. */
extern void *dlsym(void *restrict handle, const char *restrict name) __attribute__((weak));
extern char *getenv(const char *name) __attribute__((weak));
extern unsigned long getauxval(unsigned long type) __attribute__((weak));
extern int *__errno_location(void) __attribute__((weak, const));

#pragma GCC visibility push(hidden)

/* tb_same_text - are two strings equal? */
bool tb_same_text(const char *a, const char *b);

/* tb_auxval - an entry of the auxiliary vector, by getauxval or from procfs; 0 when there is none. */
unsigned long tb_auxval(unsigned long type);

/*
 * tb_elf_symbol - address of the default version of @name defined by the object at @base with dynamic section @dyn, or
 * NULL. Uses its hash table; no libc. The object must be mapped as its headers say.
 */
void *tb_elf_symbol(uintptr_t base, const ElfW(Dyn) * dyn, const char *name);

/*
 * tb_elf_imports - calls @visit for each word through which the object calls a function of another, or takes its
 * address: JUMP_SLOT and GLOB_DAT relocations of symbols that it does not define itself.
 */
typedef void tb_elf_import_fn(void *arg, const char *name, void **word);
void tb_elf_imports(uintptr_t base, const ElfW(Dyn) * dyn, tb_elf_import_fn *visit, void *arg);

/* tb_elf_needs - does the object name the other one (by its DT_SONAME) among those that it needs? */
bool tb_elf_needs(uintptr_t base, const ElfW(Dyn) * dyn, const ElfW(Dyn) * library, uintptr_t library_base);

/* tb_elf_dynamic - base and dynamic section from program headers; NULL when there is none. */
const ElfW(Dyn) * tb_elf_dynamic(uintptr_t ehdr, uintptr_t *ret_base);

/*
 * tb_resolve_next - the definition of @name that would be used if this object were not there, or NULL. Walks the
 * loader's own list; asks dlsym only when that list cannot be found, because a failed dlsym allocates and leaves a
 * message for the host's dlerror().
 */
void *tb_resolve_next(const char *name);

/*
 * tb_resolve_objects - the loader's own list, from the executable on; NULL when it cannot be found. No lock is taken:
 * it may be walked only while tb_resolve_is_changing() says no.
 */
const struct link_map *tb_resolve_objects(void);

/* tb_resolve_is_changing - is the loader adding or removing objects at this moment? True also when nobody can tell. */
bool tb_resolve_is_changing(void);

/*
 * tb_resolve_object - the same for data: the definition that the libraries themselves use.
 *
 * @ret_base  where the object that defines it is loaded, 0 when unknown; may be NULL
 */
void *tb_resolve_object(const char *name, uintptr_t *ret_base);

/*
 * tb_elf_is_sealed - did the loader make the pages from @from to @to read-only after it had written to them
 * (PT_GNU_RELRO)? False also when that cannot be told of the object at @base.
 */
bool tb_elf_is_sealed(uintptr_t base, uintptr_t from, uintptr_t to, uintptr_t page);

/*
 * tb_resolve_program_function - the code of a function that the program itself (not a library of its) defines and
 * shows to others; no bytes when there is none. Borrowed for the life of the process.
 */
struct tb_bytes tb_resolve_program_function(const char *name);

struct tb_program_code {
    uintptr_t lowest;     /* address of the program */
    uint64_t file_offset; /* of what was asked for, in the program's file */
};

/*
 * tb_resolve_program_code - is everything from @from to @to code of the program: of one segment of its file that can be
 * read and executed and not written? @ret is untouched if not.
 */
bool tb_resolve_program_code(uintptr_t from, uintptr_t to, struct tb_program_code *ret);

/* tb_resolve_is_second_copy - was another libtickbird.so loaded before this one? Two would count everything twice. */
bool tb_resolve_is_second_copy(void);

#pragma GCC visibility pop
#endif

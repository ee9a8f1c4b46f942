/* SPDX-License-Identifier: Apache-2.0 */
/* The preloaded object: where it lies, whether it is usable, and the LD_PRELOAD value that brings it in. */
#ifndef TB_OBJECT_H
#define TB_OBJECT_H

#include "exporter/elf_file.h"
#include "exporter/process.h"

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

struct tb_object {
    char path[PATH_MAX];
    struct tb_elf_file file;
};

/*
 * tb_object_find - the object to preload: @wanted when given, else next to this command, in ../lib of it, or in
 * the installed library directory.
 *
 * Returns 0, or -1 after reporting on standard error.
 */
int tb_object_find(const char *wanted, struct tb_object *ret_object);

/* tb_object_locate - the same without a name and without a word. Returns 0 or -ENOENT. */
int tb_object_locate(struct tb_object *ret_object);

/* tb_object_is_name - does this file name, with or without directories and version, mean a copy of Tickbird? */
bool tb_object_is_name(const char *name, size_t len);

/*
 * tb_object_preload - @object in front of @current (an LD_PRELOAD value or NULL), which is kept; another copy of
 * Tickbird in it is dropped, as two would count everything twice.
 *
 * Returns 0, or -ENAMETOOLONG. Context: pure.
 */
int tb_object_preload(const char *object, const char *current, char *ret_value, size_t size);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files that verbs put into a system and take out again: below another root when asked to, or only said and not done.
 * Each file is whole under its name or not there at all, also after a crash: a program must never map half an object.
 */
#ifndef TB_PLACING_H
#define TB_PLACING_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct tb_placing {
    const char *root; /* prefix of every path: "" = this system; borrowed */
    bool is_dry;      /* say what would be done, do nothing */
};

/* All return 0 or -errno; paths are absolute, without the root. Context: one thread. */

/* tb_place_text - @path has this content and mode. Its directory is made, with those above it. */
int tb_place_text(const struct tb_placing *to, const char *path, const char *data, size_t len, mode_t mode);

/* tb_place_copy - the same with the content of the file @source (no root in front). */
int tb_place_copy(const struct tb_placing *to, const char *source, const char *path, mode_t mode);

/* tb_place_remove - @path is gone; that it was not there is no error. Empty directories go with tb_place_remove_dir. */
int tb_place_remove(const struct tb_placing *to, const char *path);

/* tb_place_remove_dir - @path goes if it is empty; that it is not, or not there, is no error. */
int tb_place_remove_dir(const struct tb_placing *to, const char *path);

/* tb_place_read - what @path holds, terminated, the caller's to free; *ret_mode its mode if not NULL. -ELOOP: a link.
 */
int tb_place_read(const struct tb_placing *to, const char *path, char **ret_text, mode_t *ret_mode);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The selection (agent/select.h) as the command explains it: which rules a program meets, what they say of it, and
 * whether the select file of the machine is sound.
 */
#ifndef TB_SELECTION_H
#define TB_SELECTION_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#include "agent/select.h"
#include "process.h"

/* Where a program's rules come from. Strings are borrowed; NULL or "" = none. */
struct tb_selection_sources {
    const char *root;     /* prefix under which the select file is looked up: "" or "/proc/PID/root" */
    const char *file;     /* TICKBIRD_SELECT_FILE */
    const char *includes; /* TICKBIRD_INCLUDE */
    const char *excludes; /* TICKBIRD_EXCLUDE */
};

struct tb_selection {
    bool is_out;
    char why[1024]; /* when it is */
    const char *todo;
};

/* tb_selection_here - the sources that a program started from this environment meets. */
struct tb_selection_sources tb_selection_here(void);

/* tb_selection_ask - what an observed program will decide, or has decided. */
void tb_selection_ask(const struct tb_selection_sources *sources, const struct tb_select_program *program,
                      struct tb_selection *ret);

/* tb_selection_of_program - what the program that exec would start for @argv will decide here. @program: the file that
 * it is, @binary: what the kernel loads for it, the interpreter if it is a script. */
void tb_selection_of_program(char *const *argv, const char *program, const char *binary, struct tb_selection *ret);

/* tb_selection_of_process - what @p, which has the object, has decided. */
void tb_selection_of_process(const struct tb_process *p, struct tb_selection *ret);

struct tb_selection_file {
    char path[PATH_MAX];
    bool exists;
    unsigned includes, excludes;
    char why[512]; /* not empty: it cannot be used, and nothing is observed; begins with the place */
    const char *todo;
};

/* tb_selection_file - is the select file sound? For `status` and `check-config`. @file: as in the sources. */
void tb_selection_file(const char *file, struct tb_selection_file *ret);

/*
 * tb_selection_join - append @item to the list of a variable, a ':' in it escaped. Returns 0, or -1 when the item is no
 * valid rule or the list grows too long; @ret_why says which.
 *
 * @list  the list so far, "" at first; TB_SELECT_LIST_MAX + 1 bytes
 */
int tb_selection_join(char *list, const char *item, const char **ret_why);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a program can be observed, before it is started: what stands in the way, why, and what to do about it. */
#ifndef TB_VERDICT_H
#define TB_VERDICT_H

#include "object.h"

enum tb_obstacle {
    TB_OBSTACLE_NONE,
    TB_OBSTACLE_NOT_FOUND,      /* exec would answer ENOENT */
    TB_OBSTACLE_NOT_EXECUTABLE, /* exec would answer EACCES or ENOEXEC */
    TB_OBSTACLE_UNREADABLE,     /* it may run, but this user may not look inside */
    TB_OBSTACLE_ARCHITECTURE,
    TB_OBSTACLE_STATIC,
    TB_OBSTACLE_GO,
    TB_OBSTACLE_SECURE /* AT_SECURE: the loader ignores LD_PRELOAD */
};

#define TB_NOTES_MAX 6u

struct tb_verdict {
    enum tb_obstacle obstacle;
    char program[PATH_MAX];  /* as found in PATH */
    char binary[PATH_MAX];   /* what the kernel loads in the end: the program, or a script's interpreter */
    struct tb_elf_file file; /* of the binary */
    char why[512];           /* empty when there is no obstacle */
    char todo[256];
    const char *notes[TB_NOTES_MAX]; /* static text: observable, but know this */
    size_t note_count;
};

/*
 * tb_verdict_program - judge the program that exec would start for @name (searched in PATH when it has no slash).
 * @object may be NULL: the architecture is then compared with this command's own. #! lines are followed.
 */
void tb_verdict_program(const char *name, const struct tb_object *object, struct tb_verdict *ret_verdict);

/*
 * tb_verdict_file - judge the ELF file or script open on @fd, called @path in texts; does not follow #! lines and does
 * not look for AT_SECURE (of a running process that is known better).
 */
void tb_verdict_file(int fd, const char *path, const struct tb_object *object, struct tb_verdict *ret_verdict);

/* tb_verdict_slug - one word for --json and tests: "none", "static", "go", ... */
const char *tb_verdict_slug(enum tb_obstacle obstacle);

#endif

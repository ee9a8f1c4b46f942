/* SPDX-License-Identifier: Apache-2.0 */
/* The files that make a systemd service, as far as its environment goes (systemd.unit(5), systemd.exec(5)). */
#ifndef TB_UNIT_FILES_H
#define TB_UNIT_FILES_H

#include <stdbool.h>

struct tb_unit {
    char *name;     /* with its suffix; owned */
    char *fragment; /* path of the unit's own file, without the root; NULL: there is none; owned */
    char *preload;  /* LD_PRELOAD as its files have it, without our drop-in; NULL: nobody sets it; owned */
    char *winner;   /* path of a file that sets LD_PRELOAD and wins over a drop-in called @drop_in; NULL: none; owned */
};

/* tb_unit_name - @text with `.service` if it has no suffix; the caller's to free. NULL: no name of a service. */
char *tb_unit_name(const char *text);

/*
 * tb_unit_look - reads the files of the unit @name below @root ("" = this system), where systemd looks for them.
 *
 * @drop_in  base name of our drop-in, which is left out
 *
 * Files that cannot be read count as not there. Free with tb_unit_free.
 */
void tb_unit_look(const char *root, const char *name, const char *drop_in, struct tb_unit *ret);
void tb_unit_free(struct tb_unit *unit);

#endif

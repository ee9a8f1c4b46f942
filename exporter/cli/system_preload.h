/* SPDX-License-Identifier: Apache-2.0 */
/* The text of /etc/ld.so.preload: names of objects between blanks and colons, `#` begins a comment (ld.so(8)). */
#ifndef TB_SYSTEM_PRELOAD_H
#define TB_SYSTEM_PRELOAD_H

#define TB_SYSTEM_PRELOAD "/etc/ld.so.preload"

/*
 * tb_system_preload_edit - @text without the names of Tickbird's objects, and with @line at its end unless NULL. What
 * others wrote stays byte for byte; a line on which only such a name stood goes as a whole.
 *
 * Returns a text that the caller frees. Context: pure.
 */
char *tb_system_preload_edit(const char *text, const char *line);

#endif

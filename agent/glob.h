/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Globs: `*` any run of characters, `?` one, `[a-z]` and `[!a-z]` one of a set, `\` takes the next one as it is. In a
 * path none of these matches a '/', but `**` does. Bytes, not characters of a locale. Without `**` the answer is that
 * of fnmatch(3) in the C locale (tests/unit/test_select.c).
 */
#ifndef TB_GLOB_H
#define TB_GLOB_H

#include "bytes.h"

#define TB_GLOB_MAX 255u /* bytes of a glob */

enum tb_glob_kind { TB_GLOB_TEXT, TB_GLOB_PATH };

/*
 * tb_glob_is_valid - can it be matched? Not when it is empty or too long, a bracket is open, a range is backwards, a
 * class like [:alpha:] is used, a bracket of a path holds '/', or it ends with a lone '\'.
 */
bool tb_glob_is_valid(struct tb_bytes glob, enum tb_glob_kind kind);

/*
 * tb_glob_matches - the whole of @text (NUL-terminated) by a valid glob. No recursion: at most bytes of the text times
 * bytes of the glob steps. Context: any.
 */
bool tb_glob_matches(struct tb_bytes glob, enum tb_glob_kind kind, const char *text);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names that are no identifiers (letters, digits, _, in metric names :), and what becomes of them where a format or its
 * reader has no place for them: Prometheus' escaping schemes, chosen by `escaping=` of an Accept clause. Pure.
 */
#ifndef TB_ESCAPE_H
#define TB_ESCAPE_H

#include <stdbool.h>
#include <stddef.h>

enum tb_escaping {
    TB_ESCAPE_NONE,        /* allow-utf-8: as they are */
    TB_ESCAPE_UNDERSCORES, /* what is none of those becomes _ */
    TB_ESCAPE_DOTS,        /* . becomes _dot_; _, and what else is none of those, __ */
    TB_ESCAPE_VALUES,      /* U__, then _ becomes __, what is none of those _HEX_ */
    TB_ESCAPE_COUNT
};

/* tb_escaping_name - as Accept and Content-Type have it. */
const char *tb_escaping_name(enum tb_escaping escaping);

/* tb_is_identifier - an identifier of @len bytes, not empty; with @has_colon a metric's. */
bool tb_is_identifier(const char *name, size_t len, bool has_colon);

/* tb_escape_max - upper bound of the bytes that names, or a text of labels, of @len bytes become. */
static inline size_t tb_escape_max(size_t len)
{
    return 5 * len + 3 * (len / 4 + 1); /* a label of the text has 4 bytes at least, and may begin with U__ */
}

/*
 * tb_escape_name - valid UTF-8 of @len bytes, without a NUL.
 * @to        tb_escape_max(len) bytes of room
 * @is_label  a colon is nothing that a label's name has
 * Returns the end of what was written.
 */
char *tb_escape_name(char *to, const char *name, size_t len, enum tb_escaping escaping, bool is_label);

/*
 * tb_escape_labels - text between the braces of the text format, each label's name escaped. Names that are no
 * identifiers stand there in quotes, and have no `=`; with TB_ESCAPE_NONE the quotes stay. Else as above.
 */
char *tb_escape_labels(char *to, const char *text, size_t len, enum tb_escaping escaping);

/* tb_escape_meet - would two names, in quotes or not, be one in any of the schemes? At most TB_ESCAPE_MEET bytes each.
 */
#define TB_ESCAPE_MEET 256u
#define TB_ESCAPED_MEET (5 * TB_ESCAPE_MEET + 3 * (TB_ESCAPE_MEET / 4 + 1)) /* bytes that they become */
bool tb_escape_meet(const char *a, const char *b, bool is_label);

#endif

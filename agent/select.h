/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which programs are observed: rules that include and exclude by executable and by argument, as text. Pure functions;
 * the shim asks them about its own process, the command about any.
 *
 * A filter is one source of rules: the variables TICKBIRD_INCLUDE and TICKBIRD_EXCLUDE, or the select file. A program
 * is observed when every filter lets it pass: no exclude matches, and an include matches or there is none. A rule that
 * cannot be read lets nothing pass, so that a slip never observes what was meant to be left alone.
 */
#ifndef TB_SELECT_H
#define TB_SELECT_H

#include "bytes.h"

#define TB_SELECT_FILE_MAX 4096u /* bytes of the select file */
#define TB_SELECT_LIST_MAX 1023u /* bytes of a variable */
#define TB_SELECT_RULES_MAX 64u  /* of one text */

enum tb_select_form {
    TB_SELECT_FILE,     /* lines `include exe GLOB`, `exclude arg GLOB`, `keep-code exe GLOB`, `# comment` */
    TB_SELECT_INCLUDES, /* GLOB:exe=GLOB:arg=GLOB, `\:` is no separator */
    TB_SELECT_EXCLUDES
};

struct tb_select_text {
    enum tb_select_form form;
    struct tb_bytes bytes; /* borrowed */
};

struct tb_select_filter {
    struct tb_select_text texts[2];
    size_t count; /* of texts */
};

struct tb_select_rule {
    bool is_exclude;
    bool is_keep_code;    /* neither an include nor an exclude */
    bool is_argument;     /* else about the executable */
    struct tb_bytes glob; /* valid */
    struct tb_bytes text; /* the whole rule as it stands there */
    uint32_t number;      /* its line in a file, its place in a list, from 1 */
};

struct tb_select_cursor {
    size_t at;
    uint32_t number, rules;
};

/*
 * tb_select_next - the next rule of @text. Start with a zero cursor.
 * Returns 1, 0 at the end, or -1: what is at ret->number cannot be read (ret->text is it).
 */
int tb_select_next(const struct tb_select_text *text, struct tb_select_cursor *cursor, struct tb_select_rule *ret);

struct tb_select_program {
    const char *name;        /* as it was executed (AT_EXECFN), NULL = asked before */
    const char *exe;         /* the full path of what runs, links resolved; NULL = not known yet */
    const char *const *args; /* without the name; NULL with @exe set = asked before, without = cannot be known */
    size_t arg_count;
};

enum tb_select_answer {
    TB_SELECT_IN,
    TB_SELECT_OUT,
    TB_SELECT_ASK /* only the full path can tell: ask again with exe alone */
};

enum tb_select_why {
    TB_SELECT_EXCLUDED,
    TB_SELECT_NOT_INCLUDED,
    TB_SELECT_MALFORMED,
    TB_SELECT_NO_ARGUMENTS /* there are rules about arguments, and they cannot be found */
};

/* What made a program be left out. */
struct tb_select_reason {
    enum tb_select_why why;
    size_t filter, text;        /* where */
    struct tb_select_rule rule; /* not for NOT_INCLUDED and NO_ARGUMENTS */
};

/*
 * tb_select_decide - is @program observed?
 *
 * @included  one bit a filter that has an include that matches; 0 at first, kept between the two questions
 */
enum tb_select_answer tb_select_decide(const struct tb_select_filter *filters, size_t count,
                                       const struct tb_select_program *program, uint32_t *included,
                                       struct tb_select_reason *ret_reason);

/*
 * tb_select_keeps_code - is @program, which is observed, one whose code may not be changed (shim/inline.h)? All of it
 * is to be known; what is not known (NULL) may not be changed where a rule asks for it.
 */
bool tb_select_keeps_code(const struct tb_select_filter *filters, size_t count,
                          const struct tb_select_program *program);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The selection's rules (select.h): reading them out of a file's or a variable's text, and asking them about a program.
 * Nothing is kept: a text is at most 4 KiB and is read once or twice in the life of a process.
 */
#include "select.h"

#include "glob.h"

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static struct tb_bytes trim(struct tb_bytes text)
{
    while (text.len && is_blank(text.ptr[0]))
        text.ptr++, text.len--;
    while (text.len && is_blank(text.ptr[text.len - 1]))
        text.len--;
    return text;
}

static bool has_slash(struct tb_bytes text)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] == '/')
            return true;
    return false;
}

/* Takes @word and the blanks behind it from the front of @text. */
static bool take_word(struct tb_bytes *text, const char *word)
{
    size_t len = tb_strnlen(word, 16);
    if (text->len <= len || !tb_equal(text->ptr, word, len) || !is_blank(text->ptr[len]))
        return false;
    *text = trim(tb_bytes(text->ptr + len, text->len - len));
    return true;
}

static bool take_prefix(struct tb_bytes *text, const char *prefix)
{
    size_t len = tb_strnlen(prefix, 16);
    if (text->len < len || !tb_equal(text->ptr, prefix, len))
        return false;
    *text = tb_bytes(text->ptr + len, text->len - len);
    return true;
}

/* A path that neither begins at the root nor with a wildcard could match nothing: it is a slip. */
static bool is_usable(const struct tb_select_rule *rule)
{
    if (rule->is_argument || !has_slash(rule->glob))
        return tb_glob_is_valid(rule->glob, TB_GLOB_TEXT);
    return tb_glob_is_valid(rule->glob, TB_GLOB_PATH) && (rule->glob.ptr[0] == '/' || rule->glob.ptr[0] == '*');
}

/* The bytes of the next line or list item; the cursor moves behind it. */
static struct tb_bytes next_piece(const struct tb_select_text *text, struct tb_select_cursor *cursor)
{
    const uint8_t *from = text->bytes.ptr + cursor->at;
    size_t left = text->bytes.len - cursor->at, len = 0;
    bool is_list = text->form != TB_SELECT_FILE;

    while (len < left && from[len] != (is_list ? ':' : '\n'))
        len += is_list && from[len] == '\\' && len + 1 < left ? 2 : 1;
    cursor->at += len + (len < left);
    cursor->number++;
    return tb_bytes(from, len);
}

/* Of a line that is neither empty nor a comment. */
static bool read_line(struct tb_bytes line, struct tb_select_rule *rule)
{
    rule->is_exclude = take_word(&line, "exclude");
    rule->is_keep_code = !rule->is_exclude && take_word(&line, "keep-code");
    if (!rule->is_exclude && !rule->is_keep_code && !take_word(&line, "include"))
        return false;
    rule->is_argument = take_word(&line, "arg");
    if (!rule->is_argument && !take_word(&line, "exe"))
        return false;
    rule->glob = line;
    return is_usable(rule);
}

static bool read_item(struct tb_bytes item, enum tb_select_form form, struct tb_select_rule *rule)
{
    rule->is_exclude = form == TB_SELECT_EXCLUDES;
    rule->is_keep_code = false;
    rule->is_argument = take_prefix(&item, "arg=");
    if (!rule->is_argument)
        (void)take_prefix(&item, "exe=");
    rule->glob = item;
    return is_usable(rule);
}

int tb_select_next(const struct tb_select_text *text, struct tb_select_cursor *cursor, struct tb_select_rule *ret)
{
    while (cursor->at < text->bytes.len) {
        struct tb_bytes piece = next_piece(text, cursor);
        bool is_file = text->form == TB_SELECT_FILE;
        if (is_file)
            piece = trim(piece);
        ret->text = piece;
        ret->number = cursor->number;
        if (piece.len == 0 || (is_file && piece.ptr[0] == '#'))
            continue;
        if (++cursor->rules > TB_SELECT_RULES_MAX ||
            !(is_file ? read_line(piece, ret) : read_item(piece, text->form, ret)))
            return -1;
        return 1;
    }
    return 0;
}

/* By the full path when the glob is one, else by the last part of the name. */
static bool is_executable(struct tb_bytes glob, const char *path)
{
    const char *base = path;
    if (has_slash(glob))
        return path[0] == '/' && tb_glob_matches(glob, TB_GLOB_PATH, path);
    for (const char *c = path; *c; c++)
        if (*c == '/')
            base = c + 1;
    return tb_glob_matches(glob, TB_GLOB_TEXT, base);
}

static bool is_match(const struct tb_select_rule *rule, const struct tb_select_program *program)
{
    if (!rule->is_argument)
        return (program->name && is_executable(rule->glob, program->name)) ||
               (program->exe && is_executable(rule->glob, program->exe));
    for (size_t i = 0; program->args && i < program->arg_count; i++)
        if (tb_glob_matches(rule->glob, TB_GLOB_TEXT, program->args[i]))
            return true;
    return false;
}

/* What the rules of one filter say so far. */
struct outcome {
    bool has_include, is_included;
    bool may_exclude, may_include; /* by the full path, which is not known yet */
};

static enum tb_select_answer out(struct tb_select_reason *reason, enum tb_select_why why)
{
    reason->why = why;
    return TB_SELECT_OUT;
}

/* All rules of one text; OUT as soon as it is certain. */
static enum tb_select_answer ask_text(const struct tb_select_text *text, const struct tb_select_program *program,
                                      struct outcome *outcome, struct tb_select_reason *reason)
{
    struct tb_select_cursor cursor = {0};
    int got;

    while ((got = tb_select_next(text, &cursor, &reason->rule)) > 0) {
        const struct tb_select_rule *rule = &reason->rule;
        if (rule->is_keep_code)
            continue;
        if (rule->is_argument && !program->args && !program->exe)
            return out(reason, TB_SELECT_NO_ARGUMENTS);
        bool matches = is_match(rule, program), may = !matches && !rule->is_argument && !program->exe;
        if (rule->is_exclude && matches)
            return out(reason, TB_SELECT_EXCLUDED);
        outcome->has_include |= !rule->is_exclude;
        outcome->is_included |= !rule->is_exclude && matches;
        outcome->may_exclude |= rule->is_exclude && may;
        outcome->may_include |= !rule->is_exclude && may;
    }
    return got < 0 ? out(reason, TB_SELECT_MALFORMED) : TB_SELECT_IN;
}

enum tb_select_answer tb_select_decide(const struct tb_select_filter *filters, size_t count,
                                       const struct tb_select_program *program, uint32_t *included,
                                       struct tb_select_reason *ret_reason)
{
    enum tb_select_answer answer = TB_SELECT_IN;

    for (size_t i = 0; i < count; i++) {
        struct outcome outcome = {.is_included = *included >> i & 1};
        ret_reason->filter = i;
        for (size_t t = 0; t < filters[i].count; t++) {
            ret_reason->text = t;
            if (ask_text(&filters[i].texts[t], program, &outcome, ret_reason) == TB_SELECT_OUT)
                return TB_SELECT_OUT;
        }
        if (outcome.has_include && !outcome.is_included && !outcome.may_include)
            return out(ret_reason, TB_SELECT_NOT_INCLUDED);
        if (outcome.is_included)
            *included |= 1u << i;
        if (outcome.may_exclude || (outcome.has_include && !outcome.is_included))
            answer = TB_SELECT_ASK;
    }
    return answer;
}

bool tb_select_keeps_code(const struct tb_select_filter *filters, size_t count, const struct tb_select_program *program)
{
    for (size_t i = 0; i < count; i++) {
        for (size_t t = 0; t < filters[i].count; t++) {
            struct tb_select_cursor cursor = {0};
            struct tb_select_rule rule;
            while (tb_select_next(&filters[i].texts[t], &cursor, &rule) > 0) {
                bool is_known = rule.is_argument ? program->args != NULL : program->name && program->exe;
                if (rule.is_keep_code && (!is_known || is_match(&rule, program)))
                    return true;
            }
        }
    }
    return false;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes the selection's rules: any text, as a file and as a list, about any program. Nothing outside of the text is
 * read (the input is a copy of its exact size), the two questions of a process give the answer that one question gives,
 * and a text that cannot be read lets nothing pass.
 *
 * Input: the text, a NUL, the program's name, a NUL, its path, a NUL, one argument.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "select.h"

static void require(bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "%s\n", what);
    abort();
}

static bool is_readable(const struct tb_select_text *text)
{
    struct tb_select_cursor cursor = {0};
    struct tb_select_rule rule;
    int got;
    while ((got = tb_select_next(text, &cursor, &rule)) > 0)
        require(rule.glob.len && rule.glob.ptr >= text->bytes.ptr &&
                    rule.glob.ptr + rule.glob.len <= text->bytes.ptr + text->bytes.len,
                "a glob outside of its text");
    return got == 0;
}

static void ask(enum tb_select_form form, const uint8_t *bytes, size_t len, const char *const *words)
{
    struct tb_select_filter filter = {{{form, tb_bytes(bytes, len)}}, 1};
    struct tb_select_program all = {words[0], words[1], &words[2], 1}, first = {words[0], NULL, &words[2], 1},
                             second = {NULL, words[1], NULL, 0};
    struct tb_select_reason reason;
    uint32_t bits = 0, two_bits = 0;
    enum tb_select_answer one = tb_select_decide(&filter, 1, &all, &bits, &reason),
                          two = tb_select_decide(&filter, 1, &first, &two_bits, &reason);
    require(one != TB_SELECT_ASK, "asked although all is known");
    if (two == TB_SELECT_ASK)
        two = tb_select_decide(&filter, 1, &second, &two_bits, &reason);
    require(one == two, "two questions differ from one");
    require(!tb_select_keeps_code(&filter, 1, &all) || form == TB_SELECT_FILE, "a list about code");
    require(one == TB_SELECT_OUT || is_readable(&filter.texts[0]), "an unreadable text lets pass");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *words[3] = {"", "/", ""};
    char *copy = malloc(size + 1);
    size_t len = 0, found = 0;
    memcpy(copy, data, size);
    copy[size] = 0;
    while (len < size && data[len])
        len++;
    for (size_t at = len + 1; at < size && found < 3; at += strlen(copy + at) + 1)
        words[found++] = copy + at;
    uint8_t *text = malloc(len ? len : 1);
    memcpy(text, data, len);
    ask(TB_SELECT_FILE, text, len, words);
    ask(TB_SELECT_INCLUDES, text, len, words);
    ask(TB_SELECT_EXCLUDES, text, len, words);
    free(text);
    free(copy);
    return 0;
}

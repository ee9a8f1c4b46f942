/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages, options and safe text for the verbs of the command. No verb's own knowledge is here.
 *
 * Entry points: tb_cli_message, tb_cli_option, tb_cli_number, tb_cli_text.
 */
#include "cli.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define MESSAGE_MAX 2048u /* bytes; a longer message is cut */

/* Bytes of the UTF-8 sequence at @s (RFC 3629: shortest form, no surrogates), 0 when it is none. Stops at the NUL. */
static size_t sequence_length(const unsigned char *s)
{
    static const struct {
        unsigned char first, last, low, high; /* lead byte range, and range of the second byte */
        unsigned char len;
    } forms[] = {{0x20, 0x7e, 0, 0, 1},       {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
                 {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
                 {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4}};
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        if (s[0] < forms[i].first || s[0] > forms[i].last)
            continue;
        if (forms[i].len > 1 && (s[1] < forms[i].low || s[1] > forms[i].high))
            return 0;
        for (size_t k = 2; k < forms[i].len; k++)
            if (s[k] < 0x80 || s[k] > 0xbf)
                return 0;
        return forms[i].len;
    }
    return 0;
}

const char *tb_cli_text(char *buffer, size_t size, const char *text)
{
    const unsigned char *in = (const unsigned char *)text;
    size_t at = 0;
    while (*in) {
        size_t len = sequence_length(in);
        /* U+0080..U+009F are controls too (C1). */
        bool is_c1 = len == 2 && in[0] == 0xc2 && in[1] < 0xa0;
        if (at + (len ? len : 1) >= size)
            break;
        if (!len || is_c1) {
            buffer[at++] = '?';
            in += len ? len : 1;
            continue;
        }
        memcpy(buffer + at, in, len);
        at += len;
        in += len;
    }
    buffer[at] = 0;
    return buffer;
}

void tb_cli_message(const char *format, ...)
{
    char raw[MESSAGE_MAX], clean[MESSAGE_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(raw, sizeof(raw), format, args);
    va_end(args);
    fprintf(stderr, "tickbird: %s\n", tb_cli_text(clean, sizeof(clean), raw));
}

int tb_cli_option(int argc, char **argv, const char *letters, const struct option *options)
{
    char spec[64];
    /* ':' behind a leading '+' makes getopt tell a missing argument from an unknown option, without its own text. */
    bool stops = letters[0] == '+';
    snprintf(spec, sizeof(spec), "%s:%s", stops ? "+" : "", stops ? letters + 1 : letters);
    opterr = 0;
    int got = getopt_long(argc, argv, spec, options, NULL);
    if (got != '?' && got != ':') {
        /* `--service -- PROGRAM`: the end of the options is nobody's value */
        if (got < 0 || !optarg || optarg != argv[optind - 1] || strcmp(optarg, "--") != 0)
            return got;
        tb_cli_message("%s: its value is missing: see tickbird %s --help", argv[optind - 2], argv[0]);
        return TB_OPTION_BAD;
    }
    /* A long option was stepped over already; of a short one only its letter is known. */
    char letter[3] = {'-', (char)optopt, 0};
    const char *word = argv[optind - 1];
    bool is_long = word[0] == '-' && word[1] == '-';
    if (!is_long)
        word = letter;
    const char *why = got == ':' ? "its value is missing" : is_long && optopt ? "it takes no value" : "no such option";
    tb_cli_message("%s: %s: see tickbird %s --help", word, why, argv[0]);
    return TB_OPTION_BAD;
}

int tb_cli_operands(int argc, char **argv)
{
    if (optind >= argc)
        return 0;
    tb_cli_message("%s: %s takes no operand: see tickbird %s --help", argv[optind], argv[0], argv[0]);
    return -1;
}

int tb_cli_number(const char *what, const char *text, unsigned long min, unsigned long max, unsigned long *ret_number)
{
    char *end = NULL;
    errno = 0;
    unsigned long number = strtoul(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end || errno || number < min || number > max) {
        tb_cli_message("%s: '%s' is not a number from %lu to %lu: give one", what, text, min, max);
        return -1;
    }
    *ret_number = number;
    return 0;
}

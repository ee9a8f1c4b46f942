/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes out: the growing buffer of the renderers, numbers in decimal without printf (a scrape writes some hundred
 * thousand of them), label escaping, and the repair of hostile text into valid UTF-8.
 */
#include "buffer.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void tb_out_of_memory(size_t len)
{
    fprintf(stderr, "tickbird: no memory: %zu bytes asked for: raise the memory limit of this process\n", len);
    exit(1);
}

void *tb_alloc(size_t len)
{
    void *p = calloc(1, len ? len : 1);
    if (!p)
        tb_out_of_memory(len);
    return p;
}

void *tb_realloc(void *old, size_t len)
{
    void *p = realloc(old, len ? len : 1);
    if (!p)
        tb_out_of_memory(len);
    return p;
}

char *tb_strndup(const char *s, size_t n)
{
    char *p = tb_alloc(n + 1);
    memcpy(p, s, n);
    return p;
}

char *tb_format(const char *format, ...)
{
    va_list args;
    char *text = NULL;
    va_start(args, format);
    if (vasprintf(&text, format, args) < 0)
        tb_out_of_memory(strlen(format));
    va_end(args);
    return text;
}

int tb_write_all(int fd, const char *data, size_t len)
{
    while (len) {
        ssize_t n = write(fd, data, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -EIO;
        data += n;
        len -= (size_t)n;
    }
    return 0;
}

void *tb_grow(void *items, size_t count, size_t *space, size_t size)
{
    if (count < *space)
        return items;
    *space = *space ? *space * 2 : 16;
    return tb_realloc(items, *space * size);
}

void tb_buffer_free(struct tb_buffer *b)
{
    free(b->data);
    *b = (struct tb_buffer){0};
}

char *tb_buffer_text(struct tb_buffer *b)
{
    tb_put(b, "", 1);
    char *text = tb_realloc(b->data, b->len);
    *b = (struct tb_buffer){0};
    return text;
}

void tb_buffer_grow(struct tb_buffer *b, size_t more)
{
    size_t space = b->space ? b->space : 4096;
    while (space - b->len < more)
        space *= 2;
    b->data = tb_realloc(b->data, space);
    b->space = space;
}

char *tb_write_long(char *to, uint64_t n)
{
    static const char pairs[] =
        "00010203040506070809101112131415161718192021222324252627282930313233343536373839404142434445464748"
        "49505152535455565758596061626364656667686970717273747576777879808182838485868788899091929394959697"
        "9899";
    char digits[TB_U64_MAX];
    size_t at = sizeof digits;
    while (n >= 100) {
        at -= 2;
        memcpy(digits + at, pairs + n % 100 * 2, 2);
        n /= 100;
    }
    if (n >= 10) {
        at -= 2;
        memcpy(digits + at, pairs + n * 2, 2);
    } else {
        digits[--at] = (char)('0' + n);
    }
    memcpy(to, digits + at, sizeof digits - at);
    return to + (sizeof digits - at);
}

void tb_put_u64(struct tb_buffer *b, uint64_t n)
{
    char *to = tb_buffer_room(b, TB_U64_MAX);
    b->len += (size_t)(tb_write_u64(to, n) - to);
}

void tb_put_decimal(struct tb_buffer *b, uint64_t n, unsigned decimals)
{
    static const uint32_t powers[] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000, 1000000000};
    uint32_t rest = (uint32_t)(n % powers[decimals]);
    tb_put_u64(b, n / powers[decimals]);
    if (!rest)
        return;
    char text[10] = ".";
    size_t len = decimals + 1;
    for (size_t i = decimals; i > 0; i--, rest /= 10)
        text[i] = (char)('0' + rest % 10);
    while (text[len - 1] == '0')
        len--;
    tb_put(b, text, len);
}

void tb_put_real(struct tb_buffer *b, double value)
{
    char text[32] = "NaN";
    if (isinf(value))
        memcpy(text, value < 0 ? "-Inf" : "+Inf", 5);
    else if (!isnan(value))
        for (int digits = 15; digits <= 17; digits++) {
            snprintf(text, sizeof text, "%.*g", digits, value);
            if (digits == 17 || strtod(text, NULL) == value)
                break;
        }
    tb_puts(b, text);
}

void tb_put_escaped(struct tb_buffer *b, const char *text, size_t len)
{
    char *to = tb_buffer_room(b, len * 2), *start = to;
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        if (c == '\\' || c == '"' || c == '\n') {
            *to++ = '\\';
            if (c == '\n')
                c = 'n';
        }
        *to++ = c;
    }
    b->len += (size_t)(to - start);
}

/* Length of the valid UTF-8 sequence at @s (RFC 3629: no overlong forms, no surrogates, up to U+10FFFF), 0 if none. */
static size_t utf8_length(const unsigned char *s, size_t len)
{
    static const struct {
        unsigned char first_low, first_high, second_low, second_high;
        size_t length;
    } forms[] = {
        {0x01, 0x7f, 0, 0xff, 1},    {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
        {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
        {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
    };
    for (size_t f = 0; f < sizeof forms / sizeof *forms; f++) {
        if (s[0] < forms[f].first_low || s[0] > forms[f].first_high)
            continue;
        if (forms[f].length > len)
            return 0;
        if (forms[f].length > 1 && (s[1] < forms[f].second_low || s[1] > forms[f].second_high))
            return 0;
        for (size_t i = 2; i < forms[f].length; i++)
            if ((s[i] & 0xc0) != 0x80)
                return 0;
        return forms[f].length;
    }
    return 0;
}

char *tb_label_clean(const char *bytes, size_t len)
{
    struct tb_buffer b = {0};
    char *clean = tb_utf8_clean(bytes, len);
    for (const unsigned char *p = (const unsigned char *)clean; *p; p++) {
        bool is_c1 = p[0] == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0;
        if (*p >= 0x20 && *p != 0x7f && !is_c1) {
            tb_put(&b, (const char *)p, 1);
            continue;
        }
        tb_put(&b, "\xef\xbf\xbd", 3);
        p += is_c1;
    }
    free(clean);
    return tb_buffer_text(&b);
}

char *tb_utf8_clean(const char *bytes, size_t len)
{
    struct tb_buffer b = {0};
    tb_buffer_grow(&b, len + 1);
    for (size_t i = 0; i < len;) {
        size_t n = utf8_length((const unsigned char *)bytes + i, len - i);
        if (n)
            tb_put(&b, bytes + i, n);
        else
            tb_put(&b, "\xef\xbf\xbd", 3);
        i += n ? n : 1;
    }
    return tb_buffer_text(&b);
}

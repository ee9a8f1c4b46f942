/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A growing buffer that renderers write into, writing bytes out, and checked allocation. Running out of memory ends the
 * process (exit 1 with one line): nothing in the exporter could go on truthfully without it.
 */
#ifndef TB_BUFFER_H
#define TB_BUFFER_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* tb_out_of_memory - ends the process: there is no room for @len bytes. */
void tb_out_of_memory(size_t len) __attribute__((noreturn));

void *tb_alloc(size_t len);                /* zeroed */
void *tb_realloc(void *old, size_t len);   /* what is new is not zeroed */
char *tb_strndup(const char *s, size_t n); /* exactly n bytes and a NUL */
char *tb_format(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* tb_grow - room for one more element of @size bytes in the array *@items of @count; doubles *@space. */
void *tb_grow(void *items, size_t count, size_t *space, size_t size);

struct tb_buffer {
    char *data; /* owned; NULL while empty */
    size_t len;
    size_t space;
};

void tb_buffer_free(struct tb_buffer *b);
/* tb_buffer_text - what is in it, terminated, in memory of just that size: the caller's to free. The buffer is empty
 * then. */
char *tb_buffer_text(struct tb_buffer *b);
void tb_buffer_grow(struct tb_buffer *b, size_t more);

/* tb_write_all - write @len bytes of @data to @fd, in several calls if need be. Returns 0, or -errno when some are not
 * written. */
int tb_write_all(int fd, const char *data, size_t len);

/* tb_buffer_room - where the next bytes go; there is room for @len. The caller raises b->len. */
static inline char *tb_buffer_room(struct tb_buffer *b, size_t len)
{
    if (__builtin_expect(b->space - b->len < len, 0))
        tb_buffer_grow(b, len);
    return b->data + b->len;
}

static inline void tb_put(struct tb_buffer *b, const char *text, size_t len)
{
    if (!len)
        return; /* nothing may have no place yet */
    memcpy(tb_buffer_room(b, len), text, len);
    b->len += len;
}

static inline void tb_puts(struct tb_buffer *b, const char *text)
{
    tb_put(b, text, strlen(text));
}

#define TB_U64_MAX 20u /* digits of 2^64 - 1 */
char *tb_write_long(char *to, uint64_t n);
/* tb_write_u64 - @n in decimal at @to, which has room for TB_U64_MAX. Returns its end. */
static inline char *tb_write_u64(char *to, uint64_t n)
{
    if (n >= 10)
        return tb_write_long(to, n);
    *to = (char)('0' + n);
    return to + 1;
}

void tb_put_u64(struct tb_buffer *b, uint64_t n);
/* tb_put_decimal - @n times 10^-@decimals (at most 9), exact, without trailing zeros: 0.0025, 3, 1.5. */
void tb_put_decimal(struct tb_buffer *b, uint64_t n, unsigned decimals);
static inline void tb_put_seconds(struct tb_buffer *b, uint64_t ns)
{
    tb_put_decimal(b, ns, 9);
}
/* tb_put_real - the shortest decimal that reads as @value again; NaN, +Inf, -Inf. */
void tb_put_real(struct tb_buffer *b, double value);
/* tb_put_escaped - a label value: backslash, quote and line feed escaped. */
void tb_put_escaped(struct tb_buffer *b, const char *text, size_t len);

/*
 * tb_label_clean - the same with control characters replaced as well (U+0000..1F, U+007F..9F): what a stranger put into
 * a region reaches terminals. Owned by the caller.
 */
char *tb_label_clean(const char *bytes, size_t len);

/* tb_utf8_clean - copy of @len bytes with every byte that is no part of valid UTF-8, and every NUL, replaced by U+FFFD.
 * The caller's to free. */
char *tb_utf8_clean(const char *bytes, size_t len);

#endif

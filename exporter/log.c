/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Log lines: time, level, message and pairs, each line one write to stderr so that lines of several processes on one
 * pipe do not mix. Values are quoted and control characters escaped: a region's bytes cannot forge a line.
 */
#include "log.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "buffer.h"

static enum tb_log_level least_level = TB_LOG_INFO;
static enum tb_log_format line_format = TB_LOG_LOGFMT;

void tb_log_setup(enum tb_log_level least, enum tb_log_format format)
{
    least_level = least;
    line_format = format;
}

static void put_quoted(struct tb_buffer *b, const char *text)
{
    char *clean = tb_utf8_clean(text, strlen(text)); /* JSON must be valid UTF-8 */
    tb_puts(b, "\"");
    for (const unsigned char *p = (const unsigned char *)clean; *p; p++) {
        char code[8];
        bool is_c1 = p[0] == 0xc2 && p[1] < 0xa0; /* controls, too */
        if (*p < 0x20 || *p == 0x7f || is_c1) {
            p += is_c1;
            snprintf(code, sizeof code, "\\u%04x", *p);
            tb_puts(b, code);
        } else {
            if (*p == '"' || *p == '\\')
                tb_puts(b, "\\");
            tb_put(b, (const char *)p, 1);
        }
    }
    tb_puts(b, "\"");
    free(clean);
}

/* A value that needs no quotes. What a stranger named (a file in a region directory) may hold any byte. */
static bool is_plain(const char *value)
{
    const unsigned char *p = (const unsigned char *)value;
    while (*p > ' ' && *p < 0x7f && *p != '"' && *p != '=' && *p != '\\')
        p++;
    return p != (const unsigned char *)value && !*p;
}

static void put_pair(struct tb_buffer *b, const char *key, const char *value)
{
    if (line_format == TB_LOG_JSON) {
        tb_puts(b, b->len ? "," : "{");
        put_quoted(b, key);
        tb_puts(b, ":");
        put_quoted(b, value);
        return;
    }
    if (b->len)
        tb_puts(b, " ");
    tb_puts(b, key);
    tb_puts(b, "=");
    if (is_plain(value))
        tb_puts(b, value);
    else
        put_quoted(b, value);
}

void tb_log(enum tb_log_level level, const char *msg, ...)
{
    static const char *const names[] = {"debug", "info", "warn", "error"};
    if (level < least_level)
        return;
    struct timespec now;
    struct tm parts;
    char when[40];
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &parts);
    size_t at = strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%S", &parts);
    snprintf(when + at, sizeof when - at, ".%03ldZ", now.tv_nsec / 1000000);

    struct tb_buffer b = {0};
    put_pair(&b, "time", when);
    put_pair(&b, "level", names[level]);
    put_pair(&b, "msg", msg);
    va_list args;
    va_start(args, msg);
    for (const char *key; (key = va_arg(args, const char *));)
        put_pair(&b, key, va_arg(args, const char *));
    va_end(args);
    tb_puts(&b, line_format == TB_LOG_JSON ? "}\n" : "\n");
    if (write(STDERR_FILENO, b.data, b.len) < 0) {
        /* Nobody reads stderr: there is no other place to say so. */
    }
    tb_buffer_free(&b);
}

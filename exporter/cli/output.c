/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Prints tables and JSON. It knows nothing of regions or services; the verbs say what goes into a row.
 *
 * Entry points: tb_table_*, tb_json_*, tb_text_*.
 */
#include "output.h"
#include "cli.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "exporter/buffer.h"

#define CELL_MAX 1024u

/* Columns that a text takes on a terminal, counting each character as one. */
static size_t width_of(const char *text)
{
    size_t width = 0;
    for (; *text; text++)
        width += ((unsigned char)*text & 0xc0) != 0x80;
    return width;
}

void tb_table_cell(struct tb_table *table, const char *format, ...)
{
    char raw[CELL_MAX], clean[CELL_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(raw, sizeof(raw), format, args);
    va_end(args);
    tb_cli_text(clean, sizeof(clean), raw);
    table->cells = tb_grow(table->cells, table->count, &table->space, sizeof(*table->cells));
    table->cells[table->count++] = tb_strndup(clean, strlen(clean));
}

static void print_cell(const char *text, size_t width, bool is_right, bool is_last)
{
    int pad = (int)(width - width_of(text));
    if (is_right)
        printf("%*s%s%s", pad, "", text, is_last ? "\n" : "  ");
    else if (is_last)
        printf("%s\n", text);
    else
        printf("%s%*s  ", text, pad, "");
}

void tb_table_print(struct tb_table *table)
{
    size_t widths[TB_COLUMNS_MAX] = {0}, columns = table->columns;
    for (size_t c = 0; c < columns; c++)
        widths[c] = width_of(table->headings[c] + (table->headings[c][0] == '>'));
    if (!columns || !table->count)
        return;
    for (size_t i = 0; i < table->count; i++)
        if (width_of(table->cells[i]) > widths[i % columns])
            widths[i % columns] = width_of(table->cells[i]);
    for (size_t c = 0; c < columns; c++) {
        bool is_right = table->headings[c][0] == '>';
        print_cell(table->headings[c] + is_right, widths[c], is_right, c + 1 == columns);
    }
    for (size_t i = 0; i < table->count; i++) {
        size_t c = i % columns;
        print_cell(table->cells[i], widths[c], table->headings[c][0] == '>', c + 1 == columns);
        free(table->cells[i]);
    }
    free(table->cells);
    table->cells = NULL;
    table->count = table->space = 0;
}

static void put_text(const char *value)
{
    size_t len = strlen(value) + 1;
    char *clean = tb_alloc(len + 1);
    tb_cli_text(clean, len + 1, value);
    putchar('"');
    for (const char *c = clean; *c; c++) {
        if (*c == '"' || *c == '\\')
            putchar('\\');
        putchar(*c);
    }
    putchar('"');
    free(clean);
}

static void begin(struct tb_json *json, const char *name)
{
    if (json->needs_comma)
        putchar(',');
    json->needs_comma = true;
    if (name) {
        put_text(name);
        putchar(':');
    }
}

void tb_json_open(struct tb_json *json, const char *name, char bracket)
{
    begin(json, name);
    putchar(bracket);
    json->needs_comma = false;
}

void tb_json_close(struct tb_json *json, char bracket)
{
    putchar(bracket);
    json->needs_comma = true;
}

void tb_json_string(struct tb_json *json, const char *name, const char *value)
{
    begin(json, name);
    put_text(value);
}

void tb_json_number(struct tb_json *json, const char *name, uint64_t value)
{
    begin(json, name);
    printf("%" PRIu64, value);
}

void tb_json_seconds(struct tb_json *json, const char *name, uint64_t ns)
{
    begin(json, name);
    printf("%" PRIu64 ".%09" PRIu64, ns / 1000000000u, ns % 1000000000u);
}

void tb_json_bool(struct tb_json *json, const char *name, bool value)
{
    begin(json, name);
    fputs(value ? "true" : "false", stdout);
}

void tb_json_time(struct tb_json *json, const char *name, uint64_t realtime_ns)
{
    char text[TB_TEXT_SMALL];
    struct tm tm;
    time_t seconds = (time_t)(realtime_ns / 1000000000u);
    if (realtime_ns && gmtime_r(&seconds, &tm) && strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm)) {
        tb_json_string(json, name, text);
        return;
    }
    begin(json, name);
    fputs("null", stdout);
}

const char *tb_text_time(char buffer[TB_TEXT_SMALL], uint64_t realtime_ns)
{
    struct tm tm;
    time_t seconds = (time_t)(realtime_ns / 1000000000u);
    if (!realtime_ns || !localtime_r(&seconds, &tm) || !strftime(buffer, TB_TEXT_SMALL, "%Y-%m-%d %H:%M:%S", &tm))
        snprintf(buffer, TB_TEXT_SMALL, "-");
    return buffer;
}

const char *tb_text_duration(char buffer[TB_TEXT_SMALL], uint64_t ns)
{
    double seconds = (double)ns / 1e9;
    if (!ns)
        snprintf(buffer, TB_TEXT_SMALL, "-");
    else if (seconds < 1)
        snprintf(buffer, TB_TEXT_SMALL, "%.3g ms", seconds * 1e3);
    else if (seconds < 120)
        snprintf(buffer, TB_TEXT_SMALL, "%.1f s", seconds);
    else if (seconds < 7200)
        snprintf(buffer, TB_TEXT_SMALL, "%.0f min", seconds / 60);
    else
        snprintf(buffer, TB_TEXT_SMALL, "%.1f h", seconds / 3600);
    return buffer;
}

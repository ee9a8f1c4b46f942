/* SPDX-License-Identifier: Apache-2.0 */
/* Tables and JSON on standard output, and the words for numbers and times in them. */
#ifndef TB_OUTPUT_H
#define TB_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TB_COLUMNS_MAX 12u

/* A table whose columns are as wide as their content. Cells are copied and made safe for a terminal. */
struct tb_table {
    size_t columns;
    const char *headings[TB_COLUMNS_MAX]; /* borrowed; a leading '>' aligns the column to the right */
    char **cells;
    size_t count, space;
};

void tb_table_cell(struct tb_table *table, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* tb_table_print - print and empty it. A table without rows prints nothing. */
void tb_table_print(struct tb_table *table);

/*
 * JSON: each call writes one member or element; commas come by themselves. @name NULL inside an array. Strings may
 * hold any bytes: what is no UTF-8 becomes '?'.
 */
struct tb_json {
    bool needs_comma;
};
void tb_json_open(struct tb_json *json, const char *name, char bracket); /* '{' or '[' */
void tb_json_close(struct tb_json *json, char bracket);                  /* '}' or ']' */
void tb_json_string(struct tb_json *json, const char *name, const char *value);
void tb_json_number(struct tb_json *json, const char *name, uint64_t value);
void tb_json_seconds(struct tb_json *json, const char *name, uint64_t ns);
void tb_json_bool(struct tb_json *json, const char *name, bool value);
void tb_json_time(struct tb_json *json, const char *name, uint64_t realtime_ns); /* RFC 3339, UTC; null for 0 */

#define TB_TEXT_SMALL 48u
/* "2026-11-22 13:00:01" in local time, "-" for 0. Returns @buffer. */
const char *tb_text_time(char buffer[TB_TEXT_SMALL], uint64_t realtime_ns);
/* "12.3 ms", "4.5 s", "3 min"; "-" for 0. Returns @buffer. */
const char *tb_text_duration(char buffer[TB_TEXT_SMALL], uint64_t ns);

#endif

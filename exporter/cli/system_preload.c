/* SPDX-License-Identifier: Apache-2.0 */
/* Editing the text of /etc/ld.so.preload (system_preload.h). */
#include "system_preload.h"
#include "object.h"

#include "exporter/buffer.h"

#include <stdbool.h>
#include <string.h>

static const char separators[] = " \t:";

/* One line, without its line feed, without our names. Returns whether anything is to be written. */
static bool keep_line(struct tb_buffer *out, const char *line, size_t len)
{
    size_t began = out->len, at = 0;
    bool has_ours = false, has_other = false;
    while (at < len && line[at] != '#') {
        size_t blanks = strspn(line + at, separators);
        blanks = blanks < len - at ? blanks : len - at;
        size_t word = at + blanks, end = word;
        while (end < len && line[end] != '#' && !strchr(separators, line[end]))
            end++;
        bool is_ours = end > word && tb_object_is_name(line + word, end - word);
        has_ours |= is_ours;
        has_other |= end > word && !is_ours;
        if (!is_ours)
            tb_put(out, line + at, end - at);
        at = end;
    }
    tb_put(out, line + at, len - at); /* a comment */
    bool is_only_ours = has_ours && !has_other && at == len;
    if (is_only_ours)
        out->len = began;
    return !is_only_ours;
}

char *tb_system_preload_edit(const char *text, const char *line)
{
    struct tb_buffer out = {0};
    while (*text) {
        size_t len = strcspn(text, "\n");
        bool has_end = text[len] == '\n';
        if (keep_line(&out, text, len) && has_end)
            tb_put(&out, "\n", 1);
        text += len + has_end;
    }
    if (line) {
        if (out.len && out.data[out.len - 1] != '\n')
            tb_put(&out, "\n", 1);
        tb_puts(&out, line);
        tb_put(&out, "\n", 1);
    }
    return tb_buffer_text(&out);
}

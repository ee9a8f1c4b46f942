/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names and labels of a program's own metrics, checked and put together as text (own.h). Strings are the program's:
 * read up to their greatest length, once.
 */
#include "own.h"
#include "pick.h"

struct label {
    struct tb_bytes name, value;
};

static bool is_letter(uint8_t c)
{
    return (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
}

/* An identifier of at most TB_OWN_NAME_MAX bytes; @has_colons: of a metric. */
static bool is_name(struct tb_bytes name, bool has_colons)
{
    if (!name.len || name.len > TB_OWN_NAME_MAX)
        return false;
    for (size_t i = 0; i < name.len; i++) {
        uint8_t c = name.ptr[i];
        if (!is_letter(c) && c != '_' && !(has_colons && c == ':') && !(i && c >= '0' && c <= '9'))
            return false;
    }
    return true;
}

static bool begins(struct tb_bytes text, const char *with)
{
    size_t len = tb_strnlen(with, TB_OWN_NAME_MAX);
    return text.len >= len && tb_equal(text.ptr, with, len);
}

static bool ends(struct tb_bytes text, const char *with)
{
    size_t len = tb_strnlen(with, TB_OWN_NAME_MAX);
    return text.len > len && tb_equal(text.ptr + text.len - len, with, len);
}

static bool is_text(struct tb_bytes text, const char *is)
{
    return text.len == tb_strnlen(is, TB_OWN_NAME_MAX) && begins(text, is);
}

/* At most @max + 1 bytes of it, so that a longer one shows. */
static struct tb_bytes read(const char *text, size_t max)
{
    return tb_bytes(text ? text : "", text ? tb_strnlen(text, max + 1) : 0);
}

/* Of all that no format allows, and the agent's own. */
static bool is_metric_name(struct tb_bytes name, enum tb_own_kind kind)
{
    static const char *const taken[] = {"_bucket", "_count", "_sum", "_created", "_info"};
    bool is_counter = kind == TB_OWN_COUNTER || kind == TB_OWN_SUM;
    if (!is_name(name, true) || begins(name, "tickbird_") || begins(name, "process_") ||
        ends(name, "_total") != is_counter)
        return false;
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++)
        if (ends(name, taken[i]))
            return false;
    return true;
}

static bool is_label_name(struct tb_bytes name)
{
    return is_name(name, false) && !begins(name, "__") && !is_text(name, "le") && !is_text(name, "quantile") &&
           !is_text(name, "service");
}

static bool can_be_shown(struct tb_bytes text, size_t max)
{
    if (text.len > max || !tb_utf8_is_valid(text))
        return false;
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] < ' ' || text.ptr[i] == 127)
            return false;
    return true;
}

/* In ascending order of their names, each once. False: they cannot be. */
static bool read_labels(const struct tb_own_metric *m, struct label *ret)
{
    if (m->label_count > TB_OWN_LABELS || (m->label_count && !m->labels))
        return false;
    for (size_t i = 0; i < m->label_count; i++) {
        struct label l = {read(m->labels[i].name, TB_OWN_NAME_MAX), read(m->labels[i].value, TB_OWN_VALUE_MAX)};
        size_t at = i;
        if (!is_label_name(l.name))
            return false;
        for (; at; at--) {
            const struct tb_bytes *before = &ret[at - 1].name;
            size_t k = 0;
            while (k < before->len && k < l.name.len && before->ptr[k] == l.name.ptr[k])
                k++;
            if (k == before->len && k == l.name.len)
                return false;
            if (k == before->len || (k < l.name.len && before->ptr[k] < l.name.ptr[k]))
                break;
            ret[at] = ret[at - 1];
        }
        ret[at] = l;
    }
    return true;
}

struct writer {
    char *text;
    size_t len;
};

/* What does not fit makes the text too long, and it is not used. */
static void put(struct writer *w, const void *bytes, size_t len)
{
    if (len <= TB_STRING_MAX - (w->len < TB_STRING_MAX ? w->len : TB_STRING_MAX))
        tb_copy(w->text + w->len, bytes, len);
    w->len += len;
}

static void put_value(struct writer *w, struct tb_bytes value)
{
    for (size_t i = 0; i < value.len; i++) {
        if (value.ptr[i] == '\\' || value.ptr[i] == '"')
            put(w, "\\", 1);
        put(w, &value.ptr[i], 1);
    }
}

static size_t compose(const struct tb_own_metric *m, struct tb_bytes name, const struct label *labels, bool is_other,
                      char *ret)
{
    struct writer w = {.text = ret};
    char kind = (char)m->kind;
    put(&w, &kind, 1);
    put(&w, name.ptr, name.len);
    put(&w, "{", 1);
    for (size_t i = 0; i < m->label_count; i++) {
        bool is_shown = !is_other && can_be_shown(labels[i].value, TB_OWN_VALUE_MAX);
        put(&w, ",", i != 0);
        put(&w, labels[i].name.ptr, labels[i].name.len);
        put(&w, "=\"", 2);
        put_value(&w, is_shown ? labels[i].value : tb_bytes_str("_other"));
        put(&w, "\"", 1);
    }
    put(&w, "}", 1);
    return w.len;
}

size_t tb_own_text(struct tb_core *core, const struct tb_own_metric *metric, bool is_other, char *ret)
{
    struct label labels[TB_OWN_LABELS];
    struct tb_bytes name = read(metric->name, TB_OWN_NAME_MAX);
    if (!is_metric_name(name, metric->kind)) {
        tb_count(core, TB_COUNTER_API_NAME);
        return 0;
    }
    if (!read_labels(metric, labels)) {
        tb_count(core, TB_COUNTER_API_LABEL);
        return 0;
    }
    size_t len = compose(metric, name, labels, is_other, ret);
    if (len > TB_STRING_MAX && !is_other)
        len = compose(metric, name, labels, true, ret);
    if (len <= TB_STRING_MAX)
        return len;
    tb_count(core, TB_COUNTER_API_LABEL);
    return 0;
}

struct tb_bytes tb_own_help(const char *help)
{
    struct tb_bytes text = read(help, TB_OWN_HELP_MAX);
    return can_be_shown(text, TB_OWN_HELP_MAX) ? text : tb_bytes("", 0);
}

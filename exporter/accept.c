/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Negotiation (accept.h). Both headers are lists of clauses `value;name=value;q=0.5` with blanks anywhere and letters
 * of any case; values may be quoted. What cannot be read is passed over.
 */
#include "accept.h"

#include <strings.h>

#define Q_MAX 1000u /* q has three decimals at most */

/* --- lists -----------------------------------------------------------------------------------------------------------
 */

struct span {
    const char *text;
    size_t len;
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static struct span trimmed(const char *from, const char *to)
{
    while (from < to && is_blank(*from))
        from++;
    while (to > from && is_blank(to[-1]))
        to--;
    return (struct span){from, (size_t)(to - from)};
}

static bool is_word(struct span s, const char *word)
{
    return s.len == strlen(word) && strncasecmp(s.text, word, s.len) == 0;
}

/* The part up to @stop that stands in no quotes. *@at moves behind it. */
static struct span cut(const char **at, const char *end, char stop)
{
    const char *from = *at, *p = from;
    for (bool is_quoted = false; p < end && (is_quoted || *p != stop); p++) {
        if (*p == '"')
            is_quoted = !is_quoted;
        else if (is_quoted && *p == '\\' && p + 1 < end)
            p++;
    }
    *at = p < end ? p + 1 : end;
    return trimmed(from, p);
}

/* `name = value` or `name = "value"`. */
static struct span parameter(struct span whole, struct span *ret_value)
{
    const char *at = whole.text, *end = at + whole.len;
    struct span name = cut(&at, end, '='), value = trimmed(at, end);
    if (value.len >= 2 && value.text[0] == '"' && value.text[value.len - 1] == '"')
        value = (struct span){value.text + 1, value.len - 2};
    *ret_value = value;
    return name;
}

/* 0, 0.5, 1.000 in thousandths; what is no such number is 1. */
static unsigned read_q(struct span s)
{
    unsigned q = 0, unit = Q_MAX;
    if (!s.len || (s.text[0] != '0' && s.text[0] != '1') || s.len > 5 || (s.len > 1 && s.text[1] != '.'))
        return Q_MAX;
    for (size_t i = 0; i < s.len; i++) {
        if (i == 1)
            continue;
        if (s.text[i] < '0' || s.text[i] > '9')
            return Q_MAX;
        q += (unsigned)(s.text[i] - '0') * unit;
        unit /= 10;
    }
    return q < Q_MAX ? q : Q_MAX;
}

/* --- Accept ----------------------------------------------------------------------------------------------------------
 */

static const struct tb_media text_004 = {&tb_encoding_text, "text/plain; version=0.0.4; charset=utf-8",
                                         TB_ESCAPE_UNDERSCORES, false};
static const struct tb_media text_100 = {&tb_encoding_text, "text/plain; version=1.0.0; charset=utf-8",
                                         TB_ESCAPE_UNDERSCORES, true};
static const struct tb_media openmetrics_001 = {&tb_encoding_openmetrics,
                                                "application/openmetrics-text; version=0.0.1; charset=utf-8",
                                                TB_ESCAPE_UNDERSCORES, false};
static const struct tb_media openmetrics_100 = {&tb_encoding_openmetrics,
                                                "application/openmetrics-text; version=1.0.0; charset=utf-8",
                                                TB_ESCAPE_UNDERSCORES, true};
static const struct tb_media openmetrics_200 = {
    &tb_encoding_openmetrics2, "application/openmetrics-text; version=2.0.0; charset=utf-8", TB_ESCAPE_NONE, true};
static const struct tb_media protobuf = {
    &tb_encoding_protobuf,
    "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited",
    TB_ESCAPE_UNDERSCORES, true};

const struct tb_media *const tb_media_default = &text_004;

struct clause {
    struct span media, version, proto, encoding, escaping;
    unsigned q;
};

static struct clause read_clause(struct span whole)
{
    const char *at = whole.text, *end = at + whole.len;
    struct clause c = {.media = cut(&at, end, ';'), .q = Q_MAX};
    while (at < end) {
        struct span value, name = parameter(cut(&at, end, ';'), &value);
        if (is_word(name, "q"))
            c.q = read_q(value);
        else if (is_word(name, "version"))
            c.version = value;
        else if (is_word(name, "proto"))
            c.proto = value;
        else if (is_word(name, "encoding"))
            c.encoding = value;
        else if (is_word(name, "escaping"))
            c.escaping = value;
    }
    return c;
}

/* The format that a clause names; NULL = none of ours. */
static const struct tb_media *find_media(const struct clause *c)
{
    const bool has_version = c->version.len != 0;
    if (is_word(c->media, "text/plain") || is_word(c->media, "text/*") || is_word(c->media, "*/*")) {
        if (!has_version || is_word(c->version, "0.0.4"))
            return &text_004;
        return is_word(c->version, "1.0.0") ? &text_100 : NULL;
    }
    if (is_word(c->media, "application/openmetrics-text")) {
        if (!has_version || is_word(c->version, "0.0.1"))
            return &openmetrics_001;
        return is_word(c->version, "1.0.0") ? &openmetrics_100 : is_word(c->version, "2.0.0") ? &openmetrics_200 : NULL;
    }
    if (is_word(c->media, "application/vnd.google.protobuf") &&
        is_word(c->proto, "io.prometheus.client.MetricFamily") && is_word(c->encoding, "delimited"))
        return &protobuf;
    return NULL;
}

static unsigned generality(const struct clause *c)
{
    return c->media.len >= 2 && memcmp(c->media.text + c->media.len - 2, "/*", 2) == 0 ? 1u + (c->media.text[0] == '*')
                                                                                       : 0;
}

static enum tb_escaping find_escaping(const struct clause *c, const struct tb_media *media)
{
    for (enum tb_escaping i = TB_ESCAPE_NONE; i < TB_ESCAPE_COUNT; i++)
        if (is_word(c->escaping, tb_escaping_name(i)))
            return i == TB_ESCAPE_NONE && !media->has_quotes ? media->escape : i;
    return media->escape;
}

struct tb_accepted tb_accept(const char *header)
{
    struct tb_accepted best = {tb_media_default, tb_media_default->escape};
    unsigned best_q = 0, best_generality = 0;
    const char *at = header ? header : "", *end = at + strlen(at);
    while (at < end) {
        struct clause c = read_clause(cut(&at, end, ','));
        const struct tb_media *media = find_media(&c);
        if (!media || c.q < best_q || !c.q || (c.q == best_q && generality(&c) >= best_generality))
            continue;
        best_q = c.q;
        best_generality = generality(&c);
        best = (struct tb_accepted){media, find_escaping(&c, media)};
    }
    return best;
}

char *tb_accepted_type(struct tb_accepted a)
{
    return tb_format("%s; escaping=%s", a.media->type, tb_escaping_name(a.escaping));
}

/* --- Accept-Encoding -------------------------------------------------------------------------------------------------
 */

enum tb_coding tb_accept_coding(const char *header)
{
    enum { UNNAMED = Q_MAX + 1 };
    unsigned q[3] = {UNNAMED, UNNAMED, UNNAMED}, other = UNNAMED;
    const char *at = header ? header : "", *end = at + strlen(at);
    while (at < end) {
        struct clause c = read_clause(cut(&at, end, ','));
        if (is_word(c.media, "identity"))
            q[TB_CODING_IDENTITY] = c.q;
        else if (is_word(c.media, "gzip") || is_word(c.media, "x-gzip"))
            q[TB_CODING_GZIP] = c.q;
        else if (is_word(c.media, "zstd"))
            q[TB_CODING_ZSTD] = c.q;
        else if (is_word(c.media, "*"))
            other = c.q;
    }
    if (q[TB_CODING_GZIP] == UNNAMED)
        q[TB_CODING_GZIP] = other == UNNAMED ? 0 : other;
    if (q[TB_CODING_ZSTD] == UNNAMED)
        q[TB_CODING_ZSTD] = 0;
    if (q[TB_CODING_IDENTITY] == UNNAMED)
        q[TB_CODING_IDENTITY] = 0; /* acceptable, but nobody's wish */
    enum tb_coding best = TB_CODING_IDENTITY;
    for (enum tb_coding i = TB_CODING_GZIP; i <= TB_CODING_ZSTD; i++)
        if (q[i] && q[i] >= q[best])
            best = i;
    return best;
}

const char *tb_coding_name(enum tb_coding coding)
{
    static const char *const names[] = {NULL, "gzip", "zstd"};
    return names[coding];
}

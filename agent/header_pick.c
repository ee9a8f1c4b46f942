/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Header fields and cookies by name (header_pick.h). One machine over the bytes of a section; a line whose first letter
 * no wanted name has is searched for its end only.
 */
#include "header_pick.h"
#include "scan.h"

enum {
    LINE, /* at the start of a line */
    NAME,
    COOKIE, /* before a cookie's name */
    COOKIE_NAME,
    COOKIE_SKIP, /* until the next ';' */
    VALUE,       /* of a field */
    COOKIE_VALUE,
    SKIP,   /* until the end of the line */
    RETURN, /* behind a CR at the start of a line */
    OVER
};

static const uint8_t cookie[] = TB_HEADER_COOKIE;
#define COOKIE_LEN (sizeof(cookie) - 1)

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t';
}

/* A token of RFC 9110 section 5.6.2. */
static bool is_token(uint8_t c)
{
    static const uint8_t marks[] = "!#$%&'*+-.^_`|~";
    if ((uint8_t)(tb_lower(c) - 'a') < 26 || (uint8_t)(c - '0') < 10)
        return true;
    for (uint32_t i = 0; marks[i]; i++)
        if (marks[i] == c)
            return true;
    return false;
}

/* @text ends with @end, in any case. */
static bool has_end(struct tb_bytes text, const char *end)
{
    struct tb_bytes e = tb_bytes_str(end);
    if (text.len < e.len)
        return false;
    for (size_t i = 0; i < e.len; i++)
        if (tb_lower(text.ptr[text.len - e.len + i]) != (uint8_t)e.ptr[i])
            return false;
    return true;
}

/* Entry @i of a set is of a cookie: then "cookie:" stands before its name. */
static bool is_cookie(const struct tb_pick_set *set, uint32_t i)
{
    return set->len[i] > COOKIE_LEN && set->bytes[set->at[i] + COOKIE_LEN - 1] == ':';
}

bool tb_header_set_add(struct tb_pick_set *set, struct tb_bytes name, bool is_hashed)
{
    size_t from = name.len > COOKIE_LEN && tb_equal(name.ptr, cookie, COOKIE_LEN) ? COOKIE_LEN : 0;

    for (size_t i = from; i < name.len; i++)
        if (!is_token(name.ptr[i]))
            return false;
    bool is_all_cookies = name.len == COOKIE_LEN - 1 && has_end(name, "cookie");
    if (!name.len || is_all_cookies || !tb_pick_set_add(set, name, is_hashed))
        return false;
    uint8_t *kept = set->bytes + set->at[set->count - 1];
    for (size_t i = 0; i < name.len && !from; i++)
        kept[i] = tb_lower(kept[i]);
    return true;
}

/* Entries that are still wanted; of cookies only, or all. */
static uint8_t wanted(const struct tb_header_pick *h, const struct tb_pick_set *set, bool are_cookies)
{
    uint8_t all = (uint8_t)((1u << set->count) - 1) & (uint8_t)~h->picks.found;
    for (uint32_t i = 0; are_cookies && all >> i; i++)
        if (!is_cookie(set, i))
            all &= (uint8_t) ~(1u << i);
    return all;
}

/* Entries in pending whose name does not go on with @c are out. */
static void name_byte(struct tb_header_pick *h, const struct tb_pick_set *set, uint8_t c)
{
    for (uint32_t i = 0; h->pending >> i; i++)
        if (h->at >= set->len[i] || set->bytes[set->at[i] + h->at] != c)
            h->pending &= (uint8_t) ~(1u << i);
    h->at++;
}

/* Of the entries in pending those whose name ends here. */
static uint8_t ended(const struct tb_header_pick *h, const struct tb_pick_set *set)
{
    uint8_t found = 0;
    for (uint32_t i = 0; h->pending >> i; i++)
        found |= (uint8_t)((h->pending >> i & 1 && set->len[i] == h->at) << i);
    return found;
}

static void value_begins(struct tb_header_pick *h, const struct tb_pick_set *set, uint8_t state, uint8_t which)
{
    tb_pick_begin(&h->picks, set, which);
    h->is_blank = h->is_quoted = false;
    h->state = state;
}

/* The ':' behind a field's name. Entries of cookies go on with it, others end there. */
static void name_ends(struct tb_header_pick *h, const struct tb_pick_set *set)
{
    uint8_t fields = ended(h, set);
    name_byte(h, set, ':');
    if (h->pending)
        h->state = COOKIE; /* all of them are of cookies */
    else if (fields)
        value_begins(h, set, VALUE, fields);
    else
        h->state = SKIP;
}

/* A byte of a value: blanks count when something follows, and then as one. */
static void value_byte(struct tb_header_pick *h, const struct tb_pick_set *set, uint8_t c)
{
    uint8_t two[2] = {' ', c};

    if (is_blank(c) || c == '\r') {
        h->is_blank = h->picks.open_len != 0;
        return;
    }
    tb_pick_add(&h->picks, set, tb_bytes(two + !h->is_blank, 1u + h->is_blank));
    h->is_blank = false;
}

static void value_ends(struct tb_header_pick *h, const struct tb_pick_set *set, uint8_t state)
{
    tb_pick_end(&h->picks, set, TB_PICK_STRING);
    h->state = state;
}

/* Bytes of a cookie's value: up to ';', or the quote that ends it when it began with one. */
static void cookie_value_byte(struct tb_header_pick *h, const struct tb_pick_set *set, uint8_t c)
{
    if (c == ';')
        value_ends(h, set, COOKIE);
    else if (c == '"' && !h->picks.open_len && !h->is_quoted)
        h->is_quoted = true;
    else if (c == '"' && h->is_quoted)
        value_ends(h, set, COOKIE_SKIP);
    else
        value_byte(h, set, c);
}

/* One byte of a line of interest, no line feed. */
static void line_byte(struct tb_header_pick *h, const struct tb_pick_set *set, uint8_t c)
{
    switch (h->state) {
    case RETURN: /* no empty line, but nothing else either */
        h->state = SKIP;
        return;
    case NAME:
        if (c == ':') {
            name_ends(h, set);
            return;
        }
        name_byte(h, set, tb_lower(c));
        h->state = h->pending ? NAME : SKIP;
        return;
    case COOKIE:
        if (is_blank(c) || c == ';')
            return;
        h->pending = wanted(h, set, true);
        h->at = COOKIE_LEN;
        h->state = COOKIE_NAME;
        line_byte(h, set, c);
        return;
    case COOKIE_NAME:
        if (c == '=' && ended(h, set)) {
            value_begins(h, set, COOKIE_VALUE, ended(h, set));
            return;
        }
        name_byte(h, set, c);
        h->state = c == ';' ? COOKIE : h->pending ? COOKIE_NAME : COOKIE_SKIP;
        return;
    case COOKIE_SKIP:
        h->state = c == ';' ? COOKIE : COOKIE_SKIP;
        return;
    case COOKIE_VALUE:
        cookie_value_byte(h, set, c);
        return;
    default: /* VALUE */
        value_byte(h, set, c);
    }
}

/* The byte that a line begins with. */
static void first_byte(struct tb_header_pick *h, const struct tb_pick_set *set, uint8_t c)
{
    h->pending = wanted(h, set, false);
    h->at = 0;
    h->state = NAME;
    if (c == '\r')
        h->state = RETURN;
    else
        line_byte(h, set, c);
}

static void line_ends(struct tb_header_pick *h, const struct tb_pick_set *set)
{
    if (h->state == VALUE || h->state == COOKIE_VALUE)
        value_ends(h, set, LINE);
    else
        h->state = h->state == LINE || h->state == RETURN ? OVER : LINE;
}

enum tb_parse tb_header_feed(struct tb_header_pick *h, const struct tb_pick_set *set, struct tb_bytes in)
{
    const uint8_t *p = in.ptr, *end = p + in.len;

    while (p < end && h->state != OVER && !tb_pick_is_complete(&h->picks, set)) {
        if (h->state == SKIP) {
            p = tb_find_lf(p, end);
            if (p == end)
                break;
        }
        uint8_t c = *p++;
        if (c == '\n')
            line_ends(h, set);
        else if (h->state == LINE)
            first_byte(h, set, c);
        else
            line_byte(h, set, c);
    }
    return h->state == OVER || tb_pick_is_complete(&h->picks, set) ? TB_PARSE_OK : TB_PARSE_PARTIAL;
}

/* ---- what caches say ---- */

/* One word of a member of the list. */
static enum tb_cache_word word_of(struct tb_bytes word)
{
    static const char *const hits[] = {"hit", "stale", "updating", "revalidated"};

    if (word.len >= 4 && has_end(tb_bytes(word.ptr, 4), "fwd=")) /* RFC 9211: asked further on */
        return TB_CACHE_MISS;
    if (has_end(word, "miss") || has_end(word, "expired"))
        return TB_CACHE_MISS;
    for (size_t i = 0; i < sizeof(hits) / sizeof(hits[0]); i++)
        if (has_end(word, hits[i]))
            return TB_CACHE_HIT;
    return word.len ? TB_CACHE_OTHER : TB_CACHE_NONE;
}

enum tb_cache_word tb_cache_word(struct tb_bytes value)
{
    enum tb_cache_word all = TB_CACHE_NONE, member = TB_CACHE_NONE;
    size_t from = 0;

    for (size_t i = 0; i <= value.len; i++) {
        uint8_t c = i < value.len ? value.ptr[i] : ',';
        if (!is_blank(c) && c != ',' && c != ';')
            continue;
        enum tb_cache_word word = word_of(tb_bytes(value.ptr + from, i - from));
        from = i + 1;
        /* the first word that tells; "HIT from host" */
        if (member == TB_CACHE_NONE || member == TB_CACHE_OTHER)
            member = word == TB_CACHE_NONE ? member : word;
        if (c == ',' && member != TB_CACHE_NONE) {
            all = member;
            member = TB_CACHE_NONE;
        }
    }
    return all;
}

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

/* More of a value: blanks count when something follows, and then as one. */
static void value_bytes(struct tb_header_pick *h, const struct tb_pick_set *set, struct tb_bytes in)
{
    if (h->is_blank)
        tb_pick_add(&h->picks, set, tb_bytes(" ", 1));
    h->is_blank = false;
    tb_pick_add(&h->picks, set, in);
}

static bool is_space(uint8_t c)
{
    return is_blank(c) || c == '\r';
}

/* A word of a value, or a blank. Returns its end. */
static const uint8_t *value_word(struct tb_header_pick *h, const struct tb_pick_set *set, const uint8_t *p,
                                 const uint8_t *stop)
{
    const uint8_t *from = p;

    if (is_space(*p)) {
        h->is_blank = h->picks.open_len != 0;
        return p + 1;
    }
    bool is_cookies = h->state == COOKIE_VALUE;
    while (p < stop && !is_space(*p) && !(is_cookies && (*p == ';' || *p == '"')))
        p++;
    value_bytes(h, set, tb_bytes(from, (size_t)(p - from)));
    return p;
}

static void value_ends(struct tb_header_pick *h, const struct tb_pick_set *set, uint8_t state)
{
    tb_pick_end(&h->picks, set, TB_PICK_STRING);
    h->state = state;
}

/* More of a cookie's value: up to ';', or the quote that ends it when it began with one. */
static const uint8_t *cookie_value(struct tb_header_pick *h, const struct tb_pick_set *set, const uint8_t *p,
                                   const uint8_t *stop)
{
    if (*p == ';')
        value_ends(h, set, COOKIE);
    else if (*p == '"' && !h->picks.open_len && !h->is_quoted)
        h->is_quoted = true;
    else if (*p == '"' && h->is_quoted)
        value_ends(h, set, COOKIE_SKIP);
    else if (*p == '"')
        value_bytes(h, set, tb_bytes(p, 1));
    else
        return value_word(h, set, p, stop);
    return p + 1;
}

/* One byte of a name that was cut. */
static void cut_name_byte(struct tb_header_pick *h, const struct tb_pick_set *set, uint8_t c)
{
    if (h->state == NAME && c == ':') {
        name_ends(h, set);
    } else if (h->state == NAME) {
        name_byte(h, set, tb_lower(c));
        h->state = h->pending ? NAME : SKIP;
    } else if (c == '=' && ended(h, set)) {
        value_begins(h, set, COOKIE_VALUE, ended(h, set));
    } else {
        name_byte(h, set, c);
        h->state = c == ';' ? COOKIE : h->pending ? COOKIE_NAME : COOKIE_SKIP;
    }
}

/* The first @len bytes at @p are those at @name, in any case. */
static bool is_name(const uint8_t *p, const uint8_t *name, size_t len)
{
    while (len && tb_lower(p[len - 1]) == name[len - 1])
        len--;
    return len == 0;
}

/* A line starts at @p and goes on to @stop, perhaps further when @is_cut. Returns where its value starts, or @stop. */
static const uint8_t *line_starts(struct tb_header_pick *h, const struct tb_pick_set *set, const uint8_t *p,
                                  const uint8_t *stop, bool is_cut)
{
    uint8_t fields = 0, cookies = 0, all = wanted(h, set, false);
    size_t line = (size_t)(stop - p), len = 0;

    if (*p == '\r' && (line == 1 || is_cut)) {
        h->state = RETURN;
        return p + 1;
    }
    for (uint32_t i = 0; all >> i; i++) {
        size_t n = is_cookie(set, i) ? COOKIE_LEN - 1 : set->len[i];
        if (!(all >> i & 1) || line <= n || p[n] != ':' || !is_name(p, set->bytes + set->at[i], n))
            continue;
        *(is_cookie(set, i) ? &cookies : &fields) |= (uint8_t)(1u << i);
        len = n;
    }
    if (len) {
        if (fields)
            value_begins(h, set, VALUE, fields);
        h->state = fields ? VALUE : COOKIE;
        return p + len + 1;
    }
    h->pending = all;
    h->at = 0;
    h->state = is_cut ? NAME : SKIP;
    return is_cut ? p : stop;
}

/* A cookie's name starts at @p. Returns where its value starts, or where to go on. */
static const uint8_t *cookie_starts(struct tb_header_pick *h, const struct tb_pick_set *set, const uint8_t *p,
                                    const uint8_t *stop, bool is_cut)
{
    uint8_t all = wanted(h, set, true), found = 0;
    size_t line = (size_t)(stop - p), len = 0;

    for (uint32_t i = 0; all >> i; i++) {
        size_t n = set->len[i] - COOKIE_LEN;
        if (!(all >> i & 1) || line <= n || p[n] != '=' || !tb_equal(p, set->bytes + set->at[i] + COOKIE_LEN, n))
            continue;
        found |= (uint8_t)(1u << i);
        len = n;
    }
    if (found) {
        value_begins(h, set, COOKIE_VALUE, found);
        return p + len + 1;
    }
    h->pending = all;
    h->at = COOKIE_LEN;
    h->state = is_cut ? COOKIE_NAME : COOKIE_SKIP;
    return p;
}

/* A step inside a line that ends at @stop, or is cut there. Returns where the next begins. */
static const uint8_t *line_step(struct tb_header_pick *h, const struct tb_pick_set *set, const uint8_t *p,
                                const uint8_t *stop, bool is_cut)
{
    switch (h->state) {
    case LINE:
        return line_starts(h, set, p, stop, is_cut);
    case COOKIE:
        return is_blank(*p) || *p == ';' ? p + 1 : cookie_starts(h, set, p, stop, is_cut);
    case COOKIE_SKIP:
        p = tb_find_byte(p, stop, ';');
        h->state = p < stop ? COOKIE : COOKIE_SKIP;
        return p;
    case VALUE:
        return value_word(h, set, p, stop);
    case COOKIE_VALUE:
        return cookie_value(h, set, p, stop);
    case NAME:
    case COOKIE_NAME:
        cut_name_byte(h, set, *p);
        return p + 1;
    default: /* SKIP, and a CR at the start of a line that something follows */
        h->state = SKIP;
        return stop;
    }
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
        const uint8_t *stop = tb_find_lf(p, end);
        while (p < stop)
            p = line_step(h, set, p, stop, stop == end);
        if (stop == end)
            break;
        line_ends(h, set);
        p = stop + 1;
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

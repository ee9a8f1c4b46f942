/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host of a request (host.h). A state machine over the bytes of a header section, which looks at no more of a line
 * than its first bytes; and the admission of names as label values, whose number all processes of the service share.
 */
#include "host.h"
#include "rules.h"
#include "series.h"

enum { LINE_START, NAME, BLANK, VALUE, SKIP };
#define NAME_LEN 5u /* "host:" */

static void add_byte(struct tb_host *h, uint8_t c)
{
    h->is_given = 1;
    c = tb_lower(c);
    bool is_name = (uint8_t)(c - 'a') < 26 || (uint8_t)(c - '0') < 10 || c == '-' || c == '.' || c == '_' || c == ':' ||
                   c == '[' || c == ']';
    if (!is_name || h->len == sizeof h->text - 1)
        h->is_bad = 1;
    else
        h->text[h->len++] = c;
}

/* Cuts the port and the dot at the end. */
static void finish(struct tb_host *h)
{
    size_t len = h->len, colon = len;
    bool is_bracketed = len && h->text[0] == '[';
    for (size_t i = 0; i < len; i++) {
        if (h->text[i] == ']')
            colon = len;
        else if (h->text[i] == ':' && colon == len)
            colon = i;
    }
    if (is_bracketed && colon < len && h->text[colon - 1] != ']')
        h->is_bad = 1;
    h->port_at = (uint8_t)colon;
    h->port_len = (uint8_t)(len - colon);
    len = colon;
    if (len && h->text[len - 1] == '.')
        len--;
    h->len = (uint8_t)len;
    if (len == 0 || len > TB_RULES_HOST_MAX)
        h->is_bad = 1;
    h->is_fixed = 1;
}

void tb_host_target(struct tb_host *h, struct tb_bytes target)
{
    size_t i = 0;
    while (i + 3 <= target.len && i < 16 && !tb_equal(target.ptr + i, "://", 3))
        i++;
    if (!target.len || target.ptr[0] == '/' || i + 3 > target.len || i == 16)
        return;
    size_t start = i += 3;
    while (i < target.len && target.ptr[i] != '/' && target.ptr[i] != '?' && target.ptr[i] != '#') {
        if (target.ptr[i] == '@')
            start = i + 1;
        i++;
    }
    for (size_t k = start; k < i; k++)
        add_byte(h, target.ptr[k]);
    finish(h);
}

void tb_host_connect(struct tb_host *h, struct tb_bytes target)
{
    for (size_t i = 0; i < target.len; i++)
        add_byte(h, target.ptr[i]);
    finish(h);
}

static void value_byte(struct tb_host *h, uint8_t c)
{
    if (c == '\r' || c == '\n' || c == ' ' || c == '\t')
        finish(h);
    else
        add_byte(h, c);
}

void tb_host_feed(struct tb_host *h, struct tb_bytes in)
{
    static const uint8_t name[NAME_LEN] = {'h', 'o', 's', 't', ':'};
    for (size_t i = 0; i < in.len && !h->is_fixed; i++) {
        uint8_t c = in.ptr[i];
        if (h->state == SKIP) {
            while (i < in.len && in.ptr[i] != '\n')
                i++;
            h->state = i < in.len ? LINE_START : SKIP;
        } else if (h->state == BLANK && (c == ' ' || c == '\t')) {
            ;
        } else if (h->state >= BLANK) {
            h->state = VALUE;
            value_byte(h, c);
        } else if (h->state == LINE_START && (c == '\r' || c == '\n')) {
            h->is_fixed = h->is_bad = 1; /* the section ends: there is none */
        } else if (tb_lower(c) == name[h->len]) {
            h->state = NAME;
            if (++h->len == NAME_LEN) {
                h->len = 0;
                h->state = BLANK;
            }
        } else {
            h->len = 0;
            h->state = c == '\n' ? LINE_START : SKIP;
        }
    }
}

struct tb_bytes tb_host_text(struct tb_host *h)
{
    if (!h->is_fixed && h->state == VALUE)
        finish(h); /* the section ended in the middle of the line */
    return tb_bytes(h->text, h->is_fixed && !h->is_bad ? h->len : 0);
}

/* Is ":8080" no port that goes without saying? */
static bool is_port_worth_it(const uint8_t *port, size_t len)
{
    bool is_default = len == 1 || (len == 3 && tb_equal(port, ":80", 3)) || (len == 4 && tb_equal(port, ":443", 4));
    for (size_t i = 1; i < len; i++)
        if ((uint8_t)(port[i] - '0') >= 10)
            return false;
    return len && !is_default && len <= 6;
}

struct tb_bytes tb_host_authority(struct tb_host *h)
{
    struct tb_bytes name = tb_host_text(h);
    const uint8_t *port = h->text + h->port_at;
    if (!name.len || !is_port_worth_it(port, h->port_len))
        return name;
    for (size_t i = 0; i < h->port_len; i++) /* a dot between the two is gone */
        h->text[name.len + i] = port[i];
    return tb_bytes(h->text, name.len + h->port_len);
}

/* ---- label values ---- */

static bool is_allowed(const struct tb_core *core, const struct tb_rules_view *v, struct tb_bytes host)
{
    const uint8_t *section = (const uint8_t *)core->rules;
    uint32_t count = tb_load_relaxed(&v->parts[TB_RULES_HOSTS].length), at = tb_load_relaxed(&v->at);
    uint64_t globs = (uint64_t)at + tb_load_relaxed(&v->parts[TB_RULES_HOSTS].offset);
    uint32_t steps = TB_RULES_GLOB_STEPS;
    for (uint32_t i = 0; i < count && steps && globs + 2 * i + 2 <= TB_LEN_RULES; i++) {
        uint16_t text;
        __builtin_memcpy(&text, section + globs + 2 * i, sizeof text);
        if (tb_glob_within(tb_rules_text(section, v, text), host, &steps))
            return true;
    }
    return count == 0;
}

uint32_t tb_host_label(struct tb_core *core, struct tb_bytes host)
{
    struct tb_rules_view *v = tb_load_acquire(&core->rules_view);
    if (!v || !host.len || !is_allowed(core, v, host) || !tb_rules_are_whole(core, v))
        return TB_STR_OTHER;
    return tb_string_admit(core, host, &core->rules->hosts, v->max_hosts, TB_COUNTER_HOSTS_OVERFLOW);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The short way of json_pick_impl.h: what pass_over() (json_pass_impl.h) does, for one path that goes through objects,
 * where no backslash is met. The path goes on inside the block in which it was found, and a string at its end is taken
 * at once. It begins and ends in any state that the general way has at that place, which does all else.
 */
#ifndef TB_JSON_SHORT_IMPL_H
#define TB_JSON_SHORT_IMPL_H

#include "json_pass_impl.h"

/* In registers: nothing that is not inlined gets it. */
struct way {
    const uint8_t *step; /* of the path, that comes next */
    uint64_t inside;     /* as in struct carry, the next three too */
    uint64_t previous;
    uint32_t above;
    uint32_t level; /* as in struct tb_json_pick */
    bool is_over;   /* the general way goes on, in the state that is set */
};

/* Where a block lies: @len bytes at @at, behind @skip others at @from. */
struct way_place {
    const uint8_t *at;
    size_t len;
    const uint8_t *from;
    unsigned skip;
};

/* A block outside of strings: a bit for each byte. */
struct way_block {
    uint64_t opening, closing; /* brackets */
    uint64_t quotes, ends;     /* all quotes; those that close */
};

static inline const uint8_t *skip_blanks(const uint8_t *p, const uint8_t *end)
{
    while (p < end && is_blank(*p))
        p++;
    return p;
}

/* The string value that begins at @p, in a range of 64 bytes or more up to @end. Returns where the general way goes on:
 * behind it, or before it when it is no plain text of less than 64 bytes. */
static __attribute__((noinline)) const uint8_t *take_text(struct tb_json_pick *j, const struct tb_pick_set *set,
                                                          const uint8_t *p, const uint8_t *end)
{
    const uint8_t *text = p + 1, *from = end - text >= (ptrdiff_t)TB_SCAN_BLOCK ? text : end - TB_SCAN_BLOCK;
    const struct block b = block_load(from);
    if (text == end)
        return p;
    uint64_t stops =
        (block_equal(b, block_byte('"')) | block_equal(b, block_byte('\\')) | block_below_or_odd(b, ' ')) >>
        (text - from);
    size_t len = stops ? (size_t)__builtin_ctzll(stops) : TB_SCAN_BLOCK;
    if (!stops || text[len] != '"')
        return p;
    tb_pick_begin(&j->picks, set, 1);
    tb_pick_add(&j->picks, set, tb_bytes(text, len));
    tb_pick_end(&j->picks, set, TB_PICK_STRING);
    j->state = OVER;
    return text + len + 1;
}

/* The name before the quote at @quote is the wanted one, on the level of the path. Returns the bracket that the path
 * goes through; or another place, and the short way is over. */
static inline __attribute__((always_inline)) const uint8_t *behind_name(struct tb_json_pick *j,
                                                                        const struct tb_pick_set *set, struct way *way,
                                                                        const uint8_t *quote, const uint8_t *end)
{
    const uint8_t *p = skip_blanks(quote + 1, end), *next = way->step + 1 + *way->step;
    bool is_last = next == set->bytes + set->at[0] + set->len[0];

    if (p < end && *p == ':' && (p = skip_blanks(p + 1, end)) < end) {
        if (*p == '{' && !is_last && *next != TB_JSON_INDEX) {
            j->objects = (uint8_t)(j->objects << 1 | 1);
            way->step = next;
            way->level++;
            return p;
        }
        way->is_over = true;
        way->above = 0;
        j->pending = 1;
        j->state = VALUE;
        return *p == '"' && is_last ? take_text(j, set, p, end) : p;
    }
    way->is_over = true;
    way->above = 0;
    j->pending = 1;
    j->state = COLON;
    return quote + 1;
}

/* Closing quotes that have another as many bytes before them as the next name needs. */
static inline __attribute__((always_inline)) uint64_t way_names(const struct way *way, const struct way_block *b,
                                                                uint64_t previous)
{
    return (b->quotes << (*way->step + 1) | previous >> (63 - *way->step)) & b->ends;
}

/* What may matter of a block, in its order. Returns where to go on. */
static inline __attribute__((always_inline)) const uint8_t *
way_events(struct tb_json_pick *j, const struct tb_pick_set *set, struct way *way, struct way_place place,
           const struct way_block *b, uint64_t previous, const uint8_t *end)
{
    uint32_t start = way->above, closed = 0;
    uint64_t events = b->closing | way_names(way, b, previous);

    while (events) {
        uint64_t bit = events & -events;
        const uint8_t *at = place.at + __builtin_ctzll(events);
        way->above = start + block_count(b->opening & (bit - 1)) - closed;
        events ^= bit;
        if (b->closing & bit) {
            if (!way->above) { /* of the object on the path */
                way->is_over = true;
                way->inside = 0;
                return at;
            }
            closed++;
            continue;
        }
        if (way->above || !tb_same(at - *way->step, way->step + 1, *way->step))
            continue;
        at = behind_name(j, set, way, at, end);
        if (way->is_over)
            return at;
        if ((size_t)(at - place.at) >= place.len) { /* the bracket lies behind the block */
            way->above = 0;
            way->inside = way->previous = 0;
            return at + 1;
        }
        start--; /* above the next level */
        events = (b->closing | way_names(way, b, previous)) & ~(((uint64_t)2 << (at - place.at)) - 1);
    }
    way->above = start + block_count(b->opening) - closed;
    return place.at + place.len;
}

/* A block. Returns where to go on. */
static inline __attribute__((always_inline)) const uint8_t *way_block(struct tb_json_pick *j,
                                                                      const struct tb_pick_set *set,
                                                                      const struct bytes_wanted *w, struct way *way,
                                                                      struct way_place place, const uint8_t *end)
{
    const struct block b = block_load(place.from), lower = block_or(b, w->lower);
    uint64_t quotes = block_equal(b, w->quote) >> place.skip, previous = way->previous;
    uint64_t strings = block_parities(quotes) ^ way->inside;
    const struct way_block f = {.opening = block_equal(lower, w->opening) >> place.skip & ~strings,
                                .closing = block_equal(lower, w->closing) >> place.skip & ~strings,
                                .quotes = quotes,
                                .ends = quotes & ~strings};
    uint32_t opened = block_count(f.opening), closed = block_count(f.closing);

    way->is_over = block_has(b, w->backslash) || way->above + opened > TB_JSON_DEPTH - way->level;
    if (TB_UNLIKELY(way->is_over))
        return place.at;
    way->inside = (uint64_t)((int64_t)strings >> 63);
    way->previous = quotes;
    /* how deep it is at least behind the first bracket that closes, and the others */
    uint32_t least = way->above + block_count(f.opening & (f.closing ^ (f.closing - 1)));
    if ((!way->above || least <= closed) && (least < closed || way_names(way, &f, previous)))
        return way_events(j, set, way, place, &f, previous, end);
    way->above += opened - closed;
    return place.at + place.len;
}

/* Is it a place for the short way? */
static inline bool is_short(const struct tb_json_pick *j, const struct tb_pick_set *set, const uint8_t *p,
                            const uint8_t *end)
{
    return set->count == 1 && j->live && !is_in_array(j) && !j->is_escaped && end - p >= (ptrdiff_t)TB_SCAN_BLOCK;
}

/* States OUT and PASSED from @p on, where is_short(). Returns where another state goes on, or the general way in one of
 * these, or @end. */
static const uint8_t *pass_short(struct tb_json_pick *j, const struct tb_pick_set *set, const uint8_t *p,
                                 const uint8_t *end)
{
    const struct bytes_wanted w = bytes_wanted();
    const uint8_t *first = p;
    struct way way = {.step = step_of(j, set, 0),
                      .inside = j->state == PASSED ? UINT64_MAX : 0,
                      .above = (uint32_t)j->depth - j->level,
                      .level = j->level};

    j->state = OUT;
    while (!way.is_over && end - p >= (ptrdiff_t)TB_SCAN_BLOCK) {
        p = way_block(j, set, &w, &way, (struct way_place){p, TB_SCAN_BLOCK, p, 0}, end);
        if (way.inside && !way.previous && !way.is_over)
            p = pass_text(&w, p, end);
    }
    if (p < end && !way.is_over) {
        size_t len = (size_t)(end - p);
        struct way_place tail = {p, len, end - TB_SCAN_BLOCK, (unsigned)(TB_SCAN_BLOCK - len)};
        p = way_block(j, set, &w, &way, tail, end);
    }
    j->step_at[0] = (uint8_t)(way.step - set->bytes - set->at[0]);
    j->matched[0] = j->level = (uint8_t)way.level;
    j->depth = (uint8_t)(way.level + way.above);
    if (j->state != OUT)
        return p;
    const struct pass s = {.j = j, .len_count = 1, .longest = *way.step};
    const struct carry carry = {.inside = way.inside, .plain = first, .above = way.above};
    const uint8_t *start = back_to_start(&s, &carry, p);
    if (start)
        return start;
    j->state = way.inside ? PASSED : OUT;
    return p;
}

#endif

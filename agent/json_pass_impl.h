/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The part of json_pick_impl.h that passes over what lies on no path: from block to block, in and out of strings. It
 * stops only for brackets that may close one on a path, for commas of an array on a path, and for strings that may be a
 * wanted name: their closing quote has another quote as many bytes before it as the name is long. Brackets off the path
 * are only counted, whichever kind they are of.
 *
 * Here are also the states, and the way of the paths in and out of brackets.
 */
#ifndef TB_JSON_PASS_IMPL_H
#define TB_JSON_PASS_IMPL_H

#include "json_pick.h"
#include "scan_block.h"

enum {
    START,  /* before the text */
    OUT,    /* between strings */
    PASSED, /* inside a string that is no wanted name */
    KEY,    /* inside one that may be */
    COLON,  /* behind one that is, if it is a name at all */
    VALUE,  /* before the value of pending paths */
    STRING, /* inside it */
    SCALAR,
    OVER,
    BROKEN
};

/* struct tb_json_pick.escape: 0, behind a backslash, then hex digits of \u seen + FIRST_DIGIT */
enum { BACKSLASH = 1, FIRST_DIGIT = 2 };

/* What a byte of a string gives: itself, DECODED + a code point, or one of these. */
enum { DECODED = 1 << 24, MORE = -1, QUOTE = -2, WRONG = -3 };

static inline bool is_blank(uint8_t c)
{
    const uint64_t blanks = UINT64_C(1) << ' ' | 1u << '\n' | 1u << '\r' | 1u << '\t';
    return c <= ' ' && (blanks >> c & 1);
}

/* The step that path @i takes next. */
static inline const uint8_t *step_of(const struct tb_json_pick *j, const struct tb_pick_set *set, uint32_t i)
{
    return set->bytes + set->at[i] + j->step_at[i];
}

static inline uint8_t step_bytes(const uint8_t *step)
{
    return *step == TB_JSON_INDEX ? 3 : (uint8_t)(*step + 1);
}

static inline bool is_last_step(const struct tb_json_pick *j, const struct tb_pick_set *set, uint32_t i)
{
    return j->step_at[i] + step_bytes(step_of(j, set, i)) == set->len[i];
}

/* The innermost open bracket on a path is that of an array. */
static inline bool is_in_array(const struct tb_json_pick *j)
{
    return !(j->objects & 1);
}

/* ---- brackets ---- */

/* Paths of the array on the path whose element is the one that starts now. */
static uint8_t at_index(const struct tb_json_pick *j, const struct tb_pick_set *set)
{
    uint8_t found = 0;
    for (uint32_t i = 0; j->live >> i; i++) {
        const uint8_t *step = step_of(j, set, i);
        if (j->live >> i & 1 && (step[1] | step[2] << 8) == j->index[j->level - 1])
            found |= (uint8_t)(1u << i);
    }
    return found;
}

/* A bracket where a value is wanted: the paths in pending go on inside, as far as they have a step for it. */
static void enter(struct tb_json_pick *j, const struct tb_pick_set *set, bool is_array)
{
    bool is_root = j->depth == 0;
    uint8_t inside = 0;

    if (j->depth == TB_JSON_DEPTH) {
        j->state = BROKEN;
        return;
    }
    j->depth++;
    for (uint32_t left = j->pending; left; left &= left - 1) {
        uint32_t i = (uint32_t)__builtin_ctz(left);
        if (!is_root && is_last_step(j, set, i)) {
            tb_pick_mark(&j->picks, (uint8_t)(1u << i), is_array ? TB_PICK_ARRAY : TB_PICK_OBJECT);
            continue;
        }
        uint8_t at = is_root ? 0 : (uint8_t)(j->step_at[i] + step_bytes(step_of(j, set, i)));
        if ((set->bytes[set->at[i] + at] == TB_JSON_INDEX) == is_array) {
            j->step_at[i] = at;
            j->matched[i] = j->depth;
            inside |= (uint8_t)(1u << i);
        }
    }
    j->pending = 0;
    j->state = is_root && !inside ? OVER : OUT;
    if (!inside)
        return;
    j->level = j->depth;
    j->objects = (uint8_t)(j->objects << 1 | !is_array);
    j->live = inside;
    if (is_array) {
        j->index[j->level - 1] = 0;
        j->pending = at_index(j, set);
        j->state = j->pending ? VALUE : OUT;
    }
}

/* The bracket on a path that is innermost was closed: back to the one around it. */
static void leave(struct tb_json_pick *j, const struct tb_pick_set *set)
{
    uint8_t live = 0;

    for (uint32_t i = 0; i < set->count; i++) {
        if (j->matched[i] == j->level) {
            j->matched[i]--;
            uint8_t at = 0;
            for (uint32_t step = 1; step < j->matched[i]; step++)
                at = (uint8_t)(at + step_bytes(set->bytes + set->at[i] + at));
            j->step_at[i] = at;
        }
        live |= (uint8_t)((j->matched[i] == j->level - 1) << i);
    }
    j->level--;
    j->objects >>= 1;
    j->live = live & (uint8_t)~j->picks.found;
    if (j->level == 0)
        j->state = OVER;
}

/* ---- passing over ---- */

/* What does not change until another state is entered. */
struct pass {
    struct tb_json_pick *j;
    const struct tb_pick_set *set;
    uint32_t level;         /* as in j */
    uint32_t room;          /* brackets that may be open above the level */
    uint32_t len_count;     /* 0: none, what is innermost on the path is no object */
    uint32_t first_shift;   /* bytes from quote to quote of the first of these */
    uint64_t has_names;     /* all ones, or 0: there are none */
    uint32_t longest;       /* of wanted names, bytes */
    uint8_t lens[TB_PICKS]; /* of wanted names */
    bool is_array;          /* elements are wanted */
};

/* What goes from block to block: in registers, so nothing that is not inlined gets more than a copy. */
struct carry {
    uint64_t inside;      /* all ones: the block starts inside a string */
    uint64_t previous;    /* quotes of the block before */
    const uint8_t *plain; /* since passing over began, no backslash lies from here on up to the block */
    uint32_t above;       /* open brackets above the level */
    bool is_escaped;      /* the block's first byte means itself */
};

/* What a block has outside of strings: a bit for each byte. */
struct found {
    uint64_t opening, closing; /* brackets */
    uint64_t others;           /* what else may matter */
};

/* What is looked for in every block, made once. */
struct bytes_wanted {
    struct block_byte quote, backslash, lower, opening, closing;
};

static inline struct bytes_wanted bytes_wanted(void)
{
    return (struct bytes_wanted){block_byte('"'), block_byte('\\'), block_byte(0x20), block_byte('{'), block_byte('}')};
}

/* A comma of the array on the path. */
static bool next_element(struct tb_json_pick *j, const struct tb_pick_set *set)
{
    uint16_t *index = &j->index[j->level - 1];
    if (*index < UINT16_MAX)
        ++*index;
    j->pending = *index < UINT16_MAX ? at_index(j, set) : 0;
    if (j->pending)
        j->state = VALUE;
    return j->pending != 0;
}

/* The string that ends before the quote at @quote, and began at @plain or later, is a wanted name. */
static bool is_wanted(struct tb_json_pick *j, const struct tb_pick_set *set, const uint8_t *plain, const uint8_t *quote)
{
    for (uint32_t left = j->live; left; left &= left - 1) {
        uint32_t i = (uint32_t)__builtin_ctz(left);
        const uint8_t *step = step_of(j, set, i);
        if (quote - plain > *step && quote[-*step - 1] == '"' && tb_same(quote - *step, step + 1, *step))
            j->pending |= (uint8_t)(1u << i);
    }
    if (j->pending)
        j->state = COLON;
    return j->pending != 0;
}

/* The bytes of a block of @len bytes that a backslash makes mean themselves; *is_escaped: the first of them, on return
 * the first of the next block. */
static inline uint64_t escaped_bytes(uint64_t backslashes, size_t len, bool *is_escaped)
{
    uint64_t escaped = *is_escaped, last = UINT64_C(1) << (len - 1);
    backslashes &= ~escaped;
    *is_escaped = false;
    while (backslashes) {
        uint64_t first = backslashes & -backslashes;
        escaped |= first << 1;
        *is_escaped |= first == last;
        backslashes &= ~(first | first << 1);
    }
    return escaped;
}

/* A string starts whose name is compared byte by byte. */
static void compare_from_start(struct tb_json_pick *j)
{
    j->state = KEY;
    j->key_at = 0;
    j->pending = j->live;
}

/* A string is open at @p. Back to its start where it may be a wanted name that has no escapes up to there, else NULL.
 * Never before where passing over began: the memory is the program's, which may be writing to it by now. */
static const uint8_t *back_to_start(const struct pass *s, const struct carry *carry, const uint8_t *p)
{
    if (!carry->inside || carry->above || !s->len_count)
        return NULL;
    for (uint32_t len = 0; len <= s->longest && p > carry->plain; len++, p--)
        if (p[-1] == '"') {
            compare_from_start(s->j);
            return p;
        }
    return NULL;
}

/* A comma, or a quote in a block with backslashes, on the level of the path. Then another state may be entered. */
static bool is_rare_event(struct tb_json_pick *j, const struct tb_pick_set *set, uint8_t c, bool is_array)
{
    if (c == ',')
        return is_array && next_element(j, set);
    if (c == '"' && !is_array && j->live)
        compare_from_start(j);
    return j->state != OUT;
}

/* What may matter of the block at @p, in its order. Returns where to go on, in another state; NULL: behind the block.
 */
static __attribute__((noinline)) const uint8_t *pass_events(const struct pass *s, struct carry *carry, const uint8_t *p,
                                                            struct found f, bool is_slow)
{
    uint32_t start = carry->above, opened = block_count(f.opening), closed = 0;
    uint64_t events = f.others | f.closing | (start + opened > s->room ? f.opening : 0);

    for (; events; events &= events - 1) {
        uint64_t bit = events & -events;
        const uint8_t *at = p + __builtin_ctzll(events);
        carry->above = start + block_count(f.opening & (bit - 1)) - closed;
        if (f.closing & bit) {
            closed++;
            if (TB_LIKELY(carry->above--)) /* else one below the level: 0 - 1 */
                continue;
            if ((*at >> 5 & 1) == (s->j->objects & 1)) /* bit 5 tells {} from [] */
                leave(s->j, s->set);
            else
                s->j->state = BROKEN;
            return at + 1;
        }
        if (f.opening & bit ? carry->above == s->room : *at == '\\') {
            s->j->state = BROKEN;
            return at;
        }
        if (f.others & bit && !carry->above &&
            (*at == '"' && !is_slow ? is_wanted(s->j, s->set, carry->plain, at)
                                    : is_rare_event(s->j, s->set, *at, s->is_array)))
            return at + 1;
    }
    carry->above = start + opened - closed;
    return NULL;
}

/* A block with backslashes: @len bytes at @p, behind @skip others at @from. */
static __attribute__((noinline)) const uint8_t *pass_escapes(const struct pass *s, struct carry *carry,
                                                             const uint8_t *p, size_t len, const uint8_t *from,
                                                             unsigned skip)
{
    const struct bytes_wanted w = bytes_wanted();
    const struct block b = block_load(from), lower = block_or(b, w.lower);
    const uint8_t *start = back_to_start(s, carry, p);
    if (start)
        return start;
    uint64_t backslashes = block_equal(b, w.backslash) >> skip;
    uint64_t quotes = block_equal(b, w.quote) >> skip & ~escaped_bytes(backslashes, len, &carry->is_escaped);
    uint64_t strings = block_parities(quotes) ^ carry->inside;
    struct found f = {.opening = block_equal(lower, w.opening) >> skip & ~strings,
                      .closing = block_equal(lower, w.closing) >> skip & ~strings,
                      .others = (backslashes & ~strings) | (quotes & strings)};
    if (s->is_array)
        f.others |= block_equal(b, block_byte(',')) >> skip & ~strings;
    carry->inside = (uint64_t)((int64_t)strings >> 63);
    carry->previous = 0; /* a name that starts in here is compared byte by byte */
    carry->plain = p + len;
    return pass_events(s, carry, p, f, true);
}

/* The closing quotes of a block that have another as many bytes before them as a wanted name needs. Most often one name
 * is wanted: no loop for the first. */
static inline __attribute__((always_inline)) uint64_t name_ends(const struct pass *s, uint64_t quotes,
                                                                uint64_t previous, uint64_t closing)
{
    uint64_t starts = quotes << s->first_shift | previous >> (64 - s->first_shift);
    for (uint32_t k = 1; TB_UNLIKELY(k < s->len_count); k++)
        starts |= quotes << (s->lens[k] + 1) | previous >> (63 - s->lens[k]);
    return closing & starts & s->has_names;
}

/* A block: @len bytes at @p, behind @skip others at @from. Returns where to go on, in another state; NULL: behind it.
 */
static inline __attribute__((always_inline)) const uint8_t *pass_block(const struct pass *s,
                                                                       const struct bytes_wanted *w,
                                                                       struct carry *carry, const uint8_t *p,
                                                                       size_t len, const uint8_t *from, unsigned skip)
{
    const struct block b = block_load(from), lower = block_or(b, w->lower);
    if (TB_UNLIKELY(block_has(b, w->backslash)) || TB_UNLIKELY(carry->is_escaped)) {
        struct carry copy = *carry;
        const uint8_t *next = pass_escapes(s, &copy, p, len, from, skip);
        *carry = copy;
        return next;
    }
    uint64_t quotes = block_equal(b, w->quote) >> skip, previous = carry->previous;
    /* with the quote that opens, without the one that closes */
    uint64_t strings = block_parities(quotes) ^ carry->inside;
    struct found f = {.opening = block_equal(lower, w->opening) >> skip & ~strings,
                      .closing = block_equal(lower, w->closing) >> skip & ~strings};
    carry->inside = (uint64_t)((int64_t)strings >> 63);
    carry->previous = quotes;
    uint32_t opened = block_count(f.opening), closed = block_count(f.closing);
    if (carry->above > closed && TB_LIKELY(carry->above + opened <= s->room)) {
        carry->above += opened - closed; /* nothing in it is on the level */
        return NULL;
    }
    f.others = name_ends(s, quotes, previous, quotes & ~strings);
    if (TB_UNLIKELY(s->is_array))
        f.others |= block_equal(b, block_byte(',')) >> skip & ~strings;
    if (TB_LIKELY(!f.others && carry->above >= closed && carry->above + opened <= s->room)) {
        carry->above += opened - closed;
        return NULL;
    }
    struct carry copy = *carry;
    const uint8_t *next = pass_events(s, &copy, p, f, false);
    carry->above = copy.above;
    return next;
}

/* The rest of a range that began at @first, shorter than a block. */
static inline __attribute__((always_inline)) const uint8_t *pass_tail(const struct pass *s,
                                                                      const struct bytes_wanted *w, struct carry *carry,
                                                                      const uint8_t *first, const uint8_t *p,
                                                                      size_t len)
{
    uint8_t copy[TB_SCAN_BLOCK];

    if ((size_t)(p - first) >= TB_SCAN_BLOCK - len)
        return pass_block(s, w, carry, p, len, p + len - TB_SCAN_BLOCK, (unsigned)(TB_SCAN_BLOCK - len));
    for (uint32_t i = 0; i < TB_SCAN_BLOCK; i += 8)
        __builtin_memset(copy + i, ' ', 8);
    size_t i = 0;
    for (; i + 8 <= len; i += 8)
        __builtin_memcpy(copy + i, p + i, 8);
    for (; i < len; i++)
        copy[i] = p[i];
    return pass_block(s, w, carry, p, len, copy, 0);
}

/* Inside a long string: the first two blocks with a quote or a backslash, or where they are not whole. */
static inline const uint8_t *pass_text(const struct bytes_wanted *w, const uint8_t *p, const uint8_t *end)
{
    while (end - p >= 2 * (ptrdiff_t)TB_SCAN_BLOCK &&
           !blocks_have(block_load(p), block_load(p + TB_SCAN_BLOCK), w->quote, w->backslash))
        p += 2 * TB_SCAN_BLOCK;
    return p;
}

/* What the paths look for while all else is passed over. */
static inline void look_for(struct pass *s, struct tb_json_pick *j, const struct tb_pick_set *set)
{
    bool is_array = is_in_array(j);

    *s = (struct pass){
        .j = j, .set = set, .level = j->level, .room = TB_JSON_DEPTH - j->level, .is_array = is_array && j->live};
    for (uint32_t left = is_array ? 0 : j->live; left; left &= left - 1) {
        uint8_t len = *step_of(j, set, (uint32_t)__builtin_ctz(left));
        s->lens[s->len_count++] = len;
        s->longest = len > s->longest ? len : s->longest;
    }
    s->first_shift = s->lens[0] + 1u;
    s->has_names = s->len_count ? UINT64_MAX : 0;
}

/* States OUT and PASSED from @p on, in a range that began at @first. Returns where another state goes on, or @end. */
static const uint8_t *pass_over(struct tb_json_pick *j, const struct tb_pick_set *set, const uint8_t *first,
                                const uint8_t *p, const uint8_t *end)
{
    const struct bytes_wanted w = bytes_wanted();
    struct pass s;
    struct carry carry = {.inside = j->state == PASSED ? UINT64_MAX : 0,
                          .plain = p,
                          .above = (uint32_t)j->depth - j->level,
                          .is_escaped = j->is_escaped};
    const uint8_t *next = NULL;

    look_for(&s, j, set);
    j->state = OUT;
    j->is_escaped = false;
    for (; end - p >= (ptrdiff_t)TB_SCAN_BLOCK; p += TB_SCAN_BLOCK) {
        next = pass_block(&s, &w, &carry, p, TB_SCAN_BLOCK, p, 0);
        if (next)
            goto out;
        if (TB_UNLIKELY(carry.inside && !carry.previous && !carry.is_escaped))
            p = pass_text(&w, p + TB_SCAN_BLOCK, end) - TB_SCAN_BLOCK;
    }
    if (p < end && (next = pass_tail(&s, &w, &carry, first, p, (size_t)(end - p))) != NULL)
        goto out;
    const struct carry last = carry;
    next = back_to_start(&s, &last, end);
    if (!next) {
        next = end;
        j->state = carry.inside ? PASSED : OUT;
        j->is_escaped = carry.is_escaped;
    }
out:
    j->depth = (uint8_t)(s.level + carry.above);
    return next;
}

#endif

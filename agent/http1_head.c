/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The header section: where it ends, and the three headers that decide framing (RFC 9112 section 6): Content-Length,
 * Transfer-Encoding, and Content-Type for streams without end. Whole lines are walked by a mask of line feeds, 32 bytes
 * a step; a line that is cut goes on byte by byte. Both end in the same three value machines.
 */
#include "http1.h"

/* Candidates while a name is read: bits; afterwards m->header is one of them or 0. */
enum { HEADER_LENGTH = 1, HEADER_CODING = 2, HEADER_TYPE = 4 };

static const char name_length[] = "content-length";
static const char name_coding[] = "transfer-encoding";
static const char name_type[] = "content-type";
static const char value_event_stream[] = "text/event-stream";
static const char value_replace[] = "multipart/x-mixed-replace";

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t';
}

/* Content-Length: pos 0 leading blanks, 1 digits, 2 trailing blanks, 255 not a number. The value grows in m->number. */
static void length_byte(struct tb_message *m, uint8_t c)
{
    uint8_t digit = (uint8_t)(c - '0');

    if (digit < 10 && m->pos < 2) {
        m->pos = 1;
        if (m->number > (UINT64_C(1) << 58))
            m->pos = 255;
        m->number = m->number * 10 + digit;
    } else if (is_blank(c)) {
        if (m->pos == 1)
            m->pos = 2;
    } else {
        m->pos = 255;
    }
}

/* Transfer-Encoding: pos counts matched characters of "chunked"; 7 all, 8 blanks behind, 255 another coding. */
static void coding_byte(struct tb_message *m, uint8_t c)
{
    static const char chunked[7] = {'c', 'h', 'u', 'n', 'k', 'e', 'd'};

    if (c == ',') {
        if (m->pos == 7 || m->pos == 8)
            m->flags |= TB_MSG_AMBIGUOUS; /* chunked may only be last, and once */
        m->pos = 0;
    } else if (is_blank(c)) {
        if (m->pos == 7)
            m->pos = 8;
        else if (m->pos > 0 && m->pos < 7)
            m->pos = 255;
    } else if (m->pos < 7 && tb_lower(c) == (uint8_t)chunked[m->pos]) {
        m->pos++;
    } else {
        m->pos = 255;
    }
}

/* Content-Type: the high bit of pos says which candidate, the rest how far; 127 none, 126 matched, 125 so and ended. */
static void type_byte(struct tb_message *m, uint8_t c)
{
    uint8_t at = m->pos & 0x7f;

    if (at == 126 && c != ';' && !is_blank(c))
        m->pos = 127; /* a longer name */
    else if (at == 126)
        m->pos = 125; /* parameters follow */
    if (at >= 125 || (at == 0 && is_blank(c)))
        return;
    c = tb_lower(c);
    if (at == 0)
        m->pos = c == 'm' ? 0x80 : 0;
    const char *want = m->pos & 0x80 ? value_replace : value_event_stream;
    if (c != (uint8_t)want[at]) {
        m->pos = 127;
        return;
    }
    m->pos++;
    if (want[at + 1] == 0)
        m->pos = 126;
}

static void value_start(struct tb_message *m)
{
    m->pos = 0;
    if (m->header == HEADER_LENGTH) {
        if (m->flags & TB_MSG_HAS_LENGTH)
            m->flags |= TB_MSG_AMBIGUOUS; /* twice, even if equal: RFC 9112 section 6.3 lets a recipient refuse */
        m->flags |= TB_MSG_HAS_LENGTH;
        m->number = 0;
    } else if (m->header == HEADER_CODING) {
        /* a second line goes on with the list of the first */
        if (m->flags & TB_MSG_IS_CHUNKED)
            m->flags |= TB_MSG_AMBIGUOUS;
        m->flags |= TB_MSG_HAS_CODING;
        m->flags &= (uint8_t)~TB_MSG_IS_CHUNKED;
    }
}

static void value_byte(struct tb_message *m, uint8_t c)
{
    if (m->header == HEADER_LENGTH)
        length_byte(m, c);
    else if (m->header == HEADER_CODING)
        coding_byte(m, c);
    else
        type_byte(m, c);
}

static void value_end(struct tb_message *m)
{
    if (m->header == HEADER_LENGTH) {
        if (m->pos != 1 && m->pos != 2)
            m->flags |= TB_MSG_AMBIGUOUS;
        m->flags |= TB_MSG_WATCH_FOLD;
    } else if (m->header == HEADER_CODING) {
        if (m->pos == 7 || m->pos == 8)
            m->flags |= TB_MSG_IS_CHUNKED;
        m->flags |= TB_MSG_WATCH_FOLD;
    } else if (m->pos == 125 || m->pos == 126) {
        m->flags |= TB_MSG_IS_STREAM;
    }
    m->header = 0;
    m->pos = 0;
}

/* A CR that is the last byte of a line belongs to its end; any other is part of the value (and then spoils it). */
static void whole_value(struct tb_message *m, uint8_t header, const uint8_t *p, const uint8_t *lf)
{
    if (lf > p && lf[-1] == '\r')
        lf--;
    m->header = header;
    value_start(m);
    for (; p < lf; p++)
        value_byte(m, *p);
    value_end(m);
}

static bool name_is(const uint8_t *p, size_t len, const char *name, size_t name_len)
{
    if (len <= name_len)
        return false;
    for (size_t i = 0; i < name_len; i++)
        if (tb_lower(p[i]) != (uint8_t)name[i])
            return false;
    /* a blank before the colon is not a header name (RFC 9112 section 5.1), yet some take it for one */
    return p[name_len] == ':' || is_blank(p[name_len]);
}

/* A line whose first eight letters are "content-" or "transfer". */
static __attribute__((noinline)) void framing_line(struct tb_message *m, const uint8_t *p, const uint8_t *lf)
{
    static const struct {
        const char *name;
        uint8_t len, header;
    } known[3] = {{name_length, sizeof(name_length) - 1, HEADER_LENGTH},
                  {name_type, sizeof(name_type) - 1, HEADER_TYPE},
                  {name_coding, sizeof(name_coding) - 1, HEADER_CODING}};
    size_t len = (size_t)(lf - p);

    for (int i = 0; i < 3; i++) {
        if (!name_is(p, len, known[i].name, known[i].len))
            continue;
        if (p[known[i].len] == ':')
            whole_value(m, known[i].header, p + known[i].len + 1, lf);
        else if (known[i].header != HEADER_TYPE)
            m->flags |= TB_MSG_AMBIGUOUS;
        return;
    }
}

/* "content-" and "transfer" with bit 5 set in each byte */
#define WORD_CONTENT UINT64_C(0x2d746e65746e6f63)
#define WORD_TRANSFER UINT64_C(0x726566736e617274)
#define CASE_BITS UINT64_C(0x2020202020202020)
#define SHORTEST_FRAMING_LINE 12 /* "content-type" */

/*
 * Walk whole header lines from a line's start. OK: *at is behind the empty line. PARTIAL: *at is the start of the cut
 * line. The body is compiled once per instruction set: a call per line would cost more than the search.
 */
#define WALK_BODY(MASK)                                                                                                \
    const uint8_t *line = *at, *q = line;                                                                              \
    for (;;) {                                                                                                         \
        size_t left = (size_t)(end - q);                                                                               \
        uint32_t mask;                                                                                                 \
        if (TB_LIKELY(left >= TB_SCAN_STEP)) {                                                                         \
            mask = MASK(q, '\n');                                                                                      \
        } else if (left == 0) {                                                                                        \
            *at = line;                                                                                                \
            return TB_PARSE_PARTIAL;                                                                                   \
        } else if ((size_t)(end - *at) >= TB_SCAN_STEP) {                                                              \
            /* the last step overlaps what was seen already, so as not to read past the end */                         \
            mask = MASK(end - TB_SCAN_STEP, '\n') >> (TB_SCAN_STEP - left);                                            \
        } else {                                                                                                       \
            mask = 0;                                                                                                  \
            for (size_t i = 0; i < left; i++)                                                                          \
                mask |= (uint32_t)(q[i] == '\n') << i;                                                                 \
        }                                                                                                              \
        while (mask) {                                                                                                 \
            const uint8_t *lf = q + __builtin_ctz(mask);                                                               \
            mask &= mask - 1;                                                                                          \
            size_t len = (size_t)(lf - line);                                                                          \
            if (TB_LIKELY(len >= SHORTEST_FRAMING_LINE)) {                                                             \
                uint64_t word;                                                                                         \
                __builtin_memcpy(&word, line, 8);                                                                      \
                word |= CASE_BITS;                                                                                     \
                if (word == WORD_CONTENT || word == WORD_TRANSFER) {                                                   \
                    framing_line(m, line, lf);                                                                         \
                    if (m->flags & TB_MSG_WATCH_FOLD)                                                                  \
                        watch_fold(m, lf + 1, end);                                                                    \
                }                                                                                                      \
            } else if (len == 0 || (len == 1 && *line == '\r')) {                                                      \
                *at = lf + 1;                                                                                          \
                return TB_PARSE_OK;                                                                                    \
            }                                                                                                          \
            line = lf + 1;                                                                                             \
        }                                                                                                              \
        q += left < TB_SCAN_STEP ? left : TB_SCAN_STEP;                                                                \
    }

/* Does a continuation (obs-fold, RFC 9112 section 5.2) follow a framing header? Recipients differ in what it then
 * means. */
static void watch_fold(struct tb_message *m, const uint8_t *next, const uint8_t *end)
{
    if (next == end)
        return; /* asked again when the next byte comes */
    if (is_blank(*next))
        m->flags |= TB_MSG_AMBIGUOUS;
    m->flags &= (uint8_t)~TB_MSG_WATCH_FOLD;
}

static enum tb_parse walk_portable(struct tb_message *m, const uint8_t **at, const uint8_t *end)
{
    WALK_BODY(tb_scan_mask_portable)
}

#ifdef TB_SCAN_X86
static enum tb_parse walk_sse2(struct tb_message *m, const uint8_t **at, const uint8_t *end)
{
    WALK_BODY(tb_scan_mask_sse2)
}

__attribute__((target("avx2,bmi"))) static enum tb_parse walk_avx2(struct tb_message *m, const uint8_t **at,
                                                                   const uint8_t *end)
{
    WALK_BODY(tb_scan_mask_avx2)
}
#endif

/* 0: the baseline of the machine. Written once at start (tb_http1_select), read by every head. */
static enum tb_simd selected = TB_SIMD_SSE2;

void tb_http1_select(enum tb_simd simd)
{
    tb_store_relaxed(&selected, simd);
}

static enum tb_parse walk(struct tb_message *m, const uint8_t **at, const uint8_t *end)
{
#ifdef TB_SCAN_X86
    enum tb_simd simd = tb_load_relaxed(&selected);
    if (TB_LIKELY(simd == TB_SIMD_AVX2))
        return walk_avx2(m, at, end);
    if (simd == TB_SIMD_SSE2)
        return walk_sse2(m, at, end);
#endif
    return walk_portable(m, at, end);
}

/* Which candidates still fit with @c at position m->pos of the name. */
static uint8_t narrow(const struct tb_message *m, uint8_t c)
{
    uint8_t keep = 0, at = m->pos;

    c = tb_lower(c);
    if ((m->header & HEADER_LENGTH) && at < sizeof(name_length) - 1 && c == (uint8_t)name_length[at])
        keep |= HEADER_LENGTH;
    if ((m->header & HEADER_CODING) && at < sizeof(name_coding) - 1 && c == (uint8_t)name_coding[at])
        keep |= HEADER_CODING;
    if ((m->header & HEADER_TYPE) && at < sizeof(name_type) - 1 && c == (uint8_t)name_type[at])
        keep |= HEADER_TYPE;
    return keep;
}

static uint8_t complete(const struct tb_message *m)
{
    if ((m->header & HEADER_LENGTH) && m->pos == sizeof(name_length) - 1)
        return HEADER_LENGTH;
    if ((m->header & HEADER_CODING) && m->pos == sizeof(name_coding) - 1)
        return HEADER_CODING;
    if ((m->header & HEADER_TYPE) && m->pos == sizeof(name_type) - 1)
        return HEADER_TYPE;
    return 0;
}

/* In a value, a CR is held back (bit 7 of header) until it is known to end the line. */
#define HELD_CR 0x80

/* One byte of a cut header line. OK: the section is over. */
static enum tb_parse header_byte(struct tb_message *m, uint8_t c)
{
    switch ((enum tb_phase)m->phase) {
    case TB_PHASE_HEADERS:
        if (m->flags & TB_MSG_WATCH_FOLD)
            watch_fold(m, &c, &c + 1);
        if (c == '\n')
            return TB_PARSE_OK;
        if (c == '\r') {
            m->phase = TB_PHASE_HEADER_CR;
            return TB_PARSE_PARTIAL;
        }
        m->header = HEADER_LENGTH | HEADER_CODING | HEADER_TYPE;
        m->pos = 0;
        m->phase = TB_PHASE_HEADER_NAME;
        return header_byte(m, c);
    case TB_PHASE_HEADER_CR:
        if (c == '\n')
            return TB_PARSE_OK;
        m->phase = TB_PHASE_HEADER_SKIP;
        return TB_PARSE_PARTIAL;
    case TB_PHASE_HEADER_NAME: {
        uint8_t whole = complete(m);
        if (c == '\n') {
            m->phase = TB_PHASE_HEADERS;
        } else if (whole && c == ':') {
            m->header = whole;
            value_start(m);
            m->phase = TB_PHASE_HEADER_VALUE;
        } else if (whole && is_blank(c)) {
            if (whole != HEADER_TYPE)
                m->flags |= TB_MSG_AMBIGUOUS;
            m->phase = TB_PHASE_HEADER_SKIP;
        } else if ((m->header = narrow(m, c)) != 0) {
            m->pos++;
        } else {
            m->phase = TB_PHASE_HEADER_SKIP;
        }
        return TB_PARSE_PARTIAL;
    }
    case TB_PHASE_HEADER_VALUE:
        if (c == '\n') {
            m->header &= (uint8_t)~HELD_CR;
            value_end(m);
            m->phase = TB_PHASE_HEADERS;
            return TB_PARSE_PARTIAL;
        }
        if (m->header & HELD_CR) {
            m->header &= (uint8_t)~HELD_CR;
            value_byte(m, '\r');
        }
        if (c == '\r')
            m->header |= HELD_CR;
        else
            value_byte(m, c);
        return TB_PARSE_PARTIAL;
    default: /* TB_PHASE_HEADER_SKIP */
        if (c == '\n')
            m->phase = TB_PHASE_HEADERS;
        return TB_PARSE_PARTIAL;
    }
}

/* What the section says together (RFC 9112 section 6.1 and 6.3). */
static void judge(struct tb_message *m, bool is_request)
{
    if (!is_request || !(m->flags & TB_MSG_HAS_CODING))
        return;
    if ((m->flags & (TB_MSG_HAS_LENGTH | TB_MSG_VERSION_10)) || !(m->flags & TB_MSG_IS_CHUNKED))
        m->flags |= TB_MSG_AMBIGUOUS;
}

enum tb_parse tb_http1_headers(struct tb_message *m, bool is_request, struct tb_bytes *in)
{
    const uint8_t *p = in->ptr, *end = p + in->len;
    enum tb_parse r = TB_PARSE_PARTIAL;

    while (p < end && r != TB_PARSE_OK) {
        if (m->phase == TB_PHASE_HEADERS) {
            if (TB_UNLIKELY(m->flags & TB_MSG_WATCH_FOLD))
                watch_fold(m, p, end);
            r = walk(m, &p, end);
            if (r == TB_PARSE_OK)
                break;
        }
        /* the rest of a cut line; it ends in phase HEADERS, or with the input */
        while (p < end) {
            r = header_byte(m, *p++);
            if (r == TB_PARSE_OK || m->phase == TB_PHASE_HEADERS)
                break;
        }
    }
    in->len = (size_t)(end - p);
    in->ptr = p;
    if (r == TB_PARSE_OK) {
        m->flags &= (uint8_t)~TB_MSG_WATCH_FOLD;
        judge(m, is_request);
    }
    return r;
}

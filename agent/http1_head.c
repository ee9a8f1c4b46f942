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

/* Eight letters as they lie in memory (little-endian), to be compared with bit 5 set in each byte. */
#define CASE_BITS UINT64_C(0x2020202020202020)
#define WORD_CONTENT UINT64_C(0x2d746e65746e6f63)  /* content- */
#define WORD_TRANSFER UINT64_C(0x726566736e617274) /* transfer */
#define WORD_LENGTH UINT64_C(0x3a6874676e656c2d)   /* -length: */
#define WORD_TYPE UINT64_C(0x3a657079742d746e)     /* nt-type: */
#define WORD_ENCODIN UINT64_C(0x6e69646f636e652d)  /* -encodin */
#define WORD_TEXT_EVE UINT64_C(0x6576652f74786574) /* text/eve */
#define SHORTEST_FRAMING_LINE 12                   /* "content-type" */

static bool has_name(const uint8_t *p, const char *name, size_t name_len)
{
    for (size_t i = 0; i < name_len; i++)
        if (tb_lower(p[i]) != (uint8_t)name[i])
            return false;
    return true;
}

/* Digits and nothing else, the first time: the common Content-Length. False leaves @m untouched. */
static bool plain_length(struct tb_message *m, const uint8_t *p, const uint8_t *lf)
{
    uint64_t number = 0;

    if (lf[-1] == '\r')
        lf--;
    while (p < lf && *p == ' ')
        p++;
    if (p == lf || lf - p > 17 || (m->flags & TB_MSG_HAS_LENGTH))
        return false;
    for (; p < lf; p++) {
        uint8_t digit = (uint8_t)(*p - '0');
        if (digit > 9)
            return false;
        number = number * 10 + digit;
    }
    m->number = number;
    m->flags |= TB_MSG_HAS_LENGTH | TB_MSG_WATCH_FOLD;
    return true;
}

/* Could this value be one of the two types of streams? Only then it is worth the value machine. */
static bool may_be_stream(const uint8_t *p, const uint8_t *lf)
{
    while (p < lf && is_blank(*p))
        p++;
    return lf - p >= 17 && (((tb_read64(p) | CASE_BITS) == WORD_TEXT_EVE) || tb_lower(*p) == 'm');
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

/* A line whose first eight letters are "content-" or "transfer"; at least SHORTEST_FRAMING_LINE bytes. */
static void framing_line(struct tb_message *m, const uint8_t *p, const uint8_t *lf, const uint8_t *end)
{
    size_t len = (size_t)(lf - p);

    if (len >= 16 && (tb_read64(p + 7) | CASE_BITS) == WORD_LENGTH && p[7] == '-' && p[14] == ':') {
        if (!plain_length(m, p + 15, lf))
            whole_value(m, HEADER_LENGTH, p + 15, lf);
    } else if (len >= 13 && (tb_read64(p + 5) | CASE_BITS) == WORD_TYPE && p[7] == '-' && p[12] == ':') {
        if (may_be_stream(p + 13, lf))
            whole_value(m, HEADER_TYPE, p + 13, lf);
    } else if (len >= 18 && (tb_read64(p + 8) | CASE_BITS) == WORD_ENCODIN && has_name(p, name_coding, 17) &&
               p[17] == ':') {
        whole_value(m, HEADER_CODING, p + 18, lf);
    } else if ((len >= 15 && has_name(p, name_length, 14) && is_blank(p[14])) ||
               (len >= 18 && has_name(p, name_coding, 17) && is_blank(p[17]))) {
        /* a blank before the colon is not a header name (RFC 9112 section 5.1), yet some take it for one */
        m->flags |= TB_MSG_AMBIGUOUS;
    } else if (len == 15 && has_name(p, name_length, 14) && p[14] == ':') {
        whole_value(m, HEADER_LENGTH, p + 15, lf); /* an empty one */
    }
    if (m->flags & TB_MSG_WATCH_FOLD)
        watch_fold(m, lf + 1, end);
}

void tb_http1_framing_header(struct tb_message *m, const uint8_t *p, const uint8_t *end)
{
    const uint8_t *lf = tb_find_lf(p + 8, end);
    if (lf < end && lf - p >= SHORTEST_FRAMING_LINE)
        framing_line(m, p, lf, end);
}

/* A line that starts with C or T. What is cut off is left to the byte machine. */
static void candidate(struct tb_message *m, const uint8_t *p, const uint8_t *end)
{
    if (end - p < SHORTEST_FRAMING_LINE)
        return;
    uint64_t word = tb_read64(p) | CASE_BITS;
    if (word == WORD_CONTENT || word == WORD_TRANSFER)
        tb_http1_framing_header(m, p, end);
}

/* The start of the line that the input ends in. */
static const uint8_t *cut_line(const uint8_t *start, const uint8_t *end)
{
    while (end > start && end[-1] != '\n')
        end--;
    return end;
}

/* What a step of 32 bytes holds, a bit per byte. */
struct step {
    uint32_t lf;     /* line feeds */
    uint32_t cr;     /* carriage returns */
    uint32_t c_or_t; /* letters that a framing header may start with */
};

static struct step step_short(const uint8_t *p, size_t len)
{
    struct step s = {0, 0, 0};
    for (size_t i = 0; i < len; i++) {
        uint8_t lower = p[i] | 0x20; /* NOLINT(clang-analyzer-core.NullDereference): len is not 0 then */
        s.lf |= (uint32_t)(p[i] == '\n') << i;
        s.cr |= (uint32_t)(p[i] == '\r') << i;
        s.c_or_t |= (uint32_t)(lower == 'c' || lower == 't') << i;
    }
    return s;
}

/*
 * Walk whole header lines from a line's start. OK: *at is behind the empty line. PARTIAL: *at is the start of the cut
 * line. A CR without LF makes a request's section ambiguous: some recipients take it for the end of a line (RFC 9112
 * section 2.2 has them refuse it or take it for a blank). Compiled once per instruction set. @w keeps where the two
 * bytes before a step were line feeds (bits 0 and 1).
 */
#define WALK_BODY(STEP)                                                                                                \
    const uint8_t *start = *at;                                                                                        \
    uint64_t w = 2; /* as if a line feed stood before the first line */                                                \
    for (const uint8_t *q = start; q < end; q += TB_SCAN_STEP) {                                                       \
        size_t left = (size_t)(end - q);                                                                               \
        struct step s;                                                                                                 \
        if (TB_LIKELY(left >= TB_SCAN_STEP)) {                                                                         \
            s = STEP(q);                                                                                               \
        } else if (end - start >= (ptrdiff_t)TB_SCAN_STEP) {                                                           \
            /* the last step overlaps what was seen already, so as not to read past the end */                         \
            s = STEP(end - TB_SCAN_STEP);                                                                              \
            s.lf >>= TB_SCAN_STEP - left;                                                                              \
            s.cr >>= TB_SCAN_STEP - left;                                                                              \
            s.c_or_t >>= TB_SCAN_STEP - left;                                                                          \
        } else {                                                                                                       \
            s = step_short(q, left);                                                                                   \
        }                                                                                                              \
        w |= (uint64_t)s.lf << 2;                                                                                      \
        uint32_t lines = (uint32_t)(w >> 1) & s.c_or_t; /* lines that start with C or T */                             \
        uint32_t empty = s.lf & (uint32_t)(w | w >> 1); /* line feeds one or two bytes behind another */               \
        w >>= 32;                                                                                                      \
        uint32_t bare = is_request ? s.cr & ~(s.lf >> 1) : 0;                                                          \
        uint32_t top = left < TB_SCAN_STEP ? (left - 1) & 31u : TB_SCAN_STEP - 1;                                      \
        if (TB_UNLIKELY(bare >> top) && (left <= TB_SCAN_STEP || q[TB_SCAN_STEP] == '\n'))                             \
            bare &= ~(1u << top); /* its line feed is in the next step, or not there yet */                            \
        if (TB_LIKELY(!(lines | empty | bare)))                                                                        \
            continue;                                                                                                  \
        const uint8_t *lf = NULL;                                                                                      \
        for (; empty; empty &= empty - 1) {                                                                            \
            lf = q + __builtin_ctz(empty);                                                                             \
            if (lf == start || lf[-1] == '\n' || lf[-1] == '\r')                                                       \
                break;                                                                                                 \
            lf = NULL;                                                                                                 \
        }                                                                                                              \
        if (lf)                                                                                                        \
            lines &= (empty & -empty) - 1, bare &= (empty & -empty) - 1;                                               \
        if (TB_UNLIKELY(bare))                                                                                         \
            m->flags |= TB_MSG_AMBIGUOUS;                                                                              \
        for (; lines; lines &= lines - 1)                                                                              \
            candidate(m, q + __builtin_ctz(lines), end);                                                               \
        if (lf) {                                                                                                      \
            *at = lf + 1;                                                                                              \
            return TB_PARSE_OK;                                                                                        \
        }                                                                                                              \
    }                                                                                                                  \
    *at = cut_line(start, end);                                                                                        \
    return TB_PARSE_PARTIAL;

static struct step step_portable(const uint8_t *p)
{
    return (struct step){tb_scan_mask_portable(p, '\n'), tb_scan_mask_portable(p, '\r'),
                         tb_scan_mask_portable(p, 'c') | tb_scan_mask_portable(p, 'C') | tb_scan_mask_portable(p, 't') |
                             tb_scan_mask_portable(p, 'T')};
}

static enum tb_parse walk_portable(struct tb_message *m, bool is_request, const uint8_t **at, const uint8_t *end)
{
    WALK_BODY(step_portable)
}

#ifdef TB_SCAN_X86
static inline uint32_t half_sse2(const uint8_t *p, uint32_t *ret_lf, uint32_t *ret_cr)
{
    __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p), lower = _mm_or_si128(v, _mm_set1_epi8(0x20));
    *ret_lf = (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(v, _mm_set1_epi8('\n')));
    *ret_cr = (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(v, _mm_set1_epi8('\r')));
    return (uint32_t)_mm_movemask_epi8(
        _mm_or_si128(_mm_cmpeq_epi8(lower, _mm_set1_epi8('c')), _mm_cmpeq_epi8(lower, _mm_set1_epi8('t'))));
}

static inline struct step step_sse2(const uint8_t *p)
{
    uint32_t low, high, cr_low, cr_high;
    uint32_t c_or_t = half_sse2(p, &low, &cr_low) | half_sse2(p + 16, &high, &cr_high) << 16;
    return (struct step){low | high << 16, cr_low | cr_high << 16, c_or_t};
}

static enum tb_parse walk_sse2(struct tb_message *m, bool is_request, const uint8_t **at, const uint8_t *end)
{
    WALK_BODY(step_sse2)
}

__attribute__((target("avx2,bmi"))) static inline struct step step_avx2(const uint8_t *p)
{
    __m256i v = _mm256_loadu_si256((const __m256i *)(const void *)p),
            lower = _mm256_or_si256(v, _mm256_set1_epi8(0x20));
    return (struct step){
        (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(v, _mm256_set1_epi8('\n'))),
        (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(v, _mm256_set1_epi8('\r'))),
        (uint32_t)_mm256_movemask_epi8(_mm256_or_si256(_mm256_cmpeq_epi8(lower, _mm256_set1_epi8('c')),
                                                       _mm256_cmpeq_epi8(lower, _mm256_set1_epi8('t'))))};
}

__attribute__((target("avx2,bmi"))) static enum tb_parse walk_avx2(struct tb_message *m, bool is_request,
                                                                   const uint8_t **at, const uint8_t *end)
{
    WALK_BODY(step_avx2)
}
#endif

/* The baseline of the machine until start-up has looked (tb_http1_select). Written once, read by every head. */
enum tb_simd tb_http1_simd = TB_SIMD_SSE2;

void tb_http1_select(enum tb_simd simd)
{
    tb_store_relaxed(&tb_http1_simd, simd);
}

static enum tb_parse walk(struct tb_message *m, bool is_request, const uint8_t **at, const uint8_t *end)
{
#ifdef TB_SCAN_X86
    enum tb_simd simd = tb_load_relaxed(&tb_http1_simd);
    if (TB_LIKELY(simd == TB_SIMD_AVX2))
        return walk_avx2(m, is_request, at, end);
    if (simd == TB_SIMD_SSE2)
        return walk_sse2(m, is_request, at, end);
#endif
    return walk_portable(m, is_request, at, end);
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

/* A CR is held back (bit 7 of header) until it is known to end the line. */
#define HELD_CR 0x80

static void bare_return(struct tb_message *m, bool is_request)
{
    if (is_request)
        m->flags |= TB_MSG_AMBIGUOUS;
}

/* One byte of a cut header line. OK: the section is over. */
static enum tb_parse header_byte(struct tb_message *m, bool is_request, uint8_t c)
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
        return header_byte(m, is_request, c);
    case TB_PHASE_HEADER_CR:
        if (c == '\n')
            return TB_PARSE_OK;
        bare_return(m, is_request);
        m->header = c == '\r' ? HELD_CR : 0;
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
            m->header = 0;
            m->phase = TB_PHASE_HEADER_SKIP;
        } else if ((m->header = narrow(m, c)) != 0) {
            m->pos++;
        } else {
            m->header = c == '\r' ? HELD_CR : 0;
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
            bare_return(m, is_request);
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
        else if (m->header & HELD_CR)
            bare_return(m, is_request);
        m->header = c == '\r' ? HELD_CR : 0;
        return TB_PARSE_PARTIAL;
    }
}

/* What the section says together (RFC 9112 section 6.1 and 6.3). */
void tb_http1_judge(struct tb_message *m, bool is_request)
{
    if (!(m->flags & TB_MSG_HAS_CODING))
        return;
    if (!is_request) { /* not chunked ends with the connection; with a length, too, some go by that */
        if ((m->flags & (TB_MSG_HAS_LENGTH | TB_MSG_IS_CHUNKED)) == TB_MSG_HAS_LENGTH)
            m->flags |= TB_MSG_AMBIGUOUS;
        return;
    }
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
            r = walk(m, is_request, &p, end);
            if (r == TB_PARSE_OK)
                break;
        }
        /* the rest of a cut line; it ends in phase HEADERS, or with the input */
        while (p < end) {
            r = header_byte(m, is_request, *p++);
            if (r == TB_PARSE_OK || m->phase == TB_PHASE_HEADERS)
                break;
        }
    }
    in->len = (size_t)(end - p);
    in->ptr = p;
    if (r == TB_PARSE_OK) {
        m->flags &= (uint8_t)~TB_MSG_WATCH_FOLD;
        tb_http1_judge(m, is_request);
    }
    return r;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/1 start lines, in place when the whole line is there, byte by byte when it is cut (RFC 9112 sections 2.2, 3, 4;
 * the PROXY protocol, versions 1 and 2). Header sections are in http1_head.c, bodies in http1_body.c.
 *
 * What is taken for a request: a token, blanks, a target, a blank and HTTP/d.d at the end of the line. Blanks inside
 * the target and behind the version are tolerated as nginx and Apache do; a server that refuses them answers, and the
 * answer is counted.
 */
#include "http1.h"
#include "methods.h"

static bool is_digit(uint8_t c)
{
    return (uint8_t)(c - '0') < 10;
}

/* The bytes of a string constant as they lie in memory. */
#define WORD4(a, b, c, d) ((uint32_t)(a) | (uint32_t)(b) << 8 | (uint32_t)(c) << 16 | (uint32_t)(d) << 24)
#define WORD8(a, b, c, d, e, f, g, h) ((uint64_t)WORD4(a, b, c, d) | (uint64_t)WORD4(e, f, g, h) << 32)
#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the words of this file are little-endian"
#endif

static const uint8_t proxy2_signature[12] = {13, 10, 13, 10, 0, 13, 10, 'Q', 'U', 'I', 'T', 10};

struct tb_bytes tb_http1_target_path(struct tb_bytes target)
{
    if (target.len == 0 || target.ptr[0] == '/' || target.ptr[0] == '*')
        return target;
    /* absolute-form: scheme "://" authority [path] */
    for (size_t i = 0; i + 2 < target.len; i++) {
        uint8_t c = target.ptr[i];
        if (c == ':' && target.ptr[i + 1] == '/' && target.ptr[i + 2] == '/') {
            size_t p = i + 3;
            while (p < target.len && target.ptr[p] != '/')
                p++;
            return p < target.len ? tb_bytes(target.ptr + p, target.len - p) : tb_bytes_str("/");
        }
        if (!tb_is_token(c))
            break;
    }
    return target;
}

static enum tb_parse stop(struct tb_message *m)
{
    m->phase = TB_PHASE_STOPPED;
    return TB_PARSE_BAD;
}

/* A new message: what is left of the one before must not shine through. */
static void reset(struct tb_message *m, uint8_t phase)
{
    uint8_t is_next = m->is_next;
    *m = (struct tb_message){.phase = phase, .is_next = is_next};
}

static bool is_version(const uint8_t *p)
{
    /* "HTTP/d.d" */
    uint64_t v = tb_read64(p);
    return (v & UINT64_C(0x00ff00ffffffffff)) == WORD8('H', 'T', 'T', 'P', '/', 0, '.', 0) && is_digit(p[5]) &&
           is_digit(p[7]);
}

/* The end of the part of a target [p, last) that shapes the route; up to @end may be read. */
static const uint8_t *path_end(const uint8_t *p, const uint8_t *last, const uint8_t *end)
{
    if ((size_t)(last - p) > TB_PATH_MAX)
        last = p + TB_PATH_MAX;
#ifdef TB_SCAN_X86
    for (; p < last && end - p >= 16; p += 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
        __m128i hit = _mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('?')), _mm_cmpeq_epi8(v, _mm_set1_epi8('#')));
        hit = _mm_or_si128(hit, _mm_cmpeq_epi8(v, _mm_set1_epi8(' ')));
        uint32_t mask = (uint32_t)_mm_movemask_epi8(hit);
        if (mask) {
            p += __builtin_ctz(mask);
            return p < last ? p : last;
        }
    }
#else
    (void)end;
#endif
    while (p < last && *p != '?' && *p != '#' && *p != ' ')
        p++;
    return p < last ? p : last;
}

/* A whole request line without its LF. */
static enum tb_parse request_line(struct tb_message *m, const uint8_t *p, const uint8_t *end,
                                  const uint8_t *readable_end, struct tb_start_line *ret)
{
    uint8_t method;
    const uint8_t *t;

    if (end > p && end[-1] == '\r')
        end--;
    while (end > p && end[-1] == ' ')
        end--;
    /* the shortest: "A * HTTP/1.1" */
    if (end - p < 12 || end[-9] != ' ' || !is_version(end - 8))
        return stop(m);
    uint32_t word = tb_read32(p);
    if (word == WORD4('G', 'E', 'T', ' ')) {
        method = TB_METHOD_GET;
        t = p + 4;
    } else {
        uint64_t hash = TB_HASH_START;
        for (t = p; t < end && tb_is_token(*t); t++)
            hash = tb_hash_step(hash, *t);
        size_t len = (size_t)(t - p);
        if (len == 0 || len > 64 || *t != ' ')
            return stop(m);
        method = tb_method_by_hash(hash, len);
        t++;
    }
    const uint8_t *last = end - 9;
    while (t < last && *t == ' ')
        t++;
    if (t >= last)
        return stop(m);

    if (end[-1] == '0' && end[-3] == '1')
        m->flags |= TB_MSG_VERSION_10;
    const uint8_t *cut = path_end(t, last, readable_end);
    ret->path = tb_bytes(t, (size_t)(cut - t));
    ret->is_cut = cut < last && ret->path.len == TB_PATH_MAX && *cut != '?' && *cut != '#' && *cut != ' ';
    ret->is_http2 = end[-3] == '2' && word == WORD4('P', 'R', 'I', ' ');
    ret->method = method;
    m->method = method;
    m->is_next = 1;
    m->phase = TB_PHASE_HEADERS;
    return TB_PARSE_OK;
}

static bool is_proxy(struct tb_bytes in)
{
    return in.len >= 6 && tb_equal(in.ptr, "PROXY ", 6);
}

static enum tb_parse request_byte(struct tb_message *m, uint8_t c, uint8_t *block);

static enum tb_parse method_starts(struct tb_message *m, uint8_t c)
{
    m->phase = TB_PHASE_METHOD;
    m->number = TB_HASH_START;
    m->pos = 0;
    return request_byte(m, c, NULL);
}

/* One byte before the method: empty lines, a PROXY protocol head (its v2 signature begins with two empty lines). */
static enum tb_parse preface_byte(struct tb_message *m, uint8_t c)
{
    switch ((enum tb_phase)m->phase) {
    case TB_PHASE_START:
        if (c != '\r' && c != '\n')
            return method_starts(m, c);
        m->phase = TB_PHASE_PREFACE;
        m->pos = c == '\r' ? 1 : 0xff; /* 0xff: the PROXY v2 signature is out */
        return TB_PARSE_PARTIAL;

    case TB_PHASE_PREFACE:
        if (!m->is_next && m->pos < sizeof(proxy2_signature) && c == proxy2_signature[m->pos]) {
            if (++m->pos == sizeof(proxy2_signature)) {
                m->phase = TB_PHASE_PROXY2;
                m->pos = 0;
                m->number = 0;
            }
            return TB_PARSE_PARTIAL;
        }
        if (m->pos > 4 && m->pos != 0xff)
            return stop(m); /* past the four bytes that could be empty lines */
        m->pos = 0xff;
        return c == '\r' || c == '\n' ? TB_PARSE_PARTIAL : method_starts(m, c);

    case TB_PHASE_PROXY2: /* version and command, family, length (big-endian) */
        if (m->pos >= 2)
            m->number = m->number << 8 | c;
        if (++m->pos == 4) {
            m->is_next = 1;
            if (m->number == 0)
                reset(m, TB_PHASE_START);
            else
                m->phase = TB_PHASE_PROXY_SKIP;
        }
        return TB_PARSE_PARTIAL;

    case TB_PHASE_PROXY_SKIP:
        if (--m->number == 0)
            reset(m, TB_PHASE_START);
        return TB_PARSE_PARTIAL;

    default: /* TB_PHASE_PROXY_LINE */
        if (c == '\n') {
            m->is_next = 1;
            reset(m, TB_PHASE_START);
        }
        return TB_PARSE_PARTIAL;
    }
}

/* While a target is read, bits 24 and up of m->number count what is kept behind its path: '?' and the query. */
#define QUERY_SHIFT 24

static void keep_query(struct tb_message *m, uint8_t c, uint8_t *block)
{
    uint64_t at = m->extra + (m->number >> QUERY_SHIFT);
    if (!block || at >= TB_PATH_MAX)
        return;
    block[at] = c;
    m->number += UINT64_C(1) << QUERY_SHIFT;
}

static struct tb_bytes kept_query(const struct tb_message *m, const uint8_t *block)
{
    uint64_t len = m->number >> QUERY_SHIFT;
    if (!len || !block || block[m->extra] != '?')
        return tb_bytes(block, 0);
    return tb_bytes(block + m->extra + 1, len - 1);
}

/* One byte of a cut request line. OK means the line is complete. */
static enum tb_parse request_byte(struct tb_message *m, uint8_t c, uint8_t *block)
{
    if (m->phase < TB_PHASE_METHOD)
        return preface_byte(m, c);
    switch ((enum tb_phase)m->phase) {
    case TB_PHASE_METHOD:
        if (tb_is_token(c) && m->pos < 64) {
            m->number = tb_hash_step(m->number, c);
            m->pos++;
            return TB_PARSE_PARTIAL;
        }
        if (c != ' ' || m->pos == 0)
            return stop(m);
        {
            uint64_t proxy = TB_HASH_START, pri = TB_HASH_START;
            for (const char *s = "PROXY"; *s; s++)
                proxy = tb_hash_step(proxy, (uint8_t)*s);
            for (const char *s = "PRI"; *s; s++)
                pri = tb_hash_step(pri, (uint8_t)*s);
            if (!m->is_next && m->pos == 5 && m->number == proxy) {
                m->phase = TB_PHASE_PROXY_LINE;
                return TB_PARSE_PARTIAL;
            }
            m->header = m->pos == 3 && m->number == pri; /* remembered until the version is known */
        }
        m->method = tb_method_by_hash(m->number, m->pos);
        m->phase = TB_PHASE_TARGET;
        m->extra = 0;
        m->number = 0; /* target bytes seen, saturating at 1 */
        return TB_PARSE_PARTIAL;

    case TB_PHASE_TARGET:
        if (c == '\n')
            return stop(m);
        if (c == ' ') {
            if (m->number == 0)
                return TB_PARSE_PARTIAL; /* more blanks before the target */
            m->flags |= TB_MSG_PATH_DONE;
            m->phase = TB_PHASE_VERSION;
            m->pos = 0;
            return TB_PARSE_PARTIAL;
        }
        m->number |= 1;
        if (c == '?' || c == '#')
            m->flags |= TB_MSG_PATH_DONE;
        if (m->flags & TB_MSG_PATH_DONE) {
            keep_query(m, c, block);
            return TB_PARSE_PARTIAL;
        }
        if (m->extra == TB_PATH_MAX) {
            m->flags |= TB_MSG_PATH_DONE;
            m->number |= 2; /* cut */
            return TB_PARSE_PARTIAL;
        }
        if (block)
            block[m->extra] = c;
        m->extra++;
        return TB_PARSE_PARTIAL;

    case TB_PHASE_VERSION: {
        static const char form[8] = {'H', 'T', 'T', 'P', '/', 'd', '.', 'd'};
        bool fits = form[m->pos] == 'd' ? is_digit(c) : c == (uint8_t)form[m->pos];
        if (fits) {
            /* the digits seen last: bits 8..15 major, 16..23 minor */
            if (m->pos == 5)
                m->number = (m->number & ~UINT64_C(0xffff00)) | (uint64_t)c << 8;
            if (m->pos == 7)
                m->number = (m->number & ~UINT64_C(0xff0000)) | (uint64_t)c << 16;
            if (++m->pos == 8) {
                m->phase = TB_PHASE_VERSION_END;
                m->pos = 0;
            }
            return TB_PARSE_PARTIAL;
        }
        if (c == ' ') {
            m->pos = 0;
            return TB_PARSE_PARTIAL;
        }
        m->phase = TB_PHASE_TARGET;
        return request_byte(m, c, block);
    }

    case TB_PHASE_VERSION_END: /* pos 1: a blank was seen, 2: CR was seen */
        if (c == '\n') {
            if ((m->number >> 8 & 0xff) == '1' && (m->number >> 16 & 0xff) == '0')
                m->flags |= TB_MSG_VERSION_10;
            return TB_PARSE_OK;
        }
        if (m->pos < 2 && (c == ' ' || c == '\r')) {
            m->pos = c == ' ' ? 1 : 2;
            return TB_PARSE_PARTIAL;
        }
        /* "HTTP/1.1" was part of the target; behind a blank a version may start right here */
        if (m->pos == 1) {
            m->phase = TB_PHASE_VERSION;
            m->pos = 0;
        } else {
            m->phase = TB_PHASE_TARGET;
        }
        return request_byte(m, c, block);

    default:
        return stop(m);
    }
}

static void advance(struct tb_bytes *in, const uint8_t *to)
{
    in->len -= (size_t)(to - in->ptr);
    in->ptr = to;
}

enum tb_parse tb_http1_request_line(struct tb_message *m, struct tb_bytes *in, struct tb_start_line *ret)
{
    if (TB_UNLIKELY(m->phase != TB_PHASE_START || in->len == 0 || *in->ptr <= '\r'))
        return TB_PARSE_PARTIAL;
    const uint8_t *p = in->ptr, *end = p + in->len, *lf = tb_find_lf(p, end);
    if (TB_UNLIKELY(lf == end || (!m->is_next && is_proxy(*in))))
        return TB_PARSE_PARTIAL;
    reset(m, TB_PHASE_START);
    advance(in, lf + 1);
    return request_line(m, p, lf, end, ret);
}

enum tb_parse tb_http1_request_line_cut(struct tb_message *m, struct tb_bytes *in, uint8_t *path_block,
                                        struct tb_start_line *ret)
{
    const uint8_t *p = in->ptr, *end = p + in->len;

    if (m->phase == TB_PHASE_START)
        reset(m, TB_PHASE_START);
    while (p < end) {
        if (m->phase == TB_PHASE_PROXY_SKIP) {
            size_t n = (size_t)(end - p) < m->number ? (size_t)(end - p) : (size_t)m->number;
            p += n;
            m->number -= n;
            if (m->number == 0)
                reset(m, TB_PHASE_START);
            continue;
        }
        enum tb_parse r = request_byte(m, *p, path_block);
        p++;
        if (r == TB_PARSE_PARTIAL)
            continue;
        advance(in, p);
        if (r == TB_PARSE_BAD)
            return r;
        ret->path = tb_bytes(path_block, path_block ? m->extra : 0);
        ret->query = kept_query(m, path_block);
        ret->is_cut = (m->number & 2) || !path_block;
        ret->is_http2 = m->header && (m->number >> 8 & 0xff) == '2';
        ret->method = m->method;
        m->number = 0;
        m->header = 0;
        m->pos = 0;
        m->flags &= (uint8_t)~TB_MSG_PATH_DONE;
        m->is_next = 1;
        m->phase = TB_PHASE_HEADERS;
        return TB_PARSE_OK;
    }
    advance(in, end);
    return TB_PARSE_PARTIAL;
}

/* A whole status line without its LF: "HTTP/d.d ddd", then a blank or the end. */
static enum tb_parse status_line(struct tb_message *m, const uint8_t *p, const uint8_t *end, struct tb_start_line *ret)
{
    if (end - p < 12 || !is_version(p) || p[8] != ' ' || !is_digit(p[9]) || p[9] == '0' || !is_digit(p[10]) ||
        !is_digit(p[11]))
        return stop(m);
    if (end - p > 12 && p[12] != ' ' && p[12] != '\r')
        return stop(m);
    if (p[5] == '1' && p[7] == '0')
        m->flags |= TB_MSG_VERSION_10;
    ret->status = (uint16_t)((p[9] - '0') * 100 + (p[10] - '0') * 10 + (p[11] - '0'));
    m->extra = ret->status;
    m->is_next = 1;
    m->phase = TB_PHASE_HEADERS;
    return TB_PARSE_OK;
}

static enum tb_parse status_byte(struct tb_message *m, uint8_t c)
{
    static const char form[12] = {'H', 'T', 'T', 'P', '/', 'd', '.', 'd', ' ', 'd', 'd', 'd'};

    if (m->phase == TB_PHASE_START) {
        m->phase = TB_PHASE_STATUS;
        m->pos = 0;
        m->extra = 0;
    }
    if (m->phase == TB_PHASE_REASON)
        return c == '\n' ? TB_PARSE_OK : TB_PARSE_PARTIAL;
    if (m->pos == sizeof(form)) {
        if (c == '\n')
            return TB_PARSE_OK;
        if (c != ' ' && c != '\r')
            return stop(m);
        m->phase = TB_PHASE_REASON;
        return TB_PARSE_PARTIAL;
    }
    bool fits = form[m->pos] == 'd' ? is_digit(c) : c == (uint8_t)form[m->pos];
    if (!fits || (m->pos == 9 && c == '0'))
        return stop(m);
    if (m->pos == 5)
        m->number = c;
    if (m->pos == 7 && m->number == '1' && c == '0')
        m->flags |= TB_MSG_VERSION_10;
    if (m->pos >= 9)
        m->extra = (uint16_t)(m->extra * 10 + (c - '0'));
    m->pos++;
    return TB_PARSE_PARTIAL;
}

enum tb_parse tb_http1_status_line(struct tb_message *m, struct tb_bytes *in, struct tb_start_line *ret)
{
    const uint8_t *p = in->ptr, *end = p + in->len;

    if (m->phase == TB_PHASE_START && in->len) {
        reset(m, TB_PHASE_START);
        const uint8_t *lf = tb_find_lf(p, end);
        if (TB_LIKELY(lf < end)) {
            advance(in, lf + 1);
            return status_line(m, p, lf, ret);
        }
    }
    while (p < end) {
        enum tb_parse r = status_byte(m, *p++);
        if (r == TB_PARSE_PARTIAL)
            continue;
        advance(in, p);
        if (r == TB_PARSE_OK) {
            ret->status = m->extra;
            m->number = 0;
            m->pos = 0;
            m->is_next = 1;
            m->phase = TB_PHASE_HEADERS;
        }
        return r;
    }
    advance(in, end);
    return TB_PARSE_PARTIAL;
}

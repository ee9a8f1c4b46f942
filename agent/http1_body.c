/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Message bodies: which framing applies (RFC 9112 section 6.3), and skipping content by length, by chunk or until
 * close. Content is never looked at, so it may be bytes that exist only as a number (sendfile).
 */
#include "http1.h"

void tb_http1_request_body(struct tb_message *m)
{
    m->phase = TB_PHASE_START;
    if (m->flags & TB_MSG_IS_CHUNKED) {
        m->phase = TB_PHASE_CHUNK_SIZE;
        m->number = 0;
        m->pos = 0;
    } else if ((m->flags & TB_MSG_HAS_LENGTH) && m->number) {
        m->phase = TB_PHASE_LENGTH;
    }
}

void tb_http1_response_body(struct tb_message *m, uint8_t method, uint16_t status)
{
    m->phase = TB_PHASE_START;
    if (status == 101 || (method == TB_METHOD_CONNECT && status >= 200 && status < 300)) {
        m->phase = TB_PHASE_TUNNEL;
        return;
    }
    if (method == TB_METHOD_HEAD || status < 200 || status == 204 || status == 304)
        return;
    if (m->flags & TB_MSG_HAS_CODING) {
        /* a Content-Length beside it does not count; a last coding other than chunked means until close */
        m->phase = m->flags & TB_MSG_IS_CHUNKED ? TB_PHASE_CHUNK_SIZE : TB_PHASE_CLOSE;
        m->number = 0;
        m->pos = 0;
    } else if (m->flags & TB_MSG_HAS_LENGTH) {
        if (m->number)
            m->phase = TB_PHASE_LENGTH;
    } else {
        m->phase = TB_PHASE_CLOSE;
    }
}

/* One byte of chunk framing. OK: the message is over. In CHUNK_SIZE, pos counts digits (at most 15, so no overflow),
 * 16+: blanks. */
static enum tb_parse chunk_byte(struct tb_message *m, uint8_t c)
{
    switch ((enum tb_phase)m->phase) {
    case TB_PHASE_CHUNK_SIZE: {
        uint8_t digit = tb_hex(c);
        if (digit < 16 && m->pos < 15) {
            m->number = m->number << 4 | digit;
            if (m->number || m->pos == 0)
                m->pos = m->number ? (uint8_t)(m->pos + 1) : 1; /* leading zeroes do not add up */
            return TB_PARSE_PARTIAL;
        }
        if (m->pos == 0)
            return TB_PARSE_BAD;
        if (c == '\n')
            break;
        if (c != ';' && c != ' ' && c != '\t' && c != '\r')
            return TB_PARSE_BAD;
        m->phase = TB_PHASE_CHUNK_EXT;
        m->pos = c == '\r';
        return TB_PARSE_PARTIAL;
    }
    case TB_PHASE_CHUNK_EXT: /* pos 1: CR seen. One without the other ends the line for some recipients only */
        if ((c == '\n') != m->pos)
            return TB_PARSE_BAD;
        if (c == '\n')
            break;
        m->pos = c == '\r';
        return TB_PARSE_PARTIAL;
    case TB_PHASE_CHUNK_END: /* pos 1: CR seen */
        if (c == '\r' && m->pos == 0) {
            m->pos = 1;
            return TB_PARSE_PARTIAL;
        }
        if (c != '\n')
            return TB_PARSE_BAD;
        m->phase = TB_PHASE_CHUNK_SIZE;
        m->number = 0;
        m->pos = 0;
        return TB_PARSE_PARTIAL;
    case TB_PHASE_TRAILERS:
        if (c == '\n')
            return TB_PARSE_OK;
        m->phase = c == '\r' ? TB_PHASE_TRAILER_CR : TB_PHASE_TRAILER_LINE;
        return TB_PARSE_PARTIAL;
    case TB_PHASE_TRAILER_CR:
        if (c == '\n')
            return TB_PARSE_OK;
        m->phase = TB_PHASE_TRAILER_LINE;
        return TB_PARSE_PARTIAL;
    default: /* TB_PHASE_TRAILER_LINE */
        if (c == '\n')
            m->phase = TB_PHASE_TRAILERS;
        return TB_PARSE_PARTIAL;
    }
    /* the end of a size line */
    m->phase = m->number ? TB_PHASE_CHUNK_DATA : TB_PHASE_TRAILERS;
    m->pos = 0;
    return TB_PARSE_PARTIAL;
}

static uint64_t skip(struct tb_bytes *in, uint64_t n)
{
    if (n > in->len)
        n = in->len;
    if (in->ptr)
        in->ptr += n;
    in->len -= (size_t)n;
    return n;
}

enum tb_parse tb_http1_body(struct tb_message *m, struct tb_bytes *in, uint64_t *ret_body)
{
    while (in->len) {
        switch ((enum tb_phase)m->phase) {
        case TB_PHASE_LENGTH:
        case TB_PHASE_CHUNK_DATA: {
            uint64_t n = skip(in, m->number);
            m->number -= n;
            *ret_body += n;
            if (m->number)
                return TB_PARSE_PARTIAL;
            if (m->phase == TB_PHASE_LENGTH) {
                m->phase = TB_PHASE_START;
                return TB_PARSE_OK;
            }
            m->phase = TB_PHASE_CHUNK_END;
            m->pos = 0;
            break;
        }
        case TB_PHASE_CLOSE:
        case TB_PHASE_TUNNEL:
            *ret_body += skip(in, in->len);
            return TB_PARSE_PARTIAL;
        default:
            if (!in->ptr)
                return TB_PARSE_BAD;
            enum tb_parse r = chunk_byte(m, *in->ptr);
            in->ptr++;
            in->len--;
            if (r == TB_PARSE_OK)
                m->phase = TB_PHASE_START;
            if (r != TB_PARSE_PARTIAL)
                return r;
        }
    }
    return TB_PARSE_PARTIAL;
}

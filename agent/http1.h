/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/1.0 and HTTP/1.1 messages in flight (RFC 9112): where a message starts, what its start line says, how long its
 * body is, where it ends. Input may be cut anywhere; what must survive a cut is 16 bytes per direction. Whole lines are
 * read in place, 32 bytes a step; only a line that is cut goes through a byte-by-byte machine. Both give the same
 * answers.
 *
 * Pure functions of bytes and of struct tb_message: no allocation, no I/O, no clock, no errno. Context: any.
 * Linear in the bytes of a connection: nothing is looked at twice but one cut line's first part.
 */
#ifndef TB_HTTP1_H
#define TB_HTTP1_H

#include "core.h"
#include "scan.h"

enum tb_phase {
    TB_PHASE_START, /* before a start line */
    /* cut start line of a request */
    TB_PHASE_PREFACE,    /* leading CR LF, or the signature of a PROXY v2 head: pos = bytes matched */
    TB_PHASE_PROXY2,     /* pos = bytes of the fixed part seen */
    TB_PHASE_PROXY_SKIP, /* number = bytes of a PROXY v2 head still to skip */
    TB_PHASE_PROXY_LINE, /* until the LF of a PROXY v1 line */
    TB_PHASE_METHOD,     /* number = hash, pos = length */
    TB_PHASE_TARGET,
    TB_PHASE_VERSION, /* pos = characters of "HTTP/d.d" seen */
    TB_PHASE_VERSION_END,
    /* cut start line of a response */
    TB_PHASE_STATUS, /* pos = characters of "HTTP/d.d ddd" seen */
    TB_PHASE_REASON,
    /* header section */
    TB_PHASE_HEADERS, /* at the start of a header line */
    TB_PHASE_HEADER_NAME,
    TB_PHASE_HEADER_VALUE,
    TB_PHASE_HEADER_SKIP, /* a line of no interest, until its LF */
    TB_PHASE_HEADER_CR,   /* CR at the start of a line */
    /* body */
    TB_PHASE_LENGTH, /* number = bytes left */
    TB_PHASE_CHUNK_SIZE,
    TB_PHASE_CHUNK_EXT,
    TB_PHASE_CHUNK_DATA, /* number = bytes left */
    TB_PHASE_CHUNK_END,  /* CR LF behind the data */
    TB_PHASE_TRAILERS,   /* at the start of a trailer line */
    TB_PHASE_TRAILER_LINE,
    TB_PHASE_TRAILER_CR,
    TB_PHASE_CLOSE,  /* a body that ends with the connection */
    TB_PHASE_TUNNEL, /* no longer HTTP; lengths only */
    TB_PHASE_STOPPED /* nothing more will be looked at */
};

/* flags of the message being received or sent */
enum {
    TB_MSG_HAS_LENGTH = 1,  /* Content-Length; its value is in number until the body starts */
    TB_MSG_HAS_CODING = 2,  /* Transfer-Encoding */
    TB_MSG_IS_CHUNKED = 4,  /* ... whose last coding is chunked */
    TB_MSG_AMBIGUOUS = 8,   /* the framing can be read in two ways */
    TB_MSG_IS_STREAM = 16,  /* text/event-stream or multipart/x-mixed-replace */
    TB_MSG_VERSION_10 = 32, /* HTTP/1.0 */
    TB_MSG_PATH_DONE = 64,  /* the cut start line's path ended (query, fragment, blank or TB_PATH_MAX) */
    TB_MSG_WATCH_FOLD = 128 /* the line before was a framing header: a continuation makes it ambiguous */
};

/* The state of one direction of a connection. Zero is the start of a stream. */
struct tb_message {
    uint64_t number;
    uint8_t phase;   /* enum tb_phase */
    uint8_t flags;   /* TB_MSG_ */
    uint8_t pos;     /* position inside what phase names */
    uint8_t header;  /* candidates, then the header whose value is being read */
    uint16_t extra;  /* request: bytes of path kept; response: status */
    uint8_t method;  /* request */
    uint8_t is_next; /* 1: not the first message of the stream (no PROXY head any more) */
};
_Static_assert(sizeof(struct tb_message) == 16, "two of these are in every connection");

struct tb_start_line {
    struct tb_bytes path; /* borrowed: from the input or from the caller's path block; as sent, cut at '?', '#', ' ' and
                             TB_PATH_MAX */
    struct tb_bytes query; /* only of a request line in pieces, as far as there was room for it behind the path */
    uint16_t status;       /* response */
    uint8_t method;        /* request: enum tb_method */
    bool is_cut;           /* the path was longer than TB_PATH_MAX */
    bool is_http2;         /* request: the connection preface of HTTP/2 */
};

/*
 * tb_http1_request_line - read a request line that is there as a whole (RFC 9112 section 3).
 *
 * @in   advanced past the line unless TB_PARSE_PARTIAL
 * @ret  slices into @in; set only when TB_PARSE_OK, then the phase is TB_PHASE_HEADERS
 *
 * Returns TB_PARSE_OK, TB_PARSE_BAD (phase STOPPED), or TB_PARSE_PARTIAL when the line is cut, or does not start at
 * once (empty lines, a PROXY head, an earlier part): then nothing was consumed, use the next function.
 */
enum tb_parse tb_http1_request_line(struct tb_message *m, struct tb_bytes *in, struct tb_start_line *ret);

/*
 * tb_http1_request_line_cut - the same byte by byte, any cut; leading empty lines and, before the first message of a
 * stream, a PROXY protocol head of version 1 or 2 are skipped.
 *
 * @in          advanced past what was consumed: all of it unless the line is complete
 * @path_block  TB_PATH_MAX bytes that keep the path, the same in each call for one line; NULL: the path is lost (empty,
 * is_cut)
 */
enum tb_parse tb_http1_request_line_cut(struct tb_message *m, struct tb_bytes *in, uint8_t *path_block,
                                        struct tb_start_line *ret);

/* tb_http1_status_line - read a status line, cut anywhere (RFC 9112 section 4). As above. */
enum tb_parse tb_http1_status_line(struct tb_message *m, struct tb_bytes *in, struct tb_start_line *ret);

/*
 * tb_http1_headers - read header lines until the empty one. Phases HEADERS to HEADER_CR. Never BAD: what cannot be
 * understood is either of no interest or sets TB_MSG_AMBIGUOUS.
 */
enum tb_parse tb_http1_headers(struct tb_message *m, bool is_request, struct tb_bytes *in);

/*
 * Shared with http1_whole.h: a header line at @p that begins with "content-" or "transfer" in any case (a cut one is
 * left alone), and what the section says together.
 */
void tb_http1_framing_header(struct tb_message *m, const uint8_t *p, const uint8_t *end);
void tb_http1_judge(struct tb_message *m, bool is_request);

/* tb_http1_select - which instruction set tb_http1_headers and the path search use; for start-up and tests. */
void tb_http1_select(enum tb_simd simd);
extern enum tb_simd tb_http1_simd;

/*
 * tb_http1_request_body, tb_http1_response_body - after the header section: choose the phase of the body (RFC 9112
 * section 6.3). A request without one, or a response that cannot have one, is left in TB_PHASE_START. @method is the
 * request's.
 */
void tb_http1_request_body(struct tb_message *m);
void tb_http1_response_body(struct tb_message *m, uint8_t method, uint16_t status);

/*
 * tb_http1_body - skip body bytes. Ranges without bytes (ptr NULL) are taken where only their length matters.
 * Returns OK at the message's end (phase START), PARTIAL, or BAD (chunk framing broken, or a look at bytes that nobody
 * has). *ret_body grows by the content bytes skipped.
 */
enum tb_parse tb_http1_body(struct tb_message *m, struct tb_bytes *in, uint64_t *ret_body);

/*
 * The most common heads (http1_plain.h), one function per instruction set. @len is at least TB_PLAIN_BYTES.
 *
 * tb_plain_get: the bytes of the path, at @p + 4, if the range is exactly one GET with a path, HTTP/1.1 and no body;
 * else 0.
 * tb_plain_response: head = status << 48 and the bytes of the head, if the range begins with a final HTTP/1.1 response
 * that has one plain Content-Length (not 204, not 304, no stream's type); else head = 0.
 */
#define TB_PLAIN_BYTES 72u
struct tb_plain_response {
    uint64_t head, length;
};
typedef size_t tb_plain_get_fn(const uint8_t *p, size_t len);
typedef struct tb_plain_response tb_plain_response_fn(const uint8_t *p, size_t len);
tb_plain_get_fn tb_plain_get_avx2, tb_plain_get_base, tb_plain_get_portable;
tb_plain_response_fn tb_plain_response_avx2, tb_plain_response_base, tb_plain_response_portable;

/* tb_http1_target_path - the path of a target as sent (origin, absolute, asterisk form; RFC 9112 section 3.2), cut
 * already at '?'. */
struct tb_bytes tb_http1_target_path(struct tb_bytes target);

#endif

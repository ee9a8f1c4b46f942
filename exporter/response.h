/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A scrape's answer while it is sent: the exposition as it was when it was asked for, encoded and compressed piece by
 * piece as the client takes it. It holds the exposition and a bounded rest, however large the text is.
 *
 * One thread at a time.
 */
#ifndef TB_RESPONSE_H
#define TB_RESPONSE_H

#include <sys/types.h>

#include "accept.h"
#include "exposition.h"

struct tb_response;

/* What became of responses, added up over all that were given the same one. */
struct tb_response_totals {
    uint64_t rendered_bytes; /* before compression */
    uint64_t sent_bytes;     /* given out, as compressed */
    uint64_t encode_ns;      /* spent on it */
};

struct tb_response_options {
    const struct tb_encoding *encoding;
    enum tb_coding coding;
    bool has_created_lines;            /* OpenMetrics 1.0 */
    struct tb_response_totals *totals; /* borrowed for the response's life; NULL = not wanted */
};

/* tb_response_new - takes over @x, which is empty then; it has pairs if the encoding wants them. */
struct tb_response *tb_response_new(struct tb_exposition *x, const struct tb_response_options *options);
void tb_response_free(struct tb_response *r);

/*
 * tb_response_whole - before the first read: is the answer short? Then *@ret is all of it, the caller's to free, and
 * there is nothing to read.
 */
bool tb_response_whole(struct tb_response *r, struct tb_buffer *ret);

/* tb_response_size - bytes that it holds at most until it is freed. */
size_t tb_response_size(const struct tb_response *r);

/* tb_response_read - the next bytes, up to @space (not 0) of them, to @to. Returns their number; 0 = that was all. */
size_t tb_response_read(struct tb_response *r, char *to, size_t space);

#endif

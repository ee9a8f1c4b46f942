/* SPDX-License-Identifier: Apache-2.0 */
/* What a client asks for: Accept and Accept-Encoding (RFC 9110, section 12.5) -> a format and a content coding. Pure.
 */
#ifndef TB_ACCEPT_H
#define TB_ACCEPT_H

#include "escape.h"
#include "render.h"

struct tb_media {
    const struct tb_encoding *encoding;
    const char *type;        /* of the Content-Type, with its parameters but for escaping= */
    enum tb_escaping escape; /* for whoever asks for none */
    bool has_quotes;         /* it has a place for names that are no identifiers */
};

/* The format without any wish: Prometheus text 0.0.4. */
extern const struct tb_media *const tb_media_default;

struct tb_accepted {
    const struct tb_media *media;
    enum tb_escaping escaping; /* of names, which the answer says */
};

/*
 * tb_accept - the first clause, by q, then by how much it says, then by order, that names a format we have. A
 * version is only ever given to who names it; nothing that we have is the default, never an error.
 * @header  NULL = none
 */
struct tb_accepted tb_accept(const char *header);

/* tb_accepted_type - the Content-Type of the answer; the caller's to free. */
char *tb_accepted_type(struct tb_accepted a);

enum tb_coding { TB_CODING_IDENTITY, TB_CODING_GZIP, TB_CODING_ZSTD };

/*
 * tb_accept_coding - the coding with the highest q, at equal ones the better compressed. zstd only for who names it;
 * identity when nothing that we have is wanted.
 * @header  NULL = none
 */
enum tb_coding tb_accept_coding(const char *header);

/* tb_coding_name - of the Content-Encoding header; NULL for identity. */
const char *tb_coding_name(enum tb_coding coding);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A kind of output: its settings, and how points become requests. Adding an output is one file with a struct
 * tb_push_kind and a line in push_kind.c, and how a request is sent in one of push_transport.c: apart, since the
 * command reads configurations too and sends nothing.
 *
 * Pure, any thread.
 */
#ifndef TB_PUSH_KIND_H
#define TB_PUSH_KIND_H

#include "buffer.h"
#include "push_config.h"
#include "push_points.h"

/* Settings that a kind may have beside those of enum tb_push_text. */
enum tb_push_key {
    TB_PUSH_KEY_HEADERS = TB_PUSH_TEXTS,
    TB_PUSH_KEY_TEMPORALITY,
    TB_PUSH_KEY_UNCERTAIN,
    TB_PUSH_KEY_GZIP,
    TB_PUSH_KEY_HISTOGRAMS,
    TB_PUSH_KEY_RESOURCE,
    TB_PUSH_KEY_RESOLUTION,
    TB_PUSH_KEY_TIMEOUT,
    TB_PUSH_KEY_VERSION,
    TB_PUSH_KEY_FILES,
    TB_PUSH_KEY_START
};
#define TB_PUSH_HAS(key) (1u << (key))

/* Requests being made of points. Each has a body, ready to be sent but for what depends on the time of sending. */
struct tb_push_request {
    uint64_t id;
    uint64_t time_ns; /* CLOCK_REALTIME of the snapshot */
    uint32_t points;
    char *body; /* owned */
    size_t len;
};
struct tb_push_requests {
    struct tb_push_request *items; /* owned */
    size_t count, space;
    uint64_t left_out; /* points that the output cannot take */
};

/* tb_push_add_request - takes over what is in @body, which is empty then. */
void tb_push_add_request(struct tb_push_requests *r, struct tb_buffer *body, uint32_t points);

struct tb_push_kind {
    const char *type;
    unsigned keys;        /* TB_PUSH_HAS of what it understands */
    unsigned required;    /* those of enum tb_push_text that must be given */
    bool has_label_names; /* labels keep their names; else a point has dimensions, and names are in CamelCase */
    bool is_text;         /* a body can be shown to people */
    bool has_price;       /* each point of its own is a metric that is paid for */
    bool is_cumulative; /* points are totals, unless the settings say otherwise; else what came since the push before */
    uint64_t max_age_ns; /* older requests are not taken; 0 = any age */
    /* check - what is wrong with the settings, as `what: why: what to do`, the caller's to free; NULL: nothing. May be
     * NULL. */
    char *(*check)(const struct tb_push_output_config *c);
    void (*encode)(const struct tb_push_output_config *c, const struct tb_points *points, struct tb_push_requests *ret);
};

/* tb_push_kind_find - NULL: no such type; @ret_known then has the list of them, the caller's to free. */
const struct tb_push_kind *tb_push_kind_find(const char *type, char **ret_known);

/* tb_push_takes_totals - does this output get totals, or what came since the push before? */
static inline bool tb_push_takes_totals(const struct tb_push_output_config *c)
{
    return c->kind->is_cumulative && !c->is_delta;
}

extern const struct tb_push_kind tb_push_cloudwatch;
extern const struct tb_push_kind tb_push_emf;
extern const struct tb_push_kind tb_push_otlp;
extern const struct tb_push_kind tb_push_remote_write;

#endif

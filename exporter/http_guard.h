/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What keeps clients from costing the exporter more than their share: deadlines, how many connections and answers
 * there may be, how much memory unsent answers hold. Knows sockets and the clock, nothing of HTTP.
 *
 * When there are too many, those that have been slow for longest go first, so that clients that hold places without
 * using them never keep out one that does. A client goes by having its socket shut down; closing belongs to the HTTP
 * library, to which that looks like a client that left.
 *
 * One thread. Times are CLOCK_MONOTONIC.
 */
#ifndef TB_HTTP_GUARD_H
#define TB_HTTP_GUARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TB_SECOND_NS UINT64_C(1000000000)
#define TB_HEAD_NS (10 * TB_SECOND_NS)        /* from connecting, or from a request line, to the end of the head */
#define TB_ANSWER_NS (60 * TB_SECOND_NS)      /* from the head to the answer's last byte */
#define TB_KEEP_NS (600 * TB_SECOND_NS)       /* from an answer to the next request line */
#define TB_SLOW_NS (10 * TB_SECOND_NS)        /* an answer that takes longer may be given up to make room for another */
#define TB_HELD_BYTES_MAX ((size_t)128 << 20) /* of unsent scrapes; one alone may be larger */

enum tb_refused {
#define REFUSED(id, reason) TB_REFUSED_##id,
#include "http_refused.def"
#undef REFUSED
    TB_REFUSED_COUNT
};
const char *tb_refused_reason(enum tb_refused why);

enum tb_client_phase { TB_CLIENT_HEAD, TB_CLIENT_ANSWER, TB_CLIENT_KEPT };

struct tb_client {
    struct tb_client *next, *prev;
    int fd; /* the library's */
    enum tb_client_phase phase;
    bool is_going;                  /* its socket is shut down */
    bool has_asked;                 /* a request line has come */
    bool is_scrape;                 /* its answer is a scrape; counts in the guard's scrapes */
    size_t held;                    /* bytes of that answer */
    uint64_t since_ns, deadline_ns; /* of its phase */
    void *tls;                      /* the server's */
};

struct tb_guard {
    struct tb_client *clients;
    unsigned connections_max; /* 0 = no limit */
    unsigned scrapes_max;     /* 0 = no limit */
    unsigned connections;     /* that are not going */
    unsigned scrapes;         /* answers under way */
    size_t held;              /* bytes of them */
    uint64_t swept_ns;
    uint64_t refused[TB_REFUSED_COUNT];
};

/* tb_guard_admit - may there be one more connection? Makes room where it can; counted when not. */
bool tb_guard_admit(struct tb_guard *g);

/* tb_guard_add - a new connection: its first head must come in time. Freed by tb_guard_remove. */
struct tb_client *tb_guard_add(struct tb_guard *g, int fd);
void tb_guard_remove(struct tb_guard *g, struct tb_client *c);

/* The phases of a request, in this order. */
void tb_guard_line(struct tb_client *c);                       /* its first line is there */
void tb_guard_asked(struct tb_client *c);                      /* its head is complete */
void tb_guard_finish(struct tb_guard *g, struct tb_client *c); /* its answer has been sent, or was given up */

/* tb_guard_hurry - the answer is of no use after @deadline_ns; a later time than the usual one changes nothing. */
void tb_guard_hurry(struct tb_client *c, uint64_t deadline_ns);

/*
 * tb_guard_scrape_admit - may one more scrape, of about @bytes, be answered? Makes room where it can; counted when not.
 * tb_guard_scrape - it is, and so many bytes are held until it is finished.
 */
bool tb_guard_scrape_admit(struct tb_guard *g, size_t bytes);
void tb_guard_scrape(struct tb_guard *g, struct tb_client *c, size_t bytes);

/* tb_guard_sweep - shut down those whose time is over; looks once a second. */
void tb_guard_sweep(struct tb_guard *g);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The exporter's parts put together: what a scrape is made from (scrape.c) and how it is served (serve.c); main.c sets
 * it up. Everything happens in one thread: a scrape collects inside the HTTP library's call, folding runs between
 * scrapes.
 */
#ifndef TB_EXPORTER_H
#define TB_EXPORTER_H

#include "collect.h"
#include "filter.h"
#include "expiry.h"
#include "fold.h"
#include "history.h"
#include "inlet.h"
#include "http_pages.h"
#include "ledger.h"
#include "options.h"
#include "push.h"
#include "reload.h"
#include "self.h"
#include "shown.h"
#include "split.h"
#include "unobserved.h"
#include "web.h"

/* Zero-initialise; main.c frees. */
struct tb_exporter {
    struct tb_options options;
    struct tb_ledger *ledger; /* NULL: --once without a place for it */
    struct tb_collector *collector;
    struct tb_listeners listeners; /* until they are served on; none: nothing is served */
    struct tb_web *web;            /* NULL: no file was named */
    struct tb_self self;
    struct tb_fold_options fold;
    struct tb_expiry *expiry;
    uint64_t forget_after_ns; /* 0: never */
    struct tb_unobserved_scan *unobserved;
    struct tb_reload reload;
    struct tb_history *history;
    struct tb_shown *shown;
    struct tb_inlets *inlets;
    struct tb_push *push;    /* NULL: nothing is pushed */
    uint64_t push_config_ns; /* of the configuration that its settings are of: its success_ns */
    uint64_t push_due_ns;    /* CLOCK_MONOTONIC; 0 = at once */
    uint64_t collected_ns;   /* CLOCK_MONOTONIC, of the snapshot; 0 = none yet */
    bool is_partial;         /* the last collection gave up before its end: the snapshot is for nobody to see */
    bool is_serving;
};

/* tb_is_extension - does it run beside a function (lambda.h)? */
static inline bool tb_is_extension(const struct tb_options *o)
{
    return *tb_option_text(o, TB_OPTION_LAMBDA_EXTENSION) != 0;
}

struct tb_scrape_options {
    const struct tb_encoding *encoding;
    const struct tb_filter *filter; /* NULL = everything */
    uint64_t deadline_ns;           /* CLOCK_MONOTONIC; UINT64_MAX = none */
    bool without_process;           /* no process_*: whoever passes it on has its own */
    bool has_cells;                 /* histograms have their native part, whatever the options say */
};

/*
 * tb_exporter_scrape - collect, and fill the empty @ret with what is to be encoded.
 * Returns 0; -ETIME when the deadline came first; another -errno, which is in the log. @ret is to be freed in any case.
 */
int tb_exporter_scrape(struct tb_exporter *e, const struct tb_scrape_options *options, struct tb_exposition *ret);

/*
 * tb_exporter_collect - read the regions and all that goes with it, for somebody who looks: a scrape, the page.
 * Returns as above.
 */
int tb_exporter_collect(struct tb_exporter *e, uint64_t deadline_ns);

/* tb_exporter_limit - the limits of a scrape as the options have them now. */
void tb_exporter_limit(struct tb_exporter *e);

/*
 * tb_exporter_read - the configuration, when it changed or @is_asked, and then the regions, as it says. Nothing else:
 * for who keeps house. Returns as tb_collect_until.
 */
int tb_exporter_read(struct tb_exporter *e, bool is_asked, uint64_t deadline_ns);

/* tb_exporter_text - a scrape as text, appended to @out. Returns as above. */
int tb_exporter_text(struct tb_exporter *e, bool without_process, struct tb_buffer *out);

/* tb_exporter_push - a snapshot for whoever pushes, when it is time; new settings are put into force first. Returns
 * when it is time again, CLOCK_MONOTONIC. */
uint64_t tb_exporter_push(struct tb_exporter *e);

/* tb_exporter_push_last - what came since the last push, when nobody knows whether there will be another: the exporter
 * ends, or is stopped for long. Each request is tried once, for @most_ns together. */
void tb_exporter_push_last(struct tb_exporter *e, uint64_t most_ns);

/* tb_exporter_push_open - the outputs of the configuration, without threads of theirs: what is pushed is pushed by
 * tb_exporter_push_last. Returns as tb_exporter_push_once. */
int tb_exporter_push_open(struct tb_exporter *e, char **ret_error);

/* tb_exporter_push_once, tb_exporter_push_dry_run - the flags of that name. Both return what the process is to exit
 * with. */
int tb_exporter_push_once(struct tb_exporter *e, char **ret_error);
int tb_exporter_push_dry_run(struct tb_exporter *e, char **ret_error);

/* tb_exporter_textfile - a scrape into the file of --textfile. Returns 0 or -errno, which is in the log. */
int tb_exporter_textfile(struct tb_exporter *e);

/* tb_exporter_publish - rules of the configuration into the regions, when this exporter may speak for it. */
void tb_exporter_publish(struct tb_exporter *e);

/*
 * tb_exporter_serve - serve until a signal ends it.
 * @ret_error  on failure `what: why: what to do`, the caller's to free
 * Returns 0 or -errno.
 */
int tb_exporter_serve(struct tb_exporter *e, char **ret_error);

#endif

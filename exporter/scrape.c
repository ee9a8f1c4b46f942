/* SPDX-License-Identifier: Apache-2.0 */
/* A scrape, from the regions to an exposition (exporter.h). */
#include <errno.h>
#include <time.h>

#include "boot.h"
#include "exporter.h"
#include "families.h"
#include "instances.h"
#include "log.h"
#include "render.h"
#include "textfile.h"

/* Time that one scrape may spend on looking for programs that are not recorded. */
#define SCAN_NS UINT64_C(50000000)
#define SCAN_ONCE_NS UINT64_C(2000000000)

/* Only who keeps the ledger speaks for the configuration: a second exporter must not undo it. */
void tb_exporter_publish(struct tb_exporter *e)
{
    if (!e->reload.publisher || !tb_ledger_is_writer(e->ledger))
        return;
    tb_publish(e->reload.publisher, tb_collector_snapshot(e->collector),
               (const char *const *)e->options.values[TB_OPTION_REGION_DIR].items,
               e->options.values[TB_OPTION_REGION_DIR].count);
}

/* The table of families without those of the process. */
static void leave_process_out(const struct tb_metric *from, struct tb_metric to[TB_FAMILIES])
{
    memcpy(to, from, TB_FAMILIES * sizeof *to);
    for (int i = 0; i < TB_METRIC_COUNT; i++)
        if (strncmp(tb_metrics_default[i].name, "process_", 8) == 0)
            to[i].name = NULL;
}

/* Everything but the series. */
static void expose_besides(struct tb_exporter *e, const struct tb_snapshot *s, const struct tb_expose_options *how,
                           const struct tb_shown_list *shown, struct tb_exposition *ret)
{
    tb_expose_services(ret, s, how);
    tb_expose_instances(ret, s, tb_reload_names(&e->reload));
    tb_shown_expose(ret, shown, s, how->metrics);
    tb_unobserved_expose(ret, e->unobserved, s->label_names[TB_LABEL_REASON], how->metrics);
    tb_self_expose(ret, &e->self, e->collector, e->ledger, how->metrics);
    tb_reload_expose(ret, &e->reload, how->metrics);
    tb_push_expose(ret, e->push, how->metrics);
    tb_inlets_expose(ret, e->inlets, s, how->metrics);
}

/* Whose series are shown: of services, or of programs. */
static struct tb_snapshot *with_series(struct tb_exporter *e)
{
    struct tb_snapshot *split = tb_split_snapshot(tb_collector_split(e->collector));
    return split ? split : tb_collector_snapshot(e->collector);
}

/* How many samples that is, whatever a client's filter leaves of it: what is shown is no client's choice. */
static uint64_t samples_besides(struct tb_exporter *e, const struct tb_names *names)
{
    const struct tb_expose_options how = {.metrics = names->metrics};
    const struct tb_shown_list none = {0};
    struct tb_exposition x = {0};
    tb_expose_in_flight(&x, with_series(e), how.metrics);
    expose_besides(e, tb_collector_snapshot(e->collector), &how, &none, &x);
    uint64_t samples = x.samples;
    tb_exposition_free(&x);
    return samples;
}

static void expose(struct tb_exporter *e, const struct tb_scrape_options *options, struct tb_exposition *ret)
{
    const struct tb_names *names = tb_reload_names(&e->reload);
    struct tb_snapshot *s = tb_collector_snapshot(e->collector), *by = with_series(e), shown, view;
    struct tb_metric reduced[TB_FAMILIES];
    struct tb_expose_options how = {
        .metrics = names->metrics,
        .has_native = options->has_cells ||
                      (options->encoding->has_native && tb_option_is_on(&e->options, TB_OPTION_NATIVE_HISTOGRAMS)),
        .custom = names->custom,
        .custom_count = names->custom_count,
    };
    tb_snapshot_names(s, names->labels);
    struct tb_shown_list list =
        tb_shown_choose(e->shown, by, names, tb_shown_limits(e->shown)->samples ? samples_besides(e, names) : 0);
    if (options->without_process) {
        leave_process_out(how.metrics, reduced);
        how.metrics = reduced;
    }
    ret->constant = tb_labels(names->constant);
    ret->label_escaping = names->has_quotes || ret->escaping == TB_ESCAPE_DOTS ? ret->escaping : TB_ESCAPE_NONE;
    ret->filter = options->filter;
    shown = *by;
    shown.series = list.series;
    shown.series_count = list.count;
    const struct tb_snapshot *filtered = tb_filter_snapshot(options->filter, &shown, &view);
    tb_expose_series(ret, filtered, &how);
    tb_expose_in_flight(ret, filtered, how.metrics);
    tb_filter_free(&view);
    expose_besides(e, tb_filter_snapshot(options->filter, s, &view), &how, &list, ret);
    tb_filter_free(&view);
    ret->constant = tb_labels(""); /* both were borrowed for this call */
    ret->filter = NULL;
}

void tb_exporter_limit(struct tb_exporter *e)
{
    const struct tb_options *o = &e->options;
    const struct tb_shown_limits limits = {
        .samples = tb_option_number(o, TB_OPTION_MAX_SAMPLES),
        .series = tb_option_number(o, TB_OPTION_MAX_SERIES),
        .service_series = tb_option_number(o, TB_OPTION_MAX_SERVICE_SERIES),
        .idle_ns = tb_option_ns(o, TB_OPTION_IDLE_AFTER),
    };
    tb_shown_set_limits(e->shown, &limits);
}

int tb_exporter_read(struct tb_exporter *e, bool is_asked, uint64_t deadline_ns)
{
    if (tb_reload_again(&e->reload, is_asked)) {
        tb_config_to_limits(e->reload.config, &e->options);
        tb_exporter_limit(e);
        tb_inlets_use(e->inlets, &e->reload.config->inlets);
    }
    tb_split_choose(tb_collector_split(e->collector), tb_reload_names(&e->reload));
    int r = tb_collect_until(e->collector, deadline_ns);
    e->is_partial = r < 0;
    return r;
}

int tb_exporter_collect(struct tb_exporter *e, uint64_t deadline_ns)
{
    uint64_t start_ns = tb_clock_ns(CLOCK_MONOTONIC);
    int r = tb_exporter_read(e, false, deadline_ns);
    if (r < 0) {
        tb_log(r == -ETIME ? TB_LOG_WARN : TB_LOG_ERROR, "regions not read", "error", strerror(-r), NULL);
        return r;
    }
    e->collected_ns = start_ns;
    if (!tb_is_extension(&e->options)) /* a function's program is the only one there */
        tb_unobserved_scan(e->unobserved, start_ns, e->is_serving ? SCAN_NS : SCAN_ONCE_NS,
                           tb_collector_snapshot(e->collector));
    tb_exporter_publish(e);
    tb_history_note(e->history, tb_collector_snapshot(e->collector), start_ns);
    return 0;
}

int tb_exporter_scrape(struct tb_exporter *e, const struct tb_scrape_options *options, struct tb_exposition *ret)
{
    uint64_t start_ns = tb_clock_ns(CLOCK_MONOTONIC);
    int r = tb_exporter_collect(e, options->deadline_ns);
    if (r < 0)
        return r;
    tb_inlets_read(e->inlets, tb_reload_names(&e->reload));
    expose(e, options, ret);
    e->self.collect_ns += tb_clock_ns(CLOCK_MONOTONIC) - start_ns;
    e->self.collections++;
    return 0;
}

int tb_exporter_text(struct tb_exporter *e, bool without_process, struct tb_buffer *out)
{
    struct tb_scrape_options options = {&tb_encoding_text, NULL, UINT64_MAX, without_process, false};
    struct tb_exposition x = {.escaping = TB_ESCAPE_UNDERSCORES};
    int r = tb_exporter_scrape(e, &options, &x);
    if (!r)
        tb_render(&tb_encoding_text, &x, out);
    tb_exposition_free(&x);
    return r;
}

int tb_exporter_textfile(struct tb_exporter *e)
{
    const char *path = tb_option_text(&e->options, TB_OPTION_TEXTFILE);
    struct tb_buffer out = {0};
    int r = tb_exporter_text(e, true, &out), written = r ? 0 : tb_textfile_write(path, out.data, out.len);
    tb_buffer_free(&out);
    if (written < 0)
        tb_log(TB_LOG_ERROR, "text file not written: the one of before stays", "path", path, "error",
               strerror(-written), NULL);
    return r ? r : written;
}

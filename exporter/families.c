/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One walk over the snapshot, the same for every format. Families in a fixed order, all samples of one together, each
 * announced even when it has no sample yet. A series' label text was rendered when the series was made.
 */
#include "families.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "agent/methods.h"
#include "collision.h"
#include "dependencies.h"
#include "health.h"
#include "native.h"
#include "snapshot_labels.h"

struct tb_labels tb_families_labels(const struct tb_exposition *x, struct tb_snap_series *e)
{
    if (!x->has_pairs || x->constant.len || x->label_escaping)
        return (struct tb_labels){e->labels, e->labels_len, false};
    tb_labels_pairs(e);
    return (struct tb_labels){e->pairs, e->pairs_len, true};
}

static struct tb_labels service_labels(const struct tb_snap_service *e)
{
    return (struct tb_labels){.text = e->label, .len = e->label_len};
}

/* --- series ----------------------------------------------------------------------------------------------------------
 */

/* The series of one family and role; they lie together. */
struct range {
    struct tb_snap_series *const *from, *const *to;
};

static struct range find_range(const struct tb_snapshot *s, enum tb_family family, enum tb_role role)
{
    size_t i = 0, end;
    if (!s->series_count)
        return (struct range){NULL, NULL};
    while (i < s->series_count && (s->series[i]->key.family != family || s->series[i]->key.role != role))
        i++;
    for (end = i; end < s->series_count && s->series[end]->key.family == family && s->series[end]->key.role == role;
         end++)
        ;
    return (struct range){s->series + i, s->series + end};
}

/* Text of labels being put together; its memory is used again and again. */
static struct tb_labels in_scratch(const struct tb_buffer *scratch)
{
    return (struct tb_labels){.text = scratch->data, .len = scratch->len};
}

/* Labels of a service with one more, in @scratch, which is overwritten. */
static struct tb_labels with_label(struct tb_buffer *scratch, struct tb_labels service, const char *name,
                                   const char *value)
{
    scratch->len = 0;
    tb_put(scratch, service.text, service.len);
    tb_put_label(scratch, name, value);
    return in_scratch(scratch);
}

/*
 * Where no request failed yet, a 5xx series at 0: error ratios then have a value before the first error. It takes no
 * slot anywhere and has no histogram.
 */
static void expose_no_error(struct tb_exposition *x, struct tb_buffer *scratch, const struct tb_snap_series *like)
{
    scratch->len = 0;
    tb_put(scratch, like->labels, like->labels_len - (sizeof "200\"" - 1));
    tb_puts(scratch, "500\"");
    tb_expose_value(x, in_scratch(scratch), 0, like->created_ns);
}

const struct tb_role_families *tb_role_families(enum tb_role role)
{
    static const struct tb_role_families of[] = {
        [TB_ROLE_SERVER] = {TB_M_REQUESTS, TB_M_DURATION, TB_M_FIRST_BYTE, TB_M_REQUEST_SIZE, TB_M_RESPONSE_SIZE,
                            TB_M_INCOMPLETE},
        [TB_ROLE_CLIENT] = {TB_M_CLIENT_REQUESTS, TB_M_CLIENT_DURATION, TB_M_CLIENT_FIRST_BYTE,
                            TB_M_CLIENT_REQUEST_SIZE, TB_M_CLIENT_RESPONSE_SIZE, TB_M_CLIENT_INCOMPLETE},
    };
    return role == TB_ROLE_SERVER || role == TB_ROLE_CLIENT ? &of[role] : NULL;
}

static void expose_requests(struct tb_exposition *x, const struct tb_snapshot *s, struct range r,
                            const struct tb_metric *m)
{
    struct tb_buffer scratch = {0};
    if (!tb_expose_family(x, m))
        return;
    for (struct tb_snap_series *const *p = r.from; p < r.to;) {
        const struct tb_snap_series *first = *p;
        struct tb_snap_series *served = NULL;
        bool has_500 = false;
        for (; p < r.to && tb_snapshot_same_route(first, *p); p++) {
            if (!tb_snapshot_is_shown(*p))
                continue;
            served = *p;
            has_500 |= served->key.status == 500;
            tb_expose_value(x, tb_families_labels(x, served), served->whole.count, served->whole.created_ns);
        }
        if (served && !has_500 && s->label_names[TB_LABEL_STATUS])
            expose_no_error(x, &scratch, served);
    }
    tb_buffer_free(&scratch);
}

static void expose_counts(struct tb_exposition *x, struct range r, const struct tb_metric *m)
{
    if (!tb_expose_family(x, m))
        return;
    for (struct tb_snap_series *const *p = r.from; p < r.to; p++)
        if (tb_snapshot_is_shown(*p))
            tb_expose_value(x, tb_families_labels(x, *p), (*p)->whole.count, (*p)->whole.created_ns);
}

static void expose_incomplete(struct tb_exposition *x, struct range r, const struct tb_metric *m)
{
    if (!tb_expose_family(x, m))
        return;
    for (struct tb_snap_series *const *p = r.from; p < r.to; p++)
        if ((*p)->is_current && (*p)->whole.incomplete)
            tb_expose_value(x, tb_families_labels(x, *p), (*p)->whole.incomplete, (*p)->whole.created_ns);
}

#define TRACE_TEXT sizeof "trace_id=\"0123456789abcdef0123456789abcdef\""

/* What @e has of exemplars, ascending; their label text is put into @texts. Returns their number. */
static size_t exemplars_of(const struct tb_snap_series *e, char texts[][TRACE_TEXT], struct tb_exposed_exemplar *ret)
{
    size_t count = 0, buckets = e->exemplars ? tb_bounds_of(e->key.bound_set)->count + 1u : 0;
    for (uint32_t bucket = 0; bucket < buckets; bucket++) {
        const struct tb_snap_exemplar *from = &e->exemplars[bucket];
        if (!from->time_ms)
            continue;
        snprintf(texts[count], TRACE_TEXT, "trace_id=\"%016" PRIx64 "%016" PRIx64 "\"", from->trace[0], from->trace[1]);
        ret[count] = (struct tb_exposed_exemplar){
            .bucket = bucket,
            .labels = {.text = texts[count], .len = TRACE_TEXT - 1},
            .value = from->value_ns,
            .time_ns = from->time_ms * 1000000,
        };
        count++;
    }
    return count;
}

void tb_expose_series_histogram(struct tb_exposition *x, struct tb_snap_series *e, bool has_native)
{
    struct tb_exposed_cell cells[TB_EXPOSED_CELLS_MAX];
    uint64_t buckets[TB_BOUNDS_MAX + 1];
    char texts[TB_BOUNDS_MAX + 1][TRACE_TEXT];
    struct tb_exposed_exemplar exemplars[TB_BOUNDS_MAX + 1];
    struct tb_exposed_histogram h = {.bounds = tb_bounds_values(e->key.bound_set),
                                     .buckets = buckets,
                                     .created_ns = e->created_ns,
                                     .is_native = has_native,
                                     .cells = cells,
                                     .exemplars = exemplars};
    h.bound_count = tb_values_classic(&e->total, e->key.bound_set, buckets) - 1;
    h.sum = tb_values_sum(&e->total, e->key.bound_set);
    h.exemplar_count = exemplars_of(e, texts, exemplars);
    if (has_native)
        h.cell_count = tb_native_cells(&e->total, e->key.bound_set, cells, &h.zero_count);
    tb_expose_histogram(x, tb_families_labels(x, e), &h);
}

static void expose_histograms(struct tb_exposition *x, struct range r, const struct tb_metric *m, bool has_native)
{
    if (!tb_expose_family(x, m))
        return;
    for (struct tb_snap_series *const *p = r.from; p < r.to; p++)
        if (tb_snapshot_is_shown(*p))
            tb_expose_series_histogram(x, *p, has_native);
}

/* A histogram that somebody has to ask for is not announced before. */
static void expose_asked(struct tb_exposition *x, struct range r, const struct tb_metric *m,
                         const struct tb_expose_options *options)
{
    if (r.from < r.to)
        expose_histograms(x, r, m, options->has_native);
}

/* A summary, which every program has; or, as soon as some service has the histogram, that: with no bucket but the last
 * where a service has only the summary. */
static void expose_first_byte(struct tb_exposition *x, struct range r, struct range cut, struct tb_metric as,
                              const struct tb_expose_options *options)
{
    static const uint64_t no_bounds[1];
    bool is_cut = cut.from < cut.to;
    if (is_cut)
        as.type = TB_METRIC_HISTOGRAM;
    if (!tb_expose_family(x, &as))
        return;
    for (struct tb_snap_series *const *p = r.from; p < r.to; p++) {
        struct tb_snap_series *e = *p;
        if (!tb_snapshot_is_shown(e))
            continue;
        while (cut.from < cut.to && tb_snapshot_compare_labels(*cut.from, e) < 0)
            cut.from++;
        while (cut.from < cut.to && !tb_snapshot_is_shown(*cut.from) && tb_snapshot_same_labels(*cut.from, e))
            cut.from++;
        struct tb_exposed_histogram h = {.buckets = &e->whole.timed,
                                         .sum = e->whole.first_byte_ns,
                                         .bounds = no_bounds,
                                         .created_ns = e->whole.created_ns};
        if (!is_cut)
            tb_expose_summary(x, tb_families_labels(x, e), e->whole.timed, e->whole.first_byte_ns, e->whole.created_ns);
        else if (cut.from < cut.to && tb_snapshot_same_labels(*cut.from, e))
            tb_expose_series_histogram(x, *cut.from, options->has_native);
        else
            tb_expose_histogram(x, tb_families_labels(x, e), &h);
    }
}

/* --- services --------------------------------------------------------------------------------------------------------
 */

void tb_expose_in_flight(struct tb_exposition *x, const struct tb_snapshot *s, const struct tb_metric *metrics)
{
    if (tb_expose_family(x, &metrics[TB_M_IN_FLIGHT]))
        for (size_t i = 0; i < s->service_count; i++)
            tb_expose_value(x, service_labels(s->services[i]), s->services[i]->in_flight, 0);
    if (tb_expose_family(x, &metrics[TB_M_OPEN]))
        for (size_t i = 0; i < s->service_count; i++)
            tb_expose_value(x, service_labels(s->services[i]), s->services[i]->connections, 0);
    if (tb_expose_family(x, &metrics[TB_M_OLDEST]))
        for (size_t i = 0; i < s->service_count; i++)
            tb_expose_value(x, service_labels(s->services[i]), s->services[i]->oldest_ns, 0);
}

static const char *const counter_reasons[TB_COUNTER_COUNT] = {
#define COUNTER(id, family, reason, help) reason,
#include "agent/counters.def"
#undef COUNTER
};

/* The counters of a family: those rows that @firsts says begin it. */
static void expose_counter(struct tb_exposition *x, const struct tb_snapshot *s, size_t family, const size_t *firsts)
{
    struct tb_buffer scratch = {0};
    for (size_t i = 0; i < s->service_count; i++) {
        const struct tb_snap_service *e = s->services[i];
        for (size_t row = 0; row < TB_COUNTER_COUNT; row++) {
            struct tb_labels labels = service_labels(e);
            if (firsts[row] != family)
                continue;
            if (*counter_reasons[row])
                labels = with_label(&scratch, labels, s->label_names[TB_LABEL_REASON], counter_reasons[row]);
            tb_expose_value(x, labels, e->counters[row], e->created_ns);
        }
    }
    tb_buffer_free(&scratch);
}

/* counters.def is append-only, so the rows of one family need not lie together: each family where its first row is. */
static void expose_counters(struct tb_exposition *x, const struct tb_snapshot *s, const struct tb_metric *metrics)
{
    size_t firsts[TB_COUNTER_COUNT];
    for (size_t row = 0; row < TB_COUNTER_COUNT; row++)
        firsts[row] = tb_metric_first(TB_METRIC_COUNT + row);
    for (size_t family = TB_METRIC_COUNT; family < TB_FAMILIES; family++)
        if (firsts[family - TB_METRIC_COUNT] == family && tb_expose_family(x, &metrics[family]))
            expose_counter(x, s, family, firsts);
}

static void expose_unobservable(struct tb_exposition *x, const struct tb_snapshot *s, const struct tb_metric *m,
                                struct tb_buffer *scratch)
{
    struct tb_health_unobservable *list;
    if (!tb_expose_family(x, m))
        return;
    size_t count = tb_health_unobservable(s, &list);
    for (size_t i = 0; i < count; i++)
        tb_expose_value(
            x, with_label(scratch, tb_labels(list[i].label), s->label_names[TB_LABEL_REASON], list[i].reason), 1, 0);
    free(list);
}

static void expose_collisions(struct tb_exposition *x, const struct tb_snapshot *s, const struct tb_metric *m)
{
    if (!tb_expose_family(x, m))
        return;
    for (size_t i = 0; i < s->service_count; i++) {
        size_t count = tb_collision_count(s, s->services[i]);
        if (count > 1)
            tb_expose_value(x, service_labels(s->services[i]), count, 0);
    }
}

static void expose_switched_off(struct tb_exposition *x, const struct tb_snapshot *s, const struct tb_metric *metrics)
{
    if (tb_expose_family(x, &metrics[TB_M_SWITCHED_OFF]))
        for (size_t i = 0; i < s->service_count; i++)
            if (s->services[i]->is_off)
                tb_expose_value(x, service_labels(s->services[i]), 1, 0);
    tb_expose_single(x, &metrics[TB_M_DIRECTORIES_OFF], tb_health_count_regions(s).directories_off, 0);
}

static void expose_versions(struct tb_exposition *x, const struct tb_snapshot *s, const struct tb_metric *m,
                            struct tb_buffer *scratch)
{
    if (!tb_expose_family(x, m))
        return;
    for (size_t i = 0; i < s->service_count; i++) {
        const struct tb_snap_service *e = s->services[i];
        for (size_t v = 0; v < 4 && e->agent_versions[v][0]; v++) {
            tb_expose_value(x, with_label(scratch, service_labels(e), "version", e->agent_versions[v]), 1, 0);
        }
    }
}

static void expose_agents(struct tb_exposition *x, const struct tb_snapshot *s, const struct tb_metric *metrics)
{
    struct tb_buffer scratch = {0};
    if (tb_expose_family(x, &metrics[TB_M_PROCESSES]))
        for (size_t i = 0; i < s->service_count; i++)
            tb_expose_value(x, service_labels(s->services[i]), s->services[i]->processes, 0);
    if (tb_expose_family(x, &metrics[TB_M_SERVICE_CREATED]))
        for (size_t i = 0; i < s->service_count; i++)
            tb_expose_value(x, service_labels(s->services[i]), s->services[i]->created_ns, 0);
    if (tb_expose_family(x, &metrics[TB_M_SERVICE_SERIES]))
        for (size_t i = 0; i < s->service_count; i++)
            tb_expose_value(x, service_labels(s->services[i]), s->services[i]->series_count, 0);
    if (tb_expose_family(x, &metrics[TB_M_SET_APART]))
        for (size_t i = 0; i < s->service_count; i++)
            if (s->services[i]->apart)
                tb_expose_value(x, service_labels(s->services[i]), s->services[i]->apart, 0);
    expose_collisions(x, s, &metrics[TB_M_COLLISION]);
    expose_unobservable(x, s, &metrics[TB_M_UNOBSERVABLE], &scratch);
    expose_switched_off(x, s, metrics);
    expose_versions(x, s, &metrics[TB_M_AGENT_INFO], &scratch);
    tb_buffer_free(&scratch);
}

/* --- regions ---------------------------------------------------------------------------------------------------------
 */

static void expose_one_of(struct tb_exposition *x, const char *name, const char *value, uint64_t count)
{
    struct tb_buffer scratch = {0};
    tb_expose_value(x, with_label(&scratch, tb_labels(""), name, value), count, 0);
    tb_buffer_free(&scratch);
}

static void expose_agent_versions(struct tb_exposition *x, const struct tb_health_regions *h, const struct tb_metric *m)
{
    if (!tb_expose_family(x, m))
        return;
    for (size_t i = 0; i < TB_HEALTH_VERSIONS && h->versions[i].count; i++)
        expose_one_of(x, "version", h->versions[i].name, h->versions[i].count);
}

static void expose_regions(struct tb_exposition *x, const struct tb_snapshot *s, const struct tb_metric *metrics)
{
    struct tb_health_regions h = tb_health_count_regions(s);
    if (tb_expose_family(x, &metrics[TB_M_REGIONS]))
        for (unsigned i = 0; i < TB_REGIONS_STATES; i++)
            expose_one_of(x, "state", tb_region_health_name((enum tb_region_health)i), h.by_state[i]);
    if (tb_expose_family(x, &metrics[TB_M_UNREADABLE]))
        for (unsigned i = TB_READABLE + 1; i < TB_UNREADABLE_COUNT; i++)
            expose_one_of(x, s->label_names[TB_LABEL_REASON], tb_unreadable_name((enum tb_unreadable)i),
                          h.unreadable[i]);
    expose_agent_versions(x, &h, &metrics[TB_M_AGENTS]);
    tb_expose_single(x, &metrics[TB_M_SERIES], s->series_count, 0);
    tb_expose_single(x, &metrics[TB_M_SKIPPED_SERIES], h.skipped_series, 0);
}

/* The exchanges of a role. */
static void expose_role(struct tb_exposition *x, const struct tb_snapshot *s, enum tb_role role,
                        const struct tb_expose_options *options)
{
    const struct tb_role_families *id = tb_role_families(role);
    const struct tb_metric *m = options->metrics;
    struct range all = find_range(s, TB_FAMILY_REQUESTS, role);
    expose_requests(x, s, all, &m[id->requests]);
    expose_histograms(x, all, &m[id->duration], options->has_native);
    expose_first_byte(x, all, find_range(s, TB_FAMILY_FIRST_BYTE, role), m[id->first_byte], options);
    expose_asked(x, find_range(s, TB_FAMILY_REQUEST_SIZE, role), &m[id->request_size], options);
    expose_asked(x, find_range(s, TB_FAMILY_RESPONSE_SIZE, role), &m[id->response_size], options);
    expose_incomplete(x, all, &m[id->incomplete]);
}

/* Whether each target answered last, and when it last did. Both results of one lie side by side. */
static void expose_dependencies(struct tb_exposition *x, const struct tb_snapshot *s, struct range r,
                                const struct tb_metric *m, bool is_time)
{
    struct tb_buffer scratch = {0};
    if (r.from == r.to || !tb_expose_family(x, m))
        return;
    for (struct tb_snap_series *const *p = r.from; p < r.to;) {
        const struct tb_snap_series *first = *p;
        uint64_t last[TB_CALL_FAILED + 1] = {0};
        for (; p < r.to && tb_snapshot_same_route(first, *p); p++)
            if (tb_snapshot_is_shown(*p))
                last[(*p)->key.status] = (*p)->chosen_ns;
        struct tb_labels labels =
            with_label(&scratch, service_labels(first->service), s->label_names[TB_LABEL_TARGET], first->key.target);
        if (!is_time)
            tb_expose_value(x, labels, tb_dependency_is_up(last[TB_CALL_ANSWERED], last[TB_CALL_FAILED]), 0);
        else if (last[TB_CALL_ANSWERED])
            tb_expose_value(x, labels, last[TB_CALL_ANSWERED], 0);
    }
    tb_buffer_free(&scratch);
}

static void expose_calls(struct tb_exposition *x, const struct tb_snapshot *s, const struct tb_expose_options *options)
{
    const struct tb_metric *m = options->metrics;
    struct range errors = find_range(s, TB_FAMILY_CALL_ERRORS, TB_ROLE_CLIENT),
                 results = find_range(s, TB_FAMILY_CALL_RESULT, TB_ROLE_CLIENT);
    if (errors.from < errors.to)
        expose_counts(x, errors, &m[TB_M_CLIENT_ERRORS]);
    expose_asked(x, find_range(s, TB_FAMILY_CALL_CONNECT, TB_ROLE_CLIENT), &m[TB_M_CLIENT_CONNECT], options);
    expose_asked(x, find_range(s, TB_FAMILY_CALL_TLS, TB_ROLE_CLIENT), &m[TB_M_CLIENT_TLS], options);
    expose_dependencies(x, s, results, &m[TB_M_DEPENDENCY_UP], false);
    expose_dependencies(x, s, results, &m[TB_M_DEPENDENCY_SUCCESS], true);
}

/* By reason; a function that never failed has failed 0 times: error ratios then have a value before the first error. */
static void expose_invocation_errors(struct tb_exposition *x, const struct tb_snapshot *s, struct range ended,
                                     struct range failed, const struct tb_metric *m)
{
    struct tb_buffer scratch = {0};
    if ((ended.from == ended.to && failed.from == failed.to) || !tb_expose_family(x, m))
        return;
    for (struct tb_snap_series *const *p = failed.from; p < failed.to; p++)
        if (tb_snapshot_is_shown(*p))
            tb_expose_value(x, tb_families_labels(x, *p), (*p)->whole.count, (*p)->whole.created_ns);
    for (struct tb_snap_series *const *p = ended.from; p < ended.to; p++) {
        const struct tb_snap_key function = {
            .family = TB_FAMILY_INVOCATION_ERRORS, .role = TB_ROLE_SERVER, .status = TB_INVOCATION_FUNCTION};
        const char *const reason = tb_reason_name(&function);
        bool has_failed = !tb_snapshot_is_shown(*p);
        for (struct tb_snap_series *const *q = failed.from; q < failed.to; q++)
            has_failed |= (*q)->service == (*p)->service && (*q)->key.status == TB_INVOCATION_FUNCTION &&
                          tb_snapshot_is_shown(*q);
        if (!has_failed)
            tb_expose_value(
                x, with_label(&scratch, service_labels((*p)->service), s->label_names[TB_LABEL_REASON], reason), 0,
                (*p)->whole.created_ns);
    }
    tb_buffer_free(&scratch);
}

static void expose_invocations(struct tb_exposition *x, const struct tb_snapshot *s,
                               const struct tb_expose_options *options)
{
    const struct tb_metric *m = options->metrics;
    struct range ended = find_range(s, TB_FAMILY_INVOCATION, TB_ROLE_SERVER),
                 failed = find_range(s, TB_FAMILY_INVOCATION_ERRORS, TB_ROLE_SERVER);
    if (ended.from < ended.to)
        expose_counts(x, ended, &m[TB_M_INVOCATIONS]);
    expose_asked(x, ended, &m[TB_M_INVOKE_DURATION], options);
    expose_invocation_errors(x, s, ended, failed, &m[TB_M_INVOCATION_ERRORS]);
}

void tb_expose_series(struct tb_exposition *x, const struct tb_snapshot *s, const struct tb_expose_options *options)
{
    const struct tb_metric *metrics = options->metrics;
    struct range calls = find_range(s, TB_FAMILY_REQUESTS, TB_ROLE_CLIENT);
    expose_role(x, s, TB_ROLE_SERVER, options);
    expose_counts(x, find_range(s, TB_FAMILY_ABORTED, TB_ROLE_SERVER), &metrics[TB_M_ABORTED]);
    expose_histograms(x, find_range(s, TB_FAMILY_STREAM, TB_ROLE_SERVER), &metrics[TB_M_STREAM], options->has_native);
    if (calls.from < calls.to)
        expose_role(x, s, TB_ROLE_CLIENT, options);
    expose_calls(x, s, options);
    expose_invocations(x, s, options);
    tb_expose_custom(x, s, options);
}

void tb_expose_services(struct tb_exposition *x, const struct tb_snapshot *s, const struct tb_expose_options *options)
{
    const struct tb_metric *metrics = options->metrics;
    expose_agents(x, s, metrics);
    expose_counters(x, s, metrics);
    expose_regions(x, s, metrics);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Prometheus text format. Families in a fixed order, all samples of one together, each with HELP and TYPE even when
 * it has no sample yet. A series' label text was rendered when the series was made; a line is three copies and a
 * number. Numbers are integers or exact decimal seconds, so nothing here depends on locale or floating point.
 */
#include "render.h"

#include <stdlib.h>

#include "agent/methods.h"

void tb_render_head(struct tb_buffer *out, const char *family, const char *type, const char *help)
{
    tb_puts(out, "# HELP ");
    tb_puts(out, family);
    tb_puts(out, " ");
    for (const char *p = help; *p; p++)
        tb_put(out, *p == '\n' ? "\\n" : *p == '\\' ? "\\\\" : p, *p == '\n' || *p == '\\' ? 2 : 1);
    tb_puts(out, "\n# TYPE ");
    tb_puts(out, family);
    tb_puts(out, " ");
    tb_puts(out, type);
    tb_puts(out, "\n");
}

static void put_name(struct tb_buffer *out, const char *name, const char *labels)
{
    tb_puts(out, name);
    if (*labels) {
        tb_puts(out, "{");
        tb_puts(out, labels);
        tb_puts(out, "}");
    }
    tb_puts(out, " ");
}

void tb_render_sample(struct tb_buffer *out, const char *name, const char *labels, uint64_t value)
{
    put_name(out, name, labels);
    tb_put_u64(out, value);
    tb_puts(out, "\n");
}

void tb_render_seconds(struct tb_buffer *out, const char *name, const char *labels, uint64_t ns)
{
    put_name(out, name, labels);
    tb_put_seconds(out, ns);
    tb_puts(out, "\n");
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

/* Same service, method, route (and target)? Then they lie side by side, by status. */
static bool is_same_group(const struct tb_snap_series *a, const struct tb_snap_series *b)
{
    return a->service == b->service && a->key.method == b->key.method && strcmp(a->key.route, b->key.route) == 0 &&
           strcmp(a->key.target, b->key.target) == 0;
}

static void put_labelled(struct tb_buffer *out, const char *name, const struct tb_snap_series *e)
{
    tb_puts(out, name);
    tb_puts(out, "{");
    tb_put(out, e->labels, e->labels_len);
    tb_puts(out, "} ");
}

/*
 * Where no request failed yet, a 5xx series at 0: error ratios then have a value before the first error. It takes no
 * slot anywhere and has no histogram.
 */
static void put_no_error(struct tb_buffer *out, const char *name, const struct tb_snap_series *like)
{
    const size_t tail = sizeof "status=\"200\"" - 1;
    tb_puts(out, name);
    tb_puts(out, "{");
    tb_put(out, like->labels, like->labels_len - tail);
    tb_puts(out, "status=\"500\"} 0\n");
}

static void render_requests(struct tb_buffer *out, struct range r)
{
    static const char name[] = "http_requests_total";
    tb_render_head(out, name, "counter", "HTTP requests answered, by service, method, route and status.");
    for (struct tb_snap_series *const *p = r.from; p < r.to;) {
        const struct tb_snap_series *first = *p, *served = NULL;
        bool has_500 = false;
        for (; p < r.to && is_same_group(first, *p); p++) {
            if (!(*p)->is_served)
                continue;
            served = *p;
            has_500 |= served->key.status == 500;
            put_labelled(out, name, served);
            tb_put_u64(out, served->count);
            tb_puts(out, "\n");
        }
        if (served && !has_500)
            put_no_error(out, name, served);
    }
}

static void render_counts(struct tb_buffer *out, struct range r, const char *name)
{
    for (struct tb_snap_series *const *p = r.from; p < r.to; p++) {
        if (!(*p)->is_served)
            continue;
        put_labelled(out, name, *p);
        tb_put_u64(out, (*p)->count);
        tb_puts(out, "\n");
    }
}

static void render_incomplete(struct tb_buffer *out, struct range r)
{
    static const char name[] = "http_responses_incomplete_total";
    tb_render_head(out, name, "counter", "Responses cut short; they are counted under their status too.");
    for (struct tb_snap_series *const *p = r.from; p < r.to; p++) {
        if (!(*p)->total.incomplete)
            continue;
        put_labelled(out, name, *p);
        tb_put_u64(out, (*p)->total.incomplete);
        tb_puts(out, "\n");
    }
}

/* --- histograms ------------------------------------------------------------------------------------------------------
 */

/* `,le="0.25"} ` for every bound of a set; the last one +Inf. */
struct le_texts {
    size_t count;
    struct {
        char text[40];
        size_t len;
    } le[TB_BOUNDS_MAX + 1];
};

static struct le_texts make_le_texts(uint8_t bound_set)
{
    struct le_texts t = {0};
    const uint64_t *bounds;
    size_t count = tb_histogram_bounds(bound_set, &bounds);
    for (size_t i = 0; count && count <= TB_BOUNDS_MAX && i <= count; i++) {
        struct tb_buffer b = {0};
        tb_puts(&b, ",le=\"");
        if (i < count)
            tb_put_seconds(&b, bounds[i]);
        else
            tb_puts(&b, "+Inf");
        tb_puts(&b, "\"} ");
        t.le[i].len = b.len < sizeof t.le[i].text ? b.len : 0;
        memcpy(t.le[i].text, b.data, t.le[i].len);
        t.count = i + 1;
        tb_buffer_free(&b);
    }
    return t;
}

struct histogram_names {
    const char *bucket, *sum, *count; /* with the opening brace */
    size_t bucket_len;
};

static void render_histogram(struct tb_buffer *out, const struct histogram_names *n, const struct tb_snap_series *e,
                             const struct le_texts *le)
{
    uint64_t buckets[TB_BOUNDS_MAX + 1], sum = 0;
    size_t count = tb_values_classic(&e->total, e->key.bound_set, buckets);
    if (count != le->count)
        return;
    /* One check for room: names, labels, le and number of every line. */
    tb_buffer_room(out, (count + 2) * (e->labels_len + n->bucket_len + sizeof le->le[0].text + 24));
    for (size_t i = 0; i < count; i++) {
        sum += buckets[i];
        tb_put(out, n->bucket, n->bucket_len);
        tb_put(out, e->labels, e->labels_len);
        tb_put(out, le->le[i].text, le->le[i].len);
        tb_put_u64(out, sum);
        tb_put(out, "\n", 1);
    }
    tb_puts(out, n->sum);
    tb_put(out, e->labels, e->labels_len);
    tb_put(out, "} ", 2);
    tb_put_seconds(out, tb_values_sum_ns(&e->total, e->key.bound_set));
    tb_put(out, "\n", 1);
    tb_puts(out, n->count);
    tb_put(out, e->labels, e->labels_len);
    tb_put(out, "} ", 2);
    tb_put_u64(out, sum);
    tb_put(out, "\n", 1);
}

static void render_histograms(struct tb_buffer *out, struct range r, const struct histogram_names *n)
{
    struct le_texts le = {0};
    int made_for = -1;
    for (struct tb_snap_series *const *p = r.from; p < r.to; p++) {
        if (!(*p)->is_served)
            continue;
        if (made_for != (*p)->key.bound_set)
            le = make_le_texts((uint8_t)(made_for = (*p)->key.bound_set));
        render_histogram(out, n, *p, &le);
    }
}

static void render_first_byte(struct tb_buffer *out, struct range r)
{
    tb_render_head(out, "http_request_first_byte_seconds", "summary",
                   "Time from the first byte of a request to the first byte of its response.");
    for (struct tb_snap_series *const *p = r.from; p < r.to; p++) {
        if (!(*p)->is_served)
            continue;
        put_labelled(out, "http_request_first_byte_seconds_sum", *p);
        tb_put_seconds(out, (*p)->total.first_byte_ns);
        tb_puts(out, "\n");
        put_labelled(out, "http_request_first_byte_seconds_count", *p);
        tb_put_u64(out, (*p)->count - (*p)->total.untimed);
        tb_puts(out, "\n");
    }
}

/* --- services --------------------------------------------------------------------------------------------------------
 */

static void render_in_flight(struct tb_buffer *out, const struct tb_snapshot *s)
{
    tb_render_head(out, "http_requests_in_flight", "gauge", "Requests received and not yet answered.");
    for (size_t i = 0; i < s->service_count; i++)
        tb_render_sample(out, "http_requests_in_flight", s->services[i]->label, s->services[i]->in_flight);
    tb_render_head(out, "http_oldest_request_in_flight_seconds", "gauge",
                   "Age of the oldest request that is not yet answered, 0 if there is none.");
    for (size_t i = 0; i < s->service_count; i++)
        tb_render_seconds(out, "http_oldest_request_in_flight_seconds", s->services[i]->label,
                          s->services[i]->oldest_ns);
}

struct counter_row {
    const char *family, *reason, *help;
};
static const struct counter_row counter_rows[TB_COUNTER_COUNT] = {
#define COUNTER(id, family, reason, help) {"tickbird_" family, reason, help},
#include "agent/counters.def"
#undef COUNTER
};

/* Labels of a service with one more, in @scratch, which is overwritten. Values are our own words: nothing to escape. */
static const char *with_label(struct tb_buffer *scratch, const struct tb_snap_service *e, const char *name,
                              const char *value)
{
    scratch->len = 0;
    tb_put(scratch, e->label, e->label_len);
    tb_puts(scratch, ",");
    tb_puts(scratch, name);
    tb_puts(scratch, "=\"");
    tb_put_escaped(scratch, value, strlen(value));
    tb_puts(scratch, "\"");
    tb_put(scratch, "", 1);
    return scratch->data;
}

/* counters.def is append-only, so the rows of one family need not lie together: each family where its first row is. */
static void render_counters(struct tb_buffer *out, const struct tb_snapshot *s)
{
    struct tb_buffer scratch = {0};
    for (size_t c = 0; c < TB_COUNTER_COUNT; c++) {
        const char *family = counter_rows[c].family;
        bool is_first = true;
        for (size_t before = 0; before < c; before++)
            is_first &= strcmp(counter_rows[before].family, family) != 0;
        if (!is_first)
            continue;
        tb_render_head(out, family, "counter", counter_rows[c].help);
        for (size_t i = 0; i < s->service_count; i++) {
            for (size_t row = c; row < TB_COUNTER_COUNT; row++) {
                if (strcmp(counter_rows[row].family, family) != 0)
                    continue;
                const char *labels = s->services[i]->label;
                if (*counter_rows[row].reason)
                    labels = with_label(&scratch, s->services[i], "reason", counter_rows[row].reason);
                tb_render_sample(out, family, labels, s->services[i]->counters[row]);
            }
        }
    }
    tb_buffer_free(&scratch);
}

/* What processes say of themselves, then what was found from outside; a reason that both give, once. */
static bool is_told(const struct tb_snapshot *s, const struct tb_snap_unobserved *u)
{
    for (size_t i = 0; i < s->service_count; i++)
        for (unsigned bit = 0; bit < 64 && strcmp(s->services[i]->name, u->name) == 0; bit++)
            if (s->services[i]->unobservable >> bit & 1 && strcmp(tb_unobservable_name(bit), u->reason) == 0)
                return true;
    return false;
}

static void render_unobservable(struct tb_buffer *out, const struct tb_snapshot *s)
{
    struct tb_buffer scratch = {0};
    tb_render_head(out, "tickbird_unobservable", "gauge",
                   "1 if some process of the service does what cannot be observed, or listens and is not recorded.");
    for (size_t i = 0; i < s->service_count; i++)
        for (unsigned bit = 0; bit < 64; bit++)
            if (s->services[i]->unobservable >> bit & 1)
                tb_render_sample(out, "tickbird_unobservable",
                                 with_label(&scratch, s->services[i], "reason", tb_unobservable_name(bit)), 1);
    for (size_t i = 0; i < s->unobserved_count; i++) {
        const struct tb_snap_unobserved *u = &s->unobserved[i];
        if (is_told(s, u))
            continue;
        scratch.len = 0;
        tb_puts(&scratch, u->label);
        tb_puts(&scratch, ",reason=\"");
        tb_puts(&scratch, u->reason);
        tb_put(&scratch, "\"", 2);
        tb_render_sample(out, "tickbird_unobservable", scratch.data, 1);
    }
    tb_buffer_free(&scratch);
}

static void render_agents(struct tb_buffer *out, const struct tb_snapshot *s)
{
    struct tb_buffer scratch = {0};
    tb_render_head(out, "tickbird_processes", "gauge", "Processes that record.");
    for (size_t i = 0; i < s->service_count; i++)
        tb_render_sample(out, "tickbird_processes", s->services[i]->label, s->services[i]->processes);
    tb_render_head(out, "tickbird_service_created_timestamp_seconds", "gauge",
                   "When the totals of a service began at 0, in seconds since 1970.");
    for (size_t i = 0; i < s->service_count; i++)
        tb_render_seconds(out, "tickbird_service_created_timestamp_seconds", s->services[i]->label,
                          s->services[i]->created_ns);
    tb_render_head(out, "tickbird_regions_set_apart", "gauge",
                   "Regions of other users that claim the service's name; their numbers are under NAME@UID.");
    for (size_t i = 0; i < s->service_count; i++)
        if (s->services[i]->apart)
            tb_render_sample(out, "tickbird_regions_set_apart", s->services[i]->label, s->services[i]->apart);
    render_unobservable(out, s);
    tb_render_head(out, "tickbird_switched_off", "gauge",
                   "1 if the service is switched off: what it serves is not counted.");
    for (size_t i = 0; i < s->service_count; i++)
        if (s->services[i]->is_off)
            tb_render_sample(out, "tickbird_switched_off", s->services[i]->label, 1);
    uint64_t all_off = 0;
    for (size_t i = 0; i < s->marker_count; i++)
        all_off += !s->markers[i].marker.service[0];
    tb_render_head(out, "tickbird_switched_off_directories", "gauge",
                   "Region directories in which everything is switched off.");
    tb_render_sample(out, "tickbird_switched_off_directories", "", all_off);
    tb_render_head(out, "tickbird_agent_info", "gauge", "Versions of the agent in the service's processes.");
    for (size_t i = 0; i < s->service_count; i++)
        for (size_t v = 0; v < 4 && s->services[i]->agent_versions[v][0]; v++) {
            char *version =
                tb_label_clean(s->services[i]->agent_versions[v], strlen(s->services[i]->agent_versions[v]));
            tb_render_sample(out, "tickbird_agent_info", with_label(&scratch, s->services[i], "version", version), 1);
            free(version);
        }
    tb_buffer_free(&scratch);
}

/* --- regions ---------------------------------------------------------------------------------------------------------
 */

static void render_regions(struct tb_buffer *out, const struct tb_snapshot *s)
{
    static const char *const states[] = {"state=\"live\"", "state=\"dead\"", "state=\"folding\"", "state=\"free\""};
    uint64_t by_state[4] = {0}, unreadable[TB_UNREADABLE_COUNT] = {0}, skipped = 0;
    for (size_t i = 0; i < s->region_count; i++) {
        const struct tb_snap_region *r = &s->regions[i];
        unreadable[r->unreadable] += r->unreadable == TB_UNREADABLE_QUOTA ? r->left_out : 1;
        if (r->unreadable)
            continue;
        by_state[r->state == TB_REGION_FOLDING ? 2 : r->state == TB_REGION_FREE ? 3 : r->is_live ? 0 : 1]++;
        skipped += r->series_skipped;
    }
    tb_render_head(out, "tickbird_regions", "gauge",
                   "Regions by state: with processes, without, moving into the ledger, emptied.");
    for (size_t i = 0; i < 4; i++)
        tb_render_sample(out, "tickbird_regions", states[i], by_state[i]);
    tb_render_head(out, "tickbird_unreadable_regions", "gauge",
                   "Regions and directories that could not be read, by reason.");
    for (size_t i = TB_READABLE + 1; i < TB_UNREADABLE_COUNT; i++) {
        char *labels = tb_format("reason=\"%s\"", tb_unreadable_name((enum tb_unreadable)i));
        tb_render_sample(out, "tickbird_unreadable_regions", labels, unreadable[i]);
        free(labels);
    }
    tb_render_head(out, "tickbird_series", "gauge", "Series in memory of the exporter.");
    tb_render_sample(out, "tickbird_series", "", s->series_count);
    tb_render_head(out, "tickbird_skipped_series", "gauge",
                   "Slots of regions that contradict themselves and are not shown.");
    tb_render_sample(out, "tickbird_skipped_series", "", skipped);
}

void tb_render_prometheus(const struct tb_snapshot *s, struct tb_buffer *out)
{
    static const struct histogram_names requests = {
        "http_request_duration_seconds_bucket{", "http_request_duration_seconds_sum{",
        "http_request_duration_seconds_count{", sizeof "http_request_duration_seconds_bucket{" - 1};
    static const struct histogram_names streams = {
        "http_stream_duration_seconds_bucket{", "http_stream_duration_seconds_sum{",
        "http_stream_duration_seconds_count{", sizeof "http_stream_duration_seconds_bucket{" - 1};
    struct range served = find_range(s, TB_FAMILY_REQUESTS, TB_ROLE_SERVER);
    render_requests(out, served);
    tb_render_head(out, "http_request_duration_seconds", "histogram",
                   "Time from the first byte of a request to the last byte of its response.");
    render_histograms(out, served, &requests);
    render_first_byte(out, served);
    render_incomplete(out, served);
    tb_render_head(out, "http_requests_aborted_total", "counter", "Requests that got no response, by reason.");
    render_counts(out, find_range(s, TB_FAMILY_ABORTED, TB_ROLE_SERVER), "http_requests_aborted_total");
    tb_render_head(out, "http_stream_duration_seconds", "histogram",
                   "Life of streams without end: event streams, upgraded connections, tunnels.");
    render_histograms(out, find_range(s, TB_FAMILY_STREAM, TB_ROLE_SERVER), &streams);
    render_in_flight(out, s);
    render_agents(out, s);
    render_counters(out, s);
    render_regions(out, s);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* names.c, config_names.c, snapshot_labels.c: presets, what a configuration changes in them, what it may not. */
#include "rules_support.h"

#include "exporter/families.h"
#include "exporter/names.h"
#include "exporter/render.h"

static void assert_error(const char *text, const char *expected)
{
    char *dir = support_dir(), *path = rules_file(dir, "c.yml", text), *errors = NULL;
    assert_null(tb_config_load(path, &errors));
    const char *place = strstr(errors, "c.yml:") + 6;
    if (strncmp(place, expected, strlen(expected)) != 0)
        fail_msg("%s\nis told, and not\n%s", place, expected);
    assert_non_null(strchr(place, '\n'));
    assert_int_equal(strchr(place, '\n')[1], 0); /* one line */
    free(errors);
    free(path);
    support_remove_dir(dir);
}

/* A snapshot with one of every kind of series. */
static struct tb_snapshot *snapshot(void)
{
    static const struct tb_snap_key keys[] = {
        {TB_FAMILY_REQUESTS, TB_ROLE_SERVER, TB_METHOD_GET, 0, 200, "/a", "", ""},
        {TB_FAMILY_REQUESTS, TB_ROLE_SERVER, TB_METHOD_GET, 0, 404, "/b", "shop.example", ""},
        {TB_FAMILY_ABORTED, TB_ROLE_SERVER, TB_METHOD_GET, 0, TB_ABORT_CLIENT_CLOSED, "/a", "", ""},
        {TB_FAMILY_STREAM, TB_ROLE_SERVER, TB_METHOD_OTHER, 0, 101, "", "", ""},
    };
    struct tb_snapshot *s = tb_snapshot_new();
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        struct tb_snap_series *e = tb_snapshot_series(s, tb_snapshot_service(s, "shop", 4), &keys[i]);
        *tb_values_cell(&e->base, 0, 3000000) += i + 1;
        e->base.sum_ns += 3000000 * (i + 1);
        e->base.first_byte_ns += 1500000 * (i + 1);
    }
    tb_snapshot_begin(s, UINT64_C(1700000000000000000));
    tb_snapshot_finish(s);
    return s;
}

/* What @s is in a format under the names of a configuration; the caller's to free. */
static char *rendered(struct tb_snapshot *s, const struct tb_names *names, const struct tb_encoding *encoding,
                      enum tb_escaping escaping)
{
    struct tb_buffer out = {0};
    struct tb_exposition x = {.has_pairs = encoding->has_pairs,
                              .escaping = escaping,
                              .label_escaping = escaping,
                              .constant = tb_labels(names->constant)};
    tb_snapshot_names(s, names->labels);
    tb_expose_snapshot(&x, s, &(struct tb_expose_options){.metrics = names->metrics});
    tb_render(encoding, &x, &out);
    tb_exposition_free(&x);
    tb_put(&out, "", 1);
    return out.data;
}

/* The text of @s under the names of a configuration; the caller's to free. */
static char *text_of(struct tb_snapshot *s, const struct tb_names *names)
{
    return rendered(s, names, &tb_encoding_text, TB_ESCAPE_NONE);
}

static char *configured(const char *config)
{
    struct tb_config *c = rules_config(config);
    struct tb_snapshot *s = snapshot();
    char *text = text_of(s, &c->names);
    tb_snapshot_free(s);
    tb_config_free(c);
    return text;
}

static void assert_has(const char *text, const char *line)
{
    const char *found = strstr(text, line);
    if (!found || (found > text && found[-1] != '\n') || found[strlen(line)] != '\n')
        fail_msg("%s\nis no line of\n%s", line, text);
}

static void otel_has_the_names_of_the_conventions(void **state)
{
    (void)state;
    char *text = configured("metrics: {preset: otel}\n");
    assert_has(text, "http_server_request_duration_seconds_count{service_name=\"shop\",http_request_method=\"GET\","
                     "http_route=\"/a\",http_response_status_code=\"200\"} 1");
    assert_has(text, "http_server_request_duration_seconds_count{service_name=\"shop\",server_address=\"shop.example\","
                     "http_request_method=\"GET\",http_route=\"/b\",http_response_status_code=\"404\"} 2");
    assert_has(text, "http_server_active_requests{service_name=\"shop\"} 0");
    assert_null(strstr(text, "http_request_duration_seconds"));
    free(text);
}

static void prom_client_is_in_milliseconds(void **state)
{
    (void)state;
    char *text = configured("metrics: {preset: prom-client}\n");
    assert_has(text, "http_request_duration_ms_bucket{service=\"shop\",method=\"GET\",route=\"/a\",code=\"200\","
                     "le=\"2.5\"} 0");
    assert_has(text, "http_request_duration_ms_bucket{service=\"shop\",method=\"GET\",route=\"/a\",code=\"200\","
                     "le=\"5\"} 1");
    assert_has(text, "http_request_duration_ms_sum{service=\"shop\",method=\"GET\",route=\"/a\",code=\"200\"} 3");
    assert_has(text, "http_request_first_byte_ms_sum{service=\"shop\",method=\"GET\",route=\"/a\",code=\"200\"} 1.5");
    assert_has(text, "http_requests_total{service=\"shop\",method=\"GET\",route=\"/a\",code=\"500\"} 0");
    assert_has(text, "http_requests_aborted_total{service=\"shop\",method=\"GET\",route=\"/a\","
                     "reason=\"client_closed\"} 3");
    assert_has(text, "tickbird_service_created_timestamp_seconds{service=\"shop\"} 0");
    assert_null(strstr(text, "http_request_duration_seconds"));
    free(text);
}

static void each_name_can_be_changed(void **state)
{
    (void)state;
    char *text = configured("metrics:\n"
                            "  labels: {status: code, service: app}\n"
                            "  constant_labels: {env: prod, note: \"a\\\"b\\\\\"}\n"
                            "  families:\n"
                            "    http_requests_total: web:requests_total\n"
                            "    http_request_duration_seconds: {name: web_milliseconds}\n"
                            "    http_request_first_byte_seconds: {unit: milliseconds}\n"
                            "    http_requests_in_flight: false\n"
                            "    tickbird_connections_given_up_total: web_lost_total\n"
                            "    tickbird_connections_total: {enabled: no}\n");
    assert_has(text, "web:requests_total{app=\"shop\",method=\"GET\",route=\"/a\",code=\"200\",env=\"prod\","
                     "note=\"a\\\"b\\\\\"} 1");
    assert_has(text, "web_milliseconds_sum{app=\"shop\",method=\"GET\",route=\"/a\",code=\"200\",env=\"prod\","
                     "note=\"a\\\"b\\\\\"} 3");
    assert_has(text,
               "http_request_first_byte_ms_sum{app=\"shop\",method=\"GET\",route=\"/a\",code=\"200\",env=\"prod\","
               "note=\"a\\\"b\\\\\"} 1.5");
    assert_has(text, "web_lost_total{app=\"shop\",reason=\"not_http\",env=\"prod\",note=\"a\\\"b\\\\\"} 0");
    assert_has(text, "tickbird_switched_off_directories{env=\"prod\",note=\"a\\\"b\\\\\"} 0");
    assert_null(strstr(text, "http_requests_in_flight"));
    assert_null(strstr(text, "tickbird_connections_total"));
    assert_has(text, "# TYPE http_oldest_request_in_flight_seconds gauge");
    free(text);
}

static void names_change_back_and_forth(void **state)
{
    (void)state;
    struct tb_names otel;
    struct tb_snapshot *s = snapshot();
    char *before = text_of(s, tb_names_default());
    tb_names_make(&otel, TB_PRESET_OTEL);
    char *meanwhile = text_of(s, &otel), *after = text_of(s, tb_names_default());
    assert_string_equal(before, after);
    assert_string_not_equal(before, meanwhile);
    free(before);
    free(meanwhile);
    free(after);
    tb_names_free(&otel);
    tb_snapshot_free(s);
}

/* OpenMetrics: a unit is the end of the name, or there is none. */
static void units_are_ends_of_names(void **state)
{
    (void)state;
    struct tb_config *c = rules_config("metrics:\n  families:\n    http_request_duration_seconds: web_time\n"
                                       "    http_request_first_byte_seconds: {name: first, unit: milliseconds}\n"
                                       "    process_cpu_seconds_total: cpu_total\n"
                                       "    process_network_receive_bytes_total: in_bytes_total\n");
    assert_string_equal(c->names.metrics[TB_M_DURATION].unit, "");
    assert_int_equal(c->names.metrics[TB_M_DURATION].decimals, 9);
    assert_string_equal(c->names.metrics[TB_M_FIRST_BYTE].name, "first");
    assert_string_equal(c->names.metrics[TB_M_FIRST_BYTE].unit, "");
    assert_int_equal(c->names.metrics[TB_M_FIRST_BYTE].decimals, 6);
    assert_string_equal(c->names.metrics[TB_M_STREAM].unit, "seconds");
    assert_string_equal(c->names.metrics[TB_M_CPU].unit, "");
    assert_string_equal(c->names.metrics[TB_M_RECEIVED].unit, "bytes");
    tb_config_free(c);
}

static void names_that_are_no_identifiers_are_quoted_or_escaped(void **state)
{
    (void)state;
    struct tb_config *c = rules_config("metrics:\n"
                                       "  labels: {service: service.name, status: http.status}\n"
                                       "  constant_labels: {\"ciel \\u00e9\": x}\n"
                                       "  families: {http_requests_total: http.requests_total,\n"
                                       "             http_request_duration_seconds: http.duration_seconds}\n");
    struct tb_snapshot *s = snapshot();
#define QUOTED "\"service.name\"=\"shop\",method=\"GET\",route=\"/a\",\"http.status\"=\"200\",\"ciel \xc3\xa9\"=\"x\""
    char *text = rendered(s, &c->names, &tb_encoding_text, TB_ESCAPE_NONE);
    assert_has(text, "# TYPE \"http.requests_total\" counter");
    assert_has(text, "{\"http.requests_total\"," QUOTED "} 1");
    assert_has(text, "{\"http.duration_seconds_bucket\"," QUOTED ",le=\"+Inf\"} 1");
    assert_has(text, "{\"http.duration_seconds_sum\"," QUOTED "} 0.003");
    free(text);
    text = rendered(s, &c->names, &tb_encoding_openmetrics, TB_ESCAPE_NONE);
    assert_has(text, "# TYPE \"http.requests\" counter");
    assert_has(text, "# UNIT \"http.duration_seconds\" seconds");
    assert_has(text, "{\"http.requests_total\"," QUOTED "} 1");
    free(text);
#undef QUOTED
    text = rendered(s, &c->names, &tb_encoding_text, TB_ESCAPE_UNDERSCORES);
    assert_has(text, "http_requests_total{service_name=\"shop\",method=\"GET\",route=\"/a\",http_status=\"200\","
                     "ciel__=\"x\"} 1");
    free(text);
    struct tb_exposition x = {.has_pairs = true, .constant = tb_labels(c->names.constant)};
    struct tb_buffer out = {0};
    tb_expose_snapshot(&x, s, &(struct tb_expose_options){.metrics = c->names.metrics});
    tb_render(&tb_encoding_protobuf, &x, &out);
    static const char pair[] = "\x0a\x0cservice.name\x12\x04shop";
    assert_non_null(memmem(out.data, out.len, pair, sizeof pair - 1));
    tb_exposition_free(&x);
    tb_buffer_free(&out);
    text = rendered(s, &c->names, &tb_encoding_openmetrics, TB_ESCAPE_VALUES);
    assert_has(text, "U__http_2e_duration__seconds_bucket{U__service_2e_name=\"shop\",method=\"GET\",route=\"/a\","
                     "U__http_2e_status=\"200\",U__ciel_20__e9_=\"x\",le=\"+Inf\"} 1");
    free(text);
    tb_snapshot_free(s);
    tb_config_free(c);
}

static void what_cannot_be_is_refused(void **state)
{
    (void)state;
    assert_error("metrics: {preset: otl}\n", "1:19: preset: \"otl\" is none of classic, otel, prom-client: ");
    assert_error("metrics: {split_by: [worker]}\n", "1:22: split_by: \"worker\" is none of host, pid, ");
    assert_error("metrics: {split_by: [host]}\n", "1:21: split_by: the label host is called \"host\", too: ");
    assert_error("metrics: {split_by: [pod], constant_labels: {pod: a}}\n",
                 "1:46: constant_labels: \"pod\": split_by has a label of that name: ");
    assert_error("metrics: {unit: h}\n", "1:17: unit: \"h\" is none of seconds, milliseconds: ");
    assert_error("metrics: {labels: {foo: x}}\n", "1:20: foo: unknown key of labels: ");
    assert_error("metrics: {labels: {status: a=b}}\n", "1:28: status: \"a=b\": it is no label name: ");
    assert_error("metrics: {labels: {status: 'a\"b'}}\n", "1:28: status: \"a\"b\": it is no label name: ");
    assert_error("metrics: {labels: {status: ..a}}\n", "1:28: status: \"..a\": labels that begin with __ ");
    assert_error("metrics: {labels: {status: __a}}\n", "1:28: status: \"__a\": labels that begin with __ ");
    assert_error("metrics: {labels: {status: le}}\n", "1:28: status: \"le\": it is a label of buckets");
    assert_error("metrics: {labels: {status: route}}\n", "1:28: status: the label route is called \"route\" too: ");
    assert_error("metrics: {labels: {status: x, route: x}}\n", "1:28: status: the label route is called \"x\" too: ");
    assert_error("metrics: {labels: {service: version}}\n", "1:29: service: tickbird_agent_info has a label ");
    assert_error("metrics: {labels: {reason: exe}}\n", "1:28: reason: tickbird_unobserved_listeners has a label ");
    assert_error("metrics: {labels: {service: false}}\n", "1:29: service: it cannot be left out: ");
    assert_error("metrics: {labels: {reason: no}}\n", "1:28: reason: it cannot be left out: ");
    assert_error("metrics: {constant_labels: {code: x}}\n", "1:29: constant_labels: \"code\": this exporter has ");
    assert_error("metrics: {constant_labels: {route: x}}\n",
                 "1:29: constant_labels: \"route\" is what the label route ");
    assert_error("metrics: {preset: otel, constant_labels: {http_route: x}}\n", "1:43: constant_labels: ");
    assert_error("metrics: {constant_labels: [a]}\n", "1:28: constant_labels: it is no mapping: ");
    assert_error("metrics: {instances: [host, nope]}\n",
                 "1:29: instances: \"nope\" is none of host, pid, program, unit, ");
    assert_error("metrics: {families: {nope: x}}\n", "1:22: nope: unknown family: ");
    assert_error("metrics: {families: {http_requests_total: x}}\n", "1:43: name: \"x\": it is a counter's, and ");
    assert_error("metrics: {families: {http_requests_total: 'x{y_total'}}\n",
                 "1:43: name: \"x{y_total\": it is no metric");
    assert_error("metrics: {families: {http_requests_in_flight: x.total}}\n", "1:47: name: \"x.total\": it ends with ");
    assert_error("metrics: {families: {http_requests_in_flight: x_total}}\n", "1:47: name: \"x_total\": it ends with ");
    assert_error("metrics: {families: {tickbird_processes: x_count}}\n", "1:42: name: \"x_count\": it ends like ");
    assert_error("metrics: {families: {tickbird_processes: {unit: seconds}}}\n",
                 "1:49: unit: tickbird_processes has no ");
    assert_error("metrics: {families: {http_request_duration_seconds: {name: a_ms, unit: seconds}}}\n",
                 "1:72: unit: \"a_ms\" says another one: ");
}

/* A name is compared with all that a family's samples are called in any format. */
static void names_that_meet_are_refused(void **state)
{
    (void)state;
    assert_error("metrics: {families: {tickbird_processes: tickbird_series}}\n",
                 "1:42: name: \"tickbird_series\" and ");
    assert_error("metrics: {families: {tickbird_processes: http_requests}}\n", "1:42: name: \"http_requests\" and ");
    assert_error("metrics:\n  families: {tickbird_processes: a, tickbird_series: a}\n", "2:54: name: \"a\" and \"a\" ");
    assert_error("metrics: {families: {tickbird_tunnels_total: tickbird_connections_total}}\n",
                 "1:46: name: \"tickbird_connections_total\" and ");
    assert_error("metrics: {families: {tickbird_processes: tickbird.series}}\n",
                 "1:42: name: \"tickbird.series\" and ");
    assert_error("metrics: {labels: {status: a.b, route: a_b}}\n",
                 "1:28: status: the label route is called \"a_b\" too: ");
    assert_error("metrics: {constant_labels: {a.b: x, a-b: x}}\n", "1:37: constant_labels: \"a-b\": escaped, ");
    assert_error("metrics: {labels: {route: a.b}, constant_labels: {a_b: x}}\n",
                 "1:51: constant_labels: \"a_b\" is what the label route ");
    assert_error("metrics: {constant_labels: {a.b: x}}\nrules: [{metric: b_total, labels: {a_b: method}}]\n",
                 "2:9: metric \"b_total\": a label has the name of one that is on every sample: ");
    assert_error("rules: [{metric: a.b_total}, {metric: a_b_total}]\n",
                 "1:30: metric \"a_b_total\": another rule's metric has samples of that name: ");
    struct tb_config *c =
        rules_config("metrics: {families: {tickbird_processes: tickbird_series, tickbird_series: false}}\n");
    tb_config_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(otel_has_the_names_of_the_conventions),
        cmocka_unit_test(prom_client_is_in_milliseconds),
        cmocka_unit_test(each_name_can_be_changed),
        cmocka_unit_test(names_change_back_and_forth),
        cmocka_unit_test(units_are_ends_of_names),
        cmocka_unit_test(names_that_are_no_identifiers_are_quoted_or_escaped),
        cmocka_unit_test(what_cannot_be_is_refused),
        cmocka_unit_test(names_that_meet_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

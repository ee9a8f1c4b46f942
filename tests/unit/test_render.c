/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The text format: exact bytes for a small snapshot, then properties for large random ones whose label values hold any
 * byte, judged by a reader of its own, and by promtool and the Python client's parser where they are installed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "exporter/buffer.h"
#include "exporter/self.h"
#include "exporter/snapshot.h"
#include "random_snapshot.h"
#include "rendered.h"

static const struct tb_snap_key get_200 = {TB_FAMILY_REQUESTS, TB_ROLE_SERVER, TB_METHOD_GET, 0, 200, "/a", "", ""};

static char *render(struct tb_snapshot *s)
{
    struct tb_buffer b = {0};
    tb_snapshot_begin(s, UINT64_C(1700000000000000000));
    tb_snapshot_finish(s);
    rendered(s, &b);
    tb_put(&b, "", 1);
    assert_int_equal(strlen(b.data) + 1, b.len);
    return b.data;
}

/* The sample lines whose name begins with @prefix, comments left out; the caller's to free. */
static char *lines_of(const char *text, const char *prefix)
{
    struct tb_buffer b = {0};
    while (*text) {
        size_t len = strcspn(text, "\n") + 1;
        if (strncmp(text, prefix, strlen(prefix)) == 0)
            tb_put(&b, text, len);
        text += len;
    }
    tb_put(&b, "", 1);
    return b.data;
}

static void assert_lines(const char *text, const char *prefix, const char *expected)
{
    char *lines = lines_of(text, prefix);
    assert_string_equal(lines, expected);
    free(lines);
}

static void a_small_snapshot_gives_exactly_this(void **state)
{
    (void)state;
    struct tb_snapshot *s = tb_snapshot_new();
    add(s, "shop", get_200, 3000000, 2);
    add(s, "shop", get_200, 20000000000, 1);
    add(s, "shop", get_200, 0, 1)->base.untimed = 5;
    char *text = render(s);
    assert_lines(text, "http_requests_total",
                 "http_requests_total{service=\"shop\",method=\"GET\",route=\"/a\",status=\"200\"} 9\n"
                 "http_requests_total{service=\"shop\",method=\"GET\",route=\"/a\",status=\"500\"} 0\n");
#define LINE(le, n)                                                                                                    \
    "http_request_duration_seconds_bucket{service=\"shop\",method=\"GET\",route=\"/a\",status=\"200\",le=\"" le        \
    "\"} " n "\n"
    assert_lines(text, "http_request_duration_seconds",
                 LINE("0.0001", "1") LINE("0.00025", "1") LINE("0.0005", "1") LINE("0.001", "1") LINE("0.0025", "1")
                     LINE("0.005", "3") LINE("0.01", "3") LINE("0.025", "3") LINE("0.05", "3") LINE("0.1", "3")
                         LINE("0.25", "3") LINE("0.5", "3") LINE("1", "3") LINE("2.5", "3") LINE("5", "3")
                             LINE("10", "3") LINE("+Inf", "4") "http_request_duration_seconds_sum{service=\"shop\","
                                                               "method=\"GET\",route=\"/a\",status=\"200\"} 20.006\n"
                                                               "http_request_duration_seconds_count{service=\"shop\","
                                                               "method=\"GET\",route=\"/a\",status=\"200\"} 4\n");
#undef LINE
    assert_lines(
        text, "http_request_first_byte",
        "http_request_first_byte_seconds_sum{service=\"shop\",method=\"GET\",route=\"/a\",status=\"200\"} 10.003\n"
        "http_request_first_byte_seconds_count{service=\"shop\",method=\"GET\",route=\"/a\",status=\"200\"} 4\n");
    assert_lines(text, "http_responses_incomplete", "");
    assert_lines(text, "http_requests_in_flight", "http_requests_in_flight{service=\"shop\"} 0\n");
    free(text);
    tb_snapshot_free(s);
}

static void a_5xx_at_0_stands_where_none_was_counted(void **state)
{
    (void)state;
    struct tb_snapshot *s = tb_snapshot_new();
    struct tb_snap_key key = get_200;
    add(s, "a", key, 1000, 1);
    key.status = 404;
    add(s, "a", key, 1000, 2);
    key.status = 503;
    add(s, "a", key, 1000, 3);
    key.method = TB_METHOD_POST;
    key.status = 500;
    add(s, "a", key, 1000, 4);
    key.role = TB_ROLE_CLIENT; /* of a family of its own */
    key.target = "example.com";
    add(s, "a", key, 1000, 5);
    char *text = render(s);
    assert_lines(text, "http_requests_total",
                 "http_requests_total{service=\"a\",method=\"GET\",route=\"/a\",status=\"200\"} 1\n"
                 "http_requests_total{service=\"a\",method=\"GET\",route=\"/a\",status=\"404\"} 2\n"
                 "http_requests_total{service=\"a\",method=\"GET\",route=\"/a\",status=\"503\"} 3\n"
                 "http_requests_total{service=\"a\",method=\"GET\",route=\"/a\",status=\"500\"} 0\n"
                 "http_requests_total{service=\"a\",method=\"POST\",route=\"/a\",status=\"500\"} 4\n");
    assert_lines(text, "http_client_requests_total",
                 "http_client_requests_total{service=\"a\",target=\"example.com\",method=\"POST\",route=\"/a\",status="
                 "\"500\"} 5\n");
    free(text);
    tb_snapshot_free(s);
}

/* A dependency is up while its last answer is not older than its last failure. */
static void calls_have_families_of_their_own(void **state)
{
    (void)state;
    struct tb_snapshot *s = tb_snapshot_new();
    struct tb_snap_key key = {.role = TB_ROLE_CLIENT, .route = "_other", .ext = ""};
    static const struct {
        const char *target;
        uint64_t answered_ns, failed_ns;
    } e[] = {{"back.example", 2000000000, 1000000000},
             {"down.example:8080", 0, 1},
             {"lost.example", 1500000000, 3000000000}};
    for (size_t i = 0; i < sizeof e / sizeof *e; i++) {
        key.target = e[i].target;
        key.family = TB_FAMILY_CALL_RESULT;
        key.status = TB_CALL_ANSWERED;
        if (e[i].answered_ns)
            add(s, "a", key, 0, 0)->base.untimed = 1;
        tb_snapshot_series(s, tb_snapshot_service(s, "a", 1), &key)->base_chosen_ns = e[i].answered_ns;
        key.status = TB_CALL_FAILED;
        struct tb_snap_series *failed = add(s, "a", key, 0, 0);
        failed->base.untimed = 1;
        failed->base_chosen_ns = e[i].failed_ns;
    }
    key.family = TB_FAMILY_CALL_ERRORS;
    key.status = TB_CALL_REFUSED;
    add(s, "a", key, 0, 0)->base.untimed = 4;
    key.family = TB_FAMILY_CALL_CONNECT;
    key.status = 0;
    add(s, "a", key, 1000, 3);
    char *text = render(s);
    assert_lines(text, "http_client_errors_total",
                 "http_client_errors_total{service=\"a\",target=\"lost.example\",reason=\"refused\"} 4\n");
    assert_non_null(
        strstr(text, "http_client_connect_duration_seconds_count{service=\"a\",target=\"lost.example\"} 3\n"));
    assert_lines(text, "dependency_up",
                 "dependency_up{service=\"a\",target=\"back.example\"} 1\n"
                 "dependency_up{service=\"a\",target=\"down.example:8080\"} 0\n"
                 "dependency_up{service=\"a\",target=\"lost.example\"} 0\n");
    assert_lines(text, "dependency_last_success_timestamp_seconds",
                 "dependency_last_success_timestamp_seconds{service=\"a\",target=\"back.example\"} 2\n"
                 "dependency_last_success_timestamp_seconds{service=\"a\",target=\"lost.example\"} 1.5\n");
    free(text);
    tb_snapshot_free(s);
}

static void aborted_and_streams_have_families_of_their_own(void **state)
{
    (void)state;
    struct tb_snapshot *s = tb_snapshot_new();
    struct tb_snap_key key = get_200;
    key.family = TB_FAMILY_ABORTED;
    key.status = TB_ABORT_NEVER_ANSWERED;
    add(s, "a", key, 0, 0)->base.untimed = 7;
    key.family = TB_FAMILY_STREAM;
    key.status = 101;
    add(s, "a", key, 60000000000, 1);
    add(s, "a", get_200, 1000, 1)->base.incomplete = 1;
    char *text = render(s);
    assert_lines(
        text, "http_requests_aborted_total",
        "http_requests_aborted_total{service=\"a\",method=\"GET\",route=\"/a\",reason=\"never_answered\"} 7\n");
    assert_lines(text, "http_stream_duration_seconds_sum",
                 "http_stream_duration_seconds_sum{service=\"a\",method=\"GET\",route=\"/a\",status=\"101\"} 60\n");
    assert_lines(text, "http_responses_incomplete_total",
                 "http_responses_incomplete_total{service=\"a\",method=\"GET\",route=\"/a\",status=\"200\"} 1\n");
    assert_lines(text, "http_request_duration_seconds_count",
                 "http_request_duration_seconds_count{service=\"a\",method=\"GET\",route=\"/a\",status=\"200\"} 1\n");
    free(text);
    tb_snapshot_free(s);
}

static void numbers_are_exact(void **state)
{
    (void)state;
    static const uint64_t numbers[] = {0, 9, 10, 99, 100, 101, 999, 12345, 1000000007, UINT64_MAX, UINT64_MAX / 10};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        struct tb_buffer b = {0};
        char expected[32];
        tb_put_u64(&b, numbers[i]);
        tb_put(&b, "", 1);
        snprintf(expected, sizeof expected, "%llu", (unsigned long long)numbers[i]);
        assert_string_equal(b.data, expected);
        tb_buffer_free(&b);
    }
    static const struct {
        uint64_t ns;
        const char *text;
    } seconds[] = {{0, "0"},
                   {1, "0.000000001"},
                   {2500000, "0.0025"},
                   {1000000000, "1"},
                   {1500000000, "1.5"},
                   {10000000001, "10.000000001"},
                   {999999999, "0.999999999"},
                   {UINT64_MAX, "18446744073.709551615"}};
    for (size_t i = 0; i < sizeof seconds / sizeof *seconds; i++) {
        struct tb_buffer b = {0};
        tb_put_seconds(&b, seconds[i].ns);
        tb_put(&b, "", 1);
        assert_string_equal(b.data, seconds[i].text);
        tb_buffer_free(&b);
    }
}

static void what_is_no_utf8_is_replaced(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        size_t len;
        const char *out;
    } cases[] = {{"plain", 5, "plain"},
                 {"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", 9, "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"},
                 {"a\xff"
                  "b",
                  3,
                  "a\xef\xbf\xbd"
                  "b"},
                 {"\xc0\xaf", 2, "\xef\xbf\xbd\xef\xbf\xbd"},
                 {"\xed\xa0\x80", 3, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
                 {"\xe2\x82", 2, "\xef\xbf\xbd\xef\xbf\xbd"},
                 {"a\0b", 3,
                  "a\xef\xbf\xbd"
                  "b"},
                 {"\xf4\x90\x80\x80", 4, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *clean = tb_utf8_clean(cases[i].in, cases[i].len);
        assert_string_equal(clean, cases[i].out);
        free(clean);
    }
}

/* --- any snapshot ----------------------------------------------------------------------------------------------------
 */

/* Reads a quoted label value. Returns what follows its closing quote, or fails. */
static const char *skip_value(const char *p)
{
    assert_int_equal(*p++, '"');
    for (; *p != '"'; p++) {
        assert_true((unsigned char)*p >= 0x01 && *p != '\n' && *p != 0);
        if (*p == '\\') {
            p++;
            assert_true(*p == '\\' || *p == '"' || *p == 'n');
        }
    }
    return p + 1;
}

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Every line is a comment or a sample of the family announced before it; no series stands there twice. */
static void check_text(char *text)
{
    char family[100] = "", **seen = NULL;
    size_t count = 0, space = 0;
    for (char *line = text, *next; *line; line = next) {
        next = strchr(line, '\n');
        assert_non_null(next);
        *next++ = 0;
        if (strncmp(line, "# TYPE ", 7) == 0)
            assert_int_equal(sscanf(line, "# TYPE %99s", family), 1);
        if (*line == '#')
            continue;
        assert_memory_equal(line, family, strlen(family));
        const char *p = line + strspn(line, "abcdefghijklmnopqrstuvwxyz_0123456789");
        if (*p == '{') {
            do {
                p++;
                p += strspn(p, "abcdefghijklmnopqrstuvwxyz_");
                assert_int_equal(*p++, '=');
                p = skip_value(p);
            } while (*p == ',');
            assert_int_equal(*p++, '}');
        }
        assert_int_equal(*p, ' ');
        assert_int_equal(p[1 + strspn(p + 1, "0123456789.")], 0);
        seen = tb_grow(seen, count, &space, sizeof *seen);
        seen[count++] = strndup(line, (size_t)(p - line));
    }
    qsort(seen, count, sizeof *seen, compare_texts);
    for (size_t i = 0; i + 1 < count; i++)
        assert_string_not_equal(seen[i], seen[i + 1]);
    for (size_t i = 0; i < count; i++)
        free(seen[i]);
    free(seen);
}

static void any_bytes_in_labels_give_well_formed_text(void **state)
{
    (void)state;
    seed = (uint32_t)time(NULL);
    printf("# seed %u\n", seed);
    for (unsigned round = 0; round < 200; round++) {
        struct tb_snapshot *s = random_snapshot(1 + random_below(40));
        char *text = render(s);
        check_text(text);
        free(text);
        tb_snapshot_free(s);
    }
}

static void histograms_add_up(void **state)
{
    (void)state;
    seed = (uint32_t)time(NULL);
    struct tb_snapshot *s = random_snapshot(300);
    char *text = render(s), *lines = lines_of(text, "http_request_duration_seconds_");
    unsigned long long last = 0, at_infinity = 0;
    unsigned histograms = 0;
    char *save = NULL;
    for (char *line = strtok_r(lines, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        unsigned long long value = strtoull(strrchr(line, ' '), NULL, 10);
        if (strncmp(line, "http_request_duration_seconds_bucket", 36) == 0) {
            if (strstr(line, "le=\"0.0001\""))
                last = 0;
            assert_true(value >= last);
            last = value;
            if (strstr(line, "le=\"+Inf\""))
                at_infinity = value;
        } else if (strncmp(line, "http_request_duration_seconds_count", 35) == 0) {
            assert_int_equal(value, at_infinity);
            histograms++;
        }
    }
    assert_true(histograms > 10);
    free(lines);
    free(text);
    tb_snapshot_free(s);
}

/* --- judged by others' software --------------------------------------------------------------------------------------
 */

static bool is_found(const char *command)
{
    return system(command) == 0;
}

/* Writes @text to @command; returns its exit status, and what it said in @said. */
static int feed(const char *command, const char *text, char *said, size_t space)
{
    char name[] = "/tmp/tb-render-XXXXXX";
    int fd = mkstemp(name);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
    char *line = tb_format("%s < %s 2>&1", command, name);
    FILE *p = popen(line, "r");
    assert_non_null(p);
    size_t len = fread(said, 1, space - 1, p);
    said[len] = 0;
    int status = pclose(p);
    unlink(name);
    free(line);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* What listens and is not recorded stands in one family with what processes say of themselves: each once, escaped, and
 * with no other metric of that service. */
static void unobserved_programs_are_one_sample_each(void **state)
{
    (void)state;
    struct tb_snapshot *s = tb_snapshot_new();
    struct tb_buffer b = {0};
    tb_snapshot_begin(s, UINT64_C(1700000000000000000));
    tb_snapshot_service(s, "quiet", 5)->unobservable = 1;
    tb_snapshot_finish(s);
    tb_snapshot_unobserved_begin(s);
    tb_snapshot_unobserved(s, "sshd", "not_preloaded");
    tb_snapshot_unobserved(s, "quiet", "io_uring");
    tb_snapshot_unobserved(s, "a\"b\\\n\xff", "go");
    tb_snapshot_unobserved(s, "sshd", "not_preloaded");
    tb_snapshot_unobserved(s, "sshd", "static");
    rendered(s, &b);
    tb_put(&b, "", 1);
    char *text = b.data;
    assert_non_null(strstr(text,
                           "tickbird_unobservable{service=\"quiet\",reason=\"io_uring\"} 1\n"
                           "tickbird_unobservable{service=\"a\\\"b\\\\\xef\xbf\xbd\xef\xbf\xbd\",reason=\"go\"} 1\n"
                           "tickbird_unobservable{service=\"sshd\",reason=\"not_preloaded\"} 1\n"
                           "tickbird_unobservable{service=\"sshd\",reason=\"static\"} 1\n# HELP"));
    assert_null(strstr(text, "in_flight{service=\"sshd\""));
    free(text);
    tb_snapshot_unobserved_begin(s);
    for (unsigned i = 0; i < 3 * TB_SNAP_UNOBSERVED_MAX; i++) {
        char name[16];
        snprintf(name, sizeof name, "s%u", i);
        tb_snapshot_unobserved(s, name, "go");
    }
    assert_int_equal(s->unobserved_count, TB_SNAP_UNOBSERVED_MAX + 1);
    text = render(s);
    assert_non_null(strstr(text, "{service=\"_other\",reason=\"go\"} 1\n"));
    assert_null(strstr(text, "sshd"));
    free(text);
    tb_snapshot_free(s);
}

/* Everything that a scrape holds: the snapshot and the exporter's own families. */
static char *whole_scrape(void)
{
    seed = (uint32_t)time(NULL);
    struct tb_snapshot *s = random_snapshot(100);
    tb_snapshot_service(s, "quiet", 5)->unobservable = UINT64_MAX;
    char *text = render(s);
    struct tb_buffer b = {0};
    struct tb_self self = {0};
    struct tb_collector *collector = NULL;
    const char *const nowhere[] = {"/nonexistent"};
    assert_int_equal(tb_collector_new(&(struct tb_collect_options){.dirs = nowhere, .dir_count = 1}, &collector), 0);
    tb_self_count_scrape(&self, 200);
    tb_self_count_scrape(&self, 503);
    struct tb_exposition x = {0};
    tb_self_expose(&x, &self, collector, NULL, tb_metrics_default);
    tb_puts(&b, text);
    tb_render(&tb_encoding_text, &x, &b);
    tb_exposition_free(&x);
    tb_put(&b, "", 1);
    tb_collector_free(collector);
    free(text);
    tb_snapshot_free(s);
    return b.data;
}

static void promtool_has_nothing_to_say(void **state)
{
    (void)state;
    char said[4096];
    if (!is_found("command -v promtool >/dev/null"))
        skip();
    char *text = whole_scrape();
    int status = feed("promtool check metrics", text, said, sizeof said);
    assert_string_equal(said, "");
    assert_int_equal(status, 0);
    free(text);
}

static void the_python_client_reads_the_same_values(void **state)
{
    (void)state;
    char said[4096], expected[32];
    if (!is_found("${PYTHON:-/usr/bin/python3} -c 'import prometheus_client' 2>/dev/null"))
        skip();
    char *text = whole_scrape();
    int status =
        feed("${PYTHON:-/usr/bin/python3} -c 'import sys; from prometheus_client.parser import "
             "text_string_to_metric_families as f; sys.stdin.reconfigure(encoding=\"utf-8\", newline=\"\\n\"); "
             "print(sum(len(m.samples) for m in f(sys.stdin.read())))'",
             text, said, sizeof said);
    size_t samples = 0;
    for (const char *p = text; *p; p += strcspn(p, "\n") + 1)
        samples += *p != '#';
    snprintf(expected, sizeof expected, "%zu\n", samples);
    assert_string_equal(said, expected);
    assert_int_equal(status, 0);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unobserved_programs_are_one_sample_each),
        cmocka_unit_test(a_small_snapshot_gives_exactly_this),
        cmocka_unit_test(a_5xx_at_0_stands_where_none_was_counted),
        cmocka_unit_test(calls_have_families_of_their_own),
        cmocka_unit_test(aborted_and_streams_have_families_of_their_own),
        cmocka_unit_test(numbers_are_exact),
        cmocka_unit_test(what_is_no_utf8_is_replaced),
        cmocka_unit_test(any_bytes_in_labels_give_well_formed_text),
        cmocka_unit_test(histograms_add_up),
        cmocka_unit_test(promtool_has_nothing_to_say),
        cmocka_unit_test(the_python_client_reads_the_same_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

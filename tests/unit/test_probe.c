/* SPDX-License-Identifier: Apache-2.0 */
/* Probes told by their User-Agent (agent/probe.h, `probe_agents` of the configuration): however a head is cut. */
#include "rules_support.h"

#include "conn.h"
#include "exchange.h"
#include "probe.h"

static const struct {
    const char *head;
    bool is_probe;
} heads[] = {
    {"Host: a\r\nUser-Agent: kube-probe/1.27\r\n\r\n", true},
    {"user-agent:ELB-HealthChecker/2.0\r\n\r\n", true},
    {"USER-AGENT: \t Amazon-Route53-Health-Check-Service (ref 5ab; report http://amzn.to/1)\r\n\r\n", true},
    {"A: b\nUser-Agent: GoogleHC/1.0\n\n", true},
    {"User-Agent: GoogleStackdriverMonitoring-UptimeChecks(https://cloud.google.com)\r\n\r\n", true},
    {"User-Agent: Azure Traffic Manager Endpoint Monitor\r\n\r\n", true},
    {"User-Agent: Edge Health Probe\r\n\r\n", true},
    {"User-Agent: Envoy/HC\r\n\r\n", true},
    {"User-Agent: Consul Health Check\r\n\r\n", true},
    {"User-Agent: Prometheus/2.45.0\r\nAccept: text/plain\r\n\r\n", true},
    {"User-Agent: Blackbox Exporter/0.24.0\r\n\r\n", true},
    {"User-Agent: vm_promscrape\r\n\r\n", true},
    {"User-Agent: Uptime-Kuma/1.23.0\r\n\r\n", true},
    {"User-Agent: curl/7.88\r\nUser-Agent: kube-probe/1.27\r\n\r\n", true},
    {"User-Agent: kube-probe", false},
    {"User-Agent: kube-probes/1\r\n\r\n", false},
    {"User-Agent: Mozilla/5.0 kube-probe/1.27\r\n\r\n", false},
    {"User-Agent: prometheus/2.45.0\r\n\r\n", false},
    {"User-Agen: kube-probe/1.27\r\n\r\n", false},
    {"X-User-Agent: kube-probe/1.27\r\n\r\n", false},
    {"User-Agent : kube-probe/1.27\r\n\r\n", false},
    {"User-Agent:\r\n kube-probe/1.27\r\n\r\n", false}, /* folded lines are obsolete */
    {"Host: a\r\n\r\nUser-Agent: kube-probe/1.27\r\n\r\n", false},
    {"U\nUser-Agent\nUser-Agent: a\nuu\r\n\r\n", false},
    {"", false},
};

static void agents_are_told_however_they_are_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
        size_t len = strlen(heads[i].head);
        for (size_t step = 1; step <= len; step++) {
            struct tb_probe p = {0};
            for (size_t at = 0; at < len; at += step) {
                size_t n = len - at < step ? len - at : step;
                char *exact = malloc(n); /* at its end the sanitizers watch */
                memcpy(exact, heads[i].head + at, n);
                tb_probe_feed(&p, tb_bytes(exact, n));
                free(exact);
            }
            if (p.is_probe != heads[i].is_probe)
                fail_msg("head %zu in steps of %zu", i, step);
        }
    }
}

static void exchange(struct tb_core *core, struct tb_conn *c, const char *request, size_t cut, bool is_client)
{
    static const char response[] = "HTTP/1.1 200 OK\r\nServer: a-server-with-a-name\r\nContent-Type: text/plain\r\n"
                                   "Content-Length: 2\r\n\r\nok";
    char *copy = strdup(request);
    struct tb_bytes parts[] = {tb_bytes(copy, cut), tb_bytes(copy + cut, strlen(copy) - cut)};
    for (int i = 0; i < 2; i++)
        if (parts[i].len)
            tb_exchange_io(core, c, is_client ? TB_SENT : TB_RECEIVED, &parts[i], 1, parts[i].len);
    struct tb_bytes out = tb_bytes(response, sizeof response - 1);
    tb_exchange_io(core, c, is_client ? TB_RECEIVED : TB_SENT, &out, 1, out.len);
    free(copy);
}

struct wanted {
    const struct tb_core *core;
    const char *route;
};

static bool has_route(const struct tb_series_key *key, const void *arg)
{
    const struct wanted *w = arg;
    struct tb_bytes t = tb_string_get(w->core->strings, TB_LEN_STRINGS, key->route);
    return key->family == TB_FAMILY_REQUESTS && t.len == strlen(w->route) && memcmp(t.ptr, w->route, t.len) == 0;
}

static uint64_t total_of(struct tb_core *core, const char *route)
{
    struct wanted w = {core, route};
    return support_total(core, has_route, &w).count;
}

static const char probe[] = "GET /shop?live HTTP/1.1\r\nHost: a.example.com:80\r\nUser-Agent: kube-probe/1.27\r\n"
                            "Accept: everything\r\n\r\n";
static const char person[] = "GET /shop HTTP/1.1\r\nHost: a.example.com:80\r\nUser-Agent: a browser of some length\r\n"
                             "Accept: everything\r\n\r\n";

/* Each cut, each kind of rules beside: its own route, and everybody else's stays what it was. */
static void probes_have_a_route_of_their_own(void **state)
{
    (void)state;
    static const char *const beside[] = {"", ", host: {label: true}", ", patterns: [{path: /shop, route: mine}]"};
    for (size_t k = 0; k < sizeof beside / sizeof *beside; k++) {
        struct tb_core *core = support_bound_core();
        char text[200];
        uint64_t times = 0;
        snprintf(text, sizeof text, "routes: {probe_agents: route%s}", beside[k]);
        rules_use(core, text, "x");
        for (size_t cut = 0; cut < sizeof probe - 1; cut++, times++) {
            struct tb_conn c;
            tb_conn_open(&c);
            exchange(core, &c, probe, cut, false);
            exchange(core, &c, person, cut % (sizeof person - 1), false);
            assert_true(tb_exchange_close(core, &c, TB_CLOSE_LOCAL));
        }
        assert_int_equal(total_of(core, "probe"), times);
        assert_int_equal(total_of(core, k == 2 ? "mine" : "/shop"), times);
        assert_int_equal(core->path_taken, 0);
        support_drop(core);
    }
}

static void probes_are_not_counted_where_that_is_said(void **state)
{
    (void)state;
    struct tb_core *core = support_bound_core();
    struct tb_conn c;
    rules_use(core, "routes: {probe_agents: ignore}", "x");
    tb_conn_open(&c);
    for (size_t i = 0; i < 10; i++) {
        exchange(core, &c, probe, i, false);
        exchange(core, &c, person, i, false);
    }
    assert_int_equal(total_of(core, "/shop"), 10);
    assert_int_equal(support_total(core, NULL, NULL).count, 10);
    assert_int_equal(support_counter(core, TB_COUNTER_IGNORED), 10);
    /* the rules go: so does the difference, on connections that live */
    rules_put(core, "", 0);
    for (size_t i = 0; i < 3; i++)
        exchange(core, &c, probe, 0, false);
    assert_int_equal(total_of(core, "/shop"), 13);
    assert_true(tb_exchange_close(core, &c, TB_CLOSE_LOCAL));
    support_drop(core);
}

/* Prometheus itself may be the program that is observed. */
static void what_a_program_asks_of_others_is_no_probe_of_it(void **state)
{
    (void)state;
    struct tb_core *core = support_bound_core();
    struct tb_conn c;
    rules_use(core, "routes: {probe_agents: ignore}", "x");
    tb_conn_open(&c);
    for (size_t i = 0; i < sizeof probe - 1; i += 7)
        exchange(core, &c, probe, i, true);
    assert_true(tb_exchange_close(core, &c, TB_CLOSE_LOCAL));
    assert_int_equal(support_counter(core, TB_COUNTER_IGNORED), 0);
    assert_int_equal(total_of(core, "/shop"), (sizeof probe - 1 + 6) / 7);
    support_drop(core);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agents_are_told_however_they_are_cut),
        cmocka_unit_test(probes_have_a_route_of_their_own),
        cmocka_unit_test(probes_are_not_counted_where_that_is_said),
        cmocka_unit_test(what_a_program_asks_of_others_is_no_probe_of_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

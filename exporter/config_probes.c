/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `probes` of routes: the paths that load balancers, Kubernetes and Prometheus ask for by habit, as if each stood in
 * `patterns` or `ignore`; and `probe_agents`, the same for whoever says by its User-Agent that it is one
 * (agent/probe.h). Without the keys nothing is added, so they cost nothing.
 */
#include <string.h>

#include "agent/probe.h"
#include "config_yaml.h"

static const char *const paths[] = {
    "/health",      "/healthz",         "/healthcheck",  "/health-check",      "/health_check",
    "/health/live", "/health/liveness", "/health/ready", "/health/startup",    "/health/readiness",
    "/livez/*",     "/readyz/*",        "/startupz",     "/liveness",          "/readiness",
    "/-/healthy",   "/-/ready",         "/_health",      "/actuator/health/*", "/actuator/prometheus",
    "/metrics",     "/elb-health",      "/ping"};

void tb_config_read_probes(struct tb_yaml *y, yaml_node_t *value, const char *key, const char *file,
                           struct tb_route_config *to)
{
    bool is_by_agent = strcmp(key, "probe_agents") == 0;
    const char *how = tb_yaml_text(y, value, key);
    bool is_route = how && strcmp(how, "route") == 0;
    if (!how || strcmp(how, "count") == 0)
        return;
    if (!is_route && strcmp(how, "ignore") != 0) {
        tb_yaml_error(y, value, "%s: \"%s\" is none of count, route, ignore: write one of them", key, how);
        return;
    }
    to->has_probe_agents |= is_by_agent;
    for (size_t i = 0; i < (is_by_agent ? 1 : sizeof paths / sizeof *paths); i++) {
        const char *path = is_by_agent ? TB_PROBE_PATH : paths[i];
        struct tb_pattern *p = tb_config_add_pattern(to, path, file, tb_yaml_line(value), tb_yaml_column(value));
        p->is_drop = !is_route;
        p->label = is_route ? tb_strndup("probe", 5) : NULL;
    }
}

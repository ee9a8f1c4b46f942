/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `probes` of routes: the paths that load balancers, Kubernetes and Prometheus ask for by habit, as if each stood in
 * `patterns` or `ignore`. Without the key nothing is added, so it costs nothing.
 */
#include <string.h>

#include "config.h"

static const char *const paths[] = {
    "/health",      "/healthz",         "/healthcheck",  "/health-check",      "/health_check",
    "/health/live", "/health/liveness", "/health/ready", "/health/startup",    "/health/readiness",
    "/livez/*",     "/readyz/*",        "/startupz",     "/liveness",          "/readiness",
    "/-/healthy",   "/-/ready",         "/_health",      "/actuator/health/*", "/actuator/prometheus",
    "/metrics",     "/elb-health",      "/ping"};

bool tb_config_add_probes(struct tb_route_config *to, const char *how, const char *file, size_t line, size_t column)
{
    bool is_route = strcmp(how, "route") == 0;
    if (strcmp(how, "count") == 0)
        return true;
    if (!is_route && strcmp(how, "ignore") != 0)
        return false;
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        struct tb_pattern *p = tb_config_add_pattern(to, paths[i], file, line, column);
        p->is_drop = !is_route;
        p->label = is_route ? tb_strndup("probe", 5) : NULL;
    }
    return true;
}

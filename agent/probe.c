/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A state machine over the bytes of a header section, which looks at no more of a line than its first bytes unless it
 * is User-Agent (probe.h). The agents are as their makers' documents have them.
 */
#include "probe.h"
#include "scan.h"

enum { LINE_START, NAME, VALUE, SKIP, OVER };

static const char name[] = "user-agent:";

/* How their User-Agent begins. */
static const char *const agents[] = {"kube-probe/",
                                     "ELB-HealthChecker/",
                                     "Amazon-Route53-Health-Check-Service",
                                     "GoogleHC/",
                                     "GoogleStackdriverMonitoring-UptimeChecks",
                                     "Azure Traffic Manager Endpoint Monitor",
                                     "Edge Health Probe",
                                     "Envoy/HC",
                                     "Consul Health Check",
                                     "Prometheus/",
                                     "Blackbox Exporter/",
                                     "vm_promscrape",
                                     "Uptime-Kuma/"};
#define AGENTS (sizeof(agents) / sizeof(agents[0]))
_Static_assert(AGENTS <= 16, "a bit each in struct tb_probe.fits");

/* One byte of a name. False: it is another header's, and may end the line. */
static bool name_byte(struct tb_probe *p, uint8_t c)
{
    if (tb_lower(c) != (uint8_t)name[p->len]) {
        p->state = SKIP;
        return false;
    }
    if (!name[++p->len]) {
        p->state = VALUE;
        p->len = 0;
        p->fits = (uint16_t)((1u << AGENTS) - 1);
    }
    return true;
}

/* One byte of the value: which agents still fit, and whether one is whole. */
static void value_byte(struct tb_probe *p, uint8_t c)
{
    uint16_t keep = 0;
    if (!p->len && (c == ' ' || c == '\t'))
        return;
    for (uint32_t i = 0; i < AGENTS; i++)
        if (p->fits >> i & 1 && (uint8_t)agents[i][p->len] == c) {
            keep |= (uint16_t)(1u << i);
            p->is_probe |= !agents[i][p->len + 1];
        }
    p->fits = keep;
    p->len++;
    if (p->is_probe)
        p->state = OVER;
    else if (!keep)
        p->state = c == '\n' ? LINE_START : SKIP;
}

void tb_probe_feed(struct tb_probe *p, struct tb_bytes in)
{
    const uint8_t *at = in.ptr, *end = at + in.len;
    while (at < end && p->state != OVER) {
        if (p->state == LINE_START) {
            p->len = 0;
            if (*at == '\r' || *at == '\n')
                p->state = OVER; /* the empty line: what follows is no header */
            else
                p->state = tb_lower(*at) == (uint8_t)name[0] ? NAME : SKIP;
        } else if (p->state == SKIP) {
            at = tb_find_lf(at, end);
            if (at < end)
                at++, p->state = LINE_START;
        } else if (p->state == VALUE) {
            value_byte(p, *at++);
        } else if (name_byte(p, *at)) {
            at++;
        }
    }
}

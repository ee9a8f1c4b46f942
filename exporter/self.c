/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Metrics of the exporter's own process. process_* are the ones that every Prometheus client library gives, from
 * procfs; what procfs does not tell is left out rather than shown as 0.
 */
#include "self.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "boot.h"

void tb_self_count_scrape(struct tb_self *self, unsigned code)
{
    for (size_t i = 0; i < TB_SELF_CODES; i++) {
        if (!self->scrapes[i].code)
            self->scrapes[i].code = code;
        if (self->scrapes[i].code == code) {
            self->scrapes[i].count++;
            return;
        }
    }
}

/* A small procfs file; "" when it cannot be read. */
static void read_text(const char *path, char *to, size_t space)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, to, space - 1);
    if (fd >= 0)
        close(fd);
    to[n > 0 ? n : 0] = 0;
}

/* Field @number of /proc/self/stat, counted from 1; the name in field 2 may hold blanks. */
static uint64_t stat_field(const char *stat, int number)
{
    const char *p = strrchr(stat, ')');
    for (int field = 2; p && field < number; field++)
        p = strchr(p + 1, ' ');
    return p ? strtoull(p + 1, NULL, 10) : 0;
}

static uint64_t count_open_fds(void)
{
    uint64_t n = 0;
    DIR *d = opendir("/proc/self/fd");
    if (!d)
        return 0;
    for (struct dirent *e; (e = readdir(d));)
        n += e->d_name[0] != '.';
    closedir(d);
    return n - 1; /* the directory's own */
}

static void expose_limits(struct tb_exposition *x, const struct tb_metric *metrics)
{
    struct rlimit files, memory;
    uint64_t fds = count_open_fds();
    if (fds)
        tb_expose_single(x, &metrics[TB_M_OPEN_FDS], fds, 0);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0)
        tb_expose_single(x, &metrics[TB_M_MAX_FDS], files.rlim_cur, 0);
    if (getrlimit(RLIMIT_AS, &memory) == 0)
        tb_expose_single(x, &metrics[TB_M_VIRTUAL_MAX], memory.rlim_cur, 0);
}

uint64_t tb_self_started_ns(void)
{
    static uint64_t start_ns; /* read once: a clock that is set later must not move it */
    char stat[1024];
    long ticks = sysconf(_SC_CLK_TCK);
    if (start_ns || ticks <= 0)
        return start_ns;
    read_text("/proc/self/stat", stat, sizeof stat);
    if (*stat) {
        uint64_t since_boot_ns = stat_field(stat, 22) * (1000000000u / (uint64_t)ticks);
        start_ns = tb_clock_ns(CLOCK_REALTIME) - tb_clock_ns(CLOCK_BOOTTIME) + since_boot_ns;
        start_ns -= start_ns % 10000000u; /* ticks are no finer */
    }
    return start_ns;
}

/* InOctets and OutOctets of the IpExt lines: names in the first, numbers in the second. */
static bool read_network(uint64_t *ret_in, uint64_t *ret_out)
{
    char text[16384], *names_at, *values_at, *save_names, *save_values;
    read_text("/proc/self/net/netstat", text, sizeof text);
    char *names = strstr(text, "IpExt:"), *values = names ? strstr(names + 1, "\nIpExt:") : NULL;
    unsigned found = 0;
    if (!values)
        return false;
    *values++ = 0;
    values[strcspn(values, "\n")] = 0;
    names_at = strtok_r(names, " ", &save_names);
    values_at = strtok_r(values, " ", &save_values);
    while (names_at && values_at) {
        if (strcmp(names_at, "InOctets") == 0 || strcmp(names_at, "OutOctets") == 0) {
            *(names_at[0] == 'I' ? ret_in : ret_out) = strtoull(values_at, NULL, 10);
            found++;
        }
        names_at = strtok_r(NULL, " ", &save_names);
        values_at = strtok_r(NULL, " ", &save_values);
    }
    return found == 2;
}

static void expose_process(struct tb_exposition *x, const struct tb_metric *metrics)
{
    char stat[1024];
    uint64_t in = 0, sent = 0;
    read_text("/proc/self/stat", stat, sizeof stat);
    tb_expose_single(x, &metrics[TB_M_CPU], tb_clock_ns(CLOCK_PROCESS_CPUTIME_ID), tb_self_started_ns());
    expose_limits(x, metrics);
    if (*stat) {
        tb_expose_single(x, &metrics[TB_M_VIRTUAL], stat_field(stat, 23), 0);
        tb_expose_single(x, &metrics[TB_M_RESIDENT], stat_field(stat, 24) * (uint64_t)sysconf(_SC_PAGESIZE), 0);
        tb_expose_single(x, &metrics[TB_M_START_TIME], tb_self_started_ns(), 0);
    }
    if (read_network(&in, &sent)) {
        tb_expose_single(x, &metrics[TB_M_RECEIVED], in, 0);
        tb_expose_single(x, &metrics[TB_M_SENT], sent, 0);
    }
}

static void expose_ledger(struct tb_exposition *x, const struct tb_collector *collector, const struct tb_ledger *l,
                          const struct tb_metric *metrics)
{
    const uint64_t start = tb_self_started_ns();
    const struct tb_collect_stats *stats = tb_collector_stats(collector);
    tb_expose_single(x, &metrics[TB_M_LEDGER_WRITABLE], tb_ledger_is_writer(l), 0);
    tb_expose_single(x, &metrics[TB_M_LEDGER_WRITES], l ? l->writes : 0, start);
    tb_expose_single(x, &metrics[TB_M_LEDGER_FAILURES], l ? l->write_failures : 0, start);
    tb_expose_single(x, &metrics[TB_M_LEDGER_DAMAGED], l ? l->corrupt : 0, start);
    tb_expose_single(x, &metrics[TB_M_LEDGER_BYTES], l ? (uint64_t)l->seen.st_size : 0, 0);
    tb_expose_single(x, &metrics[TB_M_FOLDED], stats->folded_regions, start);
    tb_expose_single(x, &metrics[TB_M_FOLD_FAILURES], stats->fold_failures, start);
    tb_expose_single(x, &metrics[TB_M_UNLINKED], stats->unlinked_regions, start);
    tb_expose_single(x, &metrics[TB_M_LOST_REGIONS], stats->lost_regions, start);
    tb_expose_single(x, &metrics[TB_M_RESTARTS], stats->service_restarts, start);
}

static void expose_http(struct tb_exposition *x, const struct tb_guard *g, const struct tb_metric *metrics)
{
    const uint64_t start = tb_self_started_ns();
    tb_expose_single(x, &metrics[TB_M_CONNECTIONS], g->connections, 0);
    tb_expose_single(x, &metrics[TB_M_SCRAPES_RUNNING], g->scrapes, 0);
    if (!tb_expose_family(x, &metrics[TB_M_REFUSED]))
        return;
    for (int i = 0; i < TB_REFUSED_COUNT; i++) {
        char labels[48];
        snprintf(labels, sizeof labels, "reason=\"%s\"", tb_refused_reason((enum tb_refused)i));
        tb_expose_value(x, tb_labels(labels), g->refused[i], start);
    }
}

static void expose_web(struct tb_exposition *x, const struct tb_web_stats *s, const struct tb_metric *metrics)
{
    tb_expose_single(x, &metrics[TB_M_WEB_RELOAD_OK], s->is_successful, 0);
    tb_expose_single(x, &metrics[TB_M_WEB_RELOAD_TIME], s->success_ns, 0);
}

void tb_self_expose(struct tb_exposition *x, const struct tb_self *self, const struct tb_collector *collector,
                    const struct tb_ledger *ledger, const struct tb_metric *metrics)
{
    const uint64_t start = tb_self_started_ns();
    if (tb_expose_family(x, &metrics[TB_M_BUILD_INFO]))
        tb_expose_value(
            x, tb_labels("version=\"" TB_VERSION "\",revision=\"" TB_REVISION "\",compiler=\"" __VERSION__ "\""), 1, 0);
    if (tb_expose_family(x, &metrics[TB_M_SCRAPES])) {
        for (size_t i = 0; i < TB_SELF_CODES && self->scrapes[i].code; i++) {
            char labels[24];
            snprintf(labels, sizeof labels, "code=\"%u\"", self->scrapes[i].code);
            tb_expose_value(x, tb_labels(labels), self->scrapes[i].count, start);
        }
    }
    if (tb_expose_family(x, &metrics[TB_M_SCRAPE_DURATION]))
        tb_expose_summary(x, tb_labels(""), self->collections, self->collect_ns + self->responses.encode_ns, start);
    tb_expose_single(x, &metrics[TB_M_SCRAPE_BYTES], self->responses.rendered_bytes, start);
    tb_expose_single(x, &metrics[TB_M_SENT_BYTES], self->responses.sent_bytes, start);
    if (self->guard)
        expose_http(x, self->guard, metrics);
    if (self->web)
        expose_web(x, tb_web_stats(self->web), metrics);
    expose_ledger(x, collector, ledger, metrics);
    expose_process(x, metrics);
}

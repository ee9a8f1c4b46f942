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
#include "render.h"

#ifndef TB_REVISION
#define TB_REVISION "unknown"
#endif

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

static void put_metric(struct tb_buffer *out, const char *name, const char *type, const char *help, uint64_t value)
{
    tb_render_head(out, name, type, help);
    tb_render_sample(out, name, "", value);
}

static void put_seconds_metric(struct tb_buffer *out, const char *name, const char *type, const char *help, uint64_t ns)
{
    tb_render_head(out, name, type, help);
    tb_render_seconds(out, name, "", ns);
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

static void put_limits(struct tb_buffer *out)
{
    struct rlimit files, memory;
    uint64_t fds = count_open_fds();
    if (fds)
        put_metric(out, "process_open_fds", "gauge", "Number of open file descriptors.", fds);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0)
        put_metric(out, "process_max_fds", "gauge", "Maximum number of open file descriptors.", files.rlim_cur);
    if (getrlimit(RLIMIT_AS, &memory) == 0)
        put_metric(out, "process_virtual_memory_max_bytes", "gauge", "Maximum amount of virtual memory in bytes.",
                   memory.rlim_cur);
}

/* When this process started, ns since 1970; 0 = unknown. Read once: a clock that is set later must not move it. */
static uint64_t start_time_ns(const char *stat)
{
    static uint64_t start_ns;
    long ticks = sysconf(_SC_CLK_TCK);
    if (!start_ns && *stat && ticks > 0) {
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

static void put_process(struct tb_buffer *out)
{
    char stat[1024];
    uint64_t in = 0, sent = 0;
    read_text("/proc/self/stat", stat, sizeof stat);
    put_seconds_metric(out, "process_cpu_seconds_total", "counter", "Total user and system CPU time spent in seconds.",
                       tb_clock_ns(CLOCK_PROCESS_CPUTIME_ID));
    put_limits(out);
    if (*stat) {
        put_metric(out, "process_virtual_memory_bytes", "gauge", "Virtual memory size in bytes.", stat_field(stat, 23));
        put_metric(out, "process_resident_memory_bytes", "gauge", "Resident memory size in bytes.",
                   stat_field(stat, 24) * (uint64_t)sysconf(_SC_PAGESIZE));
        put_seconds_metric(out, "process_start_time_seconds", "gauge",
                           "Start time of the process since unix epoch in seconds.", start_time_ns(stat));
    }
    if (read_network(&in, &sent)) {
        put_metric(out, "process_network_receive_bytes_total", "counter",
                   "Number of bytes received by the process over the network.", in);
        put_metric(out, "process_network_transmit_bytes_total", "counter",
                   "Number of bytes sent by the process over the network.", sent);
    }
}

static void put_ledger(const struct tb_collector *collector, const struct tb_ledger *l, struct tb_buffer *out)
{
    const struct tb_collect_stats *stats = tb_collector_stats(collector);
    put_metric(out, "tickbird_exporter_ledger_writable", "gauge",
               "1 if this exporter folds dead regions into the ledger, 0 if it only reads.", tb_ledger_is_writer(l));
    put_metric(out, "tickbird_exporter_ledger_writes_total", "counter", "Times that the ledger was written.",
               l ? l->writes : 0);
    put_metric(out, "tickbird_exporter_ledger_write_failures_total", "counter",
               "Times that the ledger could not be written.", l ? l->write_failures : 0);
    put_metric(out, "tickbird_exporter_ledger_damaged_total", "counter", "Ledgers found damaged and set aside.",
               l ? l->corrupt : 0);
    put_metric(out, "tickbird_exporter_folded_regions_total", "counter",
               "Dead regions whose totals moved into the ledger.", stats->folded_regions);
    put_metric(out, "tickbird_exporter_fold_failures_total", "counter",
               "Dead regions that could not be folded; they stay.", stats->fold_failures);
    put_metric(out, "tickbird_exporter_unlinked_regions_total", "counter", "Files of long unused regions removed.",
               stats->unlinked_regions);
    put_metric(out, "tickbird_exporter_lost_regions_total", "counter",
               "Regions that were served and then gone or unreadable without having been folded.", stats->lost_regions);
    put_metric(out, "tickbird_exporter_service_restarts_total", "counter",
               "Services whose totals began at 0 again, since a region of theirs was lost.", stats->service_restarts);
}

void tb_self_render(const struct tb_self *self, const struct tb_collector *collector, const struct tb_ledger *ledger,
                    struct tb_buffer *out)
{
    tb_render_head(out, "tickbird_exporter_build_info", "gauge", "Version, revision and compiler of this exporter.");
    tb_render_sample(out, "tickbird_exporter_build_info",
                     "version=\"" TB_VERSION "\",revision=\"" TB_REVISION "\",compiler=\"" __VERSION__ "\"", 1);
    tb_render_head(out, "tickbird_exporter_scrapes_total", "counter",
                   "Scrapes answered before this one, by status code.");
    for (size_t i = 0; i < TB_SELF_CODES && self->scrapes[i].code; i++) {
        char labels[24];
        snprintf(labels, sizeof labels, "code=\"%u\"", self->scrapes[i].code);
        tb_render_sample(out, "tickbird_exporter_scrapes_total", labels, self->scrapes[i].count);
    }
    tb_render_head(out, "tickbird_exporter_scrape_duration_seconds", "summary",
                   "Time to collect and render, of the scrapes before this one.");
    tb_render_seconds(out, "tickbird_exporter_scrape_duration_seconds_sum", "", self->duration_sum_ns);
    tb_render_sample(out, "tickbird_exporter_scrape_duration_seconds_count", "", self->duration_count);
    put_metric(out, "tickbird_exporter_scrape_bytes_total", "counter", "Bytes of exposition rendered.", self->bytes);
    put_ledger(collector, ledger, out);
    put_process(out);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration file of a running exporter (reload.h). One thread. */
#include "reload.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

#include "boot.h"
#include "log.h"
#include "render.h"

static uint64_t mix(uint64_t h, uint64_t word)
{
    h = (h ^ word) * UINT64_C(0x9fb21c651e98df25);
    return h ^ h >> 29;
}

static uint64_t look_at(const char *path, uint64_t h)
{
    struct stat st;
    if (stat(path, &st) < 0)
        return mix(h, 1);
    h = mix(mix(h, st.st_ino), (uint64_t)st.st_size);
    return mix(mix(h, (uint64_t)st.st_mtim.tv_sec), (uint64_t)st.st_mtim.tv_nsec);
}

/* What the file, and those that it names, look like now. */
static uint64_t look(const struct tb_config *c)
{
    uint64_t h = look_at(c->path, 0);
    for (size_t i = 0; i < c->openapi_count; i++)
        h = look_at(c->openapi[i].file, h);
    return h;
}

static void use(struct tb_reload *r, struct tb_config *c)
{
    if (r->publisher) {
        r->written += tb_publisher_stats(r->publisher)->regions_written;
        r->failed += tb_publisher_stats(r->publisher)->regions_failed;
    }
    bool had = r->publisher != NULL;
    tb_publisher_free(r->publisher);
    tb_config_free(r->config);
    r->config = c;
    /* A file that never had rules leaves those of `tickbird run` alone; one whose rules were removed does not. */
    r->publisher = had || tb_config_has_rules(c) ? tb_publisher_new(c) : NULL;
    r->is_successful = true;
    r->success_ns = tb_clock_ns(CLOCK_REALTIME);
    r->seen = look(c);
}

int tb_reload_start(struct tb_reload *r, const char *path, char **ret_errors)
{
    struct tb_config *c = tb_config_load(path, ret_errors);
    if (!c)
        return -EINVAL;
    use(r, c);
    return 0;
}

void tb_reload_free(struct tb_reload *r)
{
    tb_publisher_free(r->publisher);
    tb_config_free(r->config);
    *r = (struct tb_reload){0};
}

static void log_errors(char *errors)
{
    char *save = NULL;
    for (char *line = strtok_r(errors, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
        tb_log(TB_LOG_ERROR, "configuration not reloaded: the rules of before stay", "error", line, NULL);
}

void tb_reload_again(struct tb_reload *r, bool is_asked)
{
    char *errors = NULL;
    if (!r->config)
        return;
    uint64_t now = look(r->config);
    if (!is_asked && now == r->seen)
        return;
    r->seen = now;
    struct tb_config *c = tb_config_load(r->config->path, &errors);
    if (c) {
        use(r, c);
        tb_log(TB_LOG_INFO, "configuration reloaded", "path", c->path, NULL);
    } else {
        r->is_successful = false;
        log_errors(errors);
    }
    free(errors);
}

void tb_reload_render(const struct tb_reload *r, struct tb_buffer *out)
{
    const struct tb_publish_stats none = {0}, *now = r->publisher ? tb_publisher_stats(r->publisher) : &none;
    if (!r->config)
        return;
    tb_render_head(out, "tickbird_exporter_config_last_reload_successful", "gauge",
                   "1 if the configuration file was right when it was last read; if not, the rules of before hold.");
    tb_render_sample(out, "tickbird_exporter_config_last_reload_successful", "", r->is_successful);
    tb_render_head(out, "tickbird_exporter_config_last_reload_success_timestamp_seconds", "gauge",
                   "When the configuration in force was read, in seconds since 1970.");
    tb_render_seconds(out, "tickbird_exporter_config_last_reload_success_timestamp_seconds", "", r->success_ns);
    tb_render_head(out, "tickbird_exporter_rules_written_total", "counter", "Regions that were given new rules.");
    tb_render_sample(out, "tickbird_exporter_rules_written_total", "", r->written + now->regions_written);
    tb_render_head(out, "tickbird_exporter_rules_write_failures_total", "counter",
                   "Times that rules could not be written into a region.");
    tb_render_sample(out, "tickbird_exporter_rules_write_failures_total", "", r->failed + now->regions_failed);
    tb_render_head(out, "tickbird_exporter_rules_unwritable_directories", "gauge",
                   "Region directories where no rules can be left for programs yet to start.");
    tb_render_sample(out, "tickbird_exporter_rules_unwritable_directories", "", now->directories_failed);
}

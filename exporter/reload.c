/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration file of a running exporter (reload.h). One thread. */
#include "reload.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "boot.h"
#include "file_look.h"
#include "log.h"
#include "self.h"

/* What the file of look @h, and those that it names, look like now. */
static uint64_t look(const struct tb_config *c, uint64_t h)
{
    for (size_t i = 0; i < c->openapi_count; i++)
        h = tb_file_look(c->openapi[i].file, h);
    return h;
}

/* @before: what its file looked like before it was read, so that a change meanwhile is seen later. */
static void use(struct tb_reload *r, struct tb_config *c, uint64_t before)
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
    r->seen = look(c, before);
}

int tb_reload_start(struct tb_reload *r, const char *path, char **ret_errors)
{
    uint64_t before = tb_file_look(path, 0);
    struct tb_config *c = tb_config_load(path, ret_errors);
    if (!c)
        return -EINVAL;
    use(r, c, before);
    return 0;
}

void tb_reload_free(struct tb_reload *r)
{
    tb_publisher_free(r->publisher);
    tb_config_free(r->config);
    *r = (struct tb_reload){0};
}

const struct tb_names *tb_reload_names(const struct tb_reload *r)
{
    return r->config ? &r->config->names : tb_names_default();
}

static void log_errors(char *errors)
{
    char *save = NULL;
    for (char *line = strtok_r(errors, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
        tb_log(TB_LOG_ERROR, "configuration not reloaded: the rules of before stay", "error", line, NULL);
}

bool tb_reload_again(struct tb_reload *r, bool is_asked)
{
    char *errors = NULL;
    if (!r->config)
        return false;
    uint64_t before = tb_file_look(r->config->path, 0), now = look(r->config, before);
    if (!is_asked && now == r->seen)
        return false;
    r->seen = now;
    struct tb_config *c = tb_config_load(r->config->path, &errors);
    if (c) {
        use(r, c, before);
        tb_log(TB_LOG_INFO, "configuration reloaded", "path", c->path, NULL);
    } else {
        r->is_successful = false;
        log_errors(errors);
    }
    free(errors);
    return c != NULL;
}

void tb_reload_expose(struct tb_exposition *x, const struct tb_reload *r, const struct tb_metric *metrics)
{
    const struct tb_publish_stats none = {0}, *now = r->publisher ? tb_publisher_stats(r->publisher) : &none;
    const uint64_t start = tb_self_started_ns();
    if (!r->config)
        return;
    tb_expose_single(x, &metrics[TB_M_RELOAD_OK], r->is_successful, 0);
    tb_expose_single(x, &metrics[TB_M_RELOAD_TIME], r->success_ns, 0);
    tb_expose_single(x, &metrics[TB_M_RULES_WRITTEN], r->written + now->regions_written, start);
    tb_expose_single(x, &metrics[TB_M_RULES_FAILURES], r->failed + now->regions_failed, start);
    tb_expose_single(x, &metrics[TB_M_RULES_DIRECTORIES], now->directories_failed, 0);
}

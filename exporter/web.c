/* SPDX-License-Identifier: Apache-2.0 */
/* Re-reading the web configuration, the rate limit, and what a request is asked for (web.h). */
#include "web.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "boot.h"
#include "file_look.h"
#include "log.h"

#define REFUSED_LOG_NS UINT64_C(10000000000)

struct tb_web {
    struct tb_web_config *config; /* in force */
    struct tb_web_tls *tls;
    struct tb_web_auth *auth;
    uint64_t refused;         /* logins, since the last line of the log about them */
    uint64_t refused_told_ns; /* CLOCK_MONOTONIC of that; 0 = none */
    uint64_t seen;            /* what the files looked like when they were last read, well or not */
    uint64_t asked_ns;        /* CLOCK_MONOTONIC: the last look at the rate limit */
    uint64_t taken_ns;        /* of its bucket then: what requests took and time has not given back */
    struct tb_web_stats stats;
};

static uint64_t look(const struct tb_web_config *c)
{
    return tb_web_tls_look(c, tb_file_look(c->path, 0));
}

/* A configuration that was read, and all that comes with it. */
struct loaded {
    struct tb_web_config *config;
    struct tb_web_tls *tls;
    uint64_t seen; /* what each file looked like before it was read: a change meanwhile is seen later */
};

/* False and told when something is wrong; then there is nothing to be freed. */
static bool load(const char *path, struct loaded *ret, struct tb_config_errors *errors)
{
    *ret = (struct loaded){.seen = tb_file_look(path, 0)};
    ret->config = tb_web_config_load(path, errors);
    if (!ret->config)
        return false;
    ret->seen = tb_web_tls_look(ret->config, ret->seen);
    ret->tls = ret->config->tls.is_given ? tb_web_tls_new(ret->config, errors) : NULL;
    if (errors->count) /* of TLS, which gave nothing then */
        tb_web_config_free(ret->config);
    return !errors->count;
}

static void use(struct tb_web *w, const struct loaded *l)
{
    tb_web_config_free(w->config);
    tb_web_tls_unref(w->tls);
    w->config = l->config;
    w->tls = l->tls;
    w->seen = l->seen;
    w->stats.is_successful = true;
    w->stats.success_ns = tb_clock_ns(CLOCK_REALTIME);
}

struct tb_web *tb_web_new(const char *path, char **ret_errors)
{
    struct tb_config_errors errors = {0};
    struct loaded l;
    struct tb_web_auth *auth = tb_web_auth_new();
    if (!auth || !load(path, &l, &errors)) {
        tb_web_auth_free(auth);
        if (!auth)
            tb_puts(&errors.text, "--web.config.file: no random numbers: see that /dev/urandom can be read\n");
        tb_put(&errors.text, "", 1);
        *ret_errors = errors.text.data;
        return NULL;
    }
    tb_buffer_free(&errors.text);
    struct tb_web *w = tb_alloc(sizeof *w);
    w->auth = auth;
    use(w, &l);
    return w;
}

void tb_web_free(struct tb_web *w)
{
    if (!w)
        return;
    tb_web_config_free(w->config);
    tb_web_tls_unref(w->tls);
    tb_web_auth_free(w->auth);
    free(w);
}

static void log_errors(struct tb_config_errors *errors)
{
    char *save = NULL;
    tb_put(&errors->text, "", 1);
    for (char *line = strtok_r(errors->text.data, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
        tb_log(TB_LOG_ERROR, "web configuration not reloaded: what was in force stays", "error", line, NULL);
}

static void drop(const struct loaded *l)
{
    tb_web_config_free(l->config);
    tb_web_tls_unref(l->tls);
}

/* Whether TLS is spoken was settled when the first connection could come. False and told: it would change. */
static bool keeps_tls(const struct tb_web *w, struct loaded *l, struct tb_config_errors *errors)
{
    if (!l->tls == !w->tls)
        return true;
    tb_config_error(errors, l->config->path, 1, 1,
                    "tls_server_config: TLS cannot be switched %s while the exporter runs: restart it",
                    l->tls ? "on" : "off");
    drop(l);
    return false;
}

/* A file without content is one that is being written: its users must not be let go for that moment. */
static bool keeps_content(const struct tb_web *w, struct loaded *l, struct tb_config_errors *errors)
{
    if (!l->config->is_empty || w->config->is_empty)
        return true;
    tb_config_error(errors, l->config->path, 1, 1, "the file is empty: write {} to ask for nothing");
    drop(l);
    return false;
}

bool tb_web_again(struct tb_web *w, bool is_asked)
{
    struct tb_config_errors errors = {0};
    struct loaded l;
    uint64_t now = look(w->config);
    if (!is_asked && now == w->seen)
        return w->stats.is_successful;
    w->seen = now;
    w->stats.is_successful =
        load(w->config->path, &l, &errors) && keeps_content(w, &l, &errors) && keeps_tls(w, &l, &errors);
    if (w->stats.is_successful) {
        use(w, &l);
        tb_log(TB_LOG_INFO, "web configuration reloaded", "path", w->config->path, NULL);
    } else {
        log_errors(&errors);
    }
    tb_buffer_free(&errors.text);
    return w->stats.is_successful;
}

struct tb_web_tls *tb_web_tls(const struct tb_web *w)
{
    return w->tls;
}

const struct tb_web_config *tb_web_config(const struct tb_web *w)
{
    return w->config;
}

const struct tb_web_stats *tb_web_stats(const struct tb_web *w)
{
    return &w->stats;
}

/* A bucket of rate_burst tokens that gains one each rate_interval_ns, in units of time. */
bool tb_web_may_ask(struct tb_web *w)
{
    uint64_t interval = w->config->rate_interval_ns, now = tb_clock_ns(CLOCK_MONOTONIC), full;
    uint64_t given = now - w->asked_ns;
    if (!interval)
        return true;
    if (__builtin_mul_overflow(interval, w->config->rate_burst, &full))
        full = UINT64_MAX;
    w->asked_ns = now;
    w->taken_ns = w->taken_ns > given ? w->taken_ns - given : 0;
    if (interval > full || w->taken_ns > full - interval)
        return false;
    w->taken_ns += interval;
    return true;
}

static void note_refused(struct tb_web *w, const struct sockaddr *from, const char *user)
{
    uint64_t now_ns = tb_clock_ns(CLOCK_MONOTONIC);
    char address[INET6_ADDRSTRLEN] = "?", count[24];
    w->refused++;
    if (w->refused_told_ns && now_ns - w->refused_told_ns < REFUSED_LOG_NS)
        return;
    if (from && from->sa_family == AF_INET)
        inet_ntop(AF_INET, &((const struct sockaddr_in *)(const void *)from)->sin_addr, address, sizeof address);
    else if (from && from->sa_family == AF_INET6)
        inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)(const void *)from)->sin6_addr, address, sizeof address);
    snprintf(count, sizeof count, "%llu", (unsigned long long)w->refused);
    tb_log(TB_LOG_WARN, "login refused: wrong user or password", "address", address, "user", user, "refused", count,
           NULL);
    w->refused = 0;
    w->refused_told_ns = now_ns;
}

enum tb_web_answer tb_web_may_enter(struct tb_web *w, const struct sockaddr *from, const char *user,
                                    const char *password)
{
    if (!w->config->user_count)
        return TB_WEB_YES;
    enum tb_web_answer answer = tb_web_auth_check(w->auth, w->config, from, user, password);
    if (answer == TB_WEB_NO && user)
        note_refused(w, from, user);
    return answer;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of an extension (lambda.h). INVOKE comes when an invocation begins; that it has ended shows in the
 * function's regions: its runtime asks for work again, after all that it did has been counted. That is looked for every
 * millisecond to every 20, the less often the longer it takes, and never beyond the invocation's deadline. Where
 * nothing of the function is seen, nobody waits: what it counted goes with the next push.
 */
#include "lambda.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <time.h>

#include "boot.h"
#include "lambda_progress.h"
#include "log.h"
#include "push_http.h"

#define MS UINT64_C(1000000)
#define API_TIMEOUT_NS (10000 * MS) /* of the registration */
#define BEGIN_NS (2000 * MS)        /* the runtime gets its event when we do; without it, it is not observed */
#define DEAD_NS (1000 * MS)  /* without a process of the function: it crashed. A shell has none between requests */
#define MARGIN_NS (100 * MS) /* of a deadline, to push in */
#define PUSH_NS (1000 * MS)  /* the function's next event waits for us */
#define LOOK_LEAST_NS (MS / 2)
#define LOOK_MOST_NS (20 * MS)

struct lambda {
    struct tb_exporter *e;
    struct tb_push_http *http;
    const char *api;              /* AWS_LAMBDA_RUNTIME_API */
    struct curl_slist *headers;   /* who we are */
    struct tb_lambda_progress at; /* when the runtime last waited for work, as far as we know */
    bool is_pushing, is_lost;     /* lost: the invocation before was not seen to end */
};

struct event {
    bool is_shutdown;
    uint64_t deadline_ns; /* CLOCK_MONOTONIC */
};

/* --- the Extensions API ----------------------------------------------------------------------------------------------
 */

static void ask(struct lambda *l, const char *path, struct tb_push_http_request *r, struct tb_push_http_answer *ret)
{
    char *url = tb_format("http://%s/2020-01-01/extension/%s", l->api, path);
    r->url = url;
    r->headers = l->headers;
    r->has_no_proxy = true;
    tb_push_http_do(l->http, r, ret);
    free(url);
}

/* What went wrong, the caller's to free. */
static char *complaint(const char *what, const struct tb_push_http_answer *a)
{
    return a->status ? tb_format("%s: HTTP %ld: see the function's log", what, a->status)
                     : tb_format("%s: %s: start it as an extension of a function", what, a->why);
}

static int enlist(struct lambda *l, const char *name, char **ret_error)
{
    static const char events[] = "{\"events\":[\"INVOKE\",\"SHUTDOWN\"]}";
    struct tb_push_http_request r = {.body = events,
                                     .len = sizeof events - 1,
                                     .timeout_ns = API_TIMEOUT_NS,
                                     .wanted_headers[0] = "Lambda-Extension-Identifier"};
    struct tb_push_http_answer a;
    l->headers = tb_push_header(NULL, "Lambda-Extension-Name", name);
    l->headers = tb_push_header(l->headers, "Content-Type", "application/json");
    ask(l, "register", &r, &a);
    bool is_enlisted = a.status == 200 && *a.headers[0];
    if (!is_enlisted)
        *ret_error = complaint("--lambda.extension: not registered", &a);
    curl_slist_free_all(l->headers);
    l->headers = is_enlisted ? tb_push_header(NULL, "Lambda-Extension-Identifier", a.headers[0]) : NULL;
    free(a.body);
    return is_enlisted ? 0 : -ECONNREFUSED;
}

/* Deadlines are in milliseconds since 1970. One that is not ahead gives no time at all. */
static struct event event_of(const struct tb_push_http_answer *a)
{
    json_t *o = json_loadb(a->body, a->len, 0, NULL);
    const char *type = json_string_value(json_object_get(o, "eventType"));
    const json_int_t deadline_ms = json_integer_value(json_object_get(o, "deadlineMs"));
    const uint64_t now_ms = tb_clock_ns(CLOCK_REALTIME) / MS, now_ns = tb_clock_ns(CLOCK_MONOTONIC);
    const uint64_t left_ms = deadline_ms > 0 && (uint64_t)deadline_ms > now_ms ? (uint64_t)deadline_ms - now_ms : 0;
    struct event event = {type && strcmp(type, "SHUTDOWN") == 0, now_ns + (left_ms < 3600000 ? left_ms : 3600000) * MS};
    json_decref(o);
    return event;
}

static int next_event(struct lambda *l, struct event *ret, char **ret_error)
{
    struct tb_push_http_request r = {0}; /* no time limit: frozen for as long as nobody calls */
    struct tb_push_http_answer a;
    ask(l, "event/next", &r, &a);
    const bool is_good = a.status == 200;
    if (is_good)
        *ret = event_of(&a);
    else
        *ret_error = complaint("--lambda.extension: no next event", &a);
    free(a.body);
    return is_good ? 0 : -ECONNRESET;
}

/* --- the function ----------------------------------------------------------------------------------------------------
 */

static void look(const struct lambda *l, struct tb_lambda_progress *ret)
{
    const struct tb_options *o = &l->e->options;
    tb_lambda_progress((const char *const *)o->values[TB_OPTION_REGION_DIR].items,
                       o->values[TB_OPTION_REGION_DIR].count, ret);
}

static void pause_ns(uint64_t since_ns)
{
    uint64_t ns = (tb_clock_ns(CLOCK_MONOTONIC) - since_ns) / 16;
    ns = ns < LOOK_LEAST_NS ? LOOK_LEAST_NS : ns > LOOK_MOST_NS ? LOOK_MOST_NS : ns;
    nanosleep(&(struct timespec){0, (long)ns}, NULL);
}

/*
 * Waits until the runtime, which has one more event to get than at l->at, asks again. Returns false where that is not
 * seen: nothing of it is, it crashed, or there is no time left.
 */
static bool await_end(struct lambda *l, uint64_t until_ns)
{
    const uint64_t start_ns = tb_clock_ns(CLOCK_MONOTONIC);
    uint64_t alive_ns = start_ns;
    struct tb_lambda_progress p;
    look(l, &p);
    if (l->is_lost && p.asked == l->at.asked) {
        return false; /* nothing of it has been seen since */
    }
    if (l->is_lost) /* whatever was missed: it has asked for this event, and is to ask for one more */
        l->at = (struct tb_lambda_progress){.asked = p.asked};
    for (;; look(l, &p)) {
        const uint64_t now_ns = tb_clock_ns(CLOCK_MONOTONIC);
        if (p.asked > l->at.asked)
            break;
        if (p.is_alive)
            alive_ns = now_ns;
        if ((p.begun <= l->at.begun && now_ns - start_ns > BEGIN_NS) || now_ns - alive_ns > DEAD_NS ||
            now_ns >= until_ns)
            return false;
        pause_ns(start_ns);
    }
    l->at = p;
    return true;
}

static void await_invocation(struct lambda *l, const struct event *event)
{
    const bool was_lost = l->is_lost;
    l->is_lost = !await_end(l, event->deadline_ns - MARGIN_NS);
    if (!l->is_lost)
        return;
    look(l, &l->at);
    if (!was_lost)
        tb_log(TB_LOG_WARN, "invocation not seen to end: its metrics come later", "asked",
               l->at.asked ? "yes" : "never", NULL);
}

/* --- its life --------------------------------------------------------------------------------------------------------
 */

/* What is wrong is said once: the function goes on without metrics. */
static void open_outputs(struct lambda *l, bool is_ready)
{
    char *error = NULL;
    l->is_pushing = is_ready && tb_exporter_push_open(l->e, &error) == 0;
    if (error)
        tb_log(TB_LOG_ERROR, "nothing is pushed", "error", error, NULL);
    free(error);
}

/* An invocation may have used all of its time, but the next is not there yet: only a shutdown's deadline counts. */
static uint64_t push_time_ns(const struct event *event)
{
    const uint64_t now_ns = tb_clock_ns(CLOCK_MONOTONIC);
    const uint64_t left_ns = event->deadline_ns > now_ns + MARGIN_NS ? event->deadline_ns - now_ns - MARGIN_NS : 0;
    return event->is_shutdown && left_ns < PUSH_NS ? left_ns : PUSH_NS;
}

/* Returns 0 after SHUTDOWN. */
static int live(struct lambda *l, char **ret_error)
{
    struct event event = {0};
    int r = 0;
    while (!event.is_shutdown && (r = next_event(l, &event, ret_error)) == 0) {
        if (!l->is_pushing)
            continue;
        if (!event.is_shutdown)
            await_invocation(l, &event);
        tb_exporter_push_last(l->e, push_time_ns(&event));
    }
    return r;
}

int tb_lambda_run(struct tb_exporter *e, const char *name, bool is_ready, char **ret_error)
{
    struct lambda l = {.e = e, .api = getenv("AWS_LAMBDA_RUNTIME_API")};
    if (!l.api || !*l.api) {
        *ret_error = tb_format("--lambda.extension: AWS_LAMBDA_RUNTIME_API is not set: start it as an extension of a "
                               "function");
        return -EINVAL;
    }
    l.http = tb_push_http_new(NULL);
    open_outputs(&l, is_ready);
    look(&l, &l.at);
    if (!l.at.is_alive) /* the runtime is started when all extensions have registered, and asks when it is ready */
        l.at.asked++;
    int r = enlist(&l, name, ret_error);
    if (!r)
        r = live(&l, ret_error);
    curl_slist_free_all(l.headers);
    tb_push_http_free(l.http);
    return r;
}

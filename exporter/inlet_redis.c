/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inlets that ask a Redis server, or one that speaks like it (inlet_source.h): libcurl connects, with TLS if need be;
 * hiredis writes commands and reads replies, none of which it keeps. All commands of an inlet go at once, over a
 * connection of their own. Which commands there are is config_pull_redis.c's: none that changes anything.
 */
#include "inlet_source.h"

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>

#include "curl.h"
#include "inlet_transfer.h"

#define REPLIES_MAX ((size_t)64 << 10) /* bytes of all replies */
#define TEXT_MAX 100u                  /* of one that are looked at */

/* A reply that is not part of another. */
struct reply {
    int type; /* REDIS_REPLY_* */
    long long integer;
    char text[TEXT_MAX + 1]; /* of strings and errors; what is longer is cut */
    bool is_cut;
};

struct redis {
    const struct tb_pull_config *config;
    char *url; /* owned; as libcurl takes it */
    CURL *easy;
    redisReader *reader;
    struct reply reply; /* the one that was read last */
    struct tb_buffer commands;
    size_t sent, received;
    size_t before;  /* commands that come before those of metrics, to which the answer is OK */
    size_t replies; /* that were read */
    struct tb_pull_gather gather;
    bool is_gathering;
    char error[CURL_ERROR_SIZE];
};

/* --- replies ---------------------------------------------------------------------------------------------------------
 */

/* What is in an array is passed over. */
static void *take_text(const redisReadTask *task, char *text, size_t len)
{
    struct reply *r = task->privdata;
    if (task->parent)
        return r;
    *r = (struct reply){.type = task->type, .is_cut = len > TEXT_MAX || memchr(text, 0, len)};
    memcpy(r->text, text, len < TEXT_MAX ? len : TEXT_MAX);
    return r;
}

static void *take_integer(const redisReadTask *task, long long value)
{
    struct reply *r = task->privdata;
    if (!task->parent)
        *r = (struct reply){.type = REDIS_REPLY_INTEGER, .integer = value};
    return r;
}

static redisReplyObjectFunctions takers = {.createString = take_text, .createInteger = take_integer};

/* A sample, or none: there is no such key. False: the server does not answer such commands now. */
static bool add_reply(struct redis *s, const struct tb_pull_metric *m, struct tb_pull_answer *a)
{
    const struct reply *r = &s->reply;
    double value = (double)r->integer;
    if (r->type == REDIS_REPLY_ERROR && strncmp(r->text, "WRONGTYPE", 9) != 0) {
        tb_pull_fail(a, TB_INLET_UNREADABLE, "%.40s: %s", m->command[0], r->text);
        return false;
    }
    if (r->type == REDIS_REPLY_INTEGER ||
        (r->type == REDIS_REPLY_STRING && !r->is_cut && tb_pull_number(r->text, &value)))
        tb_pull_add(&s->gather, m, NULL, value);
    else if (r->type != REDIS_REPLY_NIL)
        tb_pull_refuse(&s->gather, m, TB_INLET_VALUE);
    return true;
}

/* The reply that was read. False: all is over. */
static bool take_reply(struct redis *s, struct tb_pull_answer *a)
{
    const size_t at = s->replies++;
    if (at >= s->before)
        return add_reply(s, &s->config->metrics[at - s->before], a);
    if (s->reply.type == REDIS_REPLY_STATUS)
        return true;
    /* not what it says: that may repeat what it was asked */
    tb_pull_fail(a, TB_INLET_UNREADABLE, "the user, its password or the database is refused");
    return false;
}

/* Every reply that is there. False: all is over. */
static bool take_replies(struct redis *s, struct tb_pull_answer *a)
{
    const size_t count = s->before + s->config->metric_count;
    while (s->replies < count) {
        void *reply = NULL;
        if (redisReaderGetReply(s->reader, &reply) != REDIS_OK) {
            tb_pull_fail(a, TB_INLET_SYNTAX, "%s", s->reader->errstr);
            return false;
        }
        if (!reply)
            return true;
        if (reply != &s->reply) /* one that nothing was made for: a null, an array; its type stands for it */
            s->reply = (struct reply){.type = (int)(intptr_t)reply};
        if (!take_reply(s, a))
            return false;
    }
    s->is_gathering = false;
    tb_pull_end(&s->gather);
    return false;
}

/* --- a read ----------------------------------------------------------------------------------------------------------
 */

static void *redis_open(const struct tb_pull_config *c, struct tb_helper *h)
{
    struct redis *s = tb_alloc(sizeof *s);
    const bool has_tls = strncmp(c->url, "rediss:", 7) == 0;
    const char *host = strstr(c->url, "://") + 3, *colon = strrchr(host, ':');
    const bool has_port = colon && !strchr(colon, ']');
    s->url = tb_format("%s://%s%s/", has_tls ? "https" : "http", host, has_port ? "" : ":6379");
    s->config = c;
    s->easy = tb_curl_easy();
    (void)h;
    return s;
}

static void redis_end(void *source)
{
    struct redis *s = source;
    if (s->is_gathering)
        tb_inlet_lines_free(&s->gather.lines);
    s->is_gathering = false;
    if (s->reader)
        redisReaderFree(s->reader);
    s->reader = NULL;
    tb_buffer_free(&s->commands);
}

static void redis_close(void *source)
{
    struct redis *s = source;
    redis_end(s);
    curl_easy_cleanup(s->easy);
    free(s->url);
    free(s);
}

static void add_command(struct redis *s, const char *const *words, size_t count)
{
    char *text = NULL;
    int len = redisFormatCommandArgv(&text, (int)count, (const char **)words, NULL);
    if (len < 0)
        tb_out_of_memory(1);
    tb_put(&s->commands, text, (size_t)len);
    redisFreeCommand(text);
}

static bool add_login(struct redis *s, struct tb_pull_answer *a)
{
    const struct tb_pull_config *c = s->config;
    char database[16];
    s->before = 0;
    if (c->password.file || c->password.variable) {
        char *password = tb_pull_secret(&c->password, a);
        if (!password)
            return false;
        const char *words[] = {"AUTH", c->user, password};
        if (!c->user)
            words[1] = password;
        add_command(s, words, c->user ? 3 : 2);
        free(password);
        s->before++;
    }
    if (c->database) {
        snprintf(database, sizeof database, "%u", c->database);
        add_command(s, (const char *const[]){"SELECT", database}, 2);
        s->before++;
    }
    return true;
}

static bool redis_begin(void *source, struct tb_pull_read *r)
{
    struct redis *s = source;
    s->sent = s->received = s->replies = 0;
    if (!add_login(s, &r->answer))
        return false;
    for (size_t i = 0; i < s->config->metric_count; i++)
        add_command(s, (const char *const *)s->config->metrics[i].command, s->config->metrics[i].word_count);
    s->reader = redisReaderCreateWithFunctions(&takers);
    if (!s->reader)
        tb_out_of_memory(1);
    s->reader->privdata = &s->reply;
    curl_easy_reset(s->easy);
    tb_pull_set_up(s->easy, s->config, s->url, s->error);
    curl_easy_setopt(s->easy, CURLOPT_CONNECT_ONLY, 1L);
    curl_easy_setopt(s->easy, CURLOPT_PROXY, "");
    curl_easy_setopt(s->easy, CURLOPT_SSL_ENABLE_ALPN, 0L);
    r->transfer = s->easy;
    return true;
}

/* As much as goes now. False: all is over. */
static bool send_commands(struct redis *s, struct tb_pull_answer *a)
{
    CURLcode result = CURLE_OK;
    while (s->sent < s->commands.len && result == CURLE_OK) {
        size_t n = 0;
        result = curl_easy_send(s->easy, s->commands.data + s->sent, s->commands.len - s->sent, &n);
        s->sent += n;
    }
    if (result == CURLE_OK || result == CURLE_AGAIN)
        return true;
    tb_pull_fail_transfer(a, result, s->error);
    return false;
}

/* As much as has come. False: all is over. */
static bool receive(struct redis *s, struct tb_pull_answer *a)
{
    char bytes[4096];
    for (;;) {
        size_t n = 0;
        const CURLcode result = curl_easy_recv(s->easy, bytes, sizeof bytes, &n);
        if (result == CURLE_AGAIN)
            return true;
        s->received += n;
        if (result != CURLE_OK)
            tb_pull_fail_transfer(a, result, s->error);
        else if (!n)
            tb_pull_fail(a, TB_INLET_UNREADABLE, "the server ended the connection");
        else if (s->received > REPLIES_MAX)
            tb_pull_fail(a, TB_INLET_LIMIT, "the replies are too large");
        else if (redisReaderFeed(s->reader, bytes, n) != REDIS_OK)
            tb_pull_fail(a, TB_INLET_SYNTAX, "%s", s->reader->errstr);
        else if (take_replies(s, a))
            continue;
        return false;
    }
}

static bool redis_step(void *source, struct tb_pull_read *r, CURLcode result)
{
    struct redis *s = source;
    curl_socket_t fd = CURL_SOCKET_BAD;
    if (result != CURLE_OK || curl_easy_getinfo(s->easy, CURLINFO_ACTIVESOCKET, &fd) != CURLE_OK) {
        tb_pull_fail_transfer(&r->answer, result, s->error);
        return false;
    }
    if (!s->is_gathering) { /* it is connected */
        tb_pull_begin(&s->gather, &r->answer);
        s->is_gathering = true;
    }
    if (!send_commands(s, &r->answer) || !receive(s, &r->answer))
        return false;
    r->fd = (struct curl_waitfd){
        .fd = fd, .events = (short)(CURL_WAIT_POLLIN | (s->sent < s->commands.len ? CURL_WAIT_POLLOUT : 0))};
    return true;
}

const struct tb_pull_source tb_pull_redis = {redis_open, redis_close, redis_begin, redis_step, redis_end};

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inlets that run a command (inlet_source.h), which is started by another process (inlet_helper.h). Its output is a
 * number, a text as of text files, or JSON.
 */
#include "inlet_source.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "inlet_helper.h"
#include "inlet_json.h"

#define BLANKS " \t\r\n"

struct command {
    const struct tb_pull_config *config;
    struct tb_helper *helper;
    int number, fd;
    struct tb_buffer received; /* struct tb_helper_end and the output */
};

static void *command_open(const struct tb_pull_config *c, struct tb_helper *h)
{
    struct command *s = tb_alloc(sizeof *s);
    s->config = c;
    s->helper = h;
    s->number = tb_helper_find(h, c);
    s->fd = -1;
    return s;
}

static void command_end(void *source)
{
    struct command *s = source;
    if (s->fd >= 0)
        close(s->fd);
    s->fd = -1;
    tb_buffer_free(&s->received);
}

static void command_close(void *source)
{
    command_end(source);
    free(source);
}

static bool command_begin(void *source, struct tb_pull_read *r)
{
    struct command *s = source;
    if (s->number < 0) {
        tb_pull_fail(&r->answer, TB_INLET_UNREADABLE,
                     "the command was not there when the exporter started: start the exporter again");
        return false;
    }
    s->fd = tb_helper_run(s->helper, s->number);
    if (s->fd < 0) {
        tb_pull_fail(&r->answer, TB_INLET_UNREADABLE, "the process that starts commands does not answer: %s",
                     strerror(-s->fd));
        return false;
    }
    r->fd = (struct curl_waitfd){.fd = s->fd, .events = CURL_WAIT_POLLIN};
    return true;
}

/* One number, and blanks around it. */
static void take_number(const char *text, const struct tb_pull_metric *m, struct tb_pull_answer *ret)
{
    struct tb_pull_gather g;
    double value;
    const char *start = text + strspn(text, BLANKS);
    char *number = tb_strndup(start, strcspn(start, BLANKS));
    const bool is_one = !start[strlen(number) + strspn(start + strlen(number), BLANKS)];
    tb_pull_begin(&g, ret);
    if (is_one && tb_pull_number(number, &value))
        tb_pull_add(&g, m, NULL, value);
    else
        tb_pull_refuse(&g, m, TB_INLET_VALUE);
    tb_pull_end(&g);
    free(number);
}

static void take_text(const char *text, size_t len, struct tb_pull_answer *ret)
{
    struct tb_inlet_fault fault;
    size_t lines = 0;
    if (!tb_inlet_text(text, len, &ret->set, &lines, &fault)) {
        tb_pull_fail(ret, fault.reason, "line %zu of the output: %s", fault.line, tb_inlet_reason(fault.reason));
        return;
    }
    ret->accepted = lines;
    ret->is_good = true;
}

/* @text is terminated. */
static void take_output(const struct tb_pull_config *c, const char *text, size_t len, struct tb_pull_answer *ret)
{
    switch (c->format) {
    case TB_PULL_NUMBER:
        if (strlen(text) == len)
            take_number(text, &c->metrics[0], ret);
        else
            tb_pull_fail(ret, TB_INLET_VALUE, "the output has a zero byte");
        break;
    case TB_PULL_TEXT:
        take_text(text, len, ret);
        break;
    case TB_PULL_JSON:
        tb_inlet_json(text, len, c, ret);
        break;
    }
}

static void take_end(const struct command *s, struct tb_pull_answer *ret)
{
    struct tb_helper_end end;
    if (s->received.len < sizeof end) {
        tb_pull_fail(ret, TB_INLET_UNREADABLE, "the command was not started: it still runs, or there is no process");
        return;
    }
    memcpy(&end, s->received.data, sizeof end);
    if (end.how == TB_HELPER_TOO_MUCH)
        tb_pull_fail(ret, TB_INLET_LIMIT, "the output is too large");
    else if (end.how == TB_HELPER_NO_PROGRAM)
        tb_pull_fail(ret, TB_INLET_UNREADABLE, "%.100s: %s", s->config->command[0], strerror(end.value));
    else if (end.how == TB_HELPER_KILLED)
        tb_pull_fail(ret, TB_INLET_UNREADABLE, "the command was ended by signal %d", end.value);
    else if (end.value)
        tb_pull_fail(ret, TB_INLET_UNREADABLE, "the command ended with status %d", end.value);
    else if (end.len != s->received.len - sizeof end)
        tb_pull_fail(ret, TB_INLET_INCOMPLETE, "the output is not whole");
    else
        take_output(s->config, s->received.data + sizeof end, (size_t)end.len, ret);
}

static bool command_step(void *source, struct tb_pull_read *r, CURLcode result)
{
    struct command *s = source;
    const size_t most = sizeof(struct tb_helper_end) + TB_HELPER_OUTPUT_MAX;
    (void)result;
    for (;;) {
        const size_t room = most - s->received.len;
        char *to = tb_buffer_room(&s->received, room + 1);
        const ssize_t n = room ? read(s->fd, to, room) : 0;
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return true;
        if (n <= 0) {
            s->received.data[s->received.len] = 0;
            take_end(s, &r->answer);
            return false;
        }
        s->received.len += (size_t)n;
    }
}

const struct tb_pull_source tb_pull_command = {command_open, command_close, command_begin, command_step, command_end};

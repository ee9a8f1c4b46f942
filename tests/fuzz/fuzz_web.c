/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Web configurations of any bytes, with certificates of any bytes. A file is either refused with lines that say where
 * and why, or all of it is in force: its TLS can be given to a session, and it can be asked about users and rates.
 *
 * Input: a web configuration; behind the first NUL, what every file that it names contains.
 * LDFLAGS: -Wl,--wrap=tb_read_whole
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "exporter/log.h"
#include "exporter/web.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
char *__wrap_tb_read_whole(const char *path, size_t max, size_t *ret_len);

static const uint8_t *named;
static size_t named_len;

/* Instead of the file that an input names. */
char *__wrap_tb_read_whole(const char *path, size_t max, size_t *ret_len)
{
    char *copy = tb_strndup((const char *)named, named_len);
    (void)path, (void)max;
    *ret_len = named_len;
    return copy;
}

/* Every line: place, what is wrong. */
static void check_errors(const char *errors, const char *path)
{
    size_t count = 0;
    if (!errors || !*errors)
        abort();
    for (const char *line = errors; *line; line = strchr(line, '\n') + 1, count++)
        if (!strchr(line, '\n') || (*line != '(' && strncmp(line, path, strlen(path)) != 0))
            abort();
    if (count > TB_CONFIG_ERRORS_MAX + 1)
        abort();
}

static void use(struct tb_web *w)
{
    gnutls_session_t session;
    const struct tb_web_config *c = tb_web_config(w);
    for (size_t i = 0; i < c->user_count; i++)
        if (tb_web_hash_complaint(c->users[i].hash) || strchr(c->users[i].name, ':'))
            abort();
    for (size_t i = 0; i < c->header_count; i++)
        if (strpbrk(c->headers[i].value, "\r\n"))
            abort();
    (void)tb_web_may_ask(w);
    if (tb_web_may_enter(w, NULL, NULL, NULL) != (c->user_count ? TB_WEB_NO : TB_WEB_YES))
        abort();
    if (tb_web_tls(w)) {
        if (gnutls_init(&session, GNUTLS_SERVER | GNUTLS_NONBLOCK) != 0 ||
            tb_web_tls_apply(tb_web_tls(w), session) != 0)
            abort();
        gnutls_deinit(session);
    }
    (void)tb_web_again(w, true);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[32], *errors = NULL;
    const uint8_t *nul = size ? memchr(data, 0, size) : NULL;
    size_t len = nul ? (size_t)(nul - data) : size;
    named = nul ? nul + 1 : (const uint8_t *)"";
    named_len = nul ? strnlen((const char *)named, size - len - 1) : 0;
    tb_log_setup(TB_LOG_ERROR + 1, TB_LOG_LOGFMT);
    int fd = memfd_create("web", MFD_CLOEXEC);
    if (fd < 0 || (len && write(fd, data, len) != (ssize_t)len))
        abort();
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    struct tb_web *w = tb_web_new(path, &errors);
    if (w)
        use(w);
    else
        check_errors(errors, path);
    tb_web_free(w);
    free(errors);
    close(fd);
    return 0;
}

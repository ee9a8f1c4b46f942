/* SPDX-License-Identifier: Apache-2.0 */
/* Secrets, addresses and errors of sources that connect by libcurl (inlet_transfer.h). */
#include "inlet_transfer.h"

#include <stdlib.h>

#include "curl.h"
#include "secret.h"

/* Of headers that are older than the options; a library that does not know them says so. */
#if LIBCURL_VERSION_NUM < 0x075700
#define CURLOPT_QUICK_EXIT ((CURLoption)(CURLOPTTYPE_LONG + 322))
#endif

char *tb_pull_secret(const struct tb_pull_secret *s, struct tb_pull_answer *a)
{
    char why[120], *text = NULL;
    if (s->file) {
        text = tb_secret_read(s->file, why, sizeof why);
        if (!text)
            tb_pull_fail(a, TB_INLET_UNREADABLE, "%s", why);
    } else {
        const char *value = s->variable ? getenv(s->variable) : s->text;
        if (value)
            text = tb_strndup(value, strlen(value));
        else
            tb_pull_fail(a, TB_INLET_UNREADABLE, "the variable %s is not set", s->variable);
    }
    for (const char *p = text; p && *p; p++)
        if ((unsigned char)*p < ' ' && *p != '\t') {
            tb_pull_fail(a, TB_INLET_UNREADABLE, "a password or header of several lines");
            free(text);
            return NULL;
        }
    return text;
}

void tb_pull_set_up(CURL *easy, const struct tb_pull_config *c, const char *url, char *error)
{
    const long ms = (long)(c->timeout_ns / 1000000);
    tb_curl_basics(easy, url, error);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, ms);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, ms);
    curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L); /* who looks a name up is not waited for when time is over */
    if (c->unix_socket)
        curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, c->unix_socket);
    if (c->ca_file)
        curl_easy_setopt(easy, CURLOPT_CAINFO, c->ca_file);
    if (c->is_insecure) {
        curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
        curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
    }
}

void tb_pull_fail_transfer(struct tb_pull_answer *a, CURLcode result, const char *error)
{
    tb_pull_fail(a, result == CURLE_OPERATION_TIMEDOUT ? TB_INLET_TIMEOUT : TB_INLET_UNREADABLE, "%.150s",
                 *error ? error : curl_easy_strerror(result));
}

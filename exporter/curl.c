/* SPDX-License-Identifier: Apache-2.0 */
/* What all users of libcurl share (curl.h). */
#include "curl.h"

#include <pthread.h>
#include <stdlib.h>

#include "buffer.h"

static void init_once(void)
{
    if (curl_global_init(CURL_GLOBAL_DEFAULT))
        abort();
}

static void init(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, init_once);
}

CURL *tb_curl_easy(void)
{
    init();
    CURL *c = curl_easy_init();
    if (!c)
        tb_out_of_memory(1);
    return c;
}

CURLM *tb_curl_multi(void)
{
    init();
    CURLM *m = curl_multi_init();
    if (!m)
        tb_out_of_memory(1);
    return m;
}

static void allow_http_alone(CURL *c)
{
#if LIBCURL_VERSION_NUM < 0x075500
    curl_easy_setopt(c, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#else
    curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
#endif
}

void tb_curl_basics(CURL *c, const char *url, char *error)
{
    curl_easy_setopt(c, CURLOPT_URL, url);
    allow_http_alone(c);
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_ERRORBUFFER, error);
    curl_easy_setopt(c, CURLOPT_USERAGENT, "tickbird-exporter/" TB_VERSION);
}

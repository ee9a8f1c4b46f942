/* SPDX-License-Identifier: Apache-2.0 */
/* What all users of libcurl share. Any thread. */
#ifndef TB_CURL_H
#define TB_CURL_H

#include <curl/curl.h>

/* tb_curl_easy, tb_curl_multi - a new handle of its kind; never NULL. */
CURL *tb_curl_easy(void);
CURLM *tb_curl_multi(void);

/* tb_curl_basics - of each request: only HTTP and HTTPS, no signals, our name, @error (CURL_ERROR_SIZE bytes) says why.
 */
void tb_curl_basics(CURL *c, const char *url, char *error);

#endif

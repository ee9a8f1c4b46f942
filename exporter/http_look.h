/* SPDX-License-Identifier: Apache-2.0 */
/* What is served to people and their scripts: the page, the JSON behind it, the files that they use (page.h, api.h). */
#ifndef TB_HTTP_LOOK_H
#define TB_HTTP_LOOK_H

#include "http_pages.h"

/* tb_look_pages - rows for the table of http_pages.c; their request's arg is the pages. Made once, kept. */
const struct tb_http_page *tb_look_pages(size_t *ret_count);

#endif

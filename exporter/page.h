/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The page at /: one HTML document, whole without JavaScript, kept up to date with it. Pure: what somebody looks at in,
 * bytes out. The sources that a browser gets are in exporter/page/.
 */
#ifndef TB_PAGE_H
#define TB_PAGE_H

#include "api.h"

/* No script, style, image or connection but our own, no frame around it. */
#define TB_PAGE_POLICY                                                                                                 \
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action "        \
    "'self'; "                                                                                                         \
    "base-uri 'none'; frame-ancestors 'none'"

void tb_page_render(const struct tb_look *look, const struct tb_overview_query *query, struct tb_buffer *out);

/* A file that is built in. The table ends with a NULL path. */
struct tb_asset {
    const char *path; /* as served */
    const char *type;
    const char *data, *end;
};
extern const struct tb_asset tb_assets[];

/* tb_asset_template - page.html, with its parts still to be filled in; *ret_len bytes. */
const char *tb_asset_template(size_t *ret_len);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* What the page consists of and links to, built in: the assembler reads the files, from the folder of the Makefile. */
#include "page.h"

#define BUILT_IN(name, file)                                                                                           \
    extern const char name[], name##_end[];                                                                            \
    __asm__(".pushsection .rodata\n" #name ":\n.incbin \"" file "\"\n" #name "_end:\n.byte 0\n.popsection\n")

BUILT_IN(tb_asset_page_html, "exporter/page/page.html");
BUILT_IN(tb_asset_page_css, "exporter/page/page.css");
BUILT_IN(tb_asset_page_js, "exporter/page/page.js");
BUILT_IN(tb_asset_icon_svg, "exporter/page/icon.svg");
BUILT_IN(tb_asset_api_md, "docs/api.md");
BUILT_IN(tb_asset_configuration_md, "docs/configuration.md");
BUILT_IN(tb_asset_dashboards_md, "docs/dashboards.md");
BUILT_IN(tb_asset_limits_md, "docs/limits.md");
BUILT_IN(tb_asset_metrics_md, "docs/metrics.md");
BUILT_IN(tb_asset_routes_md, "docs/routes.md");

#define TEXT "text/plain; charset=utf-8"

const struct tb_asset tb_assets[] = {
    {"/-/page.css", "text/css; charset=utf-8", tb_asset_page_css, tb_asset_page_css_end},
    {"/-/page.js", "text/javascript; charset=utf-8", tb_asset_page_js, tb_asset_page_js_end},
    {"/-/icon.svg", "image/svg+xml", tb_asset_icon_svg, tb_asset_icon_svg_end},
    {"/-/docs/api.md", TEXT, tb_asset_api_md, tb_asset_api_md_end},
    {"/-/docs/configuration.md", TEXT, tb_asset_configuration_md, tb_asset_configuration_md_end},
    {"/-/docs/dashboards.md", TEXT, tb_asset_dashboards_md, tb_asset_dashboards_md_end},
    {"/-/docs/limits.md", TEXT, tb_asset_limits_md, tb_asset_limits_md_end},
    {"/-/docs/metrics.md", TEXT, tb_asset_metrics_md, tb_asset_metrics_md_end},
    {"/-/docs/routes.md", TEXT, tb_asset_routes_md, tb_asset_routes_md_end},
    {NULL, NULL, NULL, NULL},
};

const char *tb_asset_template(size_t *ret_len)
{
    *ret_len = (size_t)(tb_asset_page_html_end - tb_asset_page_html);
    return tb_asset_page_html;
}

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TB_ROUTES_STDIN_H
#define TB_ROUTES_STDIN_H

#include <stdio.h>

/*
 * tb_routes_stdin - read request lines and print `PATH<TAB>ROUTE` for each, as the core of a new service would have
 * assigned them in this order. A line is `PATH` (taken for a GET answered 200) or `METHOD<TAB>PATH<TAB>STATUS`.
 *
 * Returns an exit code; a line that is neither ends it, reported with its number.
 *
 * @config  NULL, or a configuration file whose rules for @service (may be NULL) count
 */
int tb_routes_stdin(FILE *in, FILE *out, const char *config, const char *service);

#endif

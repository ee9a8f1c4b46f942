/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration's `routes`: how paths become the label route. */
#ifndef TB_CONFIG_ROUTES_H
#define TB_CONFIG_ROUTES_H

#include "config.h"
#include "config_yaml.h"

/* tb_config_read_routes - `routes`, of the file or of a service of @config, which keeps what OpenAPI files it names. */
void tb_config_read_routes(struct tb_yaml *y, yaml_node_t *value, struct tb_config *config,
                           struct tb_route_config *routes);

void tb_config_free_routes(struct tb_route_config *routes);

#endif

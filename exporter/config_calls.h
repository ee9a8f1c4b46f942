/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration's `calls`: what other servers that programs call are to be called, and how many. */
#ifndef TB_CONFIG_CALLS_H
#define TB_CONFIG_CALLS_H

#include "config.h"
#include "config_yaml.h"

/* tb_config_read_calls - `calls`, of the file or of a service. */
void tb_config_read_calls(struct tb_yaml *y, yaml_node_t *value, struct tb_calls_config *to);

void tb_config_free_calls(struct tb_calls_config *calls);

#endif

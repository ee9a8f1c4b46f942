/* SPDX-License-Identifier: Apache-2.0 */
/* `metrics` of config.yml, and `bounds` wherever they stand: what programs are to record (docs/configuration.md). */
#ifndef TB_CONFIG_METRICS_H
#define TB_CONFIG_METRICS_H

#include "agent/histogram.h"
#include "config_yaml.h"

/* tb_config_read_metrics - `metrics` of an entry of `services`: only what programs record. */
void tb_config_read_metrics(struct tb_yaml *y, yaml_node_t *value, struct tb_metrics_config *to);

/* What programs record, one key each: handlers (struct tb_yaml_key) whose `to` is a struct tb_metrics_config. */
void tb_config_read_duration(struct tb_yaml *y, yaml_node_t *value, void *to);
void tb_config_read_first_byte(struct tb_yaml *y, yaml_node_t *value, void *to);
void tb_config_read_request_size(struct tb_yaml *y, yaml_node_t *value, void *to);
void tb_config_read_response_size(struct tb_yaml *y, yaml_node_t *value, void *to);
void tb_config_read_exemplars(struct tb_yaml *y, yaml_node_t *value, void *to);

/* tb_config_preset_bounds - where none are given, durations have the bounds that a preset is known by. */
void tb_config_preset_bounds(enum tb_preset preset, struct tb_metrics_config *to);

/* tb_config_read_bounds - a sequence of rising numbers, of seconds or of bytes. What a histogram could not be cut at
 * exactly is an error. */
void tb_config_read_bounds(struct tb_yaml *y, yaml_node_t *value, const char *what, enum tb_unit unit,
                           struct tb_bounds_config *to);

/* tb_config_decimal - a decimal number as a multiple of 10^-@decimals. False: it is none, or has more digits. */
bool tb_config_decimal(const char *text, unsigned decimals, uint64_t *ret);

#endif

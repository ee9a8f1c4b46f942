/* SPDX-License-Identifier: Apache-2.0 */
/* What config_inlets.c and config_pull.c share: an entry of `inlets` that is being read. */
#ifndef TB_CONFIG_INLETS_H
#define TB_CONFIG_INLETS_H

#include "config_yaml.h"

/* Keys that some types have. */
enum tb_inlet_key {
    TB_KEY_FOLDER,
    TB_KEY_LISTEN,
    TB_KEY_BOUNDS,
    TB_KEY_URL,
    TB_KEY_UNIX_SOCKET,
    TB_KEY_HEADERS,
    TB_KEY_USER,
    TB_KEY_PASSWORD_FILE,
    TB_KEY_PASSWORD_ENV,
    TB_KEY_CA_FILE,
    TB_KEY_INSECURE,
    TB_KEY_DATABASE,
    TB_KEY_COMMAND,
    TB_KEY_FORMAT,
    TB_KEY_INTERVAL,
    TB_KEY_TIMEOUT,
    TB_KEY_STALE,
    TB_KEY_METRICS,
    TB_INLET_KEYS
};

struct tb_inlet_reader {
    struct tb_inlet_config *to;         /* its pull is there while it is read, whatever the type */
    yaml_node_t *places[TB_INLET_KEYS]; /* where they were given; NULL: they were not */
    bool has_type;
};

/* Handlers of keys; @to is a struct tb_inlet_reader. */
void tb_config_pull_url(struct tb_yaml *y, yaml_node_t *value, void *to);
void tb_config_pull_unix_socket(struct tb_yaml *y, yaml_node_t *value, void *to);
void tb_config_pull_headers(struct tb_yaml *y, yaml_node_t *value, void *to);
void tb_config_pull_user(struct tb_yaml *y, yaml_node_t *value, void *to);
void tb_config_pull_password_file(struct tb_yaml *y, yaml_node_t *value, void *to);
void tb_config_pull_password_env(struct tb_yaml *y, yaml_node_t *value, void *to);
void tb_config_pull_ca_file(struct tb_yaml *y, yaml_node_t *value, void *to);
void tb_config_pull_insecure(struct tb_yaml *y, yaml_node_t *value, void *to);
void tb_config_pull_interval(struct tb_yaml *y, yaml_node_t *value, void *to);
void tb_config_pull_timeout(struct tb_yaml *y, yaml_node_t *value, void *to);
void tb_config_pull_stale(struct tb_yaml *y, yaml_node_t *value, void *to);

void tb_config_pull_database(struct tb_yaml *y, yaml_node_t *value, void *to);
void tb_config_pull_command(struct tb_yaml *y, yaml_node_t *value, void *to);
void tb_config_pull_format(struct tb_yaml *y, yaml_node_t *value, void *to);
/* Of a metric; @to is a struct tb_pull_metric. */
void tb_config_redis_command(struct tb_yaml *y, yaml_node_t *value, void *to);

/* tb_config_read_pull_metrics - config_pull_metrics.c: the list `metrics`. */
void tb_config_read_pull_metrics(struct tb_yaml *y, yaml_node_t *value, void *to);

/* tb_config_check_pull_metrics - are they as many as can be, and has each what it needs, and nothing else? */
void tb_config_check_pull_metrics(struct tb_yaml *y, yaml_node_t *value, const struct tb_inlet_reader *r);

/* tb_config_check_pull - what can be told when all keys are there, and what was left out. */
void tb_config_check_pull(struct tb_yaml *y, yaml_node_t *value, struct tb_inlet_reader *r);

#endif

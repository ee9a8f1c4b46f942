/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config.yml, read whole and checked: either every key makes sense, or all that does not is listed with line and column
 * and nothing of it is used. Read by the exporter, `tickbird run` and `tickbird check-config`. docs/configuration.md is
 * its reference.
 *
 * A new part of the file is a row in a table of keys (config.c) and a field here.
 */
#ifndef TB_CONFIG_H
#define TB_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/layout.h"
#include "buffer.h"
#include "inlet_config.h"
#include "names.h"
#include "options.h"
#include "push_config.h"

struct tb_text_list {
    char **items; /* owned */
    size_t count, space;
};

/* Classic bounds of a histogram, ascending. */
struct tb_bounds_config {
    uint64_t at_most[TB_BOUNDS_MAX]; /* ticks (agent/histogram.h) */
    uint8_t unit;                    /* enum tb_unit */
    uint8_t count;                   /* 0 = not given */
};

struct tb_switch_config {
    bool is_given, is_on;
};

/* One `metrics` of the file: what programs record. */
struct tb_metrics_config {
    bool is_given;
    struct tb_bounds_config duration, request_bounds, response_bounds;
    struct tb_switch_config first_byte, request_size, response_size, exemplars;
    uint32_t line, column;
};

/* `rules` of the file: metrics of the user's own (rules_config.h). */
struct tb_custom_rule_config;
struct tb_custom_config {
    struct tb_custom_rule_config *rules;
    size_t rule_count, rule_space;
};

/* A line of `patterns`, `ignore` or of an OpenAPI file. Strings owned. */
struct tb_pattern {
    char *path;
    char *label; /* NULL: made from the path */
    char *host;  /* glob, lower case; NULL = any */
    char *file;  /* where it was written */
    uint32_t line, column;
    struct tb_bounds_config *bounds; /* owned; NULL = those of the service */
    uint8_t method;                  /* enum tb_method + 1; 0 = any */
    bool is_drop;
    bool is_openapi;
};

/* What a service's requests are counted under: one `routes` of the file. */
struct tb_route_config {
    bool is_given;
    int route; /* enum tb_rules_route, -1 = not given */
    struct tb_pattern *patterns;
    size_t pattern_count, pattern_space;
    bool has_host, has_host_label;
    bool has_probe_agents;                      /* probes are told by their User-Agent, too */
    struct tb_text_list hosts;                  /* globs */
    uint32_t max_hosts, max_routes, max_series; /* 0 = not given */
    uint32_t line, column;
};

/* One `calls` of the file: the other servers that programs call. */
struct tb_calls_config {
    bool is_given;
    uint32_t max_targets;             /* 0 = not given */
    struct tb_text_list globs, names; /* in pairs: targets that match are called so */
};

struct tb_service_config {
    char *name; /* glob */
    struct tb_route_config routes;
    struct tb_metrics_config metrics;
    struct tb_calls_config calls;
    struct tb_custom_config custom;
};

/* An OpenAPI file that was read. */
struct tb_openapi_note {
    char *file;
    char *version; /* "2.0", "3.1.0" */
    size_t paths, operations, prefixes;
};

struct tb_config {
    char *path;
    struct tb_text_list options[TB_OPTION_COUNT]; /* of `exporter` and `run`; empty = not given */
    struct tb_text_list include, exclude;
    struct tb_route_config routes; /* for every service */
    struct tb_metrics_config metrics;
    struct tb_calls_config calls;
    struct tb_custom_config custom;
    struct tb_service_config *services;
    size_t service_count, service_space;
    struct tb_openapi_note *openapi;
    size_t openapi_count, openapi_space;
    struct tb_names names;       /* of families and labels */
    struct tb_inlet_list inlets; /* whoever has them takes the entries away */
    struct tb_push_config *push; /* NULL: nothing is pushed; whoever pushes takes it away */
};

/*
 * tb_config_load - read and check @path, and compile every set of rules in it once, so that what is too much is known.
 *
 * @ret_errors  lines `file:line:column: what: why: what to do`, each ended by a line feed; the caller's to free
 *
 * Returns the file's contents, to be freed with tb_config_free, or NULL with at least one error.
 */
struct tb_config *tb_config_load(const char *path, char **ret_errors);
void tb_config_free(struct tb_config *c);

/* tb_config_service - the number of the first entry of `services` that matches @name; service_count when none does. */
size_t tb_config_service(const struct tb_config *c, const char *name);

/* tb_config_has_rules - does the file say anything that programs are to know? */
bool tb_config_has_rules(const struct tb_config *c);

/* tb_config_to_options - options of @o that have neither flag nor variable take the file's value, if it has one. */
void tb_config_to_options(const struct tb_config *c, enum tb_side side, struct tb_options *o);
/* tb_config_to_limits - the same for the limits of a scrape, which a running exporter reads again: they have their
 * defaults when the file says nothing. */
void tb_config_to_limits(const struct tb_config *c, struct tb_options *o);

/* Errors being collected. */
#define TB_CONFIG_ERRORS_MAX 100u
struct tb_config_errors {
    struct tb_buffer text;
    unsigned count;
};
void tb_config_error(struct tb_config_errors *e, const char *file, size_t line, size_t column, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

void tb_text_list_add(struct tb_text_list *l, const char *text);
void tb_text_list_free(struct tb_text_list *l);
struct tb_pattern *tb_config_add_pattern(struct tb_route_config *r, const char *path, const char *file, size_t line,
                                         size_t column);

/* tb_openapi_read - the paths of an OpenAPI (3) or Swagger (2) file, JSON or YAML, as patterns. @file is as the errors
 * shall name it, @line and @column where the configuration asks for it. */
void tb_openapi_read(struct tb_config *c, struct tb_route_config *to, const char *file, size_t line, size_t column,
                     struct tb_config_errors *errors);

/* A file of at most @max bytes, with a NUL behind it. NULL and errno when it cannot be had (EFBIG: it is larger). */
char *tb_read_whole(const char *path, size_t max, size_t *ret_len);

#endif

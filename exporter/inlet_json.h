/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers out of a JSON text (RFC 8259) by the paths of metrics: one sample for a metric, or one for each element of an
 * array or member of an object. Numbers, texts that are one, true and false; null is no sample. Bounded in memory,
 * whatever the text is.
 */
#ifndef TB_INLET_JSON_H
#define TB_INLET_JSON_H

#include "inlet_answer.h"

/* tb_inlet_json_set_up - before any thread uses the JSON library: how much memory a text takes is bounded from then on.
 */
void tb_inlet_json_set_up(void);

/* tb_inlet_json - @len bytes of @text. @ret: empty. Context: any thread. */
void tb_inlet_json(const char *text, size_t len, const struct tb_pull_config *c, struct tb_pull_answer *ret);

#endif

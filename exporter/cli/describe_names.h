/* SPDX-License-Identifier: Apache-2.0 */
/* A table of names, for people. */
#ifndef TB_DESCRIBE_NAMES_H
#define TB_DESCRIBE_NAMES_H

#include "exporter/config.h"

/* tb_describe_names - on stdout: the preset, and each label and family that it or the configuration calls otherwise. */
void tb_describe_names(const struct tb_config *c);

#endif

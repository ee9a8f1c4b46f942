/* SPDX-License-Identifier: Apache-2.0 */
/* What sources that connect by libcurl have in common. The thread of the inlets that ask. */
#ifndef TB_INLET_TRANSFER_H
#define TB_INLET_TRANSFER_H

#include "inlet_source.h"

/* tb_pull_secret - @s as it is now: of one line. Returns the caller's text, or NULL: @a says why. */
char *tb_pull_secret(const struct tb_pull_secret *s, struct tb_pull_answer *a);

/* tb_pull_set_up - where to, how long, and who is believed. @error: CURL_ERROR_SIZE bytes. */
void tb_pull_set_up(CURL *easy, const struct tb_pull_config *c, const char *url, char *error);

/* tb_pull_fail_transfer - what a transfer ended with that did not succeed. */
void tb_pull_fail_transfer(struct tb_pull_answer *a, CURLcode result, const char *error);

#endif

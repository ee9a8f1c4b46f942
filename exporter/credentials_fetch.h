/* SPDX-License-Identifier: Apache-2.0 */
/* Credentials that somebody gives out over HTTP (credentials.h). False: not here, or told in @why. */
#ifndef TB_CREDENTIALS_FETCH_H
#define TB_CREDENTIALS_FETCH_H

#include "credentials.h"

/* AWS_WEB_IDENTITY_TOKEN_FILE and AWS_ROLE_ARN: the token service takes the token for credentials. */
bool tb_credentials_from_web_identity(struct tb_credential_source *s, struct tb_credentials *ret, char *why,
                                      size_t why_size);
/* AWS_CONTAINER_CREDENTIALS_RELATIVE_URI or _FULL_URI. */
bool tb_credentials_from_container(struct tb_credential_source *s, struct tb_credentials *ret, char *why,
                                   size_t why_size);
/* The instance's metadata, unless AWS_EC2_METADATA_DISABLED. */
bool tb_credentials_from_instance(struct tb_credential_source *s, struct tb_credentials *ret, char *why,
                                  size_t why_size);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Credentials of AWS, from the first place that has some, in the order that its own tools look: variables, the shared
 * profile files, a web identity token (EKS), a container's endpoint (ECS, EKS pod identity), the instance's metadata
 * (IMDSv2 only). What expires is fetched anew before it does. One thread.
 */
#ifndef TB_CREDENTIALS_H
#define TB_CREDENTIALS_H

#include "push_http.h"

struct tb_credentials {
    char *key, *secret, *token; /* owned; token NULL: none */
    uint64_t expires_ns;        /* CLOCK_REALTIME; 0 = never */
};

struct tb_credential_source {
    struct tb_push_http *http; /* borrowed */
    const char *profile;       /* borrowed; NULL: AWS_PROFILE, else "default" */
    const char *region;        /* borrowed; of the token service */
    struct tb_credentials now;
    bool is_asked_anew; /* the receiver said that these have expired */
};

/* tb_credentials_get - those in force, valid until the next call; NULL: none are to be had, and @ret_why says why. */
const struct tb_credentials *tb_credentials_get(struct tb_credential_source *s, char *ret_why, size_t why_size);
void tb_credentials_free(struct tb_credentials *c);

/* tb_aws_profile - a value of a profile in the shared files ("region", "aws_access_key_id"), the caller's to free;
 * NULL: none. */
char *tb_aws_profile(const char *profile, const char *name);

/* What answers hold; for tests too. False: they hold none. */
bool tb_credentials_from_json(const char *text, size_t len, struct tb_credentials *ret);
bool tb_credentials_from_sts(const char *xml, struct tb_credentials *ret);

#endif

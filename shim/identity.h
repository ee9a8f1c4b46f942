/* SPDX-License-Identifier: Apache-2.0 */
/* Who this process is: settings from the environment, and the identity of its region. */
#ifndef TB_IDENTITY_H
#define TB_IDENTITY_H

#include <stdbool.h>

#pragma GCC visibility push(hidden)
#include "../agent/region.h"
#include "../agent/select.h"

struct tb_settings {
    char dir[256];   /* "" = default */
    char rules[256]; /* bundle of compiled rules; "" = the directory's */
    char service[128];
    char otel_service[128];
    char labels[1024];                    /* TICKBIRD_LABELS, then what follows */
    char otel_resource[1024];             /* OTEL_RESOURCE_ATTRIBUTES */
    char simd[12];                        /* "" = the widest */
    char include[TB_SELECT_LIST_MAX + 2]; /* one byte more than may be, so that a longer one is noticed */
    char exclude[TB_SELECT_LIST_MAX + 2];
    char select_file[256];                    /* "" = the one of the machine */
    char dir_quota[12];                       /* TICKBIRD_DIR_QUOTA */
    char runtime_api[TB_RUNTIME_API_MAX + 1]; /* AWS_LAMBDA_RUNTIME_API: this is a function (agent/invocation.h) */
    char concurrency[12];                     /* AWS_LAMBDA_MAX_CONCURRENCY */
    bool is_disabled;
    bool is_debug;
    bool is_disk_allowed;
    bool is_inline_allowed; /* TICKBIRD_INLINE_HOOKS; true where it is not set */
    bool has_listen_fds;    /* LISTEN_FDS: sockets came with the program (sd_listen_fds(3)) */
};
extern struct tb_settings tb_settings;

/* tb_settings_read - once, in the constructor: programs clear and overwrite their environment later. */
void tb_settings_read(void);

/*
 * tb_identity_read - who the region belongs to. The service is the explicit one, OpenTelemetry's (a variable or
 * service.name of its resource attributes), the systemd unit, the
 * script, module or jar of an interpreter, or the program's base name. About 12 system calls, each allowed to fail.
 * Static memory: one caller at a time.
 */
void tb_identity_read(const struct tb_core *core, struct tb_identity *ret);

#pragma GCC visibility pop
#endif

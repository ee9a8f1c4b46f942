/* SPDX-License-Identifier: Apache-2.0 */
/* What /proc says about a running process, as far as this user's rights allow: is it observed, and what would hinder
 * it. */
#ifndef TB_PROCESS_H
#define TB_PROCESS_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent/select.h"

#define TB_OBJECT_NAME "libtickbird.so"
#define TB_UNKNOWN (-1) /* could not be read */

struct tb_process {
    pid_t pid;
    char name[32];      /* /proc/PID/comm */
    char exe[PATH_MAX]; /* as this command sees it; " (deleted)" behind it when replaced; empty = unknown */
    uid_t uid;          /* effective */
    bool is_kernel;     /* a kernel thread */

    bool can_see_maps;
    char object[PATH_MAX]; /* the Tickbird object that is mapped; empty = none */
    bool is_object_deleted;
    char region[PATH_MAX]; /* the region that is mapped; empty = none */
    bool is_region_deleted;

    bool can_see_environ; /* as it was at exec, unless the program wrote over it */
    bool has_environ;     /* something that looks like an environment is there */
    char preload[PATH_MAX];
    char service[128];      /* TICKBIRD_SERVICE */
    char otel_service[128]; /* OTEL_SERVICE_NAME, or service.name of OTEL_RESOURCE_ATTRIBUTES */
    char dir[PATH_MAX];     /* TICKBIRD_DIR, empty = default */
    bool is_disabled;       /* TICKBIRD_DISABLE */
    bool is_dir_forced;
    uint32_t dir_quota_mib;               /* TICKBIRD_DIR_QUOTA; 0 = none */
    char include[TB_SELECT_LIST_MAX + 2]; /* TICKBIRD_INCLUDE; one byte more than may be */
    char exclude[TB_SELECT_LIST_MAX + 2];
    char select_file[PATH_MAX];   /* TICKBIRD_SELECT_FILE */
    char executed_name[PATH_MAX]; /* AT_EXECFN; empty = unknown */

    int is_secure;         /* AT_SECURE: 0, 1 or TB_UNKNOWN */
    int seccomp;           /* 0 none, 1 strict, 2 filter, or TB_UNKNOWN */
    int has_uring;         /* an io_uring is open: 0, 1 or TB_UNKNOWN */
    bool has_php_curl;     /* PHP's module curl is loaded */
    int listeners;         /* listening TCP and Unix stream sockets, or TB_UNKNOWN */
    int is_other_mount_ns; /* 0, 1 or TB_UNKNOWN */
    uint64_t fsize_limit;  /* bytes; UINT64_MAX = none or unknown */
    uint64_t start_ns;     /* CLOCK_REALTIME, to a clock tick; 0 = unknown */
    char domain[128];      /* what a security module (SELinux, AppArmor) confines it to; empty = nothing, or unknown */
};

/* What the caller found out already: looking at all descriptors of a process costs a system call each. */
struct tb_process_known {
    int listeners;
    int has_uring;
};

/* tb_process_root - the prefix under which paths of @p are looked up: "" or "/proc/PID/root", in @buffer. */
#define TB_PROCESS_ROOT 64u
const char *tb_process_root(const struct tb_process *p, char buffer[TB_PROCESS_ROOT]);

/*
 * tb_process_arguments - the arguments of @pid as they are now, without the program's name. NULL when they cannot be
 * read. Free the array, which holds the texts too.
 */
const char **tb_process_arguments(pid_t pid, size_t *ret_count);

/*
 * tb_process_read - look at @pid.
 *
 * @known  NULL: find out
 *
 * Returns 0, or -ESRCH (no such process) or -errno when not even /proc is there.
 */
int tb_process_read(pid_t pid, const struct tb_process_known *known, struct tb_process *ret_process);

#endif

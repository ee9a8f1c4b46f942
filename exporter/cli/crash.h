/* SPDX-License-Identifier: Apache-2.0 */
/* The core file of a crash: what its first thread was doing, and whether that ran through the preloaded object. */
#ifndef TB_CRASH_H
#define TB_CRASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TB_CRASH_FRAMES 128u /* the innermost; the rest is not looked at */

struct tb_crash_frame {
    uint64_t address;
    char module[64];  /* base name of the file that the code is in; empty = no file */
    char symbol[128]; /* empty = unknown */
    bool is_object;
};

struct tb_crash {
    char program[32]; /* as the kernel calls it; empty = unknown */
    int signal;       /* 0 = unknown */
    bool has_object;  /* it was mapped */
    bool is_whole;    /* the stack was followed to its end (or for TB_CRASH_FRAMES frames) */
    struct tb_crash_frame frames[TB_CRASH_FRAMES];
    size_t count;
};

/*
 * tb_crash_read - read the core file @path. The thread that the kernel put first is the one that crashed. Needs no
 * debug information: the unwind tables in the mapped files do, as far as these are still the ones that crashed.
 *
 * Returns 0, or -1 with @ret_why (static) set. Nothing is fetched from elsewhere. One thread at a time.
 */
int tb_crash_read(const char *path, struct tb_crash *ret, const char **ret_why);

#endif

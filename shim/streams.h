/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The C library's streams (FILE) on sockets. Their reads and writes stay inside the library, past every symbol, so no
 * hook of printf or fgets could tell which bytes crossed the socket. What can: the functions that a stream calls to
 * move a whole buffer are reached through pointers, in a table that all streams of glibc share and in each stream of
 * musl. When, and only when, a stream gets a socket those pointers are led through this object; printf, fgets, getc
 * and the rest stay as they are, and cost nothing.
 *
 * No pointer is touched that was not recognised: in glibc the table's entries must be the very functions that the
 * library exports under their names, in musl each field must agree with what a public function says of it. Where that
 * fails nothing changes and the process says so (TB_UNOBSERVABLE_STDIO).
 */
#ifndef TB_STREAMS_H
#define TB_STREAMS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#pragma GCC visibility push(hidden)

/* tb_streams_watch - descriptors 0 to 2 may be sockets from now on. Two system calls, once in a process. */
void tb_streams_watch(void);

/* tb_streams_opened - @stream was made for @fd by fdopen. One system call when nothing is known of @fd. */
void tb_streams_opened(int fd, void *stream);

/*
 * tb_streams_defer_end - called at exit, after the program's handlers and before the library writes out its streams:
 * does a stream still hold bytes of a connection? Then the end of this process is noted after they are written.
 */
bool tb_streams_defer_end(void);

/* ---- what streams.c and streams_musl.c share ---- */

/* What is asked of any stream. Neither takes a lock: most callers hold the stream's already. */
struct tb_stream_calls {
    int (*fileno)(void *stream);
    size_t (*fpending)(void *stream); /* bytes written to it that the kernel does not have yet */
};
extern struct tb_stream_calls tb_stream_calls;

/* tb_streams_before_close - the library is about to close @stream's descriptor. */
void tb_streams_before_close(void *stream);
/* tb_streams_wrote - after bytes were written, on the way out of the process perhaps. */
void tb_streams_wrote(void);

/* tb_streams_musl_watch, _opened - the same as above where the library is musl. False: not recognised. */
bool tb_streams_musl_watch(void);
bool tb_streams_musl_opened(int fd, void *stream);
/* tb_streams_musl_stdout - its address; NULL where the library is another. */
void *tb_streams_musl_stdout(void);

#pragma GCC visibility pop
#endif

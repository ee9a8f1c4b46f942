/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streams of glibc, and what is common to all (streams.h). glibc reaches read, write and close of every stream on a
 * descriptor through two tables, _IO_file_jumps and _IO_wfile_jumps, whose layout is part of its binary interface since
 * 2.1 (C++ libraries were built on it) and which it exports, as it does the functions in them. It checks that a
 * stream's table is one of its own, not what stands in it. The loader sealed the tables after loading (relro); their
 * page is opened by the call that the loader sealed it with, four words are stored one by one, and it is sealed again.
 * So no filter that let the program start can mind, and nothing is ever unmapped, whatever fails.
 *
 * Fork story: all of it is private memory and is copied. Context: any. Of threads that come at the same time one opens
 * the tables and the others go on: bytes of theirs that cross in these microseconds are not seen.
 */
#include "streams.h"

#include <sys/mman.h>

#include "events.h"
#include "process.h"
#include "raw.h"
#include "resolve.h"

/* struct _IO_jump_t (glibc, libioP.h), in words: two that are unused, then the functions. */
enum { JUMP_SETBUF = 11, JUMP_READ = 14, JUMP_WRITE = 15, JUMP_CLOSE = 17 };

#define NOTED_MAX 16u

typedef ssize_t read_fn(void *stream, void *buf, ssize_t len);
typedef ssize_t write_fn(void *stream, const void *buf, ssize_t len);
typedef int close_fn(void *stream);
typedef void *setbuf_fn(void *stream, char *buf, ssize_t len);

struct tb_stream_calls tb_stream_calls;

static struct {
    read_fn *read;
    write_fn *write;
    close_fn *close;
    setbuf_fn *setbuf;
    void *out; /* the standard output stream itself */
} libc;

static uint32_t is_watched; /* streams are followed */
static uint32_t is_refused; /* they cannot be */
static uint32_t is_musl;
static uint32_t is_ending;     /* the program's end is to be noted after its streams are written out */
static void *noted[NOTED_MAX]; /* streams on sockets, so that at the end it is known whether one still holds bytes */
static uint32_t is_noted_full;

/* ---- what the tables lead to now ---- */

/* Unwinding passes through: the real functions are cancellation points. */
static ssize_t stream_read(void *stream, void *buf, ssize_t len)
{
    struct tb_at at = tb_at(tb_stream_calls.fileno(stream));
    ssize_t ret = libc.read(stream, buf, len);
    if (tb_load_relaxed(&tb_awake) && tb_fd_state(at.word) != TB_FD_IGNORED)
        tb_on_rx(at, buf, ret, (size_t)len, 0);
    return ret;
}

static ssize_t stream_write(void *stream, const void *buf, ssize_t len)
{
    struct tb_at at = tb_at(tb_stream_calls.fileno(stream));
    ssize_t ret = libc.write(stream, buf, len);
    if (tb_load_relaxed(&tb_awake) && tb_fd_state(at.word) != TB_FD_IGNORED) {
        tb_on_tx(at, buf, ret, 0);
        if (TB_UNLIKELY(ret < len)) /* it writes all, or what went before a failure, which may be nothing */
            tb_io_failed(at.fd, at.word, TB_SENT);
    }
    return ret;
}

static int stream_close(void *stream)
{
    tb_streams_before_close(stream);
    return libc.close(stream);
}

/* exit() takes the buffers away from used streams when all of them are written out: the last that it does. */
static void *stream_setbuf(void *stream, char *buf, ssize_t len)
{
    void *ret = libc.setbuf(stream, buf, len);
    if (TB_UNLIKELY(tb_load_relaxed(&is_ending)) && !buf)
        tb_process_before_exit();
    return ret;
}

/* ---- leading them there ---- */

static bool is_either(void *const *at, void *real, void *ours)
{
    void *found = tb_load_relaxed(at);
    return found == real || found == ours;
}

static bool is_known(void *const *table)
{
    return table && is_either(&table[JUMP_READ], (void *)libc.read, (void *)stream_read) &&
           is_either(&table[JUMP_WRITE], (void *)libc.write, (void *)stream_write) &&
           is_either(&table[JUMP_CLOSE], (void *)libc.close, (void *)stream_close);
}

static void set(void **table)
{
    tb_store_release(&table[JUMP_READ], (void *)stream_read);
    tb_store_release(&table[JUMP_WRITE], (void *)stream_write);
    if (tb_load_relaxed(&table[JUMP_SETBUF]) == (void *)libc.setbuf) /* the wide table's ends in this one */
        tb_store_release(&table[JUMP_SETBUF], (void *)stream_setbuf);
    tb_store_release(&table[JUMP_CLOSE], (void *)stream_close);
}

static long protect(uintptr_t from, uintptr_t to, long access)
{
    return tb_core.env.syscall(SYS_mprotect, (long)from, (long)(to - from), access, 0, 0, 0);
}

/* Each thread stores, so that none goes on before it is done; the last to leave seals. Who comes when it is done stores
 * nothing: so nobody stores while another seals. They lie side by side in the library that is loaded at @base. */
static bool lead(void **narrow, void **wide, uintptr_t base)
{
    static uint32_t inside, is_done;
    void **first = narrow < wide ? narrow : wide, **last = narrow < wide ? wide : narrow;
    uintptr_t page = tb_core.env.page_size, from = (uintptr_t)&first[JUMP_SETBUF] & ~(page - 1);
    uintptr_t to = ((uintptr_t)&last[JUMP_CLOSE + 1] + page - 1) & ~(page - 1);
    if (!tb_elf_is_sealed(base, from, to, page))
        return false;
    tb_fetch_add_acq_rel(&inside, 1);
    bool is_led = tb_load_acquire(&is_done);
    if (!is_led && protect(from, to, PROT_READ | PROT_WRITE) == 0) {
        set(narrow);
        set(wide);
        tb_store_release(&is_done, 1);
        is_led = true;
    }
    if (tb_fetch_add_acq_rel(&inside, (uint32_t)-1) == 1 && tb_load_acquire(&is_done))
        (void)protect(from, to, PROT_READ);
    return is_led;
}

static bool watch_glibc(void)
{
    uintptr_t base = 0;
    void **narrow = tb_resolve_object("_IO_file_jumps", &base), **wide = tb_resolve_object("_IO_wfile_jumps", &base);
    libc.read = (read_fn *)tb_resolve_next("_IO_file_read");
    libc.write = (write_fn *)tb_resolve_next("_IO_file_write");
    libc.close = (close_fn *)tb_resolve_next("_IO_file_close");
    libc.setbuf = (setbuf_fn *)tb_resolve_next("_IO_file_setbuf");
    libc.out = tb_resolve_object("_IO_2_1_stdout_", NULL);
    tb_stream_calls.fileno = (int (*)(void *))tb_resolve_next("fileno");
    tb_stream_calls.fpending = (size_t(*)(void *))tb_resolve_next("__fpending");
    if (!tb_stream_calls.fileno || !tb_stream_calls.fpending || !libc.read || !libc.write || !libc.close ||
        !libc.setbuf || !is_known(narrow) || !is_known(wide))
        return false;
    return lead(narrow, wide, base);
}

static bool watch(void)
{
    if (watch_glibc())
        return true;
    if (libc.read || !tb_streams_musl_watch()) /* half of glibc is no glibc */
        return false;
    libc.out = tb_streams_musl_stdout();
    tb_store_relaxed(&is_musl, 1);
    return true;
}

void tb_streams_watch(void)
{
    if (TB_LIKELY(tb_load_acquire(&is_watched)) || tb_load_relaxed(&is_refused))
        return;
    if (watch()) {
        tb_store_release(&is_watched, 1);
    } else {
        tb_store_relaxed(&is_refused, 1);
        tb_process_unobservable(TB_UNOBSERVABLE_STDIO);
    }
}

/* ---- streams that come and go ---- */

static void note(void *stream)
{
    for (size_t i = 0; i < NOTED_MAX; i++) {
        void *found = NULL;
        if (tb_cas_acq_rel(&noted[i], &found, stream) || found == stream)
            return;
    }
    tb_store_relaxed(&is_noted_full, 1);
}

static void forget(void *stream)
{
    for (size_t i = 0; i < NOTED_MAX; i++) {
        void *found = stream;
        if (tb_cas_acq_rel(&noted[i], &found, NULL))
            return;
    }
}

void tb_streams_opened(int fd, void *stream)
{
    enum tb_fd_state state = tb_fd_state(tb_fd_word(fd));
    if (!stream || state == TB_FD_IGNORED || (state == TB_FD_UNKNOWN && !tb_is_socket(fd)))
        return;
    tb_streams_watch();
    if (!tb_load_acquire(&is_watched))
        return;
    if (tb_load_relaxed(&is_musl) && !tb_streams_musl_opened(fd, stream))
        tb_process_unobservable(TB_UNOBSERVABLE_STDIO);
    note(stream);
}

void tb_streams_before_close(void *stream)
{
    forget(stream);
    int fd = tb_stream_calls.fileno(stream);
    uint64_t word = tb_load_relaxed(&tb_awake) ? tb_fd_word(fd) : 0;
    if (word)
        tb_on_close(fd, word);
}

/* ---- the end ---- */

static bool holds_bytes(void *stream)
{
    if (!stream || !tb_stream_calls.fpending(stream))
        return false;
    return tb_fd_state(tb_fd_word(tb_stream_calls.fileno(stream))) == TB_FD_CONN;
}

bool tb_streams_defer_end(void)
{
    if (TB_LIKELY(!tb_load_acquire(&is_watched)) || !tb_load_relaxed(&tb_awake))
        return false;
    bool is_needed = holds_bytes(libc.out) || tb_load_relaxed(&is_noted_full);
    for (size_t i = 0; i < NOTED_MAX && !is_needed; i++)
        is_needed = holds_bytes(tb_load_acquire(&noted[i]));
    tb_store_relaxed(&is_ending, is_needed);
    return is_needed;
}

/* musl writes its streams out one by one and does nothing afterwards: the last that holds bytes is the end. */
void tb_streams_wrote(void)
{
    if (TB_LIKELY(!tb_load_relaxed(&is_ending)) || tb_streams_defer_end())
        return;
    tb_process_before_exit();
}

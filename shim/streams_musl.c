/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streams of musl (streams.h). Each stream holds pointers of its own to the functions that read, write and close it, at
 * offsets that have not changed since 1.0; musl does not promise them, so a stream is taken only when the fields agree
 * with what the library's public functions answer, and when it holds the same functions as the standard streams do.
 * Only functions that take no lock are asked: getc holds a stream's lock in a way that its own thread cannot enter it
 * again.
 *
 * Context: as streams.c.
 */
#include "streams.h"

#include "events.h"
#include "process.h"
#include "resolve.h"

typedef size_t read_fn(void *stream, unsigned char *buf, size_t len);
typedef size_t write_fn(void *stream, const unsigned char *buf, size_t len);
typedef int close_fn(void *stream);

/* The beginning of struct _IO_FILE. */
struct stream {
    unsigned flags;
    unsigned char *rpos, *rend; /* received and not yet taken by the program */
    close_fn *close;
    unsigned char *wend, *wpos;
    unsigned char *must_be_zero;
    unsigned char *wbase; /* wbase to wpos: written by the program and not yet sent */
    read_fn *read;
    write_fn *write;
    void *seek;
    unsigned char *buf;
    size_t buf_size;
    struct stream *prev, *next;
    int fd;
};

/* In flags. */
#define HAS_FAILED 32u

static struct {
    size_t (*fpending)(void *stream);
    size_t (*freadahead)(void *stream);
    size_t (*fbufsize)(void *stream);
    read_fn *read;
    write_fn *write;     /* of every stream but standard output before its first use */
    write_fn *write_out; /* ... which then becomes the one above */
    close_fn *close;
    void *seek;
    struct stream *out;
} musl;

static int stream_fd(void *file)
{
    return ((struct stream *)file)->fd;
}

static size_t stream_held(void *file)
{
    const struct stream *s = file;
    return s->wpos > s->wbase ? (size_t)(s->wpos - s->wbase) : 0;
}

/*
 * One call may fill both the caller's buffer and the stream's own: then the first byte of the latter stands at the end
 * of the former, and the rest is read ahead.
 */
static size_t stream_read(void *file, unsigned char *buf, size_t len)
{
    struct stream *s = file;
    struct tb_at at = tb_at(s->fd);
    size_t ret = musl.read(s, buf, len);
    if (!tb_load_relaxed(&tb_awake) || tb_fd_state(at.word) == TB_FD_IGNORED)
        return ret;
    if (!ret && s->flags & HAS_FAILED) {
        tb_io_failed(at.fd, at.word, TB_RECEIVED);
        return ret;
    }
    size_t ahead = ret == len && s->rend > s->rpos ? (size_t)(s->rend - s->rpos) : 0;
    struct iovec ranges[2] = {{buf, ret}, {s->rpos, ahead}};
    if (ret || len)
        tb_io(at.fd, at.word, TB_RECEIVED, (const struct tb_bytes *)ranges, 2, ret + ahead);
    return ret;
}

static size_t stream_write(void *file, const unsigned char *buf, size_t len)
{
    struct stream *s = file;
    struct tb_at at = tb_at(s->fd);
    size_t held = stream_held(s);
    struct iovec ranges[2] = {{s->wbase, held}, {(void *)(uintptr_t)buf, len}};
    bool is_first_out = s == musl.out && musl.write_out;
    size_t ret = is_first_out ? musl.write_out(s, buf, len) : musl.write(s, buf, len);
    if (is_first_out && tb_load_relaxed((void **)&s->write) != (void *)stream_write) {
        tb_store_release((void **)&s->write, (void *)stream_write);
        musl.write_out = NULL;
    }
    if (tb_load_relaxed(&tb_awake) && tb_fd_state(at.word) != TB_FD_IGNORED) {
        /* After a failure there is no place to write to; what part was sent before it musl does not say. */
        if (!s->wpos)
            tb_io_failed(at.fd, at.word, TB_SENT);
        else if (held + len)
            tb_on_txv(at, ranges, 2, (ssize_t)(held + len));
    }
    tb_streams_wrote();
    return ret;
}

static int stream_close(void *file)
{
    tb_streams_before_close(file);
    return musl.close(file);
}

/* Do the fields mean what they should? */
static bool is_known(const struct stream *s, int fd)
{
    uintptr_t file = (uintptr_t)s;
    return s && s->fd == fd && !s->must_be_zero && (s->close == musl.close || s->close == stream_close) &&
           s->seek == musl.seek && s->buf_size == musl.fbufsize((void *)file) &&
           (size_t)(s->wpos - s->wbase) == musl.fpending((void *)file) &&
           (size_t)(s->rend - s->rpos) == musl.freadahead((void *)file);
}

static void lead(struct stream *s)
{
    if (s->read)
        tb_store_release((void **)&s->read, (void *)stream_read);
    if (s->write)
        tb_store_release((void **)&s->write, (void *)stream_write);
    tb_store_release((void **)&s->close, (void *)stream_close);
}

static struct stream *standard(const char *name)
{
    struct stream *const *at = tb_resolve_object(name, NULL);
    return at ? *at : NULL;
}

bool tb_streams_musl_watch(void)
{
    struct stream *in = standard("stdin"), *out = standard("stdout"), *error = standard("stderr");
    musl.fpending = (size_t(*)(void *))tb_resolve_next("__fpending");
    musl.freadahead = (size_t(*)(void *))tb_resolve_next("__freadahead");
    musl.fbufsize = (size_t(*)(void *))tb_resolve_next("__fbufsize");
    if (!in || !out || !error || !musl.freadahead || !musl.fbufsize || !musl.fpending)
        return false;
    /* What another thread has led here already, it has stored before. */
    if (tb_load_acquire((void **)&in->read) != (void *)stream_read)
        musl.read = in->read;
    if (tb_load_acquire((void **)&error->write) != (void *)stream_write)
        musl.write = error->write;
    if (tb_load_acquire((void **)&in->close) != (void *)stream_close)
        musl.close = in->close;
    musl.seek = in->seek;
    if (!musl.read || !musl.write || !musl.close || !out->write || in->write || out->read || error->read ||
        !is_known(in, 0) || !is_known(out, 1) || !is_known(error, 2))
        return false;
    if (out->write != musl.write && out->write != stream_write)
        musl.write_out = out->write;
    musl.out = out;
    tb_stream_calls = (struct tb_stream_calls){stream_fd, stream_held};
    lead(in);
    lead(out);
    lead(error);
    return true;
}

bool tb_streams_musl_opened(int fd, void *file)
{
    struct stream *s = file;
    if (!is_known(s, fd) || s->read != musl.read || s->write != musl.write)
        return false;
    lead(s);
    return true;
}

void *tb_streams_musl_stdout(void)
{
    return musl.out;
}

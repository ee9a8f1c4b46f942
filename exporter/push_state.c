/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log of an output (push_state.h). A record is its head and items, each a byte of kind and its fields; the same
 * function applies items when they are read and when they were just written, so that both agree.
 */
#include "push_state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "checksum.h"
#include "config.h"
#include "log.h"
#include "push_series.h"

#define MAGIC UINT64_C(0x31687375706274) /* "tbpush1" */
#define FILE_MAX ((size_t)2 << 30)
#define SLACK ((uint64_t)256 << 10)                     /* so much may be out of date before the file is written anew */
#define KEEP_NS (UINT64_C(30) * 24 * 3600 * 1000000000) /* a series that no snapshot has any more */

struct record_head {
    uint64_t magic, checksum;
    uint32_t length, zero;
};

enum item { ITEM_BORN = 1, ITEM_SNAPSHOT, ITEM_TAKE, ITEM_REQUEST, ITEM_BEGIN, ITEM_DONE };

struct tb_push_state {
    char *path; /* owned */
    bool is_lasting;
    int fd; /* at its end; -1: none */
    uint64_t born_ns, taken_ns, next_id;
    struct tb_push_series series;
    struct tb_push_request *requests; /* the oldest first, from first on */
    size_t first, count, space;
    uint64_t body_bytes;
    uint64_t begun_id;     /* of the request that is being sent; 0 = none */
    bool was_begun_before; /* by a process that is gone */
    uint64_t file_bytes;
    struct tb_buffer taken;  /* items of the next snapshot */
    struct tb_buffer staged; /* a record being made */
};

/* --- requests --------------------------------------------------------------------------------------------------------
 */

static void add_request(struct tb_push_state *s, const struct tb_push_request *r)
{
    if (s->first) {
        memmove(s->requests, s->requests + s->first, (s->count - s->first) * sizeof *s->requests);
        s->count -= s->first;
        s->first = 0;
    }
    s->requests = tb_grow(s->requests, s->count, &s->space, sizeof *s->requests);
    s->requests[s->count] = *r;
    s->requests[s->count++].body = tb_strndup(r->body, r->len);
    s->body_bytes += r->len;
    s->next_id = r->id >= s->next_id ? r->id + 1 : s->next_id;
}

/* Requests end in their order. */
static void end_request(struct tb_push_state *s, uint64_t id)
{
    while (s->first < s->count && s->requests[s->first].id <= id) {
        s->body_bytes -= s->requests[s->first].len;
        free(s->requests[s->first++].body);
    }
    s->begun_id = 0;
    s->was_begun_before = false;
}

/* --- items -----------------------------------------------------------------------------------------------------------
 */

static void begin_record(struct tb_buffer *b)
{
    struct record_head head = {.magic = MAGIC};
    b->len = 0;
    tb_put(b, (const char *)&head, sizeof head);
}

static void put_item(struct tb_buffer *b, enum item item)
{
    char byte = (char)item;
    tb_put(b, &byte, 1);
}

static void put_number(struct tb_buffer *b, uint64_t n)
{
    tb_put(b, (const char *)&n, sizeof n);
}

static void put_bytes(struct tb_buffer *b, const char *bytes, size_t len)
{
    put_number(b, len);
    tb_put(b, bytes, len);
}

static void put_request(struct tb_buffer *b, const struct tb_push_request *r)
{
    put_item(b, ITEM_REQUEST);
    put_number(b, r->id);
    put_number(b, r->time_ns);
    put_number(b, r->points);
    put_bytes(b, r->body, r->len);
}

static void put_entry(struct tb_buffer *b, const char *key, size_t key_len, const char *data, size_t len)
{
    put_item(b, ITEM_TAKE);
    put_bytes(b, key, key_len);
    put_bytes(b, data, len);
}

struct cursor {
    const char *at, *end;
};

static bool get_number(struct cursor *c, uint64_t *ret)
{
    if ((size_t)(c->end - c->at) < sizeof *ret)
        return false;
    memcpy(ret, c->at, sizeof *ret);
    c->at += sizeof *ret;
    return true;
}

static bool get_bytes(struct cursor *c, const char **ret, size_t *ret_len)
{
    uint64_t len;
    if (!get_number(c, &len) || len > (size_t)(c->end - c->at))
        return false;
    *ret = c->at;
    *ret_len = len;
    c->at += len;
    return true;
}

static bool apply_request(struct tb_push_state *s, struct cursor *c)
{
    struct tb_push_request r = {0};
    const char *body;
    uint64_t points;
    if (!get_number(c, &r.id) || !get_number(c, &r.time_ns) || !get_number(c, &points) || !get_bytes(c, &body, &r.len))
        return false;
    r.points = (uint32_t)points;
    r.body = (char *)(uintptr_t)body;
    add_request(s, &r);
    return true;
}

/* One item of a record. False: it is none that this version knows. */
static bool apply_item(struct tb_push_state *s, struct cursor *c)
{
    const char *key, *data;
    size_t key_len, len;
    uint64_t n;
    switch ((enum item)(unsigned char)*c->at++) {
    case ITEM_BORN:
        return get_number(c, &s->born_ns);
    case ITEM_SNAPSHOT:
        return get_number(c, &s->taken_ns);
    case ITEM_TAKE:
        if (!get_bytes(c, &key, &key_len) || !get_bytes(c, &data, &len))
            return false;
        tb_push_series_set(&s->series, key, key_len, data, len, s->taken_ns);
        return true;
    case ITEM_REQUEST:
        return apply_request(s, c);
    case ITEM_BEGIN:
        return get_number(c, &s->begun_id);
    case ITEM_DONE:
        if (!get_number(c, &n))
            return false;
        end_request(s, n);
        return true;
    }
    return false;
}

static bool apply(struct tb_push_state *s, const char *items, size_t len)
{
    struct cursor c = {items, items + len};
    while (c.at < c.end)
        if (!apply_item(s, &c))
            return false;
    return true;
}

/* --- the file --------------------------------------------------------------------------------------------------------
 */

/* Records until the first that is cut or damaged. Returns where that is. */
static size_t read_records(struct tb_push_state *s, const char *text, size_t len)
{
    size_t at = 0;
    struct record_head h;
    while (len - at >= sizeof h) {
        memcpy(&h, text + at, sizeof h);
        const char *items = text + at + sizeof h;
        if (h.magic != MAGIC || h.length > len - at - sizeof h || tb_checksum(items, h.length) != h.checksum ||
            !apply(s, items, h.length))
            break;
        at += sizeof h + h.length;
    }
    return at;
}

static int load(struct tb_push_state *s)
{
    size_t len = 0;
    char *text = tb_read_whole(s->path, FILE_MAX, &len);
    if (!text)
        return errno == ENOENT ? 0 : -errno;
    size_t good = read_records(s, text, len);
    free(text);
    if (good < len)
        tb_log(TB_LOG_WARN, "end of the push state is damaged: what stands before it is used", "path", s->path, NULL);
    s->was_begun_before = s->begun_id != 0;
    s->file_bytes = good;
    return 0;
}

static void seal(struct tb_buffer *b)
{
    struct record_head head = {.magic = MAGIC};
    head.length = (uint32_t)(b->len - sizeof head);
    head.checksum = tb_checksum(b->data + sizeof head, head.length);
    memcpy(b->data, &head, sizeof head);
}

/* All that counts, as one record. */
static void put_all(const struct tb_push_state *s, struct tb_buffer *b)
{
    begin_record(b);
    put_item(b, ITEM_BORN);
    put_number(b, s->born_ns);
    for (const struct tb_push_known *e = NULL; (e = tb_push_series_next(&s->series, e));) {
        put_item(b, ITEM_SNAPSHOT); /* so that each keeps its time */
        put_number(b, e->when_ns);
        put_entry(b, e->key, e->key_len, e->data, e->len);
    }
    put_item(b, ITEM_SNAPSHOT);
    put_number(b, s->taken_ns);
    for (size_t i = s->first; i < s->count; i++)
        put_request(b, &s->requests[i]);
    if (s->begun_id) {
        put_item(b, ITEM_BEGIN);
        put_number(b, s->begun_id);
    }
}

/* The directory that a file is in; -1: none. */
static int open_directory(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *dir = slash ? tb_strndup(path, (size_t)(slash - path)) : tb_format(".");
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    free(dir);
    return fd;
}

/* A file that root just made belongs to whom the directory does: the exporter may go on as that user. */
static void give(const char *path, int fd, int dir)
{
    struct stat st;
    if (geteuid() != 0 || fd < 0 || fstat(dir, &st) < 0 || st.st_uid == 0)
        return;
    if (fchown(fd, st.st_uid, st.st_gid) < 0)
        tb_log(TB_LOG_WARN, "push state cannot be given to its directory's owner", "path", path, "error",
               strerror(errno), NULL);
}

/* A file of its own, fsync, rename. Returns 0 or -errno with the old one in place. */
static int write_anew(struct tb_push_state *s)
{
    struct tb_buffer b = {0};
    char *path = tb_format("%s.new", s->path);
    put_all(s, &b);
    seal(&b);
    (void)unlink(path);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    int r = fd < 0 ? -errno : tb_write_all(fd, b.data, b.len), dir = open_directory(s->path);
    give(path, fd, dir);
    if (!r && (fsync(fd) < 0 || rename(path, s->path) < 0))
        r = -errno;
    if (r) {
        if (fd >= 0)
            close(fd);
        (void)unlink(path);
    } else {
        (void)fsync(dir); /* from then on the new file is what a power cut leaves */
        if (s->fd >= 0)
            close(s->fd);
        s->fd = fd;
        s->file_bytes = b.len;
    }
    if (dir >= 0)
        close(dir);
    tb_buffer_free(&b);
    free(path);
    return r;
}

/* What was begun of a record that could not be written whole must not stand before the next. */
static int append(struct tb_push_state *s, const struct tb_buffer *b)
{
    int r = tb_write_all(s->fd, b->data, b->len);
    if (!r && fdatasync(s->fd) < 0)
        r = -errno;
    if (r) {
        if (ftruncate(s->fd, (off_t)s->file_bytes) < 0 || lseek(s->fd, (off_t)s->file_bytes, SEEK_SET) < 0) {
            close(s->fd);
            s->fd = -1; /* written anew before anything else is */
        }
        return r;
    }
    s->file_bytes += b->len;
    return 0;
}

/* There is no file yet that this process may add to, or most of it is out of date. */
static bool needs_anew(const struct tb_push_state *s)
{
    return s->is_lasting && (s->fd < 0 || s->file_bytes > 2 * (s->series.bytes + s->body_bytes) + SLACK);
}

/* The staged record into the file, then applied. Where the file cannot be written nothing is. */
static int commit(struct tb_push_state *s)
{
    int r = 0;
    seal(&s->staged);
    if (needs_anew(s))
        r = write_anew(s);
    if (s->is_lasting && (!r || s->fd >= 0))
        r = append(s, &s->staged);
    if (!r)
        (void)apply(s, s->staged.data + sizeof(struct record_head), s->staged.len - sizeof(struct record_head));
    return r;
}

/* --- the rest --------------------------------------------------------------------------------------------------------
 */

int tb_push_state_open(const char *dir, const char *name, bool is_lasting, uint64_t now_ns, struct tb_push_state **ret)
{
    struct tb_push_state *s = tb_alloc(sizeof *s);
    s->path = tb_format("%s/push-%s", dir, name);
    s->is_lasting = is_lasting;
    s->born_ns = now_ns;
    s->next_id = 1;
    s->fd = -1;
    int r = load(s);
    if (r < 0) {
        tb_push_state_close(s);
        return r;
    }
    *ret = s;
    return 0;
}

void tb_push_state_close(struct tb_push_state *s)
{
    if (!s)
        return;
    tb_push_series_free(&s->series);
    for (size_t i = s->first; i < s->count; i++)
        free(s->requests[i].body);
    if (s->fd >= 0)
        close(s->fd);
    free(s->requests);
    tb_buffer_free(&s->taken);
    tb_buffer_free(&s->staged);
    free(s->path);
    free(s);
}

uint64_t tb_push_state_born_ns(const struct tb_push_state *s)
{
    return s->born_ns;
}

bool tb_push_state_is_new(const struct tb_push_state *s)
{
    return !s->taken_ns;
}

void tb_push_state_set_born(struct tb_push_state *s, uint64_t born_ns)
{
    s->born_ns = born_ns;
}

uint64_t tb_push_state_taken_ns(const struct tb_push_state *s)
{
    return s->taken_ns;
}

const char *tb_push_state_find(struct tb_push_state *s, const char *key, size_t key_len, size_t *ret_len)
{
    struct tb_push_known *e = tb_push_series_find(&s->series, key, key_len);
    if (e)
        e->when_ns = s->taken_ns;
    *ret_len = e ? e->len : 0;
    return e ? e->data : NULL;
}

void tb_push_state_take(struct tb_push_state *s, const char *key, size_t key_len, const char *data, size_t len)
{
    put_entry(&s->taken, key, key_len, data, len);
}

int tb_push_state_commit(struct tb_push_state *s, uint64_t time_ns, const struct tb_push_requests *requests)
{
    if (needs_anew(s) && s->taken_ns > KEEP_NS) /* those of this snapshot were just found, and count as of the last */
        tb_push_series_drop(&s->series, s->taken_ns - KEEP_NS);
    begin_record(&s->staged);
    put_item(&s->staged, ITEM_SNAPSHOT);
    put_number(&s->staged, time_ns);
    tb_put(&s->staged, s->taken.data, s->taken.len);
    s->taken.len = 0;
    for (size_t i = 0; i < requests->count; i++) {
        struct tb_push_request r = requests->items[i];
        r.id = s->next_id + i;
        r.time_ns = time_ns;
        put_request(&s->staged, &r);
    }
    return commit(s);
}

const struct tb_push_request *tb_push_state_head(const struct tb_push_state *s, bool *ret_is_started)
{
    const struct tb_push_request *r = s->first < s->count ? &s->requests[s->first] : NULL;
    *ret_is_started = r && s->was_begun_before && s->begun_id == r->id;
    return r;
}

static int commit_id(struct tb_push_state *s, enum item item)
{
    begin_record(&s->staged);
    put_item(&s->staged, item);
    put_number(&s->staged, s->requests[s->first].id);
    return commit(s);
}

int tb_push_state_begin(struct tb_push_state *s)
{
    return commit_id(s, ITEM_BEGIN);
}

int tb_push_state_done(struct tb_push_state *s)
{
    uint64_t id = s->requests[s->first].id;
    int r = commit_id(s, ITEM_DONE);
    if (r)
        end_request(s, id);
    return r;
}

size_t tb_push_state_requests(const struct tb_push_state *s)
{
    return s->count - s->first;
}

uint64_t tb_push_state_bytes(const struct tb_push_state *s)
{
    return s->body_bytes;
}

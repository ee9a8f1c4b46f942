/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client that writes in one thread and reads in another. Its writer is held (gate.c) between the real call and what
 * the object does after it, while the reader has the answer already. Every call is GET /items/N but for what the case
 * says; each answer has a length. Prints how many answers it has read. Usage: overtaken CASE PORT
 */
#include <dirent.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern void gate_close(void) __attribute__((weak));
extern void gate_wait(void) __attribute__((weak));
extern void gate_open(void) __attribute__((weak));

static struct sockaddr_in server = {.sin_family = AF_INET};
static pthread_t writer;

static void fail(const char *what)
{
    perror(what);
    exit(3);
}

static int reach(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&server, sizeof server))
        fail("connect");
    return fd;
}

struct sent {
    int fd;
    char text[200];
};

static void *send_it(void *arg)
{
    struct sent *s = arg;
    size_t len = strlen(s->text);
    if (write(s->fd, s->text, len) != (ssize_t)len)
        fail("write");
    free(s);
    return NULL;
}

static struct sent *text_of(int fd, const char *method, const char *path)
{
    struct sent *s = malloc(sizeof *s);
    s->fd = fd;
    snprintf(s->text, sizeof s->text, "%s %s HTTP/1.1\r\nHost: server\r\n\r\n", method, path);
    return s;
}

/* The request is with the server, and its writer is held. */
static void ask_held(struct sent *s)
{
    gate_close();
    if (pthread_create(&writer, NULL, send_it, s))
        fail("pthread_create");
    gate_wait();
}

static void release(void)
{
    gate_open();
    pthread_join(writer, NULL);
}

static char got[1 << 20];
static size_t have;
static int answers; /* read whole */

/* Reads up to @most bytes more of an answer. */
static void read_some(int fd, size_t most)
{
    ssize_t n = read(fd, got + have, most < sizeof got - 1 - have ? most : sizeof got - 1 - have);
    if (n <= 0)
        fail("read");
    have += (size_t)n;
    got[have] = 0;
}

/* Reads an answer to its end, @most bytes at a time; its head announces the body. */
static void answer(int fd, size_t most, int is_head)
{
    for (size_t want = have + 1; have < want;) {
        read_some(fd, most);
        const char *end = strstr(got, "\r\n\r\n"), *length = strstr(got, "Content-Length: ");
        want = end && length ? (size_t)(end + 4 - got) + (is_head ? 0 : strtoul(length + 16, NULL, 10)) : have + 1;
    }
    have = 0;
    answers++;
}
#define ANY (sizeof got)

static void whole(int fd)
{
    send_it(text_of(fd, "GET", "/items/1"));
    answer(fd, ANY, 0);
}

static void overtaken(int fd, const char *method, const char *path, size_t most)
{
    ask_held(text_of(fd, method, path));
    answer(fd, most, !strcmp(method, "HEAD"));
}

static void first(int fd)
{
    overtaken(fd, "GET", "/missing", ANY);
    release();
    whole(fd);
    close(fd);
}

static void slices(int fd)
{
    overtaken(fd, "GET", "/missing", 1);
    release();
    whole(fd);
    overtaken(fd, "GET", "/items/2", 3);
    release();
    close(fd);
}

static void kept(int fd)
{
    whole(fd);
    overtaken(fd, "GET", "/missing", ANY);
    release();
    overtaken(fd, "GET", "/error", ANY);
    release();
    whole(fd);
    close(fd);
}

static void closed(int fd)
{
    overtaken(fd, "GET", "/missing", ANY);
    close(fd);
    release();
}

static void kept_closed(int fd)
{
    whole(fd);
    overtaken(fd, "GET", "/missing", ANY);
    close(fd);
    release();
}

static void reused(int fd)
{
    overtaken(fd, "GET", "/missing", ANY);
    close(fd);
    int next = reach();
    if (next != fd)
        fail("another number");
    whole(next);
    release();
    whole(next);
    close(next);
}

static void head(int fd)
{
    overtaken(fd, "HEAD", "/big", ANY);
    release();
    whole(fd);
    overtaken(fd, "HEAD", "/items/3", ANY);
    close(fd);
    release();
}

static void middle(int fd)
{
    ask_held(text_of(fd, "GET", "/big"));
    read_some(fd, 1000);
    release();
    answer(fd, ANY, 0);
    ask_held(text_of(fd, "GET", "/big"));
    read_some(fd, 7);
    release();
    answer(fd, ANY, 0);
    close(fd);
}

static void cut(int fd)
{
    ask_held(text_of(fd, "GET", "/items/4"));
    read_some(fd, 30);
    close(fd); /* before the head of the answer is whole */
    release();
}

/* ---- the region is being made ---- */

static pid_t writer_id;
static int to_tracer[2], to_writer[2], to_reader[2];

static void pass(int fd)
{
    if (write(fd, &writer_id, sizeof writer_id) != sizeof writer_id)
        fail("write to a pipe");
}

static void wait_for(int fd)
{
    if (read(fd, &writer_id, sizeof writer_id) != sizeof writer_id)
        exit(3); /* the other one has said why */
}

/* The parent of the client: stops the thread that it is told of at the lock of a new region, until it is told to go on.
 */
static void trace(void)
{
    struct __ptrace_syscall_info info = {0};
    int status, is_there = 0;
    wait_for(to_tracer[0]);
    if (ptrace(PTRACE_SEIZE, writer_id, NULL, PTRACE_O_TRACESYSGOOD))
        exit(77);
    ptrace(PTRACE_INTERRUPT, writer_id, NULL, NULL);
    pass(to_writer[1]);
    while (!is_there && waitpid(writer_id, &status, __WALL) == writer_id && WIFSTOPPED(status)) {
        long got = ptrace(PTRACE_GET_SYSCALL_INFO, writer_id, sizeof info, &info);
        is_there = got > 0 && info.op == PTRACE_SYSCALL_INFO_ENTRY && info.entry.nr == SYS_flock;
        if (!is_there)
            ptrace(PTRACE_SYSCALL, writer_id, NULL, NULL);
    }
    if (!is_there)
        fail("no region is made");
    pass(to_reader[1]);
    wait_for(to_tracer[0]);
    ptrace(PTRACE_DETACH, writer_id, NULL, NULL);
}

static void *send_traced(void *arg)
{
    writer_id = (pid_t)syscall(SYS_gettid);
    pass(to_tracer[1]);
    wait_for(to_writer[0]);
    return send_it(arg);
}

/* The client goes on in a child, which only its parent may trace everywhere. */
static void start_tracer(void)
{
    if (pipe(to_tracer) || pipe(to_writer) || pipe(to_reader))
        fail("pipe");
    pid_t child = fork();
    if (child) {
        int status = 0;
        trace();
        exit(waitpid(child, &status, 0) == child && WIFEXITED(status) ? WEXITSTATUS(status) : 3);
    }
}

static void ask_in_the_making(int fd)
{
    if (pthread_create(&writer, NULL, send_traced, text_of(fd, "GET", "/missing")))
        fail("pthread_create");
    wait_for(to_reader[0]);
    answer(fd, ANY, 0);
}

static void making(int fd)
{
    ask_in_the_making(fd);
    pass(to_tracer[1]);
    pthread_join(writer, NULL);
    whole(fd);
    close(fd);
}

static void making_closed(int fd)
{
    ask_in_the_making(fd);
    close(fd);
    pass(to_tracer[1]);
    pthread_join(writer, NULL);
    whole(reach());
}

/* The region cannot be made after all: its file is gone. Nothing is counted, and nothing else happens. */
static void refused(int fd)
{
    const char *path = getenv("TICKBIRD_DIR");
    ask_in_the_making(fd);
    DIR *directory = path ? opendir(path) : NULL;
    if (!directory)
        fail("opendir");
    for (struct dirent *e; (e = readdir(directory));)
        if (strcmp(e->d_name, ".") && strcmp(e->d_name, "..") && unlinkat(dirfd(directory), e->d_name, 0))
            fail("unlink");
    closedir(directory);
    close(fd);
    pass(to_tracer[1]);
    pthread_join(writer, NULL);
    whole(reach());
}

/* The answer is all that the object ever sees of it. */
static void ended(int fd)
{
    overtaken(fd, "GET", "/missing", ANY);
    printf("%d\n", answers);
    exit(0);
}

/* Nobody is held: on two processors one overtakes the other now and then. */
static int many_fd;
static pthread_mutex_t many_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t many_changed = PTHREAD_COND_INITIALIZER;
static int asked, answered;

static void *ask_many(void *arg)
{
    (void)arg;
    for (int i = 0; i < 2000; i++) {
        pthread_mutex_lock(&many_lock);
        while (answered < i)
            pthread_cond_wait(&many_changed, &many_lock);
        asked = i + 1;
        pthread_mutex_unlock(&many_lock);
        send_it(text_of(many_fd, i % 7 ? "GET" : "HEAD", i % 3 ? "/items/5" : "/missing"));
    }
    return NULL;
}

static void many(int fd)
{
    many_fd = fd;
    if (pthread_create(&writer, NULL, ask_many, NULL))
        fail("pthread_create");
    for (int i = 0; i < 2000; i++) {
        answer(fd, ANY, i % 7 == 0);
        pthread_mutex_lock(&many_lock);
        answered = i + 1;
        pthread_cond_broadcast(&many_changed);
        pthread_mutex_unlock(&many_lock);
    }
    pthread_join(writer, NULL);
    close(fd);
}

/* As many, each on a connection of its own that the reader closes. */
static void many_new(int fd)
{
    close(fd);
    for (int i = 0; i < 1000; i++) {
        fd = reach();
        if (pthread_create(&writer, NULL, send_it, text_of(fd, "GET", i % 3 ? "/items/5" : "/missing")))
            fail("pthread_create");
        answer(fd, ANY, 0);
        close(fd);
        pthread_join(writer, NULL);
    }
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(int fd);
    } all[] = {{"first", first},
               {"slices", slices},
               {"kept", kept},
               {"closed", closed},
               {"reused", reused},
               {"kept_closed", kept_closed},
               {"head", head},
               {"middle", middle},
               {"cut", cut},
               {"making", making},
               {"making_closed", making_closed},
               {"refused", refused},
               {"ended", ended},
               {"many", many},
               {"many_new", many_new}};
    if (argc != 3 || !gate_close || !gate_wait || !gate_open)
        return 2;
    server.sin_port = htons((uint16_t)strtoul(argv[2], NULL, 10));
    server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (!strcmp(argv[1], all[i].name)) {
            if (!strncmp(argv[1], "making", 6) || !strcmp(argv[1], "refused"))
                start_tracer();
            all[i].run(reach());
            printf("%d\n", answers);
            return 0;
        }
    return 2;
}

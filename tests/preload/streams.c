/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small HTTP/1.1 server that reads and writes through streams (FILE): `streams STYLE MODEL` listens on a free
 * loopback port, prints it, and serves until it is killed. Paths: /small /large /empty 200 with a body of 5, 200,000
 * and 0 bytes, /missing 404, /broken 500, /stream a body ended by close, /exit a short answer that only exit() writes
 * out, /exit-long one without a length, longer than a buffer, /reset answered when the client has reset the connection.
 *
 * Styles: which functions of the library. Models: how the streams come to the connection.
 */
#include <locale.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <wchar.h>

#define LARGE 200000
static char body[LARGE];

struct style {
    const char *name;
    int (*line)(FILE *in, char *line, int size); /* without its end; -1 = over */
    int (*take)(FILE *in, size_t len);
    void (*head)(FILE *out, int status, long length); /* -1: no length */
    void (*send)(FILE *out, size_t len);
};

static int cut(char *line)
{
    size_t len = strcspn(line, "\r\n");
    line[len] = 0;
    return (int)len;
}

/* ---- fgets, fread, fprintf, fwrite ---- */

static int gets_line(FILE *in, char *line, int size)
{
    return fgets(line, size, in) ? cut(line) : -1;
}

static int read_body(FILE *in, size_t len)
{
    char sink[5000];
    while (len) {
        size_t got = fread(sink, 1, len < sizeof(sink) ? len : sizeof(sink), in);
        if (!got)
            return -1;
        len -= got;
    }
    return 0;
}

static void print_head(FILE *out, int status, long length)
{
    fprintf(out, "HTTP/1.1 %d Whatever\r\nServer: %s\r\n", status, "streams");
    if (length >= 0)
        fprintf(out, "Content-Length: %ld\r\n\r\n", length);
    else
        fprintf(out, "Connection: close\r\n\r\n");
}

static void write_body(FILE *out, size_t len)
{
    fwrite(body, 1, len, out);
}

/* ---- getline, getc and ungetc, fputs, putc ---- */

static int get_line(FILE *in, char *line, int size)
{
    char *text = NULL;
    size_t space = 0;
    ssize_t len = getline(&text, &space, in);
    if (len > 0)
        snprintf(line, (size_t)size, "%s", text);
    free(text);
    return len > 0 ? cut(line) : -1;
}

static int getc_body(FILE *in, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        int c = getc_unlocked(in);
        if (c == EOF)
            return -1;
        if (i % 1000 == 0) {
            ungetc(c, in);
            if (fgetc(in) != c)
                return -1;
        }
    }
    return 0;
}

static void puts_head(FILE *out, int status, long length)
{
    char number[32];
    fputs("HTTP/1.1 ", out);
    snprintf(number, sizeof(number), "%d", status);
    fputs(number, out);
    fputs(" Whatever\r\n", out);
    if (length >= 0) {
        snprintf(number, sizeof(number), "%ld", length);
        fputs("Content-Length: ", out);
        fputs(number, out);
    } else {
        fputs("Connection: close", out);
    }
    fputs("\r\n\r\n", out);
}

static void putc_body(FILE *out, size_t len)
{
    for (size_t i = 0; i < len; i++)
        putc_unlocked(body[i], out);
}

/* ---- fscanf, large fread, wide output ---- */

static int scan_line(FILE *in, char *line, int size)
{
    (void)size;
    line[0] = 0;
    if (fscanf(in, "%1000[^\r\n]", line) == EOF)
        return -1;
    return fgetc(in) == '\r' && fgetc(in) == '\n' ? (int)strlen(line) : -1;
}

static int fread_whole(FILE *in, size_t len)
{
    char *all = malloc(len + 1);
    size_t got = len ? fread(all, len, 1, in) : 1;
    free(all);
    return got == 1 ? 0 : -1;
}

static void wide_head(FILE *out, int status, long length)
{
    fwprintf(out, L"HTTP/1.1 %d Whatever\r\n", status);
    if (length >= 0)
        fwprintf(out, L"Content-Length: %ld\r\n\r\n", length);
    else
        fputws(L"Connection: close\r\n\r\n", out);
}

static void wide_body(FILE *out, size_t len)
{
    while (len--)
        fputwc(L'x', out);
}

static const struct style styles[] = {
    {"print", gets_line, read_body, print_head, write_body},
    {"char", get_line, getc_body, puts_head, putc_body},
    {"wide", scan_line, fread_whole, wide_head, wide_body},
    {"unbuffered", gets_line, read_body, print_head, write_body},
    {NULL, NULL, NULL, NULL, NULL},
};
static const struct style *style;

/* One request; 0 = the connection is over. */
static int serve_one(FILE *in, FILE *out)
{
    char line[1024], method[16], path[512];
    size_t length = 0;
    int status = 200, len;
    if (style->line(in, line, sizeof(line)) < 0 || sscanf(line, "%15s %511s", method, path) != 2)
        return 0;
    while ((len = style->line(in, line, sizeof(line))) > 0)
        if (!strncasecmp(line, "content-length:", 15))
            length = strtoul(line + 15, NULL, 10);
    if (len < 0 || (length && style->take(in, length)))
        return 0;
    if (!strcmp(path, "/reset"))
        poll(&(struct pollfd){.fd = fileno(out)}, 1, 20000); /* asked for nothing it tells of errors */
    size_t size = !strcmp(path, "/large") ? LARGE : !strcmp(path, "/empty") ? 0 : 5;
    status = !strcmp(path, "/missing") ? 404 : !strcmp(path, "/broken") ? 500 : 200;
    if (!strcmp(path, "/stream") || !strcmp(path, "/exit-long")) {
        style->head(out, 200, -1);
        style->send(out, 10000);
        if (path[1] == 'e')
            exit(0);
        return 0;
    }
    style->head(out, status, (long)size);
    if (strcmp(method, "HEAD"))
        style->send(out, size);
    if (!strcmp(path, "/exit"))
        exit(0);
    return fflush(out) == 0;
}

static void serve(FILE *in, FILE *out)
{
    if (!strcmp(style->name, "unbuffered"))
        setvbuf(out, NULL, _IONBF, 0);
    while (serve_one(in, out))
        ;
}

/* ---- models ---- */

static int accept_one(int listener)
{
    return accept(listener, NULL, NULL);
}

static void over_standard(int fd)
{
    dup2(fd, 0);
    dup2(fd, 1);
    close(fd);
}

/* A super-server: a program for each connection, which has it as fd 0 and 1. */
static void run_inetd(int listener)
{
    for (;;) {
        int fd = accept_one(listener);
        if (fork() == 0) {
            over_standard(fd);
            execl("/proc/self/exe", "streams", style->name, "standard", (char *)NULL);
            _exit(127);
        }
        close(fd);
    }
}

/* The same without a program of its own. */
static void run_fork(int listener)
{
    for (;;) {
        int fd = accept_one(listener);
        if (fork() == 0) {
            over_standard(fd);
            serve(stdin, stdout);
            exit(0);
        }
        close(fd);
    }
}

/* A child for each connection, which ends with the stream still open. */
static void run_fork_fdopen(int listener)
{
    for (;;) {
        int fd = accept_one(listener);
        if (fork() == 0) {
            serve(fdopen(dup(fd), "r"), fdopen(fd, "w"));
            exit(0);
        }
        close(fd);
    }
}

static void *serve_streams(void *argument)
{
    int fd = (int)(long)argument;
    FILE *in = fdopen(dup(fd), "r"), *out = fdopen(fd, "w");
    serve(in, out);
    fclose(out);
    fclose(in);
    return NULL;
}

static void run_fdopen(int listener)
{
    for (;;)
        serve_streams((void *)(long)accept_one(listener));
}

static void run_threads(int listener)
{
    for (;;) {
        int fd = accept_one(listener);
        pthread_t thread;
        if (pthread_create(&thread, NULL, serve_streams, (void *)(long)fd) == 0)
            pthread_detach(thread);
    }
}

static const struct {
    const char *name;
    void (*run)(int listener);
} models[] = {{"inetd", run_inetd},
              {"fork", run_fork},
              {"fork-fdopen", run_fork_fdopen},
              {"fdopen", run_fdopen},
              {"threads", run_threads}};

static int listen_anywhere(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(a);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&a, len) || listen(fd, 64) ||
        getsockname(fd, (struct sockaddr *)&a, &len)) {
        perror("listen");
        exit(2);
    }
    printf("%d\n", ntohs(a.sin_port));
    fflush(stdout);
    return fd;
}

int main(int argc, char **argv)
{
    memset(body, 'x', sizeof(body));
    setlocale(LC_ALL, "C");
    signal(SIGPIPE, SIG_IGN);
    signal(SIGCHLD, SIG_IGN);
    for (style = styles; argc > 2 && style->name && strcmp(style->name, argv[1]); style++)
        ;
    if (argc < 3 || !style->name) {
        fprintf(stderr, "usage: streams STYLE MODEL\n");
        return 2;
    }
    if (!strcmp(argv[2], "standard")) {
        serve(stdin, stdout);
        return 0;
    }
    for (size_t i = 0; i < sizeof(models) / sizeof(models[0]); i++)
        if (!strcmp(models[i].name, argv[2]))
            models[i].run(listen_anywhere());
    fprintf(stderr, "streams: no model %s\n", argv[2]);
    return 2;
}

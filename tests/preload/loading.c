/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program in which two threads load and unload libraries, TLS libraries and their callers among them, without end,
 * while two others open COUNT connections to it each that begin as TLS does. It must do nothing but that.
 * Usage: loading COUNT
 */
#include <arpa/inet.h>
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static struct sockaddr_in address;
static int count, is_over;

static void *load(void *seed)
{
    static const char *const libraries[] = {"libgnutls.so.30", "libcurl-gnutls.so.4", "libssl.so.3", "libyaml-0.so.2",
                                            "libmicrohttpd.so.12"};
    unsigned random = (unsigned)(size_t)seed;
    long loaded = 0;
    while (!__atomic_load_n(&is_over, __ATOMIC_RELAXED)) {
        void *library = dlopen(libraries[rand_r(&random) % 5], RTLD_NOW | RTLD_LOCAL);
        if (library && ++loaded)
            dlclose(library);
    }
    return (void *)loaded;
}

static void *hello(void *arg)
{
    char buf[16];
    (void)arg;
    for (int i = 0; i < count; i++) {
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        if (connect(fd, (struct sockaddr *)&address, sizeof address) ||
            write(fd, "\x16\x03\x01\x00\x05hello", 10) != 10 || read(fd, buf, sizeof buf) != 1)
            return "a connection failed";
        close(fd);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    socklen_t len = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    pthread_t loaders[2], clients[2];
    char buf[16];
    count = argc == 2 ? (int)strtol(argv[1], NULL, 10) : 0;
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (count <= 0 || listener < 0 || bind(listener, (struct sockaddr *)&address, len) || listen(listener, 64) ||
        getsockname(listener, (struct sockaddr *)&address, &len))
        return 2;
    for (size_t i = 0; i < 2; i++)
        if (pthread_create(&loaders[i], NULL, load, (void *)(i + 1)) || pthread_create(&clients[i], NULL, hello, NULL))
            return 2;
    for (int i = 0; i < 2 * count; i++) {
        int fd = accept(listener, NULL, NULL);
        if (read(fd, buf, sizeof buf) != 10 || write(fd, "x", 1) != 1)
            return 3;
        close(fd);
    }
    __atomic_store_n(&is_over, 1, __ATOMIC_RELAXED);
    for (size_t i = 0; i < 2; i++) {
        void *loaded = NULL, *wrong = NULL;
        pthread_join(clients[i], &wrong);
        pthread_join(loaders[i], &loaded);
        if (wrong || !loaded)
            return 4;
    }
    puts("done");
    return 0;
}

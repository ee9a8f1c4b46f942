/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Preloaded after the object, whose hook of write() calls this one: one write is held between the real call and what
 * the object does afterwards, while other threads do whatever they like.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static enum { OPEN, CLOSED, HOLDS } gate;

/* From one state to another, when it is that. */
static void turn(int from, int to)
{
    pthread_mutex_lock(&lock);
    while (gate != from)
        pthread_cond_wait(&changed, &lock);
    gate = to;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

/* The next writer is held. */
void gate_close(void)
{
    turn(OPEN, CLOSED);
}

/* Returns once it is: its real call is done. */
void gate_wait(void)
{
    turn(HOLDS, HOLDS);
}

void gate_open(void)
{
    turn(HOLDS, OPEN);
}

ssize_t write(int fd, const void *buf, size_t len)
{
    static ssize_t (*next)(int fd, const void *buf, size_t len);
    if (!next)
        next = (__typeof__(next))dlsym(RTLD_NEXT, "write");
    ssize_t ret = next(fd, buf, len);
    pthread_mutex_lock(&lock);
    if (gate == CLOSED) {
        gate = HOLDS;
        pthread_cond_broadcast(&changed);
        while (gate == HOLDS)
            pthread_cond_wait(&changed, &lock);
    }
    pthread_mutex_unlock(&lock);
    return ret;
}

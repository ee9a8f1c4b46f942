// SPDX-License-Identifier: Apache-2.0
// Threads that are cancelled inside hooked calls: their destructors must run, in every call that blocks.
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

static int destroyed;
struct Guard {
    ~Guard()
    {
        __atomic_add_fetch(&destroyed, 1, __ATOMIC_SEQ_CST);
    }
};

static int fds[2];
static void *wait_in(void *which)
{
    Guard first, second;
    char buf[16];
    iovec iov = {buf, sizeof(buf)};
    msghdr m = {};
    m.msg_iov = &iov;
    m.msg_iovlen = 1;
    for (;;)
        switch ((long)which) {
        case 0:
            (void)!read(fds[0], buf, sizeof(buf));
            break;
        case 1:
            recv(fds[0], buf, sizeof(buf), 0);
            break;
        case 2:
            (void)!readv(fds[0], &iov, 1);
            break;
        case 3:
            recvmsg(fds[0], &m, 0);
            break;
        case 4:
            recvfrom(fds[0], buf, sizeof(buf), 0, nullptr, nullptr);
            break;
        default:
            accept(fds[1], nullptr, nullptr);
            pause();
        }
    return nullptr;
}

int main()
{
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds))
        return 2;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    if (listen(listener, 1))
        return 2;
    fds[1] = listener;
    for (long which = 0; which < 6; which++) {
        pthread_t t;
        void *result;
        if (pthread_create(&t, nullptr, wait_in, (void *)which))
            return 2;
        pthread_cancel(t);
        pthread_join(t, &result);
        if (result != PTHREAD_CANCELED)
            return 3;
    }
    printf("destroyed %d\n", destroyed);
    return 0;
}

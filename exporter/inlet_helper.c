/* SPDX-License-Identifier: Apache-2.0 */
/* The process that starts commands (inlet_helper.h), as the exporter sees it. What it does: inlet_helper_main.c. */
#include "inlet_helper.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "buffer.h"
#include "inlet_helper_main.h"

struct tb_helper {
    struct tb_helper_commands commands;
    int socket; /* requests go there */
    pid_t pid;  /* 0: it has ended */
};

static void free_helper(struct tb_helper *h)
{
    for (size_t i = 0; i < h->commands.count; i++) {
        for (size_t k = 0; h->commands.argv[i][k]; k++)
            free(h->commands.argv[i][k]);
        free(h->commands.argv[i]);
        free(h->commands.names[i]);
    }
    free(h);
}

/* Ended by NULL. */
static char **copy_words(const struct tb_pull_config *c)
{
    char **words = tb_alloc((c->word_count + 1) * sizeof(char *));
    for (size_t i = 0; i < c->word_count; i++)
        words[i] = tb_strndup(c->command[i], strlen(c->command[i]));
    return words;
}

struct tb_helper *tb_helper_start(struct tb_pull_config *const *configs, size_t count)
{
    struct tb_helper *h = tb_alloc(sizeof *h);
    const pid_t exporter = getpid();
    int pair[2];
    for (size_t i = 0; i < count; i++) {
        h->commands.names[i] = tb_strndup(configs[i]->name, strlen(configs[i]->name));
        h->commands.argv[i] = copy_words(configs[i]);
    }
    h->commands.count = count;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
        free_helper(h);
        return NULL;
    }
    h->socket = pair[0];
    h->pid = fork();
    if (h->pid == 0)
        tb_helper_main(&h->commands, pair[1], exporter);
    const int error = errno;
    close(pair[1]);
    if (h->pid > 0)
        return h;
    close(pair[0]);
    free_helper(h);
    errno = error;
    return NULL;
}

void tb_helper_stop(struct tb_helper *h)
{
    if (!h)
        return;
    close(h->socket); /* what runs sees its own end */
    if (h->pid) {
        kill(h->pid, SIGKILL);
        while (waitpid(h->pid, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    free_helper(h);
}

static bool has_words(char *const *argv, const struct tb_pull_config *c)
{
    size_t i = 0;
    while (i < c->word_count && argv[i] && strcmp(argv[i], c->command[i]) == 0)
        i++;
    return i == c->word_count && !argv[i];
}

int tb_helper_find(const struct tb_helper *h, const struct tb_pull_config *c)
{
    for (size_t i = 0; h && i < h->commands.count; i++)
        if (strcmp(h->commands.names[i], c->name) == 0 && has_words(h->commands.argv[i], c))
            return (int)i;
    return -1;
}

static int send_request(const struct tb_helper *h, int number, int fd)
{
    union {
        struct cmsghdr head;
        char space[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec text = {&number, sizeof number};
    struct msghdr m = {
        .msg_iov = &text, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control.space};
    struct cmsghdr *head = CMSG_FIRSTHDR(&m);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(head), &fd, sizeof fd);
    return sendmsg(h->socket, &m, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -errno : 0;
}

int tb_helper_run(struct tb_helper *h, int number)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    int r = fcntl(pair[0], F_SETFL, O_NONBLOCK) < 0 ? -errno : send_request(h, number, pair[1]);
    close(pair[1]);
    if (r == 0)
        return pair[0];
    close(pair[0]);
    if (h->pid && waitpid(h->pid, NULL, WNOHANG) == h->pid)
        h->pid = 0;
    return r;
}

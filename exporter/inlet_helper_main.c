/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The process that starts commands (inlet_helper_main.h), and for each run one that waits for it. Both are copies of
 * the exporter, made before it had threads; they keep no descriptor of it.
 */
#include "inlet_helper_main.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "buffer.h"
#include "inlet_helper.h"

#define SOCKET_FD 3 /* of both: requests, or a run's output */
#define FDS_MAX 65536

/* --- a command -------------------------------------------------------------------------------------------------------
 */

/* What is left in the process that becomes the command. @failed: is told why it does not. */
static void __attribute__((noreturn)) become(char *const *argv, int output, int failed, pid_t parent)
{
    static const char *const environment[] = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                                              "LC_ALL=C.UTF-8", NULL};
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setsid();
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() == parent && dup2(output, STDOUT_FILENO) >= 0 && chdir("/") == 0)
        execve(argv[0], argv, (char *const *)environment);
    const int error = errno;
    (void)!write(failed, &error, sizeof error);
    _exit(127);
}

/* Returns its process, or 0 with *ret_error. */
static pid_t start(char *const *argv, int *ret_output, int *ret_error)
{
    int output[2], failed[2];
    const pid_t self = getpid();
    *ret_error = 0;
    if (pipe2(output, O_CLOEXEC) < 0 || pipe2(failed, O_CLOEXEC) < 0) {
        *ret_error = errno;
        return 0;
    }
    const pid_t pid = fork();
    if (pid == 0)
        become(argv, output[1], failed[1], self);
    *ret_error = errno;
    close(output[1]);
    close(failed[1]);
    if (pid < 0)
        return 0;
    ssize_t n;
    do
        n = read(failed[0], ret_error, sizeof *ret_error); /* nothing: it runs */
    while (n < 0 && errno == EINTR);
    close(failed[0]);
    if (n == sizeof *ret_error) {
        waitpid(pid, NULL, 0);
        return 0;
    }
    *ret_output = output[0];
    return pid;
}

/* --- a run -----------------------------------------------------------------------------------------------------------
 */

/* Reads what there is. Returns whether more may come. */
static bool take_output(int fd, struct tb_buffer *to)
{
    for (;;) {
        const size_t room = TB_HELPER_OUTPUT_MAX + 1 - to->len;
        const ssize_t n = room ? read(fd, tb_buffer_room(to, room), room) : 0;
        if (n <= 0)
            return n < 0 && (errno == EAGAIN || errno == EINTR);
        to->len += (size_t)n;
    }
}

static bool has_ended(pid_t pid)
{
    siginfo_t info = {0};
    return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == pid;
}

/* Until the command is over, wrote too much, or nobody waits. Its process is there still, so that its number stands
 * for it and for its group. Returns false when nobody waits. */
static bool wait_for(pid_t pid, int output, int children, struct tb_buffer *to)
{
    struct pollfd fds[] = {{.fd = SOCKET_FD}, {.fd = children, .events = POLLIN}, {.fd = output, .events = POLLIN}};
    struct signalfd_siginfo signal;
    for (;;) {
        const bool is_over = has_ended(pid);
        if (!take_output(output, to))
            fds[2].fd = -1;
        if (is_over || to->len > TB_HELPER_OUTPUT_MAX)
            return true;
        if (poll(fds, 3, -1) < 0 && errno != EINTR)
            return false;
        if (fds[0].revents)
            return false;
        if (fds[1].revents && read(children, &signal, sizeof signal) < 0 && errno != EAGAIN)
            return false;
    }
}

static void tell(const struct tb_helper_end *end, const struct tb_buffer *output)
{
    if (tb_write_all(SOCKET_FD, (const char *)end, sizeof *end) == 0)
        (void)tb_write_all(SOCKET_FD, output->data, (size_t)end->len);
}

static void __attribute__((noreturn)) run(char *const *argv)
{
    struct tb_buffer text = {0};
    struct tb_helper_end end = {.how = TB_HELPER_NO_PROGRAM};
    int output = -1, error = 0, status = 0;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD); /* which is blocked */
    const int children = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    const pid_t pid = start(argv, &output, &error);
    end.value = error;
    if (pid) {
        fcntl(output, F_SETFL, O_NONBLOCK);
        const bool is_wanted = wait_for(pid, output, children, &text);
        kill(-pid, SIGKILL); /* and what it has left behind in its group */
        kill(pid, SIGKILL);
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
            ;
        if (!is_wanted)
            _exit(0);
        end.how = text.len > TB_HELPER_OUTPUT_MAX ? TB_HELPER_TOO_MUCH
                  : WIFEXITED(status)             ? TB_HELPER_EXITED
                                                  : TB_HELPER_KILLED;
        end.value = WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status);
    }
    end.len = end.how == TB_HELPER_EXITED ? text.len : 0;
    tell(&end, &text);
    _exit(0);
}

/* --- requests --------------------------------------------------------------------------------------------------------
 */

/* From @first on. */
static void close_from(int first)
{
#ifdef SYS_close_range
    if (syscall(SYS_close_range, (unsigned)first, ~0u, 0u) == 0)
        return;
#endif
    for (int fd = first; fd < FDS_MAX; fd++)
        close(fd);
}

/* The one descriptor besides the first three, which lead nowhere. */
static void keep_only(int fd)
{
    const int nowhere = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int i = 0; i < 3; i++)
        dup2(nowhere, i);
    if (fd != SOCKET_FD)
        dup3(fd, SOCKET_FD, O_CLOEXEC);
    close_from(SOCKET_FD + 1);
}

/* The number of a command and where its output goes. False: there are no more requests. */
static bool take_request(int *ret_number, int *ret_fd)
{
    union {
        struct cmsghdr head;
        char space[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec text = {ret_number, sizeof *ret_number};
    struct msghdr m = {
        .msg_iov = &text, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control.space};
    *ret_fd = -1;
    const ssize_t n = recvmsg(SOCKET_FD, &m, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (n < 0)
        return errno == EINTR || errno == EAGAIN;
    const struct cmsghdr *head = CMSG_FIRSTHDR(&m);
    if (head && head->cmsg_type == SCM_RIGHTS && head->cmsg_len == CMSG_LEN(sizeof *ret_fd))
        memcpy(ret_fd, CMSG_DATA(head), sizeof *ret_fd);
    if (n != sizeof *ret_number && *ret_fd >= 0) {
        close(*ret_fd);
        *ret_fd = -1;
    }
    return n > 0;
}

/* No command runs twice at a time, so there are never more processes than commands. */
static void reap(pid_t *pids, size_t count)
{
    for (pid_t pid; (pid = waitpid(-1, NULL, WNOHANG)) > 0;)
        for (size_t i = 0; i < count; i++)
            if (pids[i] == pid)
                pids[i] = 0;
}

static void begin_run(const struct tb_helper_commands *c, pid_t *pids, int number, int fd)
{
    if (number >= 0 && (size_t)number < c->count && !pids[number]) {
        const pid_t pid = fork();
        if (pid == 0) {
            keep_only(fd);
            run(c->argv[number]);
        }
        pids[number] = pid > 0 ? pid : 0;
    }
    close(fd);
}

static void wake(int signal)
{
    (void)signal; /* what it interrupts goes on with what has changed */
}

void tb_helper_main(const struct tb_helper_commands *c, int socket, pid_t exporter)
{
    pid_t pids[TB_INLETS_MAX] = {0};
    sigset_t children, none;
    sigemptyset(&none);
    sigemptyset(&children);
    sigaddset(&children, SIGCHLD);
    sigprocmask(SIG_BLOCK, &children, NULL);
    sigaction(SIGCHLD, &(struct sigaction){.sa_handler = wake}, NULL);
    prctl(PR_SET_NAME, "tickbird-runs");
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    keep_only(socket);
    struct pollfd fds = {.fd = SOCKET_FD, .events = POLLIN};
    bool has_more = getppid() == exporter;
    while (has_more) {
        int number = -1, fd = -1;
        if (ppoll(&fds, 1, NULL, &none) < 0 && errno != EINTR)
            break;
        has_more = take_request(&number, &fd);
        reap(pids, c->count);
        if (fd >= 0)
            begin_run(c, pids, number, fd);
    }
    _exit(0);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* sd_notify(3) without its library (notify.h): one datagram to a local socket, whose name may be an abstract one. */
#include "notify.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "boot.h"

void tb_notify(const char *state)
{
    const char *name = getenv("NOTIFY_SOCKET");
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    size_t len = name ? strlen(name) : 0;
    if ((len && *name != '/' && *name != '@') || len < 2 || len >= sizeof to.sun_path)
        return;
    memcpy(to.sun_path, name, len);
    if (*name == '@')
        to.sun_path[0] = 0;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    socklen_t space = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
    (void)sendto(fd, state, strlen(state), MSG_NOSIGNAL, (const struct sockaddr *)&to, space);
    close(fd);
}

void tb_notify_reloading(void)
{
    char text[64];
    snprintf(text, sizeof text, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64, tb_clock_ns(CLOCK_MONOTONIC) / 1000);
    tb_notify(text);
}

void tb_notify_ready(void)
{
    tb_notify("READY=1");
}

uint64_t tb_notify_interval_ns(void)
{
    const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
    if (!usec || (pid && strtoul(pid, NULL, 10) != (unsigned long)getpid()))
        return 0;
    unsigned long long us = strtoull(usec, NULL, 10);
    return us < UINT64_C(86400000000) ? us * 500 : 0;
}

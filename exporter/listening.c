/* SPDX-License-Identifier: Apache-2.0 */
/* The socket tables of all network namespaces seen so far (listening.h), matched with the descriptors of processes. */
#include "listening.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "buffer.h"
#include "sockets.h"

#define NAMESPACES_MAX 64u /* beyond, the table is read for each process */

struct tb_listening {
    struct {
        char name[64]; /* net:[INODE] */
        struct tb_inodes listening;
        bool *is_held; /* by a process that this user may look into; as many as there are inodes */
    } known[NAMESPACES_MAX];
    size_t count;
};

/* The number of @pid's network namespace; its table is read when it is new. */
static size_t namespace_of(struct tb_listening *all, pid_t pid)
{
    char path[64], name[64];
    snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)pid);
    ssize_t len = readlink(path, name, sizeof(name) - 1);
    name[len > 0 ? len : 0] = 0;
    for (size_t i = 0; i < all->count; i++)
        if (name[0] && strcmp(all->known[i].name, name) == 0)
            return i;
    if (all->count == NAMESPACES_MAX) {
        all->count--;
        free(all->known[all->count].listening.inodes);
        free(all->known[all->count].is_held);
    }
    size_t at = all->count++;
    memcpy(all->known[at].name, name, sizeof(name));
    tb_sockets_listening(pid, false, &all->known[at].listening);
    all->known[at].is_held = tb_alloc(all->known[at].listening.count + 1);
    return at;
}

/* How many of @own listen; notes each as held by somebody known. */
static size_t count_listening(struct tb_listening *all, size_t number, const struct tb_inodes *own)
{
    const struct tb_inodes *listening = &all->known[number].listening;
    size_t i = 0, k = 0, found = 0;
    while (i < own->count && k < listening->count) {
        if (own->inodes[i] == listening->inodes[k]) {
            all->known[number].is_held[k] = true;
            found++;
        }
        if (own->inodes[i] <= listening->inodes[k])
            i++;
        else
            k++;
    }
    return found;
}

struct tb_listening *tb_listening_new(void)
{
    struct tb_listening *all = tb_alloc(sizeof(*all));
    namespace_of(all, getpid());
    return all;
}

size_t tb_listening_of(struct tb_listening *all, pid_t pid, bool *ret_has_uring)
{
    struct tb_inodes own = {0};
    *ret_has_uring = false;
    if (tb_sockets_of(pid, &own, ret_has_uring) != 0)
        return 0;
    size_t listens = own.count ? count_listening(all, namespace_of(all, pid), &own) : 0;
    free(own.inodes);
    return listens;
}

void tb_listening_free(struct tb_listening *all, size_t *ret_hidden)
{
    size_t hidden = 0;
    for (size_t i = 0; i < all->count; i++) {
        for (size_t k = 0; k < all->known[i].listening.count; k++)
            hidden += !all->known[i].is_held[k];
        free(all->known[i].listening.inodes);
        free(all->known[i].is_held);
    }
    if (ret_hidden)
        *ret_hidden = hidden;
    free(all);
}

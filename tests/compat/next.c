/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Another interposer, loaded behind the object: what a hook must find is this one. Each call is noted in the file that
 * NEXT_COUNT names (8 bytes), then made. With VERSIONED there is an old version of each name beside the default one;
 * whoever takes the old one gets an error.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <unistd.h>

typedef ssize_t io(int fd, void *buf, size_t len);
static uint64_t none, *count = &none;

static __attribute__((constructor)) void start(void)
{
    const char *path = getenv("NEXT_COUNT");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    void *at = fd >= 0 ? mmap(NULL, 8, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) : MAP_FAILED;
    if (at != MAP_FAILED)
        count = at;
    if (fd >= 0)
        close(fd);
}

#define CALL(name)                                                                                                     \
    static ssize_t libc_##name(int fd, void *buf, size_t len)                                                          \
    {                                                                                                                  \
        static io *found; /* every thread finds the same */                                                            \
        if (!found)                                                                                                    \
            found = (io *)dlsym(RTLD_NEXT, #name);                                                                     \
        return found(fd, buf, len);                                                                                    \
    }                                                                                                                  \
    ssize_t next_##name(int fd, void *buf, size_t len);                                                                \
    ssize_t next_##name(int fd, void *buf, size_t len)                                                                 \
    {                                                                                                                  \
        __atomic_fetch_add(count, 1, __ATOMIC_RELAXED);                                                                \
        return libc_##name(fd, buf, len);                                                                              \
    }                                                                                                                  \
    ssize_t old_##name(void);                                                                                          \
    ssize_t old_##name(void)                                                                                           \
    {                                                                                                                  \
        errno = EIO;                                                                                                   \
        return -1;                                                                                                     \
    }
CALL(read)
CALL(write)

#ifdef VERSIONED
__asm__(".symver old_read, read@NEXT_1\n.symver next_read, read@@NEXT_2\n"
        ".symver old_write, write@NEXT_1\n.symver next_write, write@@NEXT_2\n");
#else
__asm__(
    ".globl read, write\n.set read, next_read\n.set write, next_write\n.type read, @function\n.type write, @function");
#endif

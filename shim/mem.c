/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The four functions that a compiler may call on its own, whatever the flags. Hidden: the object must neither import
 * libc's nor replace them for the host. They are rarely reached (struct copies); the agent's own loops are in bytes.h.
 */
#include <stddef.h>
#include <stdint.h>

void *memcpy(void *restrict to, const void *restrict from, size_t len);
void *memmove(void *to, const void *from, size_t len);
void *memset(void *to, int value, size_t len);
int memcmp(const void *a, const void *b, size_t len);

void *memcpy(void *restrict to, const void *restrict from, size_t len)
{
    uint8_t *t = to;
    const uint8_t *f = from;
    while (len--)
        *t++ = *f++;
    return to;
}

void *memmove(void *to, const void *from, size_t len)
{
    uint8_t *t = to;
    const uint8_t *f = from;
    if ((uintptr_t)to < (uintptr_t)from)
        while (len--)
            *t++ = *f++;
    else
        while (len--)
            t[len] = f[len];
    return to;
}

void *memset(void *to, int value, size_t len)
{
    uint8_t *t = to;
    while (len--)
        *t++ = (uint8_t)value;
    return to;
}

int memcmp(const void *a, const void *b, size_t len)
{
    const uint8_t *x = a, *y = b;
    for (; len; len--, x++, y++)
        if (*x != *y)
            return *x < *y ? -1 : 1;
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds the preloaded object and composes LD_PRELOAD. The symlink's name is used and not the versioned file behind it,
 * so that programs started later by the same parent get the object of the day.
 *
 * Entry points: tb_object_find, tb_object_locate, tb_object_preload, tb_object_is_name.
 */
#include "object.h"
#include "cli.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The library directory of the installation, set by the build; without it the neighbours of the command are searched.
 */
#ifndef TB_LIBDIR
#define TB_LIBDIR ""
#endif

static int inspect(struct tb_object *object)
{
    int fd = open(object->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int result = tb_elf_file_read(fd, &object->file);
    close(fd);
    if (result == 0 && object->file.kind != TB_FILE_ELF)
        result = -ENOEXEC;
    return result;
}

/* Directory of this command, without a trailing slash; empty when /proc is missing. */
static void own_directory(char *ret_path, size_t size)
{
    ssize_t len = readlink("/proc/self/exe", ret_path, size - 1);
    ret_path[len > 0 ? len : 0] = 0;
    char *slash = strrchr(ret_path, '/');
    if (slash)
        *slash = 0;
}

static bool try_path(struct tb_object *object, const char *directory, const char *below)
{
    if (!directory[0] || directory[0] != '/')
        return false;
    int len = snprintf(object->path, sizeof(object->path), "%s%s/%s", directory, below, TB_OBJECT_NAME);
    return len > 0 && (size_t)len < sizeof(object->path) && inspect(object) == 0;
}

/* LD_PRELOAD is shown to people: without "bin/..", but with the link's own name. */
static int tidy(struct tb_object *object)
{
    char directory[PATH_MAX], *slash = strrchr(object->path, '/');
    *slash = 0;
    if (!realpath(object->path, directory) || strlen(directory) + sizeof(TB_OBJECT_NAME) + 1 > sizeof(directory))
        return -ENOENT;
    snprintf(object->path, sizeof(object->path), "%s/%s", directory, TB_OBJECT_NAME);
    return 0;
}

static int use_wanted(const char *wanted, struct tb_object *object)
{
    if (!realpath(wanted, object->path)) {
        tb_cli_message("%s: %s: give the path of " TB_OBJECT_NAME, wanted, strerror(errno));
        return -1;
    }
    int result = inspect(object);
    if (result != 0) {
        tb_cli_message("%s: %s: give the path of " TB_OBJECT_NAME, wanted,
                       result == -ENOEXEC ? "not a shared object" : strerror(-result));
        return -1;
    }
    return 0;
}

/* Debian's directory for libraries of this architecture; empty elsewhere. */
#if defined(__x86_64__)
#define MULTIARCH "/../lib/x86_64-linux-gnu"
#elif defined(__aarch64__)
#define MULTIARCH "/../lib/aarch64-linux-gnu"
#else
#define MULTIARCH "/../lib"
#endif

int tb_object_locate(struct tb_object *ret_object)
{
    static const char *const below[] = {"", "/../lib", MULTIARCH, "/../lib64"};
    char own[PATH_MAX];
    own_directory(own, sizeof(own));
    for (size_t i = 0; i < sizeof(below) / sizeof(below[0]); i++)
        if (try_path(ret_object, own, below[i]))
            return i ? tidy(ret_object) : 0;
    if (try_path(ret_object, TB_LIBDIR, ""))
        return 0;
    return -ENOENT;
}

int tb_object_find(const char *wanted, struct tb_object *ret_object)
{
    if (wanted) {
        if (use_wanted(wanted, ret_object) != 0)
            return -1;
    } else if (tb_object_locate(ret_object) != 0) {
        tb_cli_message(TB_OBJECT_NAME ": not found next to this command%s%s: install it, or name it with --lib FILE",
                       TB_LIBDIR[0] ? " or in " : "", TB_LIBDIR);
        return -1;
    }
    if (strpbrk(ret_object->path, " \t:")) {
        tb_cli_message("%s: blanks and colons separate names in LD_PRELOAD: put it under a path without them",
                       ret_object->path);
        return -1;
    }
    return 0;
}

bool tb_object_is_name(const char *name, size_t len)
{
    const char *base = name;
    for (const char *c = name; c < name + len; c++)
        if (*c == '/')
            base = c + 1;
    size_t left = (size_t)(name + len - base), want = strlen(TB_OBJECT_NAME);
    return left >= want && memcmp(base, TB_OBJECT_NAME, want) == 0 && (left == want || base[want] == '.');
}

int tb_object_preload(const char *object, const char *current, char *ret_value, size_t size)
{
    static const char separators[] = " \t:"; /* glibc: blanks and colons; musl: white space and colons */
    size_t at = strlen(object);
    if (at >= size)
        return -ENAMETOOLONG;
    memcpy(ret_value, object, at + 1);
    for (const char *word = current ? current : ""; *word;) {
        size_t skip = strspn(word, separators), len = strcspn(word + skip, separators);
        word += skip;
        if (len && !tb_object_is_name(word, len)) {
            if (at + 1 + len >= size)
                return -ENAMETOOLONG;
            ret_value[at] = ':';
            memcpy(ret_value + at + 1, word, len);
            at += 1 + len;
            ret_value[at] = 0;
        }
        word += len;
    }
    return 0;
}

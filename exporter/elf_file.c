/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads an ELF file by hand: program headers, interpreter, notes, and of the dynamic section the needed libraries and
 * one symbol. libelf would do the first half, but not without mapping the file or loading it whole; programs of 100 MB
 * are common and this reads a few KiB of them. Section headers are not used: strip removes them.
 *
 * Every offset and count comes from a stranger: each is bounded before it is used, each loop has a limit.
 * Entry points: tb_elf_file_read, tb_elf_machine_name.
 */
#include "elf_file.h"

#include <elf.h>
#include <errno.h>
#include <link.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define SEGMENTS_MAX 128u
#define NOTES_MAX (64u << 10) /* bytes of one PT_NOTE that are looked at */
#define DYNAMIC_MAX 512u      /* entries */
#define CHAIN_MAX 4096u       /* symbols of one hash bucket */
#define BUILDINFO_MAX (64u << 10)

struct reader {
    int fd;
    struct tb_elf_file *file;
    ElfW(Phdr) segments[SEGMENTS_MAX];
    size_t segment_count;
};

/* 0 when all @len bytes were read, -EIO at the end of the file, or -errno. */
static int read_at(int fd, uint64_t offset, void *buffer, size_t len)
{
    size_t done = 0;
    while (done < len) {
        if (offset > INT64_MAX - len)
            return -EIO;
        ssize_t got = pread(fd, (char *)buffer + done, len - done, (off_t)(offset + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        if (got == 0)
            return -EIO;
        done += (size_t)got;
    }
    return 0;
}

/* As much as there is, up to @len. */
static size_t read_some(int fd, uint64_t offset, void *buffer, size_t len)
{
    if (offset > INT64_MAX - len)
        return 0;
    ssize_t got = pread(fd, buffer, len, (off_t)offset);
    return got > 0 ? (size_t)got : 0;
}

/* File offset of @len bytes at a virtual address. Returns false when no segment has them. */
static bool offset_of(const struct reader *r, uint64_t address, uint64_t len, uint64_t *ret_offset)
{
    for (size_t i = 0; i < r->segment_count; i++) {
        const ElfW(Phdr) *s = &r->segments[i];
        if (s->p_type != PT_LOAD || address < s->p_vaddr || address - s->p_vaddr > s->p_filesz)
            continue;
        if (s->p_filesz - (address - s->p_vaddr) < len)
            continue;
        *ret_offset = s->p_offset + (address - s->p_vaddr);
        return true;
    }
    return false;
}

static bool read_address(const struct reader *r, uint64_t address, void *buffer, size_t len)
{
    uint64_t offset;
    return offset_of(r, address, len, &offset) && read_at(r->fd, offset, buffer, len) == 0;
}

/* Go linkers leave a note named "Go" with the build id (type 4); it is allocated, so strip keeps it. */
static bool has_go_note(const struct reader *r, const ElfW(Phdr) * segment)
{
    static char notes[NOTES_MAX];
    size_t want = segment->p_filesz < sizeof(notes) ? (size_t)segment->p_filesz : sizeof(notes);
    size_t len = read_some(r->fd, segment->p_offset, notes, want), at = 0;
    while (len - at >= sizeof(ElfW(Nhdr))) {
        ElfW(Nhdr) note;
        memcpy(&note, notes + at, sizeof(note));
        at += sizeof(note);
        uint64_t name = ((uint64_t)note.n_namesz + 3) & ~UINT64_C(3);
        uint64_t all = name + (((uint64_t)note.n_descsz + 3) & ~UINT64_C(3));
        if (note.n_namesz == 4 && note.n_type == 4 && len - at >= 4 && memcmp(notes + at, "Go\0", 4) == 0)
            return true;
        if (all > len - at)
            return false;
        at += (size_t)all;
    }
    return false;
}

/* The build information blob lies at the start of the first writable segment, aligned to 16 bytes. */
static bool has_go_buildinfo(const struct reader *r, const ElfW(Phdr) * segment)
{
    static char data[BUILDINFO_MAX];
    static const char magic[] = "\xff Go buildinf:";
    size_t want = segment->p_filesz < sizeof(data) ? (size_t)segment->p_filesz : sizeof(data);
    size_t len = read_some(r->fd, segment->p_offset, data, want);
    for (size_t at = 0; at + sizeof(magic) - 1 <= len; at += 16)
        if (memcmp(data + at, magic, sizeof(magic) - 1) == 0)
            return true;
    return false;
}

struct dynamic {
    uint64_t strings, strings_len, symbols, gnu_hash;
    uint64_t needed[64]; /* offsets in the string table */
    size_t needed_count;
};

static bool read_dynamic(const struct reader *r, const ElfW(Phdr) * segment, struct dynamic *d)
{
    memset(d, 0, sizeof(*d));
    uint64_t count = segment->p_filesz / sizeof(ElfW(Dyn));
    for (uint64_t i = 0; i < count && i < DYNAMIC_MAX; i++) {
        ElfW(Dyn) entry;
        if (read_at(r->fd, segment->p_offset + i * sizeof(entry), &entry, sizeof(entry)) != 0)
            return false;
        if (entry.d_tag == DT_NULL)
            break;
        if (entry.d_tag == DT_STRTAB)
            d->strings = entry.d_un.d_ptr;
        else if (entry.d_tag == DT_STRSZ)
            d->strings_len = entry.d_un.d_val;
        else if (entry.d_tag == DT_SYMTAB)
            d->symbols = entry.d_un.d_ptr;
        else if (entry.d_tag == DT_GNU_HASH)
            d->gnu_hash = entry.d_un.d_ptr;
        else if (entry.d_tag == DT_NEEDED && d->needed_count < sizeof(d->needed) / sizeof(d->needed[0]))
            d->needed[d->needed_count++] = entry.d_un.d_val;
    }
    return d->strings && d->strings_len;
}

/* The string at @offset of the dynamic string table, cut to @size; empty when it is not there. */
static void dynamic_string(const struct reader *r, const struct dynamic *d, uint64_t offset, char *buffer, size_t size)
{
    uint64_t at;
    buffer[0] = 0;
    if (offset >= d->strings_len || !offset_of(r, d->strings + offset, 1, &at))
        return;
    size_t want = d->strings_len - offset < size - 1 ? (size_t)(d->strings_len - offset) : size - 1;
    buffer[read_some(r->fd, at, buffer, want)] = 0;
}

static bool is_defined_as(const struct reader *r, const struct dynamic *d, uint32_t index, const char *name)
{
    ElfW(Sym) symbol;
    char found[64];
    if (!read_address(r, d->symbols + (uint64_t)index * sizeof(symbol), &symbol, sizeof(symbol)))
        return false;
    if (symbol.st_shndx == SHN_UNDEF)
        return false;
    dynamic_string(r, d, symbol.st_name, found, sizeof(found));
    return strcmp(found, name) == 0;
}

/* Looks @name up in the GNU hash table (a bucket, then a chain whose last entry has bit 0 set). */
static bool exports(const struct reader *r, const struct dynamic *d, const char *name)
{
    uint32_t head[4]; /* buckets, first hashed symbol, bloom words, bloom shift */
    uint32_t hash = 5381, index;
    for (const char *c = name; *c; c++)
        hash = hash * 33 + (unsigned char)*c;
    if (!d->gnu_hash || !d->symbols || !read_address(r, d->gnu_hash, head, sizeof(head)) || !head[0])
        return false;
    uint64_t buckets = d->gnu_hash + sizeof(head) + (uint64_t)head[2] * sizeof(ElfW(Addr));
    uint64_t chains = buckets + (uint64_t)head[0] * 4;
    if (!read_address(r, buckets + (uint64_t)(hash % head[0]) * 4, &index, sizeof(index)) || index < head[1])
        return false;
    for (uint32_t steps = 0; steps < CHAIN_MAX; steps++, index++) {
        uint32_t word;
        if (!read_address(r, chains + (uint64_t)(index - head[1]) * 4, &word, sizeof(word)))
            return false;
        if ((word | 1) == (hash | 1) && is_defined_as(r, d, index, name))
            return true;
        if (word & 1)
            return false;
    }
    return false;
}

static void look_at_dynamic(const struct reader *r, const ElfW(Phdr) * segment)
{
    struct dynamic d;
    struct tb_elf_file *file = r->file;
    if (!read_dynamic(r, segment, &d))
        return;
    for (size_t i = 0; i < d.needed_count; i++) {
        char name[64];
        dynamic_string(r, &d, d.needed[i], name, sizeof(name));
        file->needs_libssl |= strncmp(name, "libssl.so", 9) == 0;
        file->needs_gnutls |= strncmp(name, "libgnutls.so", 12) == 0;
        file->needs_liburing |= strncmp(name, "liburing.so", 11) == 0;
    }
    file->has_own_tls = exports(r, &d, "SSL_read");
}

static void look_at_segments(struct reader *r)
{
    struct tb_elf_file *file = r->file;
    bool seen_data = false;
    file->is_static = true;
    for (size_t i = 0; i < r->segment_count; i++) {
        const ElfW(Phdr) *s = &r->segments[i];
        if (s->p_type == PT_INTERP) {
            size_t want = s->p_filesz < TB_FILE_TEXT - 1 ? (size_t)s->p_filesz : TB_FILE_TEXT - 1;
            file->interpreter[read_some(r->fd, s->p_offset, file->interpreter, want)] = 0;
            file->is_static = false;
        } else if (s->p_type == PT_NOTE) {
            file->is_go |= has_go_note(r, s);
        } else if (s->p_type == PT_DYNAMIC) {
            look_at_dynamic(r, s);
        } else if (s->p_type == PT_LOAD && (s->p_flags & PF_W) && !seen_data) {
            seen_data = true;
            file->is_go |= has_go_buildinfo(r, s);
        }
    }
    const char *name = strrchr(file->interpreter, '/');
    name = name ? name + 1 : file->interpreter;
    if (strncmp(name, "ld-musl", 7) == 0)
        file->libc = TB_LIBC_MUSL;
    else if (strncmp(name, "ld-linux", 8) == 0 || strcmp(name, "ld64.so.1") == 0)
        file->libc = TB_LIBC_GLIBC;
}

static void look_at_elf(int fd, const unsigned char *ident, struct tb_elf_file *file)
{
    static struct reader r;
    ElfW(Ehdr) head;
    const int native_class = sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32;
    const int native_data = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? ELFDATA2LSB : ELFDATA2MSB;

    file->kind = TB_FILE_BROKEN;
    if (ident[EI_CLASS] != ELFCLASS32 && ident[EI_CLASS] != ELFCLASS64)
        return;
    if (ident[EI_DATA] != ELFDATA2LSB && ident[EI_DATA] != ELFDATA2MSB)
        return;
    file->bits = ident[EI_CLASS] == ELFCLASS64 ? 64 : 32;
    file->machine = (uint16_t)(ident[EI_DATA] == ELFDATA2LSB ? ident[18] | ident[19] << 8 : ident[19] | ident[18] << 8);
    file->is_foreign = ident[EI_CLASS] != native_class || ident[EI_DATA] != native_data;
    if (file->is_foreign) {
        file->kind = TB_FILE_ELF;
        return;
    }
    if (read_at(fd, 0, &head, sizeof(head)) != 0 || (head.e_type != ET_EXEC && head.e_type != ET_DYN) ||
        head.e_phentsize != sizeof(ElfW(Phdr)) || head.e_phnum == 0 || head.e_phnum > SEGMENTS_MAX)
        return;
    r = (struct reader){.fd = fd, .file = file, .segment_count = head.e_phnum};
    if (read_at(fd, head.e_phoff, r.segments, head.e_phnum * sizeof(r.segments[0])) != 0)
        return;
    file->kind = TB_FILE_ELF;
    look_at_segments(&r);
}

/* "#!  /usr/bin/env -S x y  \n" -> "/usr/bin/env -S x y" */
static void keep_script_line(const char *bytes, size_t len, char *ret_line)
{
    size_t from = 2, to;
    while (from < len && (bytes[from] == ' ' || bytes[from] == '\t'))
        from++;
    for (to = from; to < len && bytes[to] != '\n' && bytes[to] != 0; to++)
        ;
    while (to > from && (bytes[to - 1] == ' ' || bytes[to - 1] == '\t'))
        to--;
    memcpy(ret_line, bytes + from, to - from);
    ret_line[to - from] = 0;
}

int tb_elf_file_read(int fd, struct tb_elf_file *ret_file)
{
    char start[TB_FILE_TEXT];
    ssize_t got = pread(fd, start, sizeof(start) - 1, 0);
    if (got < 0)
        return -errno;
    memset(ret_file, 0, sizeof(*ret_file));
    if (got >= 2 && start[0] == '#' && start[1] == '!') {
        ret_file->kind = TB_FILE_SCRIPT;
        keep_script_line(start, (size_t)got, ret_file->script);
    } else if (got >= SELFMAG && memcmp(start, ELFMAG, SELFMAG) == 0) {
        ret_file->kind = TB_FILE_BROKEN;
        if (got >= 20)
            look_at_elf(fd, (const unsigned char *)start, ret_file);
    }
    return 0;
}

const char *tb_elf_machine_name(uint16_t machine, uint8_t bits, char buffer[32])
{
    switch (machine) {
    case EM_X86_64:
        return bits == 32 ? "x32" : "x86-64";
    case EM_386:
        return "i386";
    case EM_AARCH64:
        return "arm64";
    case EM_ARM:
        return "arm";
    case EM_RISCV:
        return bits == 32 ? "riscv32" : "riscv64";
    case EM_PPC64:
        return "ppc64";
    case EM_S390:
        return "s390x";
    case EM_MIPS:
        return "mips";
    default:
        snprintf(buffer, 32, "machine %u", machine);
        return buffer;
    }
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Follows the stack of a crash with elfutils. Which file an address belongs to is taken from the core file's own list
 * of mappings (NT_FILE) and not from the modules found on disk, so that it is right for files that are gone, too.
 *
 * Entry point: tb_crash_read.
 */
#include "crash.h"

#include <elfutils/libdwfl.h>
#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <libelf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/procfs.h>
#include <unistd.h>

#include "exporter/process.h"

/* A note NT_FILE: 64-bit words, a count and a page size, then begin, end and page of each range; the names behind them.
 * Not aligned. */
struct mappings {
    const char *words, *names, *end;
    uint64_t count;
};

struct walk {
    Dwfl *dwfl;
    struct mappings files;
    struct tb_crash *crash;
};

static uint64_t word_at(const char *words, uint64_t i)
{
    uint64_t word;
    memcpy(&word, words + 8 * i, sizeof word);
    return word;
}

static void read_mappings(const char *data, size_t size, struct mappings *ret)
{
    if (size < 16 || word_at(data, 0) > (size - 16) / 24)
        return;
    ret->count = word_at(data, 0);
    ret->words = data;
    ret->names = data + 16 + 24 * ret->count;
    ret->end = data + size;
}

static uint64_t range_begin(const struct mappings *m, uint64_t i)
{
    return word_at(m->words, 2 + 3 * i);
}

/* The file that @address is mapped from; NULL: none. */
static const char *file_at(const struct mappings *m, uint64_t address)
{
    const char *name = m->names;
    for (uint64_t i = 0; i < m->count; i++) {
        size_t len = strnlen(name, (size_t)(m->end - name));
        if (name + len == m->end)
            return NULL; /* no end: what follows is not there */
        if (address >= range_begin(m, i) && address < word_at(m->words, 3 + 3 * i))
            return name;
        name += len + 1;
    }
    return NULL;
}

static bool is_object(const char *file)
{
    const char *base = strrchr(file, '/');
    return strncmp(base ? base + 1 : file, TB_OBJECT_NAME, strlen(TB_OBJECT_NAME)) == 0;
}

static bool has_object(const struct mappings *m)
{
    for (uint64_t i = 0; i < m->count; i++) {
        const char *file = file_at(m, range_begin(m, i));
        if (file && is_object(file))
            return true;
    }
    return false;
}

static void read_note(const GElf_Nhdr *note, const char *data, struct tb_crash *crash, struct mappings *files)
{
    struct elf_prstatus status; /* copied: notes are not aligned */
    struct elf_prpsinfo info;
    if (note->n_type == NT_PRSTATUS && note->n_descsz == sizeof status && !crash->signal) {
        memcpy(&status, data, sizeof status);
        crash->signal = status.pr_cursig;
    } else if (note->n_type == NT_PRPSINFO && note->n_descsz == sizeof info) {
        memcpy(&info, data, sizeof info);
        snprintf(crash->program, sizeof crash->program, "%.*s", (int)sizeof info.pr_fname, info.pr_fname);
    } else if (note->n_type == NT_FILE) {
        read_mappings(data, note->n_descsz, files);
    }
}

static void read_notes(Elf *elf, struct tb_crash *crash, struct mappings *files)
{
    size_t count = 0;
    elf_getphdrnum(elf, &count);
    for (size_t i = 0; i < count; i++) {
        GElf_Phdr header;
        if (!gelf_getphdr(elf, (int)i, &header) || header.p_type != PT_NOTE)
            continue;
        Elf_Data *data = elf_getdata_rawchunk(elf, (int64_t)header.p_offset, header.p_filesz, ELF_T_NHDR);
        GElf_Nhdr note;
        size_t name, text;
        for (size_t at = 0; data && (at = gelf_getnote(data, at, &note, &name, &text)) != 0;)
            read_note(&note, (const char *)data->d_buf + text, crash, files);
    }
}

static int take_frame(Dwfl_Frame *state, void *arg)
{
    struct walk *w = arg;
    Dwarf_Addr address;
    bool is_activation;
    if (w->crash->count == TB_CRASH_FRAMES)
        return DWARF_CB_ABORT;
    if (!dwfl_frame_pc(state, &address, &is_activation))
        return -1;
    Dwarf_Addr in_call = address - !is_activation; /* behind a call that does not return, another function begins */
    struct tb_crash_frame *f = &w->crash->frames[w->crash->count++];
    const char *file = file_at(&w->files, in_call), *base = file ? strrchr(file, '/') : NULL;
    Dwfl_Module *module = dwfl_addrmodule(w->dwfl, in_call);
    const char *symbol = module ? dwfl_module_addrname(module, in_call) : NULL;
    f->address = in_call;
    f->is_object = file && is_object(file);
    snprintf(f->module, sizeof f->module, "%s", base ? base + 1 : file ? file : "");
    snprintf(f->symbol, sizeof f->symbol, "%s", symbol ? symbol : "");
    return DWARF_CB_OK;
}

/* Only the first thread. */
static int take_thread(Dwfl_Thread *thread, void *arg)
{
    struct walk *w = arg;
    int result = dwfl_thread_getframes(thread, take_frame, w);
    w->crash->is_whole = result == 0 || w->crash->count == TB_CRASH_FRAMES;
    return DWARF_CB_ABORT;
}

/* Unwind tables are in the files themselves; nothing else is looked for. */
static int find_no_debuginfo(Dwfl_Module *module, void **user, const char *name, Dwarf_Addr base, const char *file,
                             const char *link, GElf_Word crc, char **ret_name)
{
    (void)module, (void)user, (void)name, (void)base, (void)file, (void)link, (void)crc, (void)ret_name;
    return -1;
}

static const char *read_elf(Elf *elf, struct tb_crash *crash)
{
    static const Dwfl_Callbacks callbacks = {.find_elf = dwfl_build_id_find_elf, .find_debuginfo = find_no_debuginfo};
    struct walk w = {.crash = crash};
    GElf_Ehdr header;
    if (elf_kind(elf) != ELF_K_ELF || !gelf_getehdr(elf, &header) || header.e_type != ET_CORE)
        return "it is no core file";
    if (header.e_ident[EI_CLASS] != ELFCLASS64)
        return "it is of a 32-bit program, which the object is not for";
    read_notes(elf, crash, &w.files);
    if (!w.files.count)
        return "what was mapped is not in it: it may have been cut short";
    crash->has_object = has_object(&w.files);
    unsetenv("DEBUGINFOD_URLS"); /* no files from servers */
    w.dwfl = dwfl_begin(&callbacks);
    bool is_fit = w.dwfl && dwfl_core_file_report(w.dwfl, elf, NULL) > 0 && dwfl_report_end(w.dwfl, NULL, NULL) == 0 &&
                  dwfl_core_file_attach(w.dwfl, elf) >= 0;
    if (is_fit)
        dwfl_getthreads(w.dwfl, take_thread, &w);
    if (w.dwfl)
        dwfl_end(w.dwfl);
    return crash->count ? NULL : "its threads cannot be read: it may have been cut short";
}

int tb_crash_read(const char *path, struct tb_crash *ret, const char **ret_why)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        *ret_why = strerror(errno);
        return -1;
    }
    *ret = (struct tb_crash){0};
    elf_version(EV_CURRENT);
    Elf *elf = elf_begin(fd, ELF_C_READ_MMAP, NULL);
    *ret_why = elf ? read_elf(elf, ret) : "it is no core file";
    elf_end(elf);
    close(fd);
    return *ret_why ? -1 : 0;
}

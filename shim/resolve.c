/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Symbol lookup without libc: hash tables of loaded objects (ELF gABI "Hash Table", the GNU hash section), the loader's
 * object list (through DT_DEBUG of the executable, or the loader's own symbol), the auxiliary vector.
 * Entry points: tb_resolve_next for the functions behind the hooks, tb_elf_symbol for the vDSO.
 */
#include "resolve.h"

#include "../agent/atomics.h"
#include "raw.h"

#define FUNCTIONS (1u << STT_FUNC | 1u << STT_GNU_IFUNC | 1u << STT_NOTYPE)
#define SPAN_MAX ((uintptr_t)256 << 20) /* of a library's addresses, larger than any C library */
#define OBJECTS_MAX 4096                /* of the loader's list; a longer or damaged list ends the walk */

struct tables {
    const ElfW(Sym) * symbols;
    const char *strings;
    const uint32_t *gnu_hash;
    const uint32_t *sysv_hash;
    const uint16_t *versions;
    uintptr_t name; /* DT_SONAME: offset in strings; 0: none */
    unsigned types; /* of symbols, as bits, that are looked for */
};

unsigned long tb_auxval(unsigned long type)
{
    if (getauxval)
        return getauxval(type);
    long fd = TB_RAW4(SYS_openat, AT_FDCWD, "/proc/self/auxv", O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0)
        return 0;
    unsigned long pairs[2 * 64] = {0}, value = 0;
    long got = TB_RAW3(SYS_read, fd, pairs, sizeof(pairs));
    TB_RAW1(SYS_close, fd);
    for (long i = 0; got > 0 && i + 1 < got / (long)sizeof(long); i += 2)
        if (pairs[i] == type)
            value = pairs[i + 1];
    return value;
}

static uintptr_t distance(uintptr_t a, uintptr_t b)
{
    return a < b ? b - a : a - b;
}

/*
 * musl and the vDSO leave addresses in the dynamic section as they are in the file, glibc adds the base. Which of the
 * two was done shows in what is nearer to the section itself, at @dyn. A base may be "negative": an object whose file
 * asks for a high address (prelinked) and that lies lower. Near 0 the two cannot be told apart and only glibc has it.
 */
static const void *at(uintptr_t base, const ElfW(Dyn) * dyn, uintptr_t value)
{
    const uintptr_t here = (uintptr_t)dyn, near = 1u << 24;
    if (base < near || base > UINTPTR_MAX - near || distance(value, here) <= distance(base + value, here))
        return (const void *)value;
    return (const void *)(base + value);
}

static struct tables find_tables(uintptr_t base, const ElfW(Dyn) * dyn)
{
    struct tables t = {0};
    const ElfW(Dyn) *section = dyn;
    for (; dyn->d_tag != DT_NULL; dyn++) {
        const void *p = at(base, section, dyn->d_un.d_ptr);
        if (dyn->d_tag == DT_SYMTAB)
            t.symbols = p;
        else if (dyn->d_tag == DT_STRTAB)
            t.strings = p;
        else if (dyn->d_tag == DT_GNU_HASH)
            t.gnu_hash = p;
        else if (dyn->d_tag == DT_HASH)
            t.sysv_hash = p;
        else if (dyn->d_tag == DT_VERSYM)
            t.versions = p;
        else if (dyn->d_tag == DT_SONAME)
            t.name = dyn->d_un.d_val;
    }
    return t;
}

bool tb_same_text(const char *a, const char *b)
{
    while (*a && *a == *b)
        a++, b++;
    return *a == *b;
}

static bool is_match(const struct tables *t, uint32_t i, const char *name)
{
    const ElfW(Sym) *s = &t->symbols[i];
    unsigned type = s->st_info & 15u, bind = s->st_info >> 4;
    return s->st_shndx != SHN_UNDEF && (t->types >> type & 1) && (bind == STB_GLOBAL || bind == STB_WEAK) &&
           !(t->versions && t->versions[i] & 0x8000) && tb_same_text(t->strings + s->st_name, name);
}

/* Index of the symbol, 0 = none. Layout: nbuckets, first symbol, words and shift of the Bloom filter; the filter;
 * buckets; chains of hashes whose last has bit 0 set. */
static uint32_t find_gnu(const struct tables *t, const char *name)
{
    uint32_t hash = 5381;
    for (const char *s = name; *s; s++)
        hash = hash * 33 + (uint8_t)*s;
    const uint32_t *h = t->gnu_hash;
    if (!h[0] || !h[2])
        return 0;
    const ElfW(Addr) *bloom = (const void *)(h + 4);
    const unsigned bits = sizeof(*bloom) * 8;
    ElfW(Addr) word = bloom[hash / bits & (h[2] - 1)];
    if (!(word >> (hash % bits) & word >> ((hash >> h[3]) % bits) & 1))
        return 0;
    const uint32_t *buckets = (const void *)(bloom + h[2]), *chain = buckets + h[0];
    uint32_t i = buckets[hash % h[0]];
    if (i < h[1])
        return 0;
    for (;; i++) {
        uint32_t link = chain[i - h[1]];
        if ((link | 1) == (hash | 1) && is_match(t, i, name))
            return i;
        if (link & 1)
            return 0;
    }
}

static uint32_t find_sysv(const struct tables *t, const char *name)
{
    uint32_t hash = 0;
    for (const char *s = name; *s; s++) {
        hash = (hash << 4) + (uint8_t)*s;
        hash = (hash ^ (hash & 0xf0000000u) >> 24) & 0x0fffffffu;
    }
    uint32_t buckets = t->sysv_hash[0], limit = t->sysv_hash[1];
    const uint32_t *bucket = t->sysv_hash + 2, *chain = bucket + buckets;
    uint32_t i = buckets ? bucket[hash % buckets] : 0;
    for (uint32_t steps = 0; i && steps < limit; steps++, i = chain[i])
        if (is_match(t, i, name))
            return i;
    return 0;
}

static const ElfW(Sym) * find_symbol(uintptr_t base, const ElfW(Dyn) * dyn, const char *name, unsigned types)
{
    struct tables t = find_tables(base, dyn);
    t.types = types;
    if (!t.symbols || !t.strings || (!t.gnu_hash && !t.sysv_hash))
        return NULL;
    uint32_t i = t.gnu_hash ? find_gnu(&t, name) : find_sysv(&t, name);
    return i ? &t.symbols[i] : NULL;
}

static void *find(uintptr_t base, const ElfW(Dyn) * dyn, const char *name, unsigned types)
{
    const ElfW(Sym) *s = find_symbol(base, dyn, name, types);
    if (!s)
        return NULL;
    uintptr_t address = base + s->st_value;
    if ((s->st_info & 15u) == STT_GNU_IFUNC) /* x86 passes nothing, AArch64 the machine's capabilities */
        address = ((uintptr_t(*)(unsigned long))address)(tb_auxval(AT_HWCAP));
    return (void *)address;
}

#ifdef __aarch64__
enum { JUMP_SLOT = R_AARCH64_JUMP_SLOT, GLOB_DAT = R_AARCH64_GLOB_DAT };
#else
enum { JUMP_SLOT = R_X86_64_JUMP_SLOT, GLOB_DAT = R_X86_64_GLOB_DAT };
#endif

static void each_import(const struct tables *t, uintptr_t base, struct tb_bytes table, tb_elf_import_fn *visit,
                        void *arg)
{
    const ElfW(Rela) *r = (const void *)table.ptr;
    for (size_t i = 0; i < table.len / sizeof(*r); i++) {
        unsigned type = ELF64_R_TYPE(r[i].r_info);
        const ElfW(Sym) *s = &t->symbols[ELF64_R_SYM(r[i].r_info)];
        if ((type == JUMP_SLOT || type == GLOB_DAT) && !r[i].r_addend && s->st_shndx == SHN_UNDEF)
            visit(arg, t->strings + s->st_name, (void **)(base + r[i].r_offset));
    }
}

void tb_elf_imports(uintptr_t base, const ElfW(Dyn) * dyn, tb_elf_import_fn *visit, void *arg)
{
    struct tables t = find_tables(base, dyn);
    struct tb_bytes calls = {NULL, 0}, others = {NULL, 0};
    for (const ElfW(Dyn) *d = dyn; d->d_tag != DT_NULL; d++) {
        if (d->d_tag == DT_JMPREL)
            calls.ptr = at(base, dyn, d->d_un.d_ptr);
        else if (d->d_tag == DT_PLTRELSZ)
            calls.len = d->d_un.d_val;
        else if (d->d_tag == DT_RELA)
            others.ptr = at(base, dyn, d->d_un.d_ptr);
        else if (d->d_tag == DT_RELASZ)
            others.len = d->d_un.d_val;
    }
    if (!t.symbols || !t.strings)
        return;
    if (calls.ptr)
        each_import(&t, base, calls, visit, arg);
    if (others.ptr)
        each_import(&t, base, others, visit, arg);
}

bool tb_elf_needs(uintptr_t base, const ElfW(Dyn) * dyn, const ElfW(Dyn) * library, uintptr_t library_base)
{
    struct tables t = find_tables(base, dyn), l = find_tables(library_base, library);
    for (const ElfW(Dyn) *d = dyn; t.strings && l.strings && l.name && d->d_tag != DT_NULL; d++)
        if (d->d_tag == DT_NEEDED && tb_same_text(t.strings + d->d_un.d_val, l.strings + l.name))
            return true;
    return false;
}

void *tb_elf_symbol(uintptr_t base, const ElfW(Dyn) * dyn, const char *name)
{
    return find(base, dyn, name, FUNCTIONS);
}

/* @image: where the file's first byte is mapped; 0: unknown, then PT_PHDR must tell the base. */
static const ElfW(Dyn) * dynamic_of(const ElfW(Phdr) * ph, size_t count, uintptr_t *ret_base, uintptr_t image)
{
    const ElfW(Phdr) *dynamic = NULL;
    uintptr_t base = 0;
    bool is_based = false;
    for (size_t i = 0; i < count; i++) {
        if (ph[i].p_type == PT_DYNAMIC)
            dynamic = &ph[i];
        else if (ph[i].p_type == PT_PHDR && !image)
            base = (uintptr_t)ph - ph[i].p_vaddr, is_based = true;
        else if (ph[i].p_type == PT_LOAD && image && !is_based)
            base = image + ph[i].p_offset - ph[i].p_vaddr, is_based = true;
    }
    if (!dynamic || !is_based)
        return NULL;
    *ret_base = base;
    return (const ElfW(Dyn) *)(base + dynamic->p_vaddr);
}

const ElfW(Dyn) * tb_elf_dynamic(uintptr_t ehdr, uintptr_t *ret_base)
{
    const ElfW(Ehdr) *e = (const ElfW(Ehdr) *)ehdr;
    return dynamic_of((const ElfW(Phdr) *)(ehdr + e->e_phoff), e->e_phnum, ret_base, ehdr);
}

/* The list by the executable's DT_DEBUG, or by what a loader calls it: glibc's is the struct, musl's points at it. */
static const struct r_debug *list_of(uintptr_t base, const ElfW(Dyn) * dyn)
{
    for (const ElfW(Dyn) *d = dyn; d && d->d_tag != DT_NULL; d++)
        if (d->d_tag == DT_DEBUG && d->d_un.d_ptr)
            return (const struct r_debug *)d->d_un.d_ptr;
    const struct r_debug *glibc = dyn ? find(base, dyn, "_r_debug", 1u << STT_OBJECT) : NULL;
    struct r_debug *const *musl = dyn ? find(base, dyn, "_dl_debug_addr", 1u << STT_OBJECT) : NULL;
    if (glibc)
        return glibc;
    return musl ? *musl : NULL;
}

/*
 * AT_PHDR is the executable's, or the loader's when it was itself run as a program; the loader has no PT_PHDR, but its
 * ELF header begins the same page. AT_BASE is the loader.
 */
static const struct r_debug *loaders_list(void)
{
    uintptr_t ph = tb_auxval(AT_PHDR), loader = tb_auxval(AT_BASE), base = 0;
    const unsigned long page = tb_auxval(AT_PAGESZ);
    if (!ph || !page)
        return NULL;
    const ElfW(Dyn) *dyn = dynamic_of((const ElfW(Phdr) *)ph, tb_auxval(AT_PHNUM), &base, 0);
    const ElfW(Ehdr) *image = (const ElfW(Ehdr) *)(ph & ~(page - 1));
    if (!dyn && (uintptr_t)image + sizeof(*image) <= ph && tb_equal(image->e_ident, ELFMAG, SELFMAG) &&
        (uintptr_t)image + image->e_phoff == ph)
        dyn = tb_elf_dynamic((uintptr_t)image, &base);
    const struct r_debug *list = list_of(base, dyn);
    if (!list && loader) {
        dyn = tb_elf_dynamic(loader, &base);
        list = list_of(base, dyn);
    }
    return list;
}

static const struct r_debug *loader_list;
static struct link_map *objects; /* the list's head stays for the life of the process */

static struct link_map *own_object(void)
{
    if (!objects && (loader_list = loaders_list()))
        objects = loader_list->r_map;
    struct link_map *own = objects;
    for (int n = 0; own && own->l_ld != _DYNAMIC && n < OBJECTS_MAX; n++)
        own = own->l_next;
    return own && own->l_ld == _DYNAMIC ? own : NULL;
}

bool tb_resolve_is_changing(void)
{
    return !loader_list || tb_load_acquire(&loader_list->r_state) != RT_CONSISTENT;
}

const struct link_map *tb_resolve_objects(void)
{
    return own_object() ? objects : NULL;
}

/* By the name in the object, which a copy under another file name still has. */
bool tb_resolve_is_second_copy(void)
{
    struct link_map *own = own_object();
    for (struct link_map *m = own ? objects : NULL; m && m != own; m = m->l_next) {
        struct tables t = m->l_ld ? find_tables(m->l_addr, m->l_ld) : (struct tables){0};
        if (t.strings && t.name && tb_same_text(t.strings + t.name, "libtickbird.so"))
            return true;
    }
    return false;
}

/* The first definition in the objects from @from to before @to. */
static void *find_in(struct link_map *from, const struct link_map *to, const char *name, unsigned types,
                     uintptr_t *ret_base)
{
    for (struct link_map *m = from; m != to; m = m->l_next) {
        void *found = m->l_ld && m->l_ld != _DYNAMIC ? find(m->l_addr, m->l_ld, name, types) : NULL;
        if (found) {
            *ret_base = m->l_addr;
            return found;
        }
    }
    return NULL;
}

static void *resolve(const char *name, unsigned types, uintptr_t *ret_base)
{
    struct link_map *own = own_object();
    *ret_base = 0;
    if (!own)
        return dlsym ? dlsym((void *)-1L /* RTLD_NEXT */, name) : NULL;
    void *found = find_in(own->l_next, NULL, name, types, ret_base);
    /* Loaded late: what we stand before was loaded before us. */
    return found ? found : find_in(objects, own, name, types, ret_base);
}

void *tb_resolve_next(const char *name)
{
    uintptr_t base;
    return resolve(name, FUNCTIONS, &base);
}

void *tb_resolve_object(const char *name, uintptr_t *ret_base)
{
    uintptr_t base;
    return resolve(name, 1u << STT_OBJECT, ret_base ? ret_base : &base);
}

bool tb_elf_is_sealed(uintptr_t base, uintptr_t from, uintptr_t to, uintptr_t page)
{
    const ElfW(Ehdr) *e = (const ElfW(Ehdr) *)base;
    /* An object whose addresses begin at 0 has its header there; one that was given others (prelinked) may not. */
    if (!base || from < base || to - base > SPAN_MAX || !tb_equal(e->e_ident, ELFMAG, SELFMAG))
        return false;
    const ElfW(Phdr) *ph = (const ElfW(Phdr) *)(base + e->e_phoff);
    for (size_t i = 0; i < e->e_phnum; i++) {
        uintptr_t start = base + ph[i].p_vaddr, end = start + ph[i].p_memsz;
        if (ph[i].p_type == PT_GNU_RELRO) /* whole pages, as the loader rounds them */
            return (start & ~(page - 1)) <= from && to <= (end & ~(page - 1));
    }
    return false;
}

/* The first of the list, whatever it was started by. */
static const struct link_map *program(void)
{
    return own_object() && objects->l_ld ? objects : NULL;
}

struct tb_bytes tb_resolve_program_function(const char *name)
{
    const struct link_map *p = program();
    const ElfW(Sym) *s = p ? find_symbol(p->l_addr, p->l_ld, name, 1u << STT_FUNC) : NULL;
    return s ? tb_bytes((const void *)(p->l_addr + s->st_value), s->st_size) : tb_bytes(NULL, 0);
}

bool tb_resolve_program_code(uintptr_t from, uintptr_t to, struct tb_program_code *ret)
{
    const struct link_map *p = program();
    const ElfW(Phdr) *ph = (const ElfW(Phdr) *)tb_auxval(AT_PHDR);
    const size_t count = tb_auxval(AT_PHNUM);
    struct tb_program_code found = {UINTPTR_MAX, 0};
    uintptr_t base = 0;
    bool is_code = false;
    if (!p || !ph || dynamic_of(ph, count, &base, 0) != p->l_ld)
        return false;
    for (size_t i = 0; i < count; i++) {
        uintptr_t start = base + ph[i].p_vaddr, end = start + ph[i].p_filesz;
        if (ph[i].p_type != PT_LOAD)
            continue;
        if (start < found.lowest)
            found.lowest = start;
        if (ph[i].p_flags == (PF_R | PF_X) && start <= from && from <= to && to <= end) {
            is_code = true;
            found.file_offset = ph[i].p_offset + (from - start);
        }
    }
    if (is_code)
        *ret = found;
    return is_code;
}

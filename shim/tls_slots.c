/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finding TLS libraries and the words through which objects call them (tls_slots.h).
 *
 * A word is changed only where it holds what the loader put there: the library's own function, or, not yet bound, a
 * place in the object itself (its procedure linkage table) in an object that names the library as needed. Anything else
 * is somebody else's doing and stays. A page that the loader sealed after relocating (relro) is opened, written and
 * sealed again; one that can be written is written, and never sealed: another thread's loader may be at work in it.
 * A futex call that ORs 0 tells which of the two it is, without a fault.
 *
 * Threads: one looks, the others go on; their sessions are seen some microseconds later. The loader's lock is not taken
 * (it may be held for good in a child of fork): nothing is looked at while the loader says that it is at work. An
 * object that another thread unloads in just those microseconds is the one thing that could be missing under the look;
 * that is why looks are few. musl unloads nothing. Fork story: all is private memory, copied; see tb_tls_forked.
 */
#include "tls_slots.h"

#include <errno.h>
#include <linux/futex.h>
#include <sys/mman.h>

#include "process.h"
#include "raw.h"
#include "resolve.h"

#define OBJECTS_MAX 4096 /* of the loader's list */
#define SAMPLES 16u
#define SPAN_MAX (256u << 20) /* of an object's addresses, from its dynamic section */

static struct tb_tls_family *const families[] = {&tb_openssl, &tb_gnutls};
#define FAMILIES (sizeof(families) / sizeof(families[0]))

static uint32_t is_looking;
static uint64_t opened_page; /* that is to be sealed; 0: none */
static uint64_t looked_at;   /* sum over the loader's list as it was at the last whole look; 0: none yet */

/* A word of each object that calls a library, as it was left. */
static struct {
    void **word; /* NULL: none */
    void *wrapper;
} samples[SAMPLES];

/* ---- words ---- */

static bool same_text(const char *a, const char *b)
{
    while (*a && *a == *b)
        a++, b++;
    return *a == *b;
}

/* 0: can be written; -EFAULT: sealed; else nobody knows. */
static long try_page(uintptr_t page)
{
    long op = (long)FUTEX_OP(FUTEX_OP_OR, 0, FUTEX_OP_CMP_EQ, 0);
    long ret = tb_core.env.syscall(SYS_futex, (long)page, FUTEX_WAKE_OP | FUTEX_PRIVATE_FLAG, 0, 0, (long)page, op);
    return ret > 0 ? 0 : ret;
}

static void seal(void)
{
    uint64_t page = tb_swap_acq_rel(&opened_page, 0);
    if (page)
        tb_core.env.syscall(SYS_mprotect, (long)page, (long)tb_core.env.page_size, PROT_READ, 0, 0, 0);
}

/* Makes the page of @word writable; whatever was opened before is sealed. */
static bool open_page(void **word)
{
    uintptr_t page = (uintptr_t)word & ~(tb_core.env.page_size - 1);
    if (page == opened_page)
        return true;
    seal();
    long is = try_page(page);
    if (is != -EFAULT)
        return is == 0;
    tb_store_release(&opened_page, page);
    if (!tb_core.env.syscall(SYS_mprotect, (long)page, (long)tb_core.env.page_size, PROT_READ | PROT_WRITE, 0, 0, 0))
        return true;
    tb_store_release(&opened_page, 0);
    return false;
}

/* ---- objects ---- */

struct importer {
    const struct link_map *object;
    bool is_led, has_failed; /* some of its words */
};

/* Not yet bound: a place near the object's own dynamic section. Which library it will be, the object itself says. */
static bool is_unbound(const struct importer *in, const struct tb_tls_set *set, uintptr_t value)
{
    uintptr_t here = (uintptr_t)in->object->l_ld;
    bool is_near = value < here ? here - value < SPAN_MAX : value - here < SPAN_MAX;
    return is_near && value > in->object->l_addr &&
           tb_elf_needs(in->object->l_addr, in->object->l_ld, set->dynamic, set->base);
}

/* One of each object; of more objects than there is room for, none. */
static void note_sample(struct importer *in, void **word, void *wrapper)
{
    for (unsigned i = 0; i < SAMPLES && !in->is_led; i++) {
        if (samples[i].word)
            continue;
        tb_store_relaxed(&samples[i].wrapper, wrapper);
        tb_store_release(&samples[i].word, word);
        break;
    }
    in->is_led = true;
}

static void lead(struct importer *in, const struct tb_tls_set *set, unsigned call, void **word)
{
    void *found = tb_load_relaxed(word);
    if (!set->real[call])
        return;
    if (found == set->wrappers[call]) {
        note_sample(in, word, found);
        return;
    }
    if (found != set->real[call] && !is_unbound(in, set, (uintptr_t)found))
        return;
    /* release: the set's functions are there before anybody can come to its wrappers */
    if (open_page(word) && tb_cas_acq_rel(word, &found, set->wrappers[call]))
        note_sample(in, word, set->wrappers[call]);
    else
        in->has_failed = true;
}

static void on_import(void *arg, const char *name, void **word)
{
    for (size_t f = 0; f < FAMILIES; f++) {
        const struct tb_tls_family *family = families[f];
        if (*name != family->prefix)
            continue;
        for (unsigned call = 0; call < family->wrapped; call++)
            if (same_text(name, family->names[call]))
                for (unsigned k = 0; k < TB_TLS_COPIES; k++)
                    if (family->sets[k].dynamic)
                        lead(arg, &family->sets[k], call, word);
    }
}

/* ---- libraries ---- */

static bool is_library(const struct link_map *m, const struct tb_tls_family *family)
{
    for (unsigned i = 0; i < family->required; i++)
        if (!tb_elf_symbol(m->l_addr, m->l_ld, family->names[i]))
            return false;
    return true;
}

struct wanted {
    const char *name;
    void *found;
};

static void on_own_import(void *arg, const char *name, void **word)
{
    struct wanted *w = arg;
    if (same_text(name, w->name))
        w->found = tb_load_relaxed(word);
}

/* What the library itself calls: of another library, whose version is the right one. Not yet bound it is near here. */
static void *called_by(uintptr_t base, const ElfW(Dyn) * dynamic, const char *name)
{
    struct wanted w = {name, NULL};
    uintptr_t here = (uintptr_t)dynamic;
    tb_elf_imports(base, dynamic, on_own_import, &w);
    uintptr_t found = (uintptr_t)w.found;
    return found > base && found < here ? NULL : w.found;
}

static bool is_loaded(const ElfW(Dyn) * dynamic)
{
    const struct link_map *m = tb_resolve_objects();
    for (int n = 0; m && n < OBJECTS_MAX; m = m->l_next, n++)
        if (m->l_ld == dynamic)
            return true;
    return false;
}

static struct tb_tls_set *set_for(struct tb_tls_family *family, const ElfW(Dyn) * dynamic)
{
    struct tb_tls_set *unused = NULL, *left = NULL;
    for (unsigned k = 0; k < TB_TLS_COPIES; k++) {
        struct tb_tls_set *set = &family->sets[k];
        if (set->dynamic == dynamic)
            return set;
        if (!set->dynamic)
            unused = unused ? unused : set;
        else if (!left && !set->is_fixed && !is_loaded(set->dynamic))
            left = set;
    }
    return unused ? unused : left;
}

struct tb_tls_set *tb_tls_claim(struct tb_tls_family *family, const ElfW(Dyn) * dynamic, uintptr_t base)
{
    struct tb_tls_set *set = set_for(family, dynamic);
    if (!set || set->is_fixed)
        return set;
    set->dynamic = dynamic;
    set->base = base;
    for (unsigned i = 0; i < family->count; i++) {
        set->real[i] = tb_elf_symbol(base, dynamic, family->names[i]);
        if (!set->real[i] && i >= family->wrapped)
            set->real[i] = called_by(base, dynamic, family->names[i]);
    }
    return set;
}

/* Calls @visit for each object while the loader rests. False: it does not. */
static bool each_object(void (*visit)(const struct link_map *m, void *arg), void *arg)
{
    const struct link_map *m = tb_resolve_objects();
    for (int n = 0; m && n < OBJECTS_MAX; m = m->l_next, n++) {
        if (tb_resolve_is_changing())
            return false;
        if (m->l_ld && m->l_ld != _DYNAMIC)
            visit(m, arg);
    }
    return true;
}

static void find_library(const struct link_map *m, void *arg)
{
    unsigned *found = arg;
    for (size_t f = 0; f < FAMILIES; f++) {
        if (!is_library(m, families[f]))
            continue;
        if (tb_tls_claim(families[f], m->l_ld, m->l_addr))
            ++*found;
        else
            tb_process_unobservable(TB_UNOBSERVABLE_TLS_CALLS);
    }
}

static void lead_object(const struct link_map *m, void *arg)
{
    struct importer in = {.object = m};
    unsigned *led = arg;
    for (size_t f = 0; f < FAMILIES; f++)
        if (is_library(m, families[f]))
            return; /* what it calls of itself is its own affair */
    tb_elf_imports(m->l_addr, m->l_ld, on_import, &in);
    seal();
    *led += in.is_led;
    if (in.has_failed)
        tb_process_unobservable(TB_UNOBSERVABLE_TLS_CALLS);
}

static bool look(void)
{
    unsigned libraries = 0, led = 0;
    bool is_whole = each_object(find_library, &libraries);
    if (is_whole && libraries)
        is_whole = each_object(lead_object, &led);
    if (led)
        tb_store_relaxed(&tb_core.is_tls_followed, 1);
    return is_whole;
}

/* ---- when ---- */

static void add_object(const struct link_map *m, void *arg)
{
    uint64_t *sum = arg;
    *sum = (*sum ^ (uintptr_t)m ^ (uintptr_t)m->l_ld) * UINT64_C(0x9e3779b97f4a7c15);
}

/* An object that went and came back at the same place leaves the list as it was, but its words are the loader's anew.
 */
static bool is_as_it_was(void)
{
    for (unsigned i = 0; i < SAMPLES; i++) {
        void *const *word = tb_load_acquire(&samples[i].word);
        if (word && tb_load_relaxed(word) != tb_load_relaxed(&samples[i].wrapper))
            return false;
    }
    return true;
}

void tb_tls_look(void)
{
    uint64_t sum = 1;
    if (!each_object(add_object, &sum) || (sum == tb_load_relaxed(&looked_at) && is_as_it_was()))
        return;
    if (tb_swap_acq_rel(&is_looking, 1))
        return;
    tb_store_relaxed(&looked_at, 0);
    for (unsigned i = 0; i < SAMPLES; i++)
        tb_store_relaxed(&samples[i].word, NULL);
    if (look())
        tb_store_relaxed(&looked_at, sum);
    tb_store_release(&is_looking, 0);
}

void tb_tls_forked(void)
{
    tb_store_relaxed(&is_looking, 0);
    seal();
}

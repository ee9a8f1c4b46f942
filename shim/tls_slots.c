/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finding TLS libraries and the words through which objects call them (tls_slots.h).
 *
 * A word is changed only where it holds what the loader put there: the library's own function, or, not yet bound, a
 * place in the object itself (its procedure linkage table) in an object that names the library as needed. Anything else
 * is somebody else's doing and stays. A page that the loader sealed after relocating (relro) is opened, written and
 * sealed again; one that is to be sealed and is not yet belongs to another thread's loader, and waits for the next
 * look; all others are just written. A futex call that ORs 0 tells whether a page can be written, without a fault.
 *
 * Threads: one looks, the others go on; their sessions are seen some microseconds later. Others may load and unload
 * objects at any moment. glibc's dl_iterate_phdr keeps the list as it is while its callback runs, so looks are made in
 * one; musl unloads nothing. This is the one lock that is ever waited for, and looks are few: none while each socket
 * that carries TLS belongs to a session that is seen. In the child of a program that had threads the lock may be held
 * for good by one that is not there: it is looked without it then, and only while there is no other thread.
 *
 * Signals: none is let in during a look. Its handler might look too, and one that jumps away, or a cancellation, would
 * leave the lock held and a page open.
 *
 * Fork story: all of it is private memory, copied; tb_tls_forked.
 */
#include "tls_slots.h"

#include <errno.h>
#include <linux/futex.h>
#include <signal.h>
#include <sys/mman.h>

#include "filter.h"
#include "process.h"
#include "raw.h"
#include "resolve.h"

#define OBJECTS_MAX 4096 /* of the loader's list */
#define SAMPLES 16u
#define LOOK_AFTER_MAX 64u
#define SPAN_MAX (256u << 20) /* of an object's addresses, from its dynamic section */

static struct tb_tls_family *const families[] = {&tb_openssl, &tb_gnutls, &tb_mbedtls, &tb_nss};
#define FAMILIES (sizeof(families) / sizeof(families[0]))

typedef int iterate_fn(int (*visit)(struct dl_phdr_info *info, size_t size, void *arg), void *arg);
static iterate_fn *iterate;         /* NULL: no lock is needed */
static const char *single_threaded; /* of glibc since 2.32: not 0 while the process never had a second thread */

static uint32_t is_looking;
static uint32_t is_doubtful; /* the lock may be held for good */
static uint32_t had_lock;    /* it was given back, so it is not; later forks are noticed */
static uint32_t uncovered;   /* sockets that began with TLS, less sessions seen, since the last look at one */
static uint32_t look_after;  /* ... that many */
static uint64_t opened_page; /* that is to be sealed; 0: none */
static uint64_t looked_at;   /* sum over the loader's list as it was at the last whole look; 0: none yet */

/* A word of each object that calls a library, as it was left. */
static struct {
    void **word; /* NULL: none */
    void *wrapper;
} samples[SAMPLES];

/* What a look found. */
struct result {
    bool is_followed, is_whole;
};

/* An object that may call a library; the rest is said of its words. */
struct importer {
    const struct link_map *object;
    uintptr_t page; /* that can be written now; 0: none */
    bool is_led, has_failed, is_strange;
};

/* ---- words ---- */

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
static bool open_page(struct importer *in, void **word)
{
    uintptr_t page = (uintptr_t)word & ~(tb_core.env.page_size - 1);
    if (page == in->page)
        return true;
    seal();
    in->page = 0;
    long is = try_page(page);
    if (is == 0 && tb_elf_is_sealed(in->object->l_addr, page, page + tb_core.env.page_size, tb_core.env.page_size)) {
        in->is_strange = true; /* it is being relocated, and will be sealed at any moment */
        return false;
    }
    if (is == -EFAULT) {
        tb_store_release(&opened_page, page);
        is =
            tb_core.env.syscall(SYS_mprotect, (long)page, (long)tb_core.env.page_size, PROT_READ | PROT_WRITE, 0, 0, 0);
        if (is)
            tb_store_release(&opened_page, 0);
    }
    if (is == 0)
        in->page = page;
    return is == 0;
}

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

/* Returns false when what the word holds has nothing to do with this library. */
static bool lead(struct importer *in, const struct tb_tls_set *set, unsigned call, void **word)
{
    void *found = tb_load_relaxed(word);
    if (!set->is_here || !set->real[call])
        return false;
    if (found == set->wrappers[call]) {
        note_sample(in, word, found);
        return true;
    }
    if (found != set->real[call] && !is_unbound(in, set, (uintptr_t)found))
        return false;
    /* release: the set's functions are there before anybody can come to its wrappers */
    if (open_page(in, word) && tb_cas_acq_rel(word, &found, set->wrappers[call]))
        note_sample(in, word, set->wrappers[call]);
    else
        in->has_failed |= !in->is_strange;
    return true;
}

static void lead_one(struct importer *in, const struct tb_tls_family *family, unsigned call, void **word)
{
    for (unsigned k = 0; k < TB_TLS_COPIES; k++)
        if (lead(in, &family->sets[k], call, word))
            return;
    in->is_strange = true; /* perhaps it is only just being loaded */
}

static void on_import(void *arg, const char *name, void **word)
{
    for (size_t f = 0; f < FAMILIES; f++)
        for (unsigned call = 0; *name == families[f]->prefix && call < families[f]->wrapped; call++)
            if (tb_same_text(name, families[f]->names[call]))
                lead_one(arg, families[f], call, word);
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
    if (tb_same_text(name, w->name))
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
    if (!set)
        return NULL;
    set->is_here = true;
    if (set->is_fixed)
        return set;
    set->dynamic = dynamic;
    set->base = base;
    for (unsigned i = 0; i < family->count; i++) {
        void *found = tb_elf_symbol(base, dynamic, family->names[i]);
        if (!found && i >= family->wrapped)
            found = called_by(base, dynamic, family->names[i]);
        tb_store_relaxed(&set->real[i], found); /* in one: it may be in use since an earlier look */
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
    struct result *result = arg;
    for (size_t f = 0; f < FAMILIES; f++)
        if (is_library(m, families[f]))
            return; /* what it calls of itself is its own affair */
    tb_elf_imports(m->l_addr, m->l_ld, on_import, &in);
    seal();
    result->is_followed |= in.is_led;
    result->is_whole &= !in.is_strange;
    if (in.has_failed)
        tb_process_unobservable(TB_UNOBSERVABLE_TLS_CALLS);
}

/* Returns true when nothing is left to be done as long as the list stays as it is. */
static bool look(void)
{
    unsigned libraries = 0;
    for (size_t f = 0; f < FAMILIES; f++)
        for (unsigned k = 0; k < TB_TLS_COPIES; k++)
            families[f]->sets[k].is_here = false;
    struct result result = {.is_whole = each_object(find_library, &libraries)};
    if (result.is_whole && libraries)
        result.is_whole = each_object(lead_object, &result) && result.is_whole;
    if (result.is_followed)
        tb_store_relaxed(&tb_core.is_tls_followed, 1);
    return result.is_whole;
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

/* Returns true when there was something new. Holds the lock, where one is needed. */
static bool look_at_news(void)
{
    uint64_t sum = 1;
    if (!each_object(add_object, &sum) || (sum == tb_load_relaxed(&looked_at) && is_as_it_was()))
        return false;
    tb_store_relaxed(&looked_at, 0);
    for (unsigned i = 0; i < SAMPLES; i++)
        tb_store_relaxed(&samples[i].word, NULL);
    if (look())
        tb_store_relaxed(&looked_at, sum);
    return true;
}

static int look_in_callback(struct dl_phdr_info *info, size_t size, void *arg)
{
    bool *is_news = arg;
    (void)info, (void)size;
    *is_news = look_at_news();
    return 1; /* enough */
}

void tb_tls_start(void)
{
    if (!tb_resolve_next("gnu_get_libc_version"))
        return;
    iterate = (iterate_fn *)tb_resolve_next("dl_iterate_phdr");
    single_threaded = tb_resolve_object("__libc_single_threaded", NULL);
    is_doubtful = !iterate;
}

/* Until the lock was had once, it is not even tried where there is one thread but were others: this may be a child of
 * them that no hook saw made, by clone() while the agent slept. */
static bool look_safely(void)
{
    bool is_news = false, had_threads = iterate && !(single_threaded && *single_threaded);
    bool is_doubt = tb_load_relaxed(&is_doubtful), is_asked = is_doubt || (had_threads && !tb_load_relaxed(&had_lock));
    if (is_asked && tb_filter_is_alone())
        return look_at_news();
    if (is_doubt)
        return false;
    if (iterate) {
        iterate(look_in_callback, &is_news);
        tb_store_relaxed(&had_lock, 1);
    } else {
        is_news = look_at_news();
    }
    return is_news;
}

bool tb_tls_look(void)
{
    const uint64_t all = UINT64_MAX;
    uint64_t before;
    bool is_news = false;
    tb_process_check_fork();
    if (tb_core.env.syscall(SYS_rt_sigprocmask, SIG_BLOCK, (long)&all, (long)&before, sizeof(all), 0, 0))
        return false; /* behind a filter nothing could be changed */
    if (!tb_swap_acq_rel(&is_looking, 1)) {
        is_news = look_safely();
        tb_store_release(&is_looking, 0);
    }
    tb_core.env.syscall(SYS_rt_sigprocmask, SIG_SETMASK, (long)&before, 0, sizeof(before), 0, 0);
    return is_news;
}

/* As long as nothing is followed the library may come with any connection. Afterwards a socket whose session was not
 * seen is a reason to look. Looks in vain, where TLS is passed on to somebody else or nobody can follow it, become
 * rare; in a child that may be unable to look, at once. */
void tb_tls_noticed(void)
{
    uint32_t after = tb_load_relaxed(&look_after);
    bool is_patient =
        after == LOOK_AFTER_MAX || tb_load_relaxed(&tb_core.is_tls_followed) || tb_load_relaxed(&is_doubtful);
    if (tb_fetch_add_relaxed(&uncovered, 1) < after && is_patient)
        return;
    bool is_news = tb_tls_look();
    uint32_t next = is_news || !after ? 1 : 2 * after;
    tb_store_relaxed(&look_after, next < LOOK_AFTER_MAX ? next : LOOK_AFTER_MAX);
    tb_store_relaxed(&uncovered, 0);
}

void tb_tls_covered(void)
{
    uint32_t seen = tb_load_relaxed(&uncovered);
    while (seen && !tb_cas_relaxed(&uncovered, &seen, seen - 1))
        ;
}

void tb_tls_look_alone(void)
{
    if (iterate && tb_load_relaxed(&is_doubtful))
        (void)look_at_news();
}

void tb_tls_forked(void)
{
    if (iterate && !(single_threaded && *single_threaded))
        tb_store_relaxed(&is_doubtful, 1);
    tb_store_relaxed(&is_looking, 0);
    tb_store_relaxed(&look_after, 0);
    tb_store_relaxed(&uncovered, 0);
    seal();
}

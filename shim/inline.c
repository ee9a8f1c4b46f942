/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Jumps over the beginnings of the program's functions (inline.h).
 *
 *   function                      slot, in a page of ours within 2 GiB
 *   ┌──────────────────┐          ┌───────────────────────────┐
 *   │ jmp entry ───────┼─────────▶│ entry: jmp wrapper        │   (any distance)
 *   │ rest of a moved  │          │ real:  endbr64            │◀── called by the wrapper
 *   │ instruction      │          │        moved instructions │
 *   │ ...              │◀─────────┼─────── jmp behind them    │
 *   └──────────────────┘          └───────────────────────────┘
 *
 * The pages of code are not written to: a copy is made, changed, made executable, and then moved (mremap) over the
 * original in one step. So whatever refuses to have changed code executed (SELinux's execmem, PR_SET_MDWE, a filter)
 * does so while the program is still as it was; nobody ever sees half a jump. Calls and returns stay paired and the way
 * in is a call of the function's beginning, so shadow stacks and marks of indirect branches stay right.
 *
 * Fork story: memory of the process, copied. An exec begins anew.
 */
#include "inline.h"

#include <sys/mman.h>

#include "filter.h"
#include "prologue.h"
#include "raw.h"
#include "resolve.h"

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000 /* Linux 4.17; before, the address is a wish */
#endif

#ifdef __x86_64__
#define IS_KNOWN_MACHINE true
#else
#define IS_KNOWN_MACHINE false
#endif
#define PAGE 4096u
#define WINDOW_MAX ((size_t)256 << 10) /* from the first changed page to the last */
#define REACH ((uintptr_t)1 << 30)     /* of a jump, and no more than that away to be on the safe side */
#define NEAREST ((uintptr_t)64 << 10)  /* below the program */

struct slot {
    uint8_t entry[8]; /* jmp *2(%rip): to the address that follows, and two bytes of nothing */
    uint64_t wrapper;
    uint8_t real[4u + TB_PROLOGUE_MOVED];
};
_Static_assert(sizeof(struct slot) == 64 && TB_INLINE_MAX * sizeof(struct slot) <= PAGE, "they fit one page");

static const uint8_t jump_by_address[8] = {0xff, 0x25, 2, 0, 0, 0, 0xcc, 0xcc};
static const uint8_t endbr64[4] = {0xf3, 0x0f, 0x1e, 0xfa};

/* What was done, so that it can be undone. */
struct change {
    uint8_t *at;
    uint8_t before[TB_PROLOGUE_JUMP], after[TB_PROLOGUE_JUMP];
};
static struct change changes[TB_INLINE_MAX];
static size_t change_count;
static uintptr_t window_from, window_to; /* pages */
static uint64_t window_file_offset;
static uintptr_t program; /* its lowest address */

static void *map(uintptr_t wish, size_t len, int flags)
{
    long ret = TB_RAW6(SYS_mmap, wish, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
    return ret < 0 && ret > -(long)PAGE ? NULL : (void *)ret;
}

static void unmap(void *at, size_t len)
{
    (void)TB_RAW2(SYS_munmap, at, len);
}

static bool make_code(void *at, size_t len)
{
    return TB_RAW3(SYS_mprotect, at, len, PROT_READ | PROT_EXEC) == 0;
}

static uintptr_t distance(uintptr_t a, uintptr_t b)
{
    return a < b ? b - a : a - b;
}

/*
 * A page that jumps can cross to and from the window. Below the program: above it the heap grows.
 */
static uint8_t *map_near(void)
{
    for (uintptr_t below = NEAREST; below < REACH && below < program; below *= 2) {
        uint8_t *at = map((program & ~(uintptr_t)(PAGE - 1)) - below, PAGE, MAP_FIXED_NOREPLACE);
        if (at && distance((uintptr_t)at, window_from) < REACH && distance((uintptr_t)at, window_to) < REACH)
            return at;
        if (at)
            unmap(at, PAGE);
    }
    return NULL;
}

/* The slot's bytes, and what is to be changed for it. */
static void write_slot(struct slot *slot, const struct tb_inline_function *f, const struct tb_prologue *p,
                       struct change *ret)
{
    uint8_t *moved = slot->real + sizeof(endbr64);
    tb_copy(slot->entry, jump_by_address, sizeof(slot->entry));
    slot->wrapper = (uintptr_t)f->wrapper;
    tb_copy(slot->real, endbr64, sizeof(endbr64));
    tb_prologue_move(p, f->code.ptr, (uintptr_t)moved, moved);

    ret->at = (uint8_t *)(uintptr_t)f->code.ptr + p->at;
    tb_copy(ret->before, ret->at, TB_PROLOGUE_JUMP);
    tb_prologue_jump(ret->after, (uintptr_t)ret->at, (uintptr_t)slot->entry);
}

/*
 * Is @copy what the program's file has there? If not, somebody else has changed the code: a debugger or a tracer by
 * breakpoints, which the kernel knows only in memory that is the file's (uprobes).
 */
static bool is_as_in_file(const uint8_t *copy)
{
    static uint8_t part[PAGE];
    const size_t len = window_to - window_from;
    bool is_same = true;
    long fd = TB_RAW4(SYS_openat, AT_FDCWD, "/proc/self/exe", O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0)
        return false;
    for (size_t at = 0; is_same && at < len; at += PAGE) {
        long got = TB_RAW4(SYS_pread64, fd, part, PAGE, window_file_offset + at);
        is_same = got > 0 && tb_equal(part, copy + at, (size_t)got); /* the file may end in the last page */
    }
    (void)TB_RAW1(SYS_close, fd);
    return is_same;
}

/* Puts a changed copy of the window in its place, or leaves it as it was. */
static enum tb_inline_answer replace(bool is_placed)
{
    size_t len = window_to - window_from;
    uint8_t *copy = map(0, len, 0);
    if (!copy)
        return TB_INLINE_REFUSED;
    tb_copy(copy, (const void *)window_from, len);
    const bool is_ours = !is_placed || is_as_in_file(copy);
    for (size_t i = 0; i < change_count; i++)
        tb_copy(copy + ((uintptr_t)changes[i].at - window_from), is_placed ? changes[i].after : changes[i].before,
                TB_PROLOGUE_JUMP);
    /* mremap finds out what it may not do before it begins. */
    if (is_ours && make_code(copy, len) &&
        TB_RAW5(SYS_mremap, copy, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, window_from) == (long)window_from)
        return TB_INLINE_OK;
    unmap(copy, len);
    return is_ours ? TB_INLINE_REFUSED : TB_INLINE_CHANGED;
}

/* Is what stands there what was to be put there? */
static bool is_there(bool is_placed)
{
    for (size_t i = 0; i < change_count; i++)
        if (!tb_equal(changes[i].at, is_placed ? changes[i].after : changes[i].before, TB_PROLOGUE_JUMP))
            return false;
    return true;
}

/* Do two share bytes, since they are one function by two names? Then calls of one would be taken for the other's. */
static bool is_shared(const struct tb_inline_function *functions, size_t count, uintptr_t start, uintptr_t end)
{
    size_t found = 0;
    for (size_t i = 0; i < count; i++)
        found += (uintptr_t)functions[i].code.ptr >= start && (uintptr_t)functions[i].code.ptr < end;
    return found > 1;
}

static enum tb_inline_answer read_all(const struct tb_inline_function *functions, size_t count, struct tb_prologue *ret)
{
    uintptr_t from = UINTPTR_MAX, to = 0;
    for (size_t i = 0; i < count; i++) {
        uintptr_t start = (uintptr_t)functions[i].code.ptr, end = start + functions[i].code.len;
        struct tb_program_code code;
        if (!tb_resolve_program_code(start, end, &code))
            return TB_INLINE_PLACE;
        if (tb_prologue_read(functions[i].code, &ret[i]) != TB_PROLOGUE_OK ||
            is_shared(functions, count, start, start + ret[i].end))
            return TB_INLINE_UNKNOWN_CODE;
        if (start < from) {
            from = start;
            window_file_offset = code.file_offset - start % PAGE;
            program = code.lowest;
        }
        end = start + ret[i].at + TB_PROLOGUE_JUMP;
        to = end > to ? end : to;
    }
    window_from = from & ~(uintptr_t)(PAGE - 1);
    window_to = (to + PAGE - 1) & ~(uintptr_t)(PAGE - 1);
    return window_to - window_from <= WINDOW_MAX ? TB_INLINE_OK : TB_INLINE_PLACE;
}

static enum tb_inline_answer place(const struct tb_inline_function *functions, size_t count,
                                   const struct tb_prologue *prologues)
{
    uint8_t *near = map_near();
    struct slot *slots = (struct slot *)(void *)near;
    if (!near)
        return TB_INLINE_PLACE;
    for (size_t i = 0; i < count; i++)
        write_slot(&slots[i], &functions[i], &prologues[i], &changes[i]);
    change_count = count;
    enum tb_inline_answer answer = make_code(near, PAGE) ? replace(true) : TB_INLINE_REFUSED;
    if (answer != TB_INLINE_OK) {
        change_count = 0;
        unmap(near, PAGE);
        return answer;
    }
    for (size_t i = 0; i < count; i++)
        *functions[i].real = slots[i].real;
    return TB_INLINE_OK;
}

enum tb_inline_answer tb_inline_place(const struct tb_inline_function *functions, size_t count)
{
    struct tb_prologue prologues[TB_INLINE_MAX];
    if (!IS_KNOWN_MACHINE || count == 0 || count > TB_INLINE_MAX || change_count || tb_auxval(AT_PAGESZ) != PAGE)
        return TB_INLINE_UNSUPPORTED;
    enum tb_inline_answer answer = read_all(functions, count, prologues);
    if (answer != TB_INLINE_OK)
        return answer;
    if (!tb_filter_is_alone())
        return TB_INLINE_THREADS;
    if (!tb_filter_permits_code())
        return TB_INLINE_REFUSED;
    answer = place(functions, count, prologues);
    if (answer == TB_INLINE_OK && !is_there(true)) {
        tb_inline_remove();
        return TB_INLINE_REFUSED;
    }
    return answer;
}

bool tb_inline_remove(void)
{
    if (!change_count || !tb_filter_is_alone() || replace(false) != TB_INLINE_OK || !is_there(false))
        return false;
    change_count = 0;
    return true;
}

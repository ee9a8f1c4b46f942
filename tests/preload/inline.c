/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shim/inline.c on functions of this program: `inline WHAT`, exit 0 = fine. Each function does the same before, while
 * and after its beginning is a jump; what must not be touched is not.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../shim/inline.h"
#include "../../shim/resolve.h"

#define CHECK(claim)                                                                                                   \
    do {                                                                                                               \
        if (!(claim)) {                                                                                                \
            printf("%s:%d: not so: %s\n", __FILE__, __LINE__, #claim);                                                 \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

/*
 * Beginnings, by hand: (a, b, c, d) -> a number that depends on all that was moved. FUNCTION(name, body): with a size,
 * as compilers give it.
 */
#define FUNCTION(name, body)                                                                                           \
    __asm__(".pushsection .text\n.p2align 4\n.globl " #name "\n.type " #name ", @function\n" #name ":\n" body          \
            "\n.size " #name ", .-" #name "\n.p2align 4\n.popsection");                                                \
    long name(long a, long b, long c, long d)

FUNCTION(saves, "push %rbp\n mov %rsp,%rbp\n push %r12\n sub $0x18,%rsp\n mov %rdi,%r12\n lea 7(%r12,%rsi,2),%rax\n"
                "add $0x18,%rsp\n pop %r12\n pop %rbp\n ret");
FUNCTION(marked, "endbr64\n push %rbx\n mov %rdi,%rbx\n mov %rsi,%rax\n sub %rbx,%rax\n pop %rbx\n ret");
FUNCTION(branches, "test %rdi,%rdi\n je 1f\n mov $5,%eax\n lea (%rax,%rdi),%rax\n ret\n 1: mov $-9,%rax\n ret");
FUNCTION(branches_far,
         "cmp %rsi,%rdi\n .byte 0x0f,0x8c\n .long 2f-1f\n 1: mov %rdi,%rax\n ret\n 2: lea 1(%rsi),%rax\n ret");
FUNCTION(keeps_flags, "cmp %esi,%edi\n mov %rdx,%r8\n setl %al\n movzbl %al,%eax\n add %r8,%rax\n ret");
FUNCTION(guarded, "mov %fs:0x28,%rax\n xor %fs:0x28,%rax\n add %rdi,%rax\n ret");
FUNCTION(constants, "mov $0x1122334455667788,%rax\n add %rdi,%rax\n ret");
FUNCTION(stores, "movl $7,-8(%rsp)\n movups %xmm0,-0x28(%rsp)\n movslq -8(%rsp),%rax\n add %rdi,%rax\n ret");
FUNCTION(calls_at_once, "push %rbp\n mov %rsp,%rbp\n call saves\n pop %rbp\n ret");
FUNCTION(calls_first, "call saves\n ret");
FUNCTION(goes_on, "mov %rsi,%rdi\n jmp marked");
FUNCTION(is_short, "nop\n ret");
FUNCTION(is_relative, "lea saves(%rip),%rax\n sub %rdi,%rax\n ret");
FUNCTION(is_ending, "xor %eax,%eax\n jmp 1f\n 1: ret");
FUNCTION(is_looped, "xor %eax,%eax\n 1: add %rdi,%rax\n dec %rdi\n jnz 1b\n ret");
FUNCTION(is_jumped, "jmp saves\n nop\n nop\n nop");

FUNCTION(waits, ".cfi_startproc\n sub $8,%rsp\n .cfi_def_cfa_offset 16\n call wait_for_end\n add $8,%rsp\n"
                ".cfi_def_cfa_offset 8\n ret\n .cfi_endproc");

typedef long function(long a, long b, long c, long d);
static function *const good[] = {saves,     marked, branches,      branches_far, keeps_flags, guarded,
                                 constants, stores, calls_at_once, calls_first,  goes_on};
static const char *const good_names[] = {"saves",         "marked",      "branches",  "branches_far",
                                         "keeps_flags",   "guarded",     "constants", "stores",
                                         "calls_at_once", "calls_first", "goes_on"};
static const char *const bad_names[] = {"is_short", "is_relative", "is_ending", "is_looped", "is_jumped"};
#define GOOD (sizeof(good) / sizeof(good[0]))
#define BAD (sizeof(bad_names) / sizeof(bad_names[0]))

static function *real[GOOD];
static unsigned long calls[GOOD];

#define WRAPPER(n)                                                                                                     \
    static long wrapper_##n(long a, long b, long c, long d)                                                            \
    {                                                                                                                  \
        __atomic_fetch_add(&calls[n], 1, __ATOMIC_RELAXED);                                                            \
        return real[n](a, b, c, d);                                                                                    \
    }
WRAPPER(0)
WRAPPER(1)
WRAPPER(2)
WRAPPER(3)
WRAPPER(4)
WRAPPER(5)
WRAPPER(6)
WRAPPER(7)
WRAPPER(8)
WRAPPER(9)
WRAPPER(10)
static function *const wrappers[GOOD] = {wrapper_0, wrapper_1, wrapper_2, wrapper_3, wrapper_4, wrapper_5,
                                         wrapper_6, wrapper_7, wrapper_8, wrapper_9, wrapper_10};

static long results(void)
{
    static const long values[] = {0, 1, -1, 5, 77, 1L << 40};
    long sum = 0;
    for (size_t i = 0; i < GOOD; i++)
        for (size_t a = 0; a < 6; a++)
            for (size_t b = 0; b < 6; b++)
                sum = sum * 31 + good[i](values[a], values[b], 3, 4);
    return sum;
}

static enum tb_inline_answer place(void)
{
    struct tb_inline_function all[GOOD];
    for (size_t i = 0; i < GOOD; i++) {
        all[i] = (struct tb_inline_function){tb_resolve_program_function(good_names[i]), (const void *)wrappers[i],
                                             (void **)&real[i]};
        CHECK(all[i].code.ptr == (const uint8_t *)good[i] && all[i].code.len > 5);
    }
    return tb_inline_place(all, GOOD);
}

static uint8_t before[4096];
static size_t text_len;

/* All functions lie in a row. */
static void note_code(void)
{
    text_len = (size_t)((uintptr_t)is_jumped - (uintptr_t)saves) + 16;
    CHECK((uintptr_t)is_jumped > (uintptr_t)saves && text_len < sizeof(before));
    memcpy(before, (const void *)saves, text_len);
}

static bool is_unchanged(void)
{
    return !memcmp(before, (const void *)saves, text_len);
}

static unsigned long calls_so_far(void)
{
    unsigned long sum = 0;
    for (size_t i = 0; i < GOOD; i++)
        sum += calls[i];
    return sum;
}

/* No memory may be written and executed at once, and all code is still executable. */
static void check_maps(void)
{
    char line[512];
    FILE *f = fopen("/proc/self/maps", "r");
    CHECK(f);
    while (fgets(line, sizeof(line), f))
        CHECK(!strstr(line, " rwx") && !strstr(line, "-wx"));
    fclose(f);
}

static void works(void)
{
    long wanted = results();
    note_code();
    CHECK(calls_so_far() == 0);
    CHECK(place() == TB_INLINE_OK);
    CHECK(!is_unchanged());
    check_maps();
    CHECK(results() == wanted);
    for (size_t i = 0; i < GOOD; i++) /* some call others */
        CHECK(calls[i] == (i == 0 ? 3 * 36 : i == 1 ? 2 * 36 : 36));
    CHECK(place() == TB_INLINE_UNSUPPORTED); /* once */
    pid_t child = fork();
    if (child == 0)
        _exit(results() != wanted || calls[2] != 2 * 36);
    int status = 1;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    unsigned long now = calls_so_far();
    CHECK(tb_inline_remove());
    CHECK(is_unchanged());
    CHECK(results() == wanted && calls_so_far() == now);
    for (size_t i = 0; i < GOOD; i++) /* for a thread that was on its way */
        CHECK(real[i](3, 4, 5, 6) == good[i](3, 4, 5, 6));
    check_maps();
    CHECK(!tb_inline_remove());
    CHECK(place() == TB_INLINE_OK && results() == wanted && calls_so_far() > now);
}

/* One function that cannot be taken leaves all alone. */
static void unknown(void)
{
    note_code();
    for (size_t i = 0; i < BAD; i++) {
        function *one = NULL, *other = NULL;
        struct tb_inline_function two[] = {
            {tb_resolve_program_function("saves"), (const void *)wrappers[0], (void **)&one},
            {tb_resolve_program_function(bad_names[i]), (const void *)wrappers[1], (void **)&other},
        };
        CHECK(two[1].code.ptr);
        CHECK(tb_inline_place(two, 2) == TB_INLINE_UNKNOWN_CODE);
        CHECK(!one && !other && is_unchanged());
    }
    /* one function by two names */
    struct tb_inline_function twice[] = {
        {tb_resolve_program_function("marked"), (const void *)wrappers[0], (void **)&real[0]},
        {tb_resolve_program_function("saves"), (const void *)wrappers[1], (void **)&real[1]},
        {tb_resolve_program_function("marked"), (const void *)wrappers[2], (void **)&real[2]},
    };
    CHECK(tb_inline_place(twice, 3) == TB_INLINE_UNKNOWN_CODE && is_unchanged() && !real[0] && !real[2]);
    /* what is not this program's code */
    function *one = NULL;
    CHECK(!tb_resolve_program_function("memcpy").ptr && !tb_resolve_program_function("no_such_name").ptr);
    struct tb_inline_function libc = {tb_bytes((const void *)memcpy, 64), (const void *)wrappers[0], (void **)&one};
    CHECK(tb_inline_place(&libc, 1) == TB_INLINE_PLACE && !one);
    static const uint8_t data[64] = {0x55, 0x48, 0x89, 0xe5, 0x41, 0x56, 0xc3};
    struct tb_inline_function constant = {tb_bytes(data, sizeof(data)), (const void *)wrappers[0], (void **)&one};
    CHECK(tb_inline_place(&constant, 1) == TB_INLINE_PLACE && !one);
    CHECK(tb_inline_place(&libc, 0) == TB_INLINE_UNSUPPORTED);
    CHECK(place() == TB_INLINE_OK);
}

/* Somebody has set a breakpoint, in another function of the same pages. */
static void changed(void)
{
    uint8_t *at = (uint8_t *)(uintptr_t)is_jumped;
    void *page = (void *)((uintptr_t)at & ~(uintptr_t)4095);
    CHECK(!mprotect(page, 4096, PROT_READ | PROT_WRITE | PROT_EXEC));
    uint8_t original = *at;
    *at = 0xcc;
    CHECK(!mprotect(page, 4096, PROT_READ | PROT_EXEC));
    note_code();
    CHECK(place() == TB_INLINE_CHANGED && is_unchanged());
    CHECK(!mprotect(page, 4096, PROT_READ | PROT_WRITE | PROT_EXEC));
    *at = original;
    CHECK(!mprotect(page, 4096, PROT_READ | PROT_EXEC));
    CHECK(place() == TB_INLINE_OK);
}

static void *sleep_on(void *fd)
{
    char byte;
    return (void *)read(*(int *)fd, &byte, 1);
}

static void threads(void)
{
    int fds[2];
    pthread_t thread;
    note_code();
    CHECK(!pipe(fds) && !pthread_create(&thread, NULL, sleep_on, &fds[0]));
    CHECK(place() == TB_INLINE_THREADS && is_unchanged());
    CHECK(write(fds[1], "", 1) == 1);
    pthread_join(thread, NULL);
    while (place() == TB_INLINE_THREADS) /* the kernel may not have taken it away yet */
        CHECK(is_unchanged());
    CHECK(!is_unchanged());
    CHECK(!pthread_create(&thread, NULL, sleep_on, &fds[0]));
    CHECK(!tb_inline_remove() && !is_unchanged());
}

static long wanted_result;
static void *call_often(void *rounds)
{
    for (long i = 0; i < (long)rounds; i++)
        CHECK(results() == wanted_result);
    return NULL;
}

static void on_alarm(int signal_number)
{
    (void)signal_number;
    CHECK(results() == wanted_result);
}

/* Calls from many threads and from a signal handler that comes at any instruction, the moved ones too. */
static void many(void)
{
    pthread_t all[4];
    struct itimerval often = {{0, 200}, {0, 200}}, never = {{0, 0}, {0, 0}};
    wanted_result = results();
    CHECK(place() == TB_INLINE_OK);
    struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
    CHECK(!sigaction(SIGALRM, &action, NULL) && !setitimer(ITIMER_REAL, &often, NULL));
    for (int i = 0; i < 4; i++)
        CHECK(!pthread_create(&all[i], NULL, call_often, (void *)1000L));
    for (int i = 0; i < 4; i++)
        pthread_join(all[i], NULL);
    CHECK(!setitimer(ITIMER_REAL, &never, NULL));
    CHECK(calls_so_far() >= 4 * 1000 * GOOD * 36);
}

static int is_waiting, is_cleaned;
long wait_for_end(void);
long wait_for_end(void)
{
    __atomic_store_n(&is_waiting, 1, __ATOMIC_RELEASE);
    for (;;)
        pause();
}

static void clean(int *value)
{
    is_cleaned = *value;
}

static function *real_waits;
static long wrapper_waits(long a, long b, long c, long d)
{
    return real_waits(a, b, c, d) + 1;
}

static void *wait_and_clean(void *arg)
{
    int value __attribute__((cleanup(clean))) = 7;
    return (void *)waits((long)arg, 0, 0, 0);
}

/* A cancelled thread unwinds through a function whose first call was moved, and runs what its callers left to do. */
static void unwound(void)
{
    pthread_t thread;
    void *result = NULL;
    struct tb_inline_function f = {tb_resolve_program_function("waits"), (const void *)wrapper_waits,
                                   (void **)&real_waits};
    CHECK(f.code.ptr && tb_inline_place(&f, 1) == TB_INLINE_OK);
    CHECK(!pthread_create(&thread, NULL, wait_and_clean, NULL));
    while (!__atomic_load_n(&is_waiting, __ATOMIC_ACQUIRE))
        sched_yield();
    CHECK(!pthread_cancel(thread) && !pthread_join(thread, &result));
    CHECK(result == PTHREAD_CANCELED && is_cleaned == 7);
}

/* Calls of number @nr whose third argument has a bit of @bits end in @action; all calls when @bits is 0. */
static void forbid(unsigned nr, unsigned bits, unsigned action)
{
    struct sock_filter some[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, bits, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, action),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    if (!bits)
        some[3] = some[4];
    struct sock_fprog program = {sizeof(some) / sizeof(some[0]), some};
    CHECK(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) && !prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program));
}

static void check_refused(void)
{
    long wanted = results();
    note_code();
    CHECK(place() == TB_INLINE_REFUSED);
    CHECK(is_unchanged() && results() == wanted && calls_so_far() == 0);
}

static void filter_kills_mprotect(void)
{
    forbid(SYS_mprotect, PROT_EXEC, SECCOMP_RET_KILL_PROCESS);
    check_refused();
}

static void filter_kills_mremap(void)
{
    forbid(SYS_mremap, 0, SECCOMP_RET_KILL_PROCESS);
    check_refused();
}

static void filter_refuses_mprotect(void)
{
    forbid(SYS_mprotect, PROT_EXEC, SECCOMP_RET_ERRNO | EPERM);
    check_refused();
}

static void filter_refuses_mremap(void)
{
    forbid(SYS_mremap, 0, SECCOMP_RET_ERRNO | EPERM);
    check_refused();
}

/* Another filter: nothing to mind. */
static void filter_harmless(void)
{
    forbid(SYS_ptrace, 0, SECCOMP_RET_ERRNO | EPERM);
    long wanted = results();
    CHECK(place() == TB_INLINE_OK && results() == wanted && calls_so_far() > 0);
}

#ifndef PR_SET_MDWE
#define PR_SET_MDWE 65
#endif
static void denied_by_mdwe(void)
{
    if (prctl(PR_SET_MDWE, 1 /* PR_MDWE_REFUSE_EXEC_GAIN */, 0, 0, 0)) {
        printf("this kernel has no PR_SET_MDWE\n");
        exit(77);
    }
    check_refused();
}

/* Nothing below the program is free. */
static void no_room(void)
{
    struct tb_program_code code;
    CHECK(tb_resolve_program_code((uintptr_t)saves, (uintptr_t)saves, &code));
    const uintptr_t lowest = code.lowest;
    for (uintptr_t below = 64 << 10; below < (uintptr_t)1 << 30 && below < lowest; below *= 2)
        CHECK(mmap((void *)((lowest & ~(uintptr_t)4095) - below), 4096, PROT_NONE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED);
    note_code();
    CHECK(place() == TB_INLINE_PLACE && is_unchanged());
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } all[] = {
        {"works", works},
        {"unknown", unknown},
        {"changed", changed},
        {"threads", threads},
        {"many", many},
        {"unwound", unwound},
        {"filter_kills_mprotect", filter_kills_mprotect},
        {"filter_kills_mremap", filter_kills_mremap},
        {"filter_refuses_mprotect", filter_refuses_mprotect},
        {"filter_refuses_mremap", filter_refuses_mremap},
        {"filter_harmless", filter_harmless},
        {"denied_by_mdwe", denied_by_mdwe},
        {"no_room", no_room},
    };
    for (size_t i = 0; argc == 2 && i < sizeof(all) / sizeof(all[0]); i++) {
        if (!strcmp(argv[1], all[i].name)) {
            all[i].run();
            return 0;
        }
    }
    printf("no such test\n");
    return 2;
}

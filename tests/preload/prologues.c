/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shim/prologue.c against a disassembler. Reads what `objdump -d --insn-width=16` prints of a library: of every single
 * instruction that the decoder claims to know the length must be objdump's, and it must be none that means something
 * else at another place; of every function whose beginning is accepted the cuts must be objdump's, no branch that
 * objdump sees may lead into what is overwritten, and what is moved must lead where the original does. Prints what was
 * seen; exit 0 = fine. With a number as argument: random bytes, each in memory of its own size, for a build with
 * sanitizers.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../shim/instruction.h"
#include "../../shim/prologue.h"

#define FUNCTION_MAX (1u << 20)

static uint8_t code[FUNCTION_MAX + 16];
static uint8_t is_start[FUNCTION_MAX + 16]; /* objdump begins an instruction here */
static uint64_t targets[1u << 16];          /* of branches in the function */
static size_t code_len, target_count;
static uint64_t function_at;
static size_t seen, lengths, known, functions, answers[4];

static void fail(const char *what, const char *line)
{
    printf("%s: %s\n", what, line);
    exit(1);
}

/* Is it one that does not go on behind itself, or depends on where it stands in a way that nobody can move? */
static bool is_bound(const char *text)
{
    static const char *const words[] = {"ret",     "loop", "jrcxz", "jecxz", "xbegin",
                                        "syscall", "hlt",  "int",   "ud2",   "(bad)"};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (!strncmp(text, words[i], strlen(words[i])))
            return true;
    return strstr(text, "(%rip)") || strstr(text, "(%eip)") || strstr(text, " *");
}

static enum tb_prologue_kind kind_of(const char *text)
{
    if (!strncmp(text, "call", 4))
        return TB_PROLOGUE_CALL;
    if (!strncmp(text, "jmp", 3))
        return TB_PROLOGUE_GO;
    return text[0] == 'j' ? TB_PROLOGUE_BRANCH : TB_PROLOGUE_COPY;
}

/* Past what objdump says of prefixes; empty when there is nothing else, as in data. */
static const char *mnemonic(const char *text)
{
    static const char *const prefixes[] = {"cs",     "ds",  "es",   "ss",   "fs",    "gs",     "data16",
                                           "addr32", "bnd", "lock", "repz", "repnz", "notrack"};
    size_t len = strcspn(text, " ");
    bool is_prefix = !strncmp(text, "rex", 3);
    for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++)
        is_prefix |= len == strlen(prefixes[i]) && !strncmp(text, prefixes[i], len);
    return is_prefix && len ? mnemonic(text + len + strspn(text + len, " ")) : text;
}

/* A branch whose target stands in the line as a number. */
static bool is_distant(const char *text)
{
    text = mnemonic(text);
    const char *operand = text + strcspn(text, " ");
    operand += strspn(operand, " ");
    return (text[0] == 'j' || !strncmp(text, "call", 4) || !strncmp(text, "loop", 4) || !strncmp(text, "xbegin", 6)) &&
           isxdigit((unsigned char)*operand);
}

static void check_instruction(const uint8_t *bytes, size_t len, const char *text, const char *line)
{
    uint8_t padded[32];
    memset(padded, 0xcc, sizeof(padded));
    memcpy(padded, bytes, len);
    enum tb_prologue_kind kind, kind_cut;
    struct tb_instruction in;
    size_t found = tb_prologue_length(tb_bytes(padded, sizeof(padded)), &kind);
    bool is_read = tb_instruction_read(tb_bytes(padded, sizeof(padded)), &in);
    seen++;
    if (is_read && !strstr(text, "(bad)")) {
        lengths++;
        if (in.len != len)
            fail("another length", line);
        if (in.is_relative != (strstr(text, "(%rip)") || strstr(text, "(%eip)")))
            fail("relative to its address, or not", line);
        if (!in.distance != !is_distant(text))
            fail("a branch, or none", line);
    }
    if (!found)
        return;
    known++;
    if (found != len)
        fail("another length", line);
    if (is_bound(text))
        fail("may not be moved", line);
    if (kind != kind_of(text))
        fail("another kind", line);
    for (size_t cut = 0; cut < len; cut++)
        if (tb_prologue_length(tb_bytes(padded, cut), &kind_cut))
            fail("reads past the end", line);
}

static uintptr_t leads_to(const uint8_t *at, uintptr_t stands_at)
{
    struct tb_instruction in;
    return tb_instruction_read(tb_bytes(at, 16), &in) && in.distance ? stands_at + (uintptr_t)in.target : 0;
}

/* What is pushed in place of a call's return address: push, mov to the upper half. */
static uintptr_t pushed(const uint8_t *at)
{
    static const uint8_t mov[] = {0xc7, 0x44, 0x24, 0x04};
    uint32_t low, high;
    memcpy(&low, at + 1, 4);
    memcpy(&high, at + 9, 4);
    return at[0] == 0x68 && !memcmp(at + 5, mov, 4) ? (uintptr_t)high << 32 | low : 0;
}

/* The same bytes, but for branches, which must lead to the same place; then back. */
static void check_moved_to(const struct tb_prologue *p, uintptr_t to, const char *name)
{
    uint8_t out[TB_PROLOGUE_MOVED + 16] = {0};
    const uintptr_t here = (uintptr_t)code;
    enum tb_prologue_kind kind = TB_PROLOGUE_COPY;
    size_t len = tb_prologue_move(p, code, to, out), at = 0, from = p->at;
    if (!len || len > TB_PROLOGUE_MOVED)
        fail("not moved", name);
    while (from < p->end && kind < TB_PROLOGUE_CALL) {
        size_t step = tb_prologue_length(tb_bytes(code + from, code_len - from), &kind);
        if (kind == TB_PROLOGUE_COPY && memcmp(code + from, out + at, step))
            fail("moved and changed", name);
        if (kind == TB_PROLOGUE_BRANCH && (out[at] != 0x0f || (out[at + 1] ^ code[from + (step == 6)]) & 0x0f))
            fail("another condition", name);
        if (kind == TB_PROLOGUE_CALL && pushed(out + at) != here + from + step)
            fail("returns elsewhere", name);
        at += kind == TB_PROLOGUE_CALL ? 13 : 0;
        if (kind >= TB_PROLOGUE_CALL && out[at] != 0xe9)
            fail("no jump", name);
        if (kind != TB_PROLOGUE_COPY && leads_to(out + at, to + at) != leads_to(code + from, here + from))
            fail("leads elsewhere", name);
        at += kind == TB_PROLOGUE_COPY ? step : kind == TB_PROLOGUE_BRANCH ? 6 : TB_PROLOGUE_JUMP;
        from += step;
    }
    if (kind < TB_PROLOGUE_CALL) {
        if (out[at] != 0xe9 || leads_to(out + at, to + at) != here + p->end)
            fail("does not go on", name);
        at += TB_PROLOGUE_JUMP;
    }
    if (at != len || from != p->end)
        fail("another number of bytes", name);
}

static void check_moved(const struct tb_prologue *p, const char *name)
{
    static const int64_t places[] = {-(1 << 30), -4096, 1 << 20, 1 << 30};
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
        check_moved_to(p, (uintptr_t)code + (uintptr_t)places[i], name);
}

static void check_function(const char *name)
{
    struct tb_prologue p = {0, 0};
    if (!code_len)
        return;
    functions++;
    enum tb_prologue_answer answer = tb_prologue_read(tb_bytes(code, code_len), &p);
    answers[answer]++;
    if (answer == TB_PROLOGUE_OK) {
        if (!is_start[p.at] || (p.end < code_len && !is_start[p.end]) || p.end > code_len ||
            p.end < p.at + TB_PROLOGUE_JUMP)
            fail("cut through an instruction", name);
        for (size_t i = 0; i < target_count; i++)
            if (targets[i] >= function_at && targets[i] < function_at + p.end)
                fail("is entered there", name);
        check_moved(&p, name);
    } else if (p.end) {
        fail("touched the result", name);
    }
    memset(is_start, 0, code_len + 1);
    code_len = target_count = 0;
}

static size_t read_bytes(const char *at, uint8_t *ret)
{
    size_t len = 0;
    while (len < 16 && isxdigit((unsigned char)at[0]) && isxdigit((unsigned char)at[1]) && at[2] == ' ') {
        ret[len++] = (uint8_t)strtoul((char[]){at[0], at[1], 0}, NULL, 16);
        at += 3;
    }
    return len;
}

static void take_instruction(char *line)
{
    char *bytes_text = strchr(line, '\t'), *text = bytes_text ? strchr(bytes_text + 1, '\t') : NULL;
    uint8_t bytes[16];
    size_t len = bytes_text ? read_bytes(bytes_text + 1, bytes) : 0;
    if (!text || !len || code_len + len >= FUNCTION_MAX)
        return;
    text++;
    if (strncmp(text, ".byte", 5) && *mnemonic(text)) /* else data among the code */
        check_instruction(bytes, len, text, line);
    is_start[code_len] = 1;
    memcpy(code + code_len, bytes, len);
    code_len += len;
    char *operand = text + strcspn(text, " ");
    if ((text[0] == 'j' || !strncmp(text, "loop", 4)) && target_count < sizeof(targets) / sizeof(targets[0])) {
        operand += strspn(operand, " ");
        if (isxdigit((unsigned char)*operand))
            targets[target_count++] = strtoull(operand, NULL, 16);
    }
}

/* xorshift64 */
static uint64_t next(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* A function of random bytes, most of them such as functions begin with. */
static void check_random(uint64_t *state)
{
    static const uint8_t usual[] = {0x55, 0x48, 0x89, 0xe5, 0x41, 0x54, 0x83, 0xec, 0x0f, 0x85, 0xe8, 0xe9, 0x74, 0xeb,
                                    0xf3, 0x1e, 0xfa, 0x66, 0xc3, 0xc4, 0xc5, 0x8d, 0x05, 0x25, 0x64, 0xc7, 0xb8, 0xf7};
    struct tb_instruction in;
    struct tb_prologue p;
    enum tb_prologue_kind kind;
    size_t len = next(state) % 40;
    uint8_t *bytes = malloc(len ? len : 1);
    for (size_t i = 0; i < len; i++) {
        uint64_t x = next(state);
        bytes[i] = x % 4 ? usual[(x >> 8) % sizeof(usual)] : (uint8_t)(x >> 16);
    }
    if (tb_instruction_read(tb_bytes(bytes, len), &in) && (!in.len || in.len > len || in.len > 15))
        fail("longer than it is", "random");
    if (tb_prologue_length(tb_bytes(bytes, len), &kind) > len)
        fail("longer than it is", "random");
    if (tb_prologue_read(tb_bytes(bytes, len), &p) == TB_PROLOGUE_OK) {
        uint8_t *out = malloc(TB_PROLOGUE_MOVED);
        answers[TB_PROLOGUE_OK]++;
        if (p.end > len || p.end < p.at + TB_PROLOGUE_JUMP ||
            !tb_prologue_move(&p, bytes, (uintptr_t)bytes + 4096, out))
            fail("not moved", "random");
        free(out);
    }
    free(bytes);
}

int main(int argc, char **argv)
{
    uint64_t state = argc > 1 ? strtoull(argv[1], NULL, 10) | 1 : 0;
    for (long n = 0; argc > 1 && n < 500000; n++)
        check_random(&state);
    if (argc > 1)
        return answers[TB_PROLOGUE_OK] < 10000; /* else nothing was tried */
    static char line[4096], name[4096];
    while (fgets(line, sizeof(line), stdin)) {
        line[strcspn(line, "\n")] = 0;
        if (isxdigit((unsigned char)line[0]) && strstr(line, ">:")) {
            check_function(name);
            snprintf(name, sizeof(name), "%s", line);
            function_at = strtoull(line, NULL, 16);
        } else if (line[0] == ' ' && strchr(line, '\t')) {
            take_instruction(line);
        }
    }
    check_function(name);
    printf("%zu instructions, the length of %zu known, %zu may be moved; %zu functions: %zu accepted, %zu unknown, %zu "
           "short, %zu entered\n",
           seen, lengths, known, functions, answers[TB_PROLOGUE_OK], answers[TB_PROLOGUE_UNKNOWN],
           answers[TB_PROLOGUE_SHORT], answers[TB_PROLOGUE_ENTERED]);
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parts of the tickbird command that need no process: the ELF reader on damaged and random files, LD_PRELOAD
 * values, text of strangers, tables of sockets. The sources are included: the command is a program, not a library.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "exporter/elf_file.c"
#include "exporter/cli/object.c"
#include "exporter/sockets.c"
#include "exporter/cli/text.c"

#include <arpa/inet.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

/* --- ELF ---------------------------------------------------------------------------------------------------------- */

static uint8_t *whole_file(const char *path, size_t *ret_len)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &st), 0);
    uint8_t *bytes = malloc((size_t)st.st_size);
    assert_non_null(bytes);
    assert_int_equal(read_at(fd, 0, bytes, (size_t)st.st_size), 0);
    close(fd);
    *ret_len = (size_t)st.st_size;
    return bytes;
}

static int file_of(const void *bytes, size_t len)
{
    int fd = memfd_create("elf", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, len), (ssize_t)len);
    return fd;
}

static struct tb_elf_file look(const void *bytes, size_t len)
{
    struct tb_elf_file file;
    int fd = file_of(bytes, len);
    assert_int_equal(tb_elf_file_read(fd, &file), 0);
    close(fd);
    return file;
}

static void this_program_is_what_it_is(void **state)
{
    (void)state;
    struct tb_elf_file file;
    char machine[32];
    int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    assert_int_equal(tb_elf_file_read(fd, &file), 0);
    close(fd);
    assert_int_equal(file.kind, TB_FILE_ELF);
    assert_false(file.is_static || file.is_go || file.is_foreign || file.has_own_tls);
    assert_int_equal(file.bits, sizeof(void *) * 8);
    assert_string_not_equal(file.interpreter, "");
#if defined(__x86_64__) && !defined(__ILP32__)
    assert_string_equal(tb_elf_machine_name(file.machine, file.bits, machine), "x86-64");
#endif
#ifdef __GLIBC__
    assert_int_equal(file.libc, TB_LIBC_GLIBC);
#endif
}

static void a_symbol_is_found_in_the_hash_table_only_when_defined(void **state)
{
    (void)state;
    static const char *const libraries[] = {"/lib/x86_64-linux-gnu/libc.so.6", "/lib/aarch64-linux-gnu/libc.so.6",
                                            "/lib64/libc.so.6"};
    int fd = -1;
    for (size_t i = 0; i < 3 && fd < 0; i++)
        fd = open(libraries[i], O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        skip();
    ElfW(Ehdr) head;
    static struct reader r;
    struct tb_elf_file file = {0};
    assert_int_equal(read_at(fd, 0, &head, sizeof(head)), 0);
    r = (struct reader){.fd = fd, .file = &file, .segment_count = head.e_phnum};
    assert_int_equal(read_at(fd, head.e_phoff, r.segments, head.e_phnum * sizeof(r.segments[0])), 0);
    struct dynamic d;
    bool has_dynamic = false;
    for (size_t i = 0; i < r.segment_count; i++)
        if (r.segments[i].p_type == PT_DYNAMIC)
            has_dynamic = read_dynamic(&r, &r.segments[i], &d);
    assert_true(has_dynamic);
    assert_true(exports(&r, &d, "read") && exports(&r, &d, "accept4") && exports(&r, &d, "printf"));
    assert_false(exports(&r, &d, "SSL_read") || exports(&r, &d, "") || exports(&r, &d, "_dl_argv"));
    close(fd);
}

static void every_cut_of_a_program_is_judged(void **state)
{
    (void)state;
    size_t len;
    uint8_t *bytes = whole_file("/bin/true", &len);
    for (size_t cut = 0; cut < len; cut += cut < 1024 ? 1 : 997) {
        struct tb_elf_file file = look(bytes, cut);
        assert_in_range(file.kind, TB_FILE_OTHER, TB_FILE_BROKEN);
        assert_true(memchr(file.interpreter, 0, sizeof(file.interpreter)));
    }
    free(bytes);
}

/* Damage anywhere in the headers must neither crash, nor read outside, nor hang. */
static void damaged_programs_are_judged(void **state)
{
    (void)state;
    size_t len;
    uint8_t *bytes = whole_file("/bin/true", &len);
    unsigned seed = (unsigned)getpid();
    print_message("seed %u\n", seed);
    srand(seed);
    int fd = file_of(bytes, len);
    for (int round = 0; round < 20000; round++) {
        uint8_t noise[8], old[8];
        size_t span = round % 3 ? 1024 : len - sizeof(noise), many = 1u + (unsigned)rand() % sizeof(noise);
        size_t at = 4 + (size_t)rand() % (span - 4);
        for (size_t i = 0; i < many; i++)
            noise[i] = rand() % 4 ? (uint8_t)rand() : rand() % 2 ? 0xff : 0;
        memcpy(old, bytes + at, many);
        assert_int_equal(pwrite(fd, noise, many, (off_t)at), (ssize_t)many);
        struct tb_elf_file file;
        assert_int_equal(tb_elf_file_read(fd, &file), 0);
        assert_true(memchr(file.interpreter, 0, sizeof(file.interpreter)));
        /* Half of the damage stays for a while, so that it adds up. */
        if (round % 2 || round % 64 == 0)
            assert_int_equal(pwrite(fd, old, many, (off_t)at), (ssize_t)many);
        if (round % 64 == 0)
            assert_int_equal(pwrite(fd, bytes, len, 0), (ssize_t)len);
    }
    close(fd);
    free(bytes);
}

static void first_lines_of_scripts_are_cut_as_the_kernel_does(void **state)
{
    (void)state;
    static const struct {
        const char *bytes, *line;
    } scripts[] = {{"#!/bin/sh\necho\n", "/bin/sh"},
                   {"#! \t /bin/sh -e \t\nx", "/bin/sh -e"},
                   {"#!/usr/bin/env -S a b", "/usr/bin/env -S a b"},
                   {"#!\n", ""},
                   {"#!", ""},
                   {"#!   ", ""},
                   {"#!/bin/sh\r\n", "/bin/sh\r"}};
    for (size_t i = 0; i < sizeof(scripts) / sizeof(scripts[0]); i++) {
        struct tb_elf_file file = look(scripts[i].bytes, strlen(scripts[i].bytes));
        assert_int_equal(file.kind, TB_FILE_SCRIPT);
        assert_string_equal(file.script, scripts[i].line);
    }
    char longer[1000] = "#!/bin/";
    memset(longer + 7, 'x', sizeof(longer) - 7);
    struct tb_elf_file file = look(longer, sizeof(longer));
    assert_int_equal(strlen(file.script), TB_FILE_TEXT - 1 - 2);
}

/* --- LD_PRELOAD --------------------------------------------------------------------------------------------------- */

static void the_object_comes_first_and_others_stay(void **state)
{
    (void)state;
    static const struct {
        const char *current, *expected;
    } cases[] = {{NULL, "/t/libtickbird.so"},
                 {"", "/t/libtickbird.so"},
                 {"  : ", "/t/libtickbird.so"},
                 {"/a.so", "/t/libtickbird.so:/a.so"},
                 {"/a.so b.so:c.so", "/t/libtickbird.so:/a.so:b.so:c.so"},
                 {" :/a.so: ", "/t/libtickbird.so:/a.so"},
                 {"/t/libtickbird.so", "/t/libtickbird.so"},
                 {"/old/libtickbird.so.0.1.0 /a.so", "/t/libtickbird.so:/a.so"},
                 {"libtickbird.so:/a.so:/x/libtickbird.so.2", "/t/libtickbird.so:/a.so"},
                 {"/x/libtickbird.something", "/t/libtickbird.so:/x/libtickbird.something"},
                 {"/x/notlibtickbird.so", "/t/libtickbird.so:/x/notlibtickbird.so"},
                 {"/libtickbird.so/a.so", "/t/libtickbird.so:/libtickbird.so/a.so"}};
    char value[256];
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(tb_object_preload("/t/libtickbird.so", cases[i].current, value, sizeof(value)), 0);
        assert_string_equal(value, cases[i].expected);
    }
}

static void a_preload_that_does_not_fit_is_refused(void **state)
{
    (void)state;
    char value[12];
    assert_int_equal(tb_object_preload("/t/x.so", "/a.so", value, sizeof(value)), -ENAMETOOLONG);
    assert_int_equal(tb_object_preload("/t/x.so", "/a", value, sizeof(value)), 0);
    assert_string_equal(value, "/t/x.so:/a");
    assert_int_equal(tb_object_preload("/t/longer/x.so", NULL, value, sizeof(value)), -ENAMETOOLONG);
}

/* --- text --------------------------------------------------------------------------------------------------------- */

static void text_of_strangers_is_made_safe(void **state)
{
    (void)state;
    static const struct {
        const char *in, *out;
    } cases[] = {{"plain text", "plain text"},
                 {"caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x90\xa6", "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x90\xa6"},
                 {"a\x1b[2Jb\n\t\x7f", "a?[2Jb???"},
                 {"\xc2\x9b"
                  "31m",
                  "?31m"},
                 {"\xff\xc0\x80\xed\xa0\x80", "??????"},
                 {"cut\xe2\x82", "cut??"},
                 {"\xf4\x90\x80\x80", "????"}};
    char buffer[64];
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_string_equal(tb_cli_text(buffer, sizeof(buffer), cases[i].in), cases[i].out);
    assert_string_equal(tb_cli_text(buffer, 4, "abcdef"), "abc");
    assert_string_equal(tb_cli_text(buffer, 4, "ab\xe2\x82\xac"), "ab");
}

/* --- sockets ------------------------------------------------------------------------------------------------------ */

static void a_listening_socket_is_found_and_others_are_not(void **state)
{
    (void)state;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct tb_inodes own, listening;
    bool has_uring;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    for (int listens = 0; listens < 2; listens++) {
        if (listens)
            assert_int_equal(listen(fd, 1), 0);
        assert_int_equal(tb_sockets_of(getpid(), &own, &has_uring), 0);
        tb_sockets_listening(getpid(), false, &listening);
        assert_true(own.count >= 1);
        assert_int_equal(tb_inodes_common(&own, &listening), (size_t)listens);
        free(own.inodes);
        free(listening.inodes);
    }
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(this_program_is_what_it_is),
        cmocka_unit_test(a_symbol_is_found_in_the_hash_table_only_when_defined),
        cmocka_unit_test(every_cut_of_a_program_is_judged),
        cmocka_unit_test(damaged_programs_are_judged),
        cmocka_unit_test(first_lines_of_scripts_are_cut_as_the_kernel_does),
        cmocka_unit_test(the_object_comes_first_and_others_stay),
        cmocka_unit_test(a_preload_that_does_not_fit_is_refused),
        cmocka_unit_test(text_of_strangers_is_made_safe),
        cmocka_unit_test(a_listening_socket_is_found_and_others_are_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The web configuration: what is accepted, what is refused and where that is told, users, the rate limit, and reading
 * it again. TLS with real clients is tests/servers/test_web.py.
 *
 * LDFLAGS: -Wl,--wrap=tb_clock_ns
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <crypt.h>
#include <gnutls/x509.h>
#include <stdio.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "exporter/boot.h"
#include "exporter/log.h"
#include "exporter/web.h"

#define SECOND UINT64_C(1000000000)

static uint64_t clock_ns, clock_step_ns;

uint64_t __wrap_tb_clock_ns(int clock_id);
uint64_t __wrap_tb_clock_ns(int clock_id)
{
    (void)clock_id;
    clock_ns += clock_step_ns;
    return clock_ns;
}

static char folder[] = "/tmp/tb-web-XXXXXX", path[64], key_path[64];
static char *errors;

static char certificate[4096], key[4096]; /* PEM: CN=test, EC P-256 */

static void make_certificate(void)
{
    gnutls_x509_privkey_t made_key;
    gnutls_x509_crt_t made;
    size_t len = sizeof certificate - 1, key_len = sizeof key - 1;
    assert_int_equal(gnutls_x509_privkey_init(&made_key), 0);
    assert_int_equal(
        gnutls_x509_privkey_generate(made_key, GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0),
        0);
    assert_int_equal(gnutls_x509_crt_init(&made), 0);
    assert_int_equal(gnutls_x509_crt_set_version(made, 3), 0);
    assert_int_equal(gnutls_x509_crt_set_serial(made, "\1", 1), 0);
    assert_int_equal(gnutls_x509_crt_set_dn(made, "CN=test", NULL), 0);
    assert_int_equal(gnutls_x509_crt_set_key(made, made_key), 0);
    assert_int_equal(gnutls_x509_crt_set_activation_time(made, 1000000000), 0);
    assert_int_equal(gnutls_x509_crt_set_expiration_time(made, 4000000000), 0);
    assert_int_equal(gnutls_x509_crt_sign2(made, made, made_key, GNUTLS_DIG_SHA256, 0), 0);
    assert_int_equal(gnutls_x509_crt_export(made, GNUTLS_X509_FMT_PEM, certificate, &len), 0);
    assert_int_equal(gnutls_x509_privkey_export(made_key, GNUTLS_X509_FMT_PEM, key, &key_len), 0);
    gnutls_x509_crt_deinit(made);
    gnutls_x509_privkey_deinit(made_key);
}

static void put_file(const char *name, const char *text)
{
    FILE *f = fopen(name, "w");
    assert_non_null(f);
    assert_int_equal(fputs(text, f) < 0, 0);
    assert_int_equal(fclose(f), 0);
}

static int set_up(void **state)
{
    (void)state;
    memcpy(strrchr(folder, '-') + 1, "XXXXXX", 6);
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof path, "%s/web.yml", folder);
    snprintf(key_path, sizeof key_path, "%s/key.pem", folder);
    if (!*certificate)
        make_certificate();
    clock_ns = 1000 * SECOND;
    clock_step_ns = 0;
    errors = NULL;
    tb_log_setup(TB_LOG_ERROR + 1, TB_LOG_LOGFMT);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    free(errors);
    unlink(path);
    unlink(key_path);
    return rmdir(folder);
}

static struct tb_web *load(const char *text)
{
    put_file(path, text);
    free(errors);
    errors = NULL;
    return tb_web_new(path, &errors);
}

/* A tls_server_config that is right, then @more lines of it. */
static struct tb_web *load_tls(const char *more)
{
    struct tb_buffer b = {0};
    tb_puts(&b, "tls_server_config:\n  cert: |\n");
    for (const char *p = certificate; *p; p = strchr(p, '\n') + 1) {
        tb_puts(&b, "    ");
        tb_put(&b, p, (size_t)(strchr(p, '\n') + 1 - p));
    }
    tb_puts(&b, "  key_file: key.pem\n");
    tb_puts(&b, more);
    tb_put(&b, "", 1);
    put_file(key_path, key);
    struct tb_web *w = load(b.data);
    tb_buffer_free(&b);
    return w;
}

static bool tells(const char *line_column, const char *words)
{
    char start[100];
    snprintf(start, sizeof start, "%s:%s: ", path, line_column);
    bool is_good = errors && strncmp(errors, start, strlen(start)) == 0 && strstr(errors, words);
    if (!is_good)
        print_error("expected %s ... %s\nfound %s\n", start, words, errors ? errors : "(nothing)");
    return is_good;
}

static void an_empty_file_asks_for_nothing(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "{}",
                                        "tls_server_config: {}\nhttp_server_config: {headers: }\nbasic_auth_users:\n"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct tb_web *w = load(texts[i]);
        assert_non_null(w);
        assert_null(tb_web_tls(w));
        assert_int_equal(tb_web_may_enter(w, NULL, NULL, NULL), TB_WEB_YES);
        assert_true(tb_web_may_ask(w));
        tb_web_free(w);
    }
}

static void what_is_wrong_is_told_with_its_place(void **state)
{
    (void)state;
    static const struct {
        const char *text, *place, *words;
    } cases[] = {
        {"tls_config: {}\n", "1:1", "unknown key"},
        {"tls_server_config:\n  certfile: x\n", "2:3", "unknown key of tls_server_config"},
        {"tls_server_config:\n  key_file: x\n", "2:3", "no certificate"},
        {"tls_server_config:\n  cert_file: x\n", "2:3", "no key"},
        {"tls_server_config:\n  cert_file: x\n  cert: y\n  key_file: z\n", "3:9", "cert_file is set as well"},
        {"tls_server_config: {cert_file: no.pem, key_file: no.key}\n", "1:32", "No such file"},
        {"tls_server_config:\n  client_auth_type: Maybe\n", "2:21", "is not known"},
        {"tls_server_config:\n  cert_file: x\n  key_file: y\n  client_auth_type: RequireAndVerifyClientCert\n", "4:21",
         "nothing to verify with"},
        {"tls_server_config:\n  cert_file: x\n  key_file: y\n  client_ca_file: z\n", "2:3",
         "no client certificate is asked"},
        {"tls_server_config:\n  cert_file: x\n  key_file: y\n  client_allowed_sans: [z]\n", "2:3",
         "no client certificate is asked"},
        {"tls_server_config:\n  cert_file: x\n  key_file: y\n  client_auth_type: RequireAnyClientCert\n"
         "  client_allowed_sans: [z]\n",
         "2:3", "anybody can make a certificate"},
        {"tls_server_config:\n  min_version: TLS11\n", "2:16", "is not offered"},
        {"tls_server_config:\n  cert_file: x\n  key_file: y\n  min_version: TLS13\n  max_version: TLS12\n", "2:3",
         "below"},
        {"http_server_config: {http2: maybe}\n", "1:29", "neither true nor false"},
        {"http_server_config:\n  headers:\n    Server: x\n", "3:5", "cannot be set"},
        {"http_server_config:\n  headers:\n    X-Frame-Options: allow\n", "3:22", "deny or sameorigin"},
        {"http_server_config:\n  headers:\n    Content-Security-Policy: \"a\\r\\nb\"\n", "3:30", "control character"},
        {"basic_auth_users:\n  bob: secret\n", "2:8", "none of bcrypt"},
        {"basic_auth_users:\n  bob: $2y$18$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi\n", "2:8", "cost"},
        {"basic_auth_users:\n  \"b:b\": $2y$10$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi\n", "2:3",
         "colon"},
        {"basic_auth_users: [bob]\n", "1:19", "no mapping"},
        {"rate_limit: {interval: soon, burst: 1}\n", "1:24", "no duration"},
        {"rate_limit: {interval: 1s}\n", "1:13", "burst"},
        {"rate_limit: {interval: 1s, burst: -1}\n", "1:35", "no number"},
        {"a: [\n", "2:1", "YAML"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_null(load(cases[i].text));
        assert_true(tells(cases[i].place, cases[i].words));
    }
}

static void suites_and_curves_are_offered_exactly_or_refused(void **state)
{
    (void)state;
    static const char *const good[] = {
        "",
        "  min_version: TLS13\n",
        "  max_version: TLS12\n  prefer_server_cipher_suites: false\n",
        "  curve_preferences: [CurveP256, X25519, CurveP384, CurveP521]\n",
        "  cipher_suites: [TLS_AES_128_GCM_SHA256]\n  min_version: TLS13\n",
        "  cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, TLS_AES_128_GCM_SHA256]\n",
        "  cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA, TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA]\n  max_version: "
        "TLS12\n",
        /* every one of them */
        "  cipher_suites: [TLS_AES_128_GCM_SHA256, TLS_AES_256_GCM_SHA384, TLS_CHACHA20_POLY1305_SHA256, "
        "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA, "
        "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA, "
        "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA, TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, "
        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, "
        "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, "
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256]\n",
    };
    static const struct {
        const char *more, *words;
    } bad[] = {
        {"  cipher_suites: [TLS_RSA_WITH_RC4_128_SHA]\n", "is not offered"},
        {"  curve_preferences: [X25519MLKEM768]\n", "is not offered"},
        {"  cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256]\n", "would offer TLS_AES_128_GCM_SHA256 too"},
        {"  cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384]\n"
         "  max_version: TLS12\n",
         "too: add it"},
        {"  cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA]\n", "none is of TLS 1.3"},
        {"  cipher_suites: [TLS_AES_128_GCM_SHA256]\n", "none is of TLS 1.2"},
        {"  cert_file: x\n", "set as well"},
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct tb_web *w = load_tls(good[i]);
        if (!w)
            print_error("%s%s\n", good[i], errors);
        assert_non_null(w);
        assert_non_null(tb_web_tls(w));
        tb_web_free(w);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_null(load_tls(bad[i].more));
        if (!strstr(errors, bad[i].words))
            print_error("expected %s\nfound %s\n", bad[i].words, errors);
        assert_non_null(strstr(errors, bad[i].words));
    }
}

static char *hash_of(const char *password, struct crypt_data *data)
{
    char setting[CRYPT_GENSALT_OUTPUT_SIZE];
    assert_non_null(crypt_gensalt_rn("$2b$", 4, "0123456789abcdef", 16, setting, sizeof setting));
    return crypt_r(password, setting, data);
}

static struct tb_web *load_users(const char *password)
{
    static struct crypt_data data;
    char text[200];
    snprintf(text, sizeof text, "basic_auth_users:\n  alice: %s\n", hash_of(password, &data));
    return load(text);
}

static void a_user_needs_the_password(void **state)
{
    (void)state;
    struct tb_web *w = load_users("secret");
    assert_non_null(w);
    assert_int_equal(tb_web_may_enter(w, NULL, "alice", "secret"), TB_WEB_YES);
    assert_int_equal(tb_web_may_enter(w, NULL, "alice", "secret2"), TB_WEB_NO);
    assert_int_equal(tb_web_may_enter(w, NULL, "alice", ""), TB_WEB_NO);
    assert_int_equal(tb_web_may_enter(w, NULL, "Alice", "secret"), TB_WEB_NO);
    assert_int_equal(tb_web_may_enter(w, NULL, "bob", "secret"), TB_WEB_NO);
    assert_int_equal(tb_web_may_enter(w, NULL, "alice", NULL), TB_WEB_NO);
    assert_int_equal(tb_web_may_enter(w, NULL, NULL, NULL), TB_WEB_NO);
    tb_web_free(w);
}

static void results_are_remembered_and_hashing_has_its_share(void **state)
{
    (void)state;
    struct tb_web *w = load_users("secret");
    clock_step_ns = SECOND; /* each look at the clock: hashing takes a second */
    assert_int_equal(tb_web_may_enter(w, NULL, "alice", "secret"), TB_WEB_YES);
    clock_step_ns = 0;
    assert_int_equal(tb_web_may_enter(w, NULL, "alice", "wrong"), TB_WEB_LATER);
    assert_int_equal(tb_web_may_enter(w, NULL, "bob", "wrong"), TB_WEB_LATER); /* not told from a known user */
    assert_int_equal(tb_web_may_enter(w, NULL, "alice", "secret"), TB_WEB_YES);
    clock_ns += 7 * SECOND;
    assert_int_equal(tb_web_may_enter(w, NULL, "alice", "wrong"), TB_WEB_NO);
    tb_web_free(w);
}

static void many_wrong_passwords_make_no_right_one_forgotten(void **state)
{
    (void)state;
    struct tb_web *w = load_users("secret");
    assert_int_equal(tb_web_may_enter(w, NULL, "alice", "secret"), TB_WEB_YES);
    for (unsigned i = 0; i < 300; i++) {
        char wrong[16];
        snprintf(wrong, sizeof wrong, "%u", i);
        assert_int_equal(tb_web_may_enter(w, NULL, i % 2 ? "alice" : "bob", wrong), TB_WEB_NO);
    }
    clock_step_ns = 1000000; /* within the minute of the wrong ones */
    assert_int_equal(tb_web_may_enter(w, NULL, "alice", "one more"), TB_WEB_NO);
    clock_step_ns = 0;
    assert_int_equal(tb_web_may_enter(w, NULL, "alice", "another"), TB_WEB_LATER);
    assert_int_equal(tb_web_may_enter(w, NULL, "alice", "one more"), TB_WEB_NO); /* remembered, too */
    assert_int_equal(tb_web_may_enter(w, NULL, "alice", "secret"), TB_WEB_YES);
    tb_web_free(w);
}

/* Who guesses keeps others out as little as himself later. */
static void guesses_from_one_address_keep_no_other_out(void **state)
{
    (void)state;
    struct sockaddr_in bad = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x0a000001)}, good = bad;
    const struct sockaddr *from_bad = (const struct sockaddr *)&bad, *from_good = (const struct sockaddr *)&good;
    good.sin_addr.s_addr = htonl(0x0a000002);
    struct tb_web *w = load_users("secret");
    clock_step_ns = SECOND;
    assert_int_equal(tb_web_may_enter(w, from_bad, "alice", "guess 0"), TB_WEB_NO);
    clock_step_ns = 0;
    clock_ns += 10 * SECOND;
    for (unsigned i = 1; i <= 4; i++) { /* as often as it may */
        char guess[16];
        snprintf(guess, sizeof guess, "guess %u", i);
        clock_step_ns = SECOND;
        assert_int_equal(tb_web_may_enter(w, from_bad, "alice", guess), TB_WEB_NO);
        clock_step_ns = 0;
        assert_int_equal(tb_web_may_enter(w, from_bad, "alice", "secret"), TB_WEB_LATER);
        clock_ns += 8 * SECOND;
    }
    clock_step_ns = SECOND;
    assert_int_equal(tb_web_may_enter(w, from_bad, "alice", "guess 5"), TB_WEB_NO);
    clock_step_ns = 0;
    assert_int_equal(tb_web_may_enter(w, from_good, "alice", "secret"), TB_WEB_YES);
    tb_web_free(w);
}

static void a_rate_limit_is_a_bucket(void **state)
{
    (void)state;
    struct tb_web *w = load("rate_limit: {interval: 1s, burst: 3}\n");
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < 3; i++)
            assert_true(tb_web_may_ask(w));
        assert_false(tb_web_may_ask(w));
        clock_ns += SECOND;
        assert_true(tb_web_may_ask(w));
        assert_false(tb_web_may_ask(w));
        clock_ns += 100 * SECOND; /* no more than the burst is saved up */
    }
    tb_web_free(w);
    for (unsigned i = 0; i < 2; i++) { /* a machine that was started just now; the longest that can be asked for */
        clock_ns = SECOND;
        w = load(i ? "rate_limit: {interval: 10000d, burst: 1000000}\n" : "rate_limit: {interval: 1m, burst: 2}\n");
        assert_true(tb_web_may_ask(w));
        assert_true(tb_web_may_ask(w));
        assert_int_equal(tb_web_may_ask(w), i);
        tb_web_free(w);
    }
    w = load("rate_limit: {interval: 0, burst: 0}\n");
    for (unsigned i = 0; i < 1000; i++)
        assert_true(tb_web_may_ask(w));
    tb_web_free(w);
}

static void a_changed_file_counts_and_a_wrong_one_does_not(void **state)
{
    (void)state;
    static struct crypt_data data;
    struct tb_web *w = load_users("first");
    char text[200];
    assert_true(tb_web_again(w, false));
    assert_int_equal(tb_web_may_enter(w, NULL, "alice", "first"), TB_WEB_YES);
    snprintf(text, sizeof text, "# now\nbasic_auth_users:\n  alice: %s\n", hash_of("second", &data));
    put_file(path, text);
    assert_true(tb_web_again(w, false));
    assert_int_equal(tb_web_may_enter(w, NULL, "alice", "first"), TB_WEB_NO);
    assert_int_equal(tb_web_may_enter(w, NULL, "alice", "second"), TB_WEB_YES);
    uint64_t since = tb_web_stats(w)->success_ns;
    clock_ns += SECOND;
    put_file(path, "basic_auth_users:\n  alice: no hash\n");
    assert_false(tb_web_again(w, false));
    assert_false(tb_web_stats(w)->is_successful);
    assert_int_equal(tb_web_stats(w)->success_ns, since);
    assert_int_equal(tb_web_may_enter(w, NULL, "alice", "second"), TB_WEB_YES); /* what was in force stays */
    assert_int_equal(unlink(path), 0);
    assert_false(tb_web_again(w, true));
    put_file(path, ""); /* as an editor leaves it for a moment: nobody asked for no passwords */
    assert_false(tb_web_again(w, false));
    assert_int_equal(tb_web_may_enter(w, NULL, NULL, NULL), TB_WEB_NO);
    put_file(path, "{}\n");
    assert_true(tb_web_again(w, false));
    assert_int_equal(tb_web_may_enter(w, NULL, NULL, NULL), TB_WEB_YES);
    tb_web_free(w);
}

static void tls_is_not_switched_while_it_runs(void **state)
{
    (void)state;
    struct tb_web *w = load_tls("");
    put_file(path, "{}\n");
    assert_false(tb_web_again(w, false));
    assert_non_null(tb_web_tls(w));
    tb_web_free(w);
    w = load_tls(""); /* a changed key that does not belong to the certificate */
    put_file(key_path, "nonsense\n");
    assert_false(tb_web_again(w, false));
    assert_non_null(tb_web_tls(w));
    put_file(key_path, key);
    assert_true(tb_web_again(w, true));
    tb_web_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(an_empty_file_asks_for_nothing),
        TEST(what_is_wrong_is_told_with_its_place),
        TEST(suites_and_curves_are_offered_exactly_or_refused),
        TEST(a_user_needs_the_password),
        TEST(results_are_remembered_and_hashing_has_its_share),
        TEST(many_wrong_passwords_make_no_right_one_forgotten),
        TEST(guesses_from_one_address_keep_no_other_out),
        TEST(a_rate_limit_is_a_bucket),
        TEST(a_changed_file_counts_and_a_wrong_one_does_not),
        TEST(tls_is_not_switched_while_it_runs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

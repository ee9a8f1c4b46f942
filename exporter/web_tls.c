/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tls_server_config as GnuTLS has it (web_tls.h). The file's words are Go's; suites and curves are mapped by the
 * tables below. GnuTLS takes key exchanges, ciphers and MACs one by one, so that a list of suites could let in others:
 * that is looked at, and an error.
 */
#include "web_tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <gnutls/x509.h>
#include <stdlib.h>

#include "config_yaml.h"
#include "file_look.h"

#define PEM_BYTES_MAX ((size_t)1 << 20)

struct tb_web_tls {
    unsigned references;
    gnutls_certificate_credentials_t credentials;
    gnutls_priority_t priority;
    enum tb_client_auth client_auth;
    struct tb_text_list allowed_sans;
    bool has_allowed_sans;
};

/* Go's names, code points (RFC 5289, 7905, 8446, 8422), and what GnuTLS calls their parts. */
static const struct suite {
    const char *name;
    unsigned char id[2];
    const char *exchange, *cipher, *mac;
} suites[] = {
    {"TLS_AES_128_GCM_SHA256", {0x13, 0x01}, NULL, "AES-128-GCM", "AEAD"},
    {"TLS_AES_256_GCM_SHA384", {0x13, 0x02}, NULL, "AES-256-GCM", "AEAD"},
    {"TLS_CHACHA20_POLY1305_SHA256", {0x13, 0x03}, NULL, "CHACHA20-POLY1305", "AEAD"},
    {"TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA", {0xc0, 0x09}, "ECDHE-ECDSA", "AES-128-CBC", "SHA1"},
    {"TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA", {0xc0, 0x0a}, "ECDHE-ECDSA", "AES-256-CBC", "SHA1"},
    {"TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", {0xc0, 0x13}, "ECDHE-RSA", "AES-128-CBC", "SHA1"},
    {"TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA", {0xc0, 0x14}, "ECDHE-RSA", "AES-256-CBC", "SHA1"},
    {"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", {0xc0, 0x2b}, "ECDHE-ECDSA", "AES-128-GCM", "AEAD"},
    {"TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", {0xc0, 0x2c}, "ECDHE-ECDSA", "AES-256-GCM", "AEAD"},
    {"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", {0xc0, 0x2f}, "ECDHE-RSA", "AES-128-GCM", "AEAD"},
    {"TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", {0xc0, 0x30}, "ECDHE-RSA", "AES-256-GCM", "AEAD"},
    {"TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", {0xcc, 0xa8}, "ECDHE-RSA", "CHACHA20-POLY1305", "AEAD"},
    {"TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", {0xcc, 0xa9}, "ECDHE-ECDSA", "CHACHA20-POLY1305", "AEAD"},
};
#define SUITES (sizeof suites / sizeof *suites)

static const struct {
    const char *name, *group;
} curves[] = {{"CurveP256", "SECP256R1"}, {"CurveP384", "SECP384R1"}, {"CurveP521", "SECP521R1"}, {"X25519", "X25519"}};
#define CURVES (sizeof curves / sizeof *curves)

#define FAIL(errors, c, place, ...) tb_config_error(errors, (c)->path, (place)->line, (place)->column, __VA_ARGS__)

/* --- what is offered -------------------------------------------------------------------------------------------------
 */

static const struct suite *find_suite(const char *name)
{
    for (size_t i = 0; i < SUITES; i++)
        if (strcmp(suites[i].name, name) == 0)
            return &suites[i];
    return NULL;
}

/* In the order of the list: GnuTLS keeps to it where the server decides, and leaves out what it has already. */
static void put_suites(struct tb_buffer *b, const struct tb_web_list *l)
{
    tb_puts(b, ":-KX-ALL:-CIPHER-ALL:-MAC-ALL");
    for (size_t i = 0; i < l->count; i++) {
        const struct suite *s = find_suite(l->items[i].text);
        const char *parts[] = {s->exchange, s->cipher, s->mac};
        for (size_t k = s->exchange ? 0 : 1; k < 3; k++) {
            tb_puts(b, ":+");
            tb_puts(b, parts[k]);
        }
    }
}

static bool check_names(const struct tb_web_config *c, struct tb_config_errors *errors)
{
    unsigned before = errors->count;
    for (size_t i = 0; i < c->tls.cipher_suites.count; i++)
        if (!find_suite(c->tls.cipher_suites.items[i].text))
            FAIL(errors, c, &c->tls.cipher_suites.items[i],
                 "cipher_suites: \"%s\" is not offered: see docs/configuration.md for those that are",
                 c->tls.cipher_suites.items[i].text);
    for (size_t i = 0; i < c->tls.curves.count; i++) {
        size_t k = 0;
        while (k < CURVES && strcmp(curves[k].name, c->tls.curves.items[i].text) != 0)
            k++;
        if (k == CURVES)
            FAIL(errors, c, &c->tls.curves.items[i],
                 "curve_preferences: \"%s\" is not offered: write CurveP256, CurveP384, CurveP521 or X25519",
                 c->tls.curves.items[i].text);
    }
    return errors->count == before;
}

static char *make_priority(const struct tb_web_tls_config *t)
{
    struct tb_buffer b = {0};
    tb_puts(&b, "NORMAL:-VERS-ALL");
    for (unsigned v = t->max_version; v >= t->min_version; v--)
        tb_puts(&b, v == 3 ? ":+VERS-TLS1.3" : ":+VERS-TLS1.2");
    if (t->cipher_suites.count)
        put_suites(&b, &t->cipher_suites);
    else /* forward secrecy and authenticated encryption only */
        tb_puts(&b, ":-KX-ALL:+ECDHE-ECDSA:+ECDHE-RSA:-CIPHER-ALL:+AES-128-GCM:+AES-256-GCM:+CHACHA20-POLY1305"
                    ":-MAC-ALL:+AEAD");
    if (t->curves.count)
        tb_puts(&b, ":-GROUP-ALL");
    for (size_t i = 0; i < t->curves.count; i++)
        for (size_t k = 0; k < CURVES; k++)
            if (strcmp(curves[k].name, t->curves.items[i].text) == 0) {
                tb_puts(&b, ":+GROUP-");
                tb_puts(&b, curves[k].group);
            }
    if (t->server_decides)
        tb_puts(&b, ":%SERVER_PRECEDENCE");
    return tb_buffer_text(&b);
}

static bool is_listed(const struct tb_web_list *l, const unsigned char id[2])
{
    for (size_t i = 0; i < l->count; i++)
        if (memcmp(find_suite(l->items[i].text)->id, id, 2) == 0)
            return true;
    return false;
}

/* Nothing but what is listed, and something for each version. */
static void check_offer(const struct tb_web_config *c, gnutls_priority_t priority, struct tb_config_errors *errors)
{
    const struct tb_web_list *l = &c->tls.cipher_suites;
    bool has[2] = {false, false};
    unsigned number;
    if (!l->count)
        return;
    for (unsigned i = 0;; i++) {
        unsigned char id[2];
        int r = gnutls_priority_get_cipher_suite_index(priority, i, &number);
        if (r == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE)
            break;
        const char *name = r == 0 ? gnutls_cipher_suite_info(number, id, NULL, NULL, NULL, NULL) : NULL;
        bool is_13 = name && id[0] == 0x13;
        if (!name || (is_13 && c->tls.max_version < 3) || (!is_13 && c->tls.min_version > 2))
            continue;
        has[is_13] = true;
        if (!is_listed(l, id))
            FAIL(errors, c, &l->items[0],
                 "cipher_suites: these would offer %s too: add it, or leave out the suites that share its key exchange "
                 "or "
                 "its cipher",
                 name);
    }
    if (c->tls.max_version == 3 && !has[1])
        FAIL(errors, c, &l->items[0],
             "cipher_suites: none is of TLS 1.3: add TLS_AES_128_GCM_SHA256, or set max_version: TLS12");
    if (c->tls.min_version == 2 && !has[0])
        FAIL(errors, c, &l->items[0], "cipher_suites: none is of TLS 1.2: add one, or set min_version: TLS13");
}

static void set_priority(struct tb_web_tls *t, const struct tb_web_config *c, struct tb_config_errors *errors)
{
    const char *at = NULL;
    if (!check_names(c, errors))
        return;
    char *text = make_priority(&c->tls);
    int r = gnutls_priority_init(&t->priority, text, &at);
    if (r < 0)
        FAIL(errors, c, &c->tls, "tls_server_config: GnuTLS does not take \"%s\": %s: use the defaults", at ? at : text,
             gnutls_strerror(r));
    else
        check_offer(c, t->priority, errors);
    free(text);
}

/* --- certificates ----------------------------------------------------------------------------------------------------
 */

/* The PEM text of a part; NULL and told when it cannot be read. The caller's to free. */
static char *get_pem(const struct tb_web_config *c, const char *what, const struct tb_web_text *text,
                     const struct tb_web_text *file, struct tb_config_errors *errors)
{
    size_t len;
    if (text->text)
        return tb_strndup(text->text, strlen(text->text));
    char *pem = tb_read_whole(file->text, PEM_BYTES_MAX, &len);
    if (!pem)
        FAIL(errors, c, file, "%s: %s: %s: name a file that this user may read", what, file->text, strerror(errno));
    return pem;
}

static gnutls_datum_t datum(const char *text)
{
    return (gnutls_datum_t){(unsigned char *)(uintptr_t)text, (unsigned)strlen(text)};
}

static void set_certificate(struct tb_web_tls *t, const struct tb_web_config *c, struct tb_config_errors *errors)
{
    const struct tb_web_tls_config *from = &c->tls;
    char *cert = get_pem(c, "cert_file", &from->cert, &from->cert_file, errors);
    char *key = get_pem(c, "key_file", &from->key, &from->key_file, errors);
    if (cert && key) {
        gnutls_datum_t cert_pem = datum(cert), key_pem = datum(key);
        int r = gnutls_certificate_set_x509_key_mem2(t->credentials, &cert_pem, &key_pem, GNUTLS_X509_FMT_PEM, NULL, 0);
        if (r < 0)
            FAIL(errors, c, from->cert.text ? &from->cert : &from->cert_file,
                 "certificate and key: %s: give a certificate in PEM and the key that belongs to it",
                 gnutls_strerror(r));
    }
    if (key)
        explicit_bzero(key, strlen(key));
    free(key);
    free(cert);
}

static void set_client_ca(struct tb_web_tls *t, const struct tb_web_config *c, struct tb_config_errors *errors)
{
    const struct tb_web_tls_config *from = &c->tls;
    if (!from->client_ca.text && !from->client_ca_file.text)
        return;
    char *pem = get_pem(c, "client_ca_file", &from->client_ca, &from->client_ca_file, errors);
    gnutls_datum_t ca = datum(pem ? pem : "");
    int r = pem ? gnutls_certificate_set_x509_trust_mem(t->credentials, &ca, GNUTLS_X509_FMT_PEM) : 1;
    if (r <= 0)
        FAIL(errors, c, from->client_ca.text ? &from->client_ca : &from->client_ca_file,
             "client_ca_file: %s: give certificates in PEM", r ? gnutls_strerror(r) : "it holds no certificate");
    free(pem);
}

/* --- clients' certificates -------------------------------------------------------------------------------------------
 */

static bool is_same_address(const char *allowed, const unsigned char *bytes, size_t len)
{
    unsigned char parsed[16];
    return (len == 4 && inet_pton(AF_INET, allowed, parsed) == 1 && memcmp(parsed, bytes, 4) == 0) ||
           (len == 16 && inet_pton(AF_INET6, allowed, parsed) == 1 && memcmp(parsed, bytes, 16) == 0);
}

static bool is_allowed_name(const struct tb_web_tls *t, int type, const char *name, size_t len)
{
    for (size_t i = 0; i < t->allowed_sans.count; i++) {
        const char *allowed = t->allowed_sans.items[i];
        if (type == GNUTLS_SAN_IPADDRESS && is_same_address(allowed, (const unsigned char *)name, len))
            return true;
        bool is_text = type == GNUTLS_SAN_DNSNAME || type == GNUTLS_SAN_RFC822NAME || type == GNUTLS_SAN_URI;
        if (is_text && strlen(allowed) == len && memcmp(allowed, name, len) == 0)
            return true;
    }
    return false;
}

/* Has the certificate a name of the list? */
static bool has_allowed_name(const struct tb_web_tls *t, gnutls_x509_crt_t certificate)
{
    for (unsigned i = 0;; i++) {
        char name[1024];
        size_t len = sizeof name;
        int type = gnutls_x509_crt_get_subject_alt_name(certificate, i, name, &len, NULL);
        if (type == GNUTLS_E_SHORT_MEMORY_BUFFER)
            continue;
        if (type < 0)
            return false;
        if (is_allowed_name(t, type, name, len))
            return true;
    }
}

static bool is_name_allowed(const struct tb_web_tls *t, const gnutls_datum_t *certificate)
{
    gnutls_x509_crt_t parsed;
    if (gnutls_x509_crt_init(&parsed) < 0)
        return false;
    bool is_allowed =
        gnutls_x509_crt_import(parsed, certificate, GNUTLS_X509_FMT_DER) == 0 && has_allowed_name(t, parsed);
    gnutls_x509_crt_deinit(parsed);
    return is_allowed;
}

static bool is_client_allowed(const struct tb_web_tls *t, gnutls_session_t session)
{
    gnutls_typed_vdata_st purpose = {.type = GNUTLS_DT_KEY_PURPOSE_OID,
                                     .data = (unsigned char *)(uintptr_t)GNUTLS_KP_TLS_WWW_CLIENT};
    unsigned count = 0, status = 0;
    const gnutls_datum_t *chain = gnutls_certificate_get_peers(session, &count);
    if (!chain || !count)
        return t->client_auth != TB_CLIENT_AUTH_VERIFY && t->client_auth != TB_CLIENT_AUTH_REQUIRE_ANY;
    if (t->client_auth >= TB_CLIENT_AUTH_VERIFY_IF_GIVEN &&
        (gnutls_certificate_verify_peers(session, &purpose, 1, &status) < 0 || status))
        return false;
    return !t->has_allowed_sans || is_name_allowed(t, &chain[0]);
}

/* In the handshake, once the client's certificate is there, or is known not to come. 0 = go on. The HTTP library closes
 * without a word when the handshake fails: a client should read why. */
static int verify_client(gnutls_session_t session)
{
    if (is_client_allowed(gnutls_session_get_ptr(session), session))
        return 0;
    gnutls_alert_send(session, GNUTLS_AL_FATAL, GNUTLS_A_BAD_CERTIFICATE);
    return -1;
}

/* --- one of them -----------------------------------------------------------------------------------------------------
 */

struct tb_web_tls *tb_web_tls_new(const struct tb_web_config *c, struct tb_config_errors *errors)
{
    struct tb_web_tls *t = tb_alloc(sizeof *t);
    unsigned before = errors->count;
    t->references = 1;
    t->client_auth = c->tls.client_auth;
    t->has_allowed_sans = c->tls.allowed_sans.is_given;
    for (size_t i = 0; i < c->tls.allowed_sans.count; i++)
        tb_text_list_add(&t->allowed_sans, c->tls.allowed_sans.items[i].text);
    if (gnutls_certificate_allocate_credentials(&t->credentials) < 0)
        abort(); /* out of memory */
    set_certificate(t, c, errors);
    set_client_ca(t, c, errors);
    set_priority(t, c, errors);
    gnutls_certificate_set_verify_function(t->credentials, verify_client);
    if (errors->count == before)
        return t;
    tb_web_tls_unref(t);
    return NULL;
}

struct tb_web_tls *tb_web_tls_ref(struct tb_web_tls *t)
{
    t->references++;
    return t;
}

void tb_web_tls_unref(struct tb_web_tls *t)
{
    if (!t || --t->references)
        return;
    if (t->priority)
        gnutls_priority_deinit(t->priority);
    gnutls_certificate_free_credentials(t->credentials);
    tb_text_list_free(&t->allowed_sans);
    free(t);
}

int tb_web_tls_apply(struct tb_web_tls *t, gnutls_session_t session)
{
    gnutls_certificate_request_t request =
        t->client_auth == TB_CLIENT_AUTH_NONE                                                     ? GNUTLS_CERT_IGNORE
        : t->client_auth == TB_CLIENT_AUTH_REQUIRE_ANY || t->client_auth == TB_CLIENT_AUTH_VERIFY ? GNUTLS_CERT_REQUIRE
                                                                                                  : GNUTLS_CERT_REQUEST;
    int r = gnutls_priority_set(session, t->priority);
    if (!r)
        r = gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, t->credentials);
    gnutls_certificate_server_set_request(session, request);
    gnutls_session_set_ptr(session, t);
    return r;
}

uint64_t tb_web_tls_look(const struct tb_web_config *c, uint64_t h)
{
    const struct tb_web_text *files[] = {&c->tls.cert_file, &c->tls.key_file, &c->tls.client_ca_file};
    for (size_t i = 0; i < 3; i++)
        if (files[i]->text)
            h = tb_file_look(files[i]->text, h);
    return h;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file of --web.config.file: TLS, response headers, users, a rate limit; in the form that exporters of the
 * Prometheus project share. Read whole and checked: a key that is not known, or a value that could not be kept to, is
 * an error with its place, and nothing of the file is used. docs/configuration.md says what differs from others.
 */
#ifndef TB_WEB_CONFIG_H
#define TB_WEB_CONFIG_H

#include "config.h"

enum tb_client_auth {
    TB_CLIENT_AUTH_NONE,            /* NoClientCert */
    TB_CLIENT_AUTH_REQUEST,         /* RequestClientCert: asked for, not looked at */
    TB_CLIENT_AUTH_REQUIRE_ANY,     /* RequireAnyClientCert: there must be one, it is not verified */
    TB_CLIENT_AUTH_VERIFY_IF_GIVEN, /* VerifyClientCertIfGiven */
    TB_CLIENT_AUTH_VERIFY           /* RequireAndVerifyClientCert */
};

/* A value and where it stands, for what is found wrong with it later. */
struct tb_web_text {
    char *text; /* owned; NULL = not given */
    uint32_t line, column;
};

struct tb_web_list {
    struct tb_web_text *items;
    size_t count, space;
    bool is_given;
};

struct tb_web_tls_config {
    bool is_given; /* there is a tls_server_config, and not an empty one */
    uint32_t line, column;
    /* PEM, or files of it whose names are relative to the configuration's directory no more; one of both */
    struct tb_web_text cert, key, client_ca;
    struct tb_web_text cert_file, key_file, client_ca_file;
    struct tb_web_text client_auth_type;
    enum tb_client_auth client_auth;
    struct tb_web_list allowed_sans, cipher_suites, curves;
    unsigned min_version, max_version; /* 2 = TLS 1.2, 3 = TLS 1.3 */
    bool server_decides;               /* prefer_server_cipher_suites */
};

struct tb_web_header {
    char *name, *value;
};

struct tb_web_user {
    char *name, *hash; /* bcrypt, checked */
};

struct tb_web_config {
    char *path;
    bool is_empty; /* not even {} */
    struct tb_web_tls_config tls;
    struct tb_web_header *headers;
    size_t header_count, header_space;
    struct tb_web_user *users;
    size_t user_count, user_space;
    uint64_t rate_interval_ns; /* 0 = no limit */
    uint32_t rate_burst;
};

/*
 * tb_web_config_load - read and check @path. Files that it names are not opened here (web_tls.h).
 * @errors  appended to
 * Returns NULL when there was one; to be freed with tb_web_config_free.
 */
struct tb_web_config *tb_web_config_load(const char *path, struct tb_config_errors *errors);
void tb_web_config_free(struct tb_web_config *c);

#endif

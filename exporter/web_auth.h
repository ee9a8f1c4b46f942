/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who is let in: users of the web configuration with bcrypt hashes. Hashing is slow on purpose and stops everything
 * else in this one thread, so each result is remembered (as a keyed digest, never the password), and what is new may
 * take a quarter of the time at most: half of that is for addresses that gave no wrong password of late, so that who
 * guesses does not keep others out. One thread.
 */
#ifndef TB_WEB_AUTH_H
#define TB_WEB_AUTH_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

struct tb_web_auth;
struct tb_web_config;

/* tb_web_hash_complaint - why a hash cannot be used, or NULL. */
const char *tb_web_hash_complaint(const char *hash);

/* tb_web_auth_new - NULL when the C library cannot hash. To be freed with tb_web_auth_free. */
struct tb_web_auth *tb_web_auth_new(void);
void tb_web_auth_free(struct tb_web_auth *a);

enum tb_web_answer { TB_WEB_YES, TB_WEB_NO, TB_WEB_LATER /* hashing has had its share of the time */ };

/*
 * tb_web_auth_check - may this user come in? An unknown user takes as long as a known one.
 * @from             the client's address; NULL: not known, which is one address
 * @user, @password  NULL: none were given
 */
enum tb_web_answer tb_web_auth_check(struct tb_web_auth *a, const struct tb_web_config *c, const struct sockaddr *from,
                                     const char *user, const char *password);

#endif

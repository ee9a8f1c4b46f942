/* SPDX-License-Identifier: Apache-2.0 */
/* Passwords against bcrypt hashes (web_auth.h), by crypt_r(3) of libcrypt. */
#include "web_auth.h"

#include <crypt.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <time.h>

#include "boot.h"
#include "buffer.h"
#include "web_config.h"

#define HASH_LEN 60u    /* $2b$NN$, 22 characters of salt, 31 of the hash */
#define SETTING_LEN 29u /* without the hash */
#define COST_MAX 14     /* about a second; everything else waits meanwhile */
#define DIGEST_LEN 32u
#define RIGHT_MAX 256u /* remembered; the oldest gives way */
#define WRONG_MAX 64u
#define SHARE 8u /* hashing may take one part in so many of the time, in each lane */
#define ADDRESSES 256u
#define SUSPECT_NS UINT64_C(60000000000) /* after a wrong password */

struct digest {
    unsigned char bytes[DIGEST_LEN]; /* all 0 = none */
};

/* An address, or the network of 64 bits that one of IPv6 is in. */
struct address {
    uint64_t hash;     /* keyed: nobody can choose addresses that meet here */
    uint64_t wrong_ns; /* CLOCK_MONOTONIC of its last wrong password; 0 = none */
};

enum lane { LANE_CLEAN, LANE_SUSPECT, LANES };

struct tb_web_auth {
    /* apart, so that whoever tries many wrong passwords makes none of the right ones forgotten */
    struct digest right[RIGHT_MAX], wrong[WRONG_MAX];
    size_t next_right, next_wrong;
    unsigned char key[DIGEST_LEN]; /* of the digests; random */
    char dummy[SETTING_LEN + 1];   /* what unknown users are hashed with */
    int dummy_cost;
    struct address addresses[ADDRESSES]; /* by hash; a later one takes the place of another */
    uint64_t free_ns[LANES];             /* when hashing has had its share; CLOCK_MONOTONIC */
    struct crypt_data crypt;
};

static int cost_of(const char *hash)
{
    return (hash[4] - '0') * 10 + hash[5] - '0';
}

const char *tb_web_hash_complaint(const char *hash)
{
    static const char alphabet[] = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    bool is_bcrypt = strlen(hash) == HASH_LEN && hash[0] == '$' && hash[1] == '2' && strchr("aby", hash[2]) &&
                     hash[3] == '$' && hash[4] >= '0' && hash[4] <= '3' && hash[5] >= '0' && hash[5] <= '9' &&
                     hash[6] == '$' && strspn(hash + 7, alphabet) == HASH_LEN - 7;
    if (!is_bcrypt)
        return "is none of bcrypt: make one with htpasswd -nBC 10 USER";
    if (cost_of(hash) < 4 || cost_of(hash) > COST_MAX)
        return "has a cost outside 4 to 14: scrapes wait while a password is hashed: make one with htpasswd -nBC 10 "
               "USER";
    return NULL;
}

struct tb_web_auth *tb_web_auth_new(void)
{
    struct tb_web_auth *a = tb_alloc(sizeof *a);
    if (gnutls_rnd(GNUTLS_RND_KEY, a->key, sizeof a->key) == 0)
        return a;
    free(a);
    return NULL;
}

void tb_web_auth_free(struct tb_web_auth *a)
{
    if (!a)
        return;
    explicit_bzero(a, sizeof *a);
    free(a);
}

/* As slow as the slowest of the users' hashes: an unknown user must not be told by the time it takes. */
static const char *dummy_hash(struct tb_web_auth *a, const struct tb_web_config *c)
{
    unsigned char salt[16];
    int cost = 0;
    for (size_t i = 0; i < c->user_count; i++)
        cost = cost_of(c->users[i].hash) > cost ? cost_of(c->users[i].hash) : cost;
    if (cost != a->dummy_cost) {
        gnutls_rnd(GNUTLS_RND_NONCE, salt, sizeof salt);
        if (!crypt_gensalt_rn("$2b$", (unsigned long)cost, (const char *)salt, sizeof salt, a->dummy, sizeof a->dummy))
            return NULL;
        a->dummy_cost = cost;
    }
    return a->dummy;
}

/* Of everything that decides, so that a changed file makes old results useless. False: it could not be made. */
static bool make_digest(const struct tb_web_auth *a, const char *user, const char *hash, const char *password,
                        struct digest *ret)
{
    struct tb_buffer b = {0}; /* NULs separate: none of the three holds one */
    tb_put(&b, user, strlen(user) + 1);
    tb_put(&b, hash, strlen(hash) + 1);
    tb_put(&b, password, strlen(password) + 1);
    int r = gnutls_hmac_fast(GNUTLS_MAC_SHA256, a->key, sizeof a->key, b.data, b.len, ret->bytes);
    explicit_bzero(b.data, b.len);
    tb_buffer_free(&b);
    return r == 0;
}

static bool is_among(const struct digest *all, size_t count, const struct digest *d)
{
    for (size_t i = 0; i < count; i++)
        if (gnutls_memcmp(all[i].bytes, d->bytes, DIGEST_LEN) == 0)
            return true;
    return false;
}

/* Does @password give @hash? */
static bool gives(struct tb_web_auth *a, const char *password, const char *hash)
{
    const char *made = crypt_r(password, hash, &a->crypt);
    return made && strlen(made) == HASH_LEN && strlen(hash) == HASH_LEN && gnutls_memcmp(made, hash, HASH_LEN) == 0;
}

static uint64_t hash_address(const struct tb_web_auth *a, const struct sockaddr *from)
{
    unsigned char digest[DIGEST_LEN] = {0};
    uint64_t hash;
    const void *bytes = NULL;
    size_t len = 0;
    if (from && from->sa_family == AF_INET) {
        bytes = &((const struct sockaddr_in *)(const void *)from)->sin_addr;
        len = 4;
    } else if (from && from->sa_family == AF_INET6) {
        const struct in6_addr *v6 = &((const struct sockaddr_in6 *)(const void *)from)->sin6_addr;
        bool is_v4 = IN6_IS_ADDR_V4MAPPED(v6);
        bytes = is_v4 ? &v6->s6_addr[12] : v6->s6_addr;
        len = is_v4 ? 4 : 8;
    }
    if (bytes)
        (void)gnutls_hmac_fast(GNUTLS_MAC_SHA256, a->key, sizeof a->key, bytes, len, digest);
    memcpy(&hash, digest, sizeof hash);
    return hash;
}

static enum lane lane_of(const struct tb_web_auth *a, uint64_t address, uint64_t now_ns)
{
    const struct address *known = &a->addresses[address % ADDRESSES];
    bool is_suspect = known->hash == address && known->wrong_ns && now_ns - known->wrong_ns < SUSPECT_NS;
    return is_suspect ? LANE_SUSPECT : LANE_CLEAN;
}

/* Hashes, and remembers what came of it. */
static bool find_out(struct tb_web_auth *a, uint64_t address, enum lane lane, const char *password, const char *hash,
                     const struct digest *d)
{
    uint64_t began_ns = tb_clock_ns(CLOCK_MONOTONIC);
    bool is_right = gives(a, password, hash);
    if (is_right)
        a->right[a->next_right++ % RIGHT_MAX] = *d;
    else
        a->wrong[a->next_wrong++ % WRONG_MAX] = *d;
    uint64_t now_ns = tb_clock_ns(CLOCK_MONOTONIC);
    a->free_ns[lane] = now_ns + (SHARE - 1) * (now_ns - began_ns);
    if (!is_right)
        a->addresses[address % ADDRESSES] = (struct address){address, now_ns};
    return is_right;
}

enum tb_web_answer tb_web_auth_check(struct tb_web_auth *a, const struct tb_web_config *c, const struct sockaddr *from,
                                     const char *user, const char *password)
{
    struct digest d;
    if (!user || !password)
        return TB_WEB_NO;
    size_t i = 0;
    while (i < c->user_count && strcmp(c->users[i].name, user) != 0)
        i++;
    const char *hash = i < c->user_count ? c->users[i].hash : dummy_hash(a, c);
    if (!hash || !make_digest(a, user, hash, password, &d) || is_among(a->wrong, WRONG_MAX, &d))
        return TB_WEB_NO;
    if (is_among(a->right, RIGHT_MAX, &d))
        return TB_WEB_YES;
    uint64_t address = hash_address(a, from), now_ns = tb_clock_ns(CLOCK_MONOTONIC);
    enum lane lane = lane_of(a, address, now_ns);
    if (now_ns < a->free_ns[lane])
        return TB_WEB_LATER;
    return find_out(a, address, lane, password, hash, &d) ? TB_WEB_YES : TB_WEB_NO;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Where credentials come from without asking anybody, and when they are asked for again (credentials.h). */
#include "credentials.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "boot.h"
#include "config.h"
#include "credentials_fetch.h"

#define PROFILE_MAX ((size_t)1 << 20)
#define REFRESH_NS (UINT64_C(300) * 1000000000) /* before they expire */

void tb_credentials_free(struct tb_credentials *c)
{
    free(c->key);
    free(c->secret);
    free(c->token);
    *c = (struct tb_credentials){0};
}

static char *copy(const char *text)
{
    return text && *text ? tb_strndup(text, strlen(text)) : NULL;
}

/* --- what answers hold -----------------------------------------------------------------------------------------------
 */

/* 2026-11-22T22:50:10Z, with or without a fraction; 0 = it is none. */
static uint64_t parse_time(const char *text)
{
    struct tm t = {0};
    const char *end = text ? strptime(text, "%Y-%m-%dT%H:%M:%S", &t) : NULL;
    time_t seconds = end ? timegm(&t) : -1;
    return seconds > 0 ? (uint64_t)seconds * UINT64_C(1000000000) : 0;
}

static char *json_text(const json_t *o, const char *name)
{
    return copy(json_string_value(json_object_get(o, name)));
}

bool tb_credentials_from_json(const char *text, size_t len, struct tb_credentials *ret)
{
    json_t *o = json_loadb(text, len, 0, NULL);
    *ret = (struct tb_credentials){.key = json_text(o, "AccessKeyId"),
                                   .secret = json_text(o, "SecretAccessKey"),
                                   .token = json_text(o, "Token"),
                                   .expires_ns = parse_time(json_string_value(json_object_get(o, "Expiration")))};
    json_decref(o);
    if (ret->key && ret->secret)
        return true;
    tb_credentials_free(ret);
    return false;
}

/* The text of the first element of that name: the values are of a few letters, and none is a reference. */
static char *xml_text(const char *xml, const char *name)
{
    char *open = tb_format("<%s>", name), *close = tb_format("</%s>", name);
    const char *from = strstr(xml, open), *to = from ? strstr(from, close) : NULL;
    char *text = to ? tb_strndup(from + strlen(open), (size_t)(to - from) - strlen(open)) : NULL;
    free(open);
    free(close);
    return text;
}

bool tb_credentials_from_sts(const char *xml, struct tb_credentials *ret)
{
    char *expires = xml_text(xml, "Expiration");
    *ret = (struct tb_credentials){.key = xml_text(xml, "AccessKeyId"),
                                   .secret = xml_text(xml, "SecretAccessKey"),
                                   .token = xml_text(xml, "SessionToken"),
                                   .expires_ns = parse_time(expires)};
    free(expires);
    if (ret->key && *ret->key && ret->secret && *ret->secret)
        return true;
    tb_credentials_free(ret);
    return false;
}

/* --- variables and files ---------------------------------------------------------------------------------------------
 */

static bool from_environment(struct tb_credentials *ret)
{
    *ret = (struct tb_credentials){.key = copy(getenv("AWS_ACCESS_KEY_ID")),
                                   .secret = copy(getenv("AWS_SECRET_ACCESS_KEY")),
                                   .token = copy(getenv("AWS_SESSION_TOKEN"))};
    if (ret->key && ret->secret)
        return true;
    tb_credentials_free(ret);
    return false;
}

/* The value of @name in the section [@section] of a file of `name = value` lines; NULL: none. */
static char *find_value(const char *text, const char *section, const char *name)
{
    bool is_here = false;
    for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n') {
        size_t len = strcspn(line, "\r\n");
        if (*line == '[') {
            size_t end = strcspn(line, "]\n");
            is_here = end - 1 == strlen(section) && strncmp(line + 1, section, end - 1) == 0;
            continue;
        }
        const char *equals = is_here ? memchr(line, '=', len) : NULL;
        size_t name_len = equals ? (size_t)(equals - line) : 0;
        while (name_len && (line[name_len - 1] == ' ' || line[name_len - 1] == '\t'))
            name_len--;
        if (!equals || name_len != strlen(name) || strncmp(line, name, name_len) != 0)
            continue;
        const char *from = equals + 1, *to = line + len;
        while (from < to && (*from == ' ' || *from == '\t'))
            from++;
        while (to > from && (to[-1] == ' ' || to[-1] == '\t'))
            to--;
        return tb_strndup(from, (size_t)(to - from));
    }
    return NULL;
}

/* A file that a variable names, or that lies in the home directory. */
static char *read_shared(const char *variable, const char *name)
{
    const char *given = getenv(variable), *home = getenv("HOME");
    char *path = given && *given ? tb_strndup(given, strlen(given)) : tb_format("%s/.aws/%s", home ? home : "", name);
    size_t len = 0;
    char *text = tb_read_whole(path, PROFILE_MAX, &len);
    free(path);
    return text;
}

char *tb_aws_profile(const char *profile, const char *name)
{
    const char *given = profile ? profile : getenv("AWS_PROFILE");
    const char *as = given && *given ? given : "default";
    char *text = read_shared("AWS_SHARED_CREDENTIALS_FILE", "credentials");
    char *value = text ? find_value(text, as, name) : NULL;
    free(text);
    if (value)
        return value;
    char *section = strcmp(as, "default") == 0 ? tb_format("default") : tb_format("profile %s", as);
    text = read_shared("AWS_CONFIG_FILE", "config");
    value = text ? find_value(text, section, name) : NULL;
    free(text);
    free(section);
    return value;
}

static bool from_profile(const char *profile, struct tb_credentials *ret)
{
    *ret = (struct tb_credentials){.key = tb_aws_profile(profile, "aws_access_key_id"),
                                   .secret = tb_aws_profile(profile, "aws_secret_access_key"),
                                   .token = tb_aws_profile(profile, "aws_session_token")};
    if (ret->key && ret->secret)
        return true;
    tb_credentials_free(ret);
    return false;
}

/* --- the order -------------------------------------------------------------------------------------------------------
 */

/* A profile that the configuration names goes before variables: somebody chose it. */
static bool find(struct tb_credential_source *s, struct tb_credentials *ret, char *why, size_t why_size)
{
    snprintf(why, why_size, "no AWS credentials: set AWS_ACCESS_KEY_ID, a profile, or a role");
    return (s->profile && from_profile(s->profile, ret)) || from_environment(ret) || from_profile(s->profile, ret) ||
           tb_credentials_from_web_identity(s, ret, why, why_size) ||
           tb_credentials_from_container(s, ret, why, why_size) || tb_credentials_from_instance(s, ret, why, why_size);
}

const struct tb_credentials *tb_credentials_get(struct tb_credential_source *s, char *ret_why, size_t why_size)
{
    const uint64_t now = tb_clock_ns(CLOCK_REALTIME);
    struct tb_credentials found = {0};
    bool is_good = s->now.key && !s->is_asked_anew && s->now.expires_ns;
    if (is_good && now + REFRESH_NS < s->now.expires_ns)
        return &s->now;
    if (find(s, &found, ret_why, why_size)) {
        tb_credentials_free(&s->now);
        s->now = found;
        s->is_asked_anew = false;
        return &s->now;
    }
    return is_good && now < s->now.expires_ns ? &s->now : NULL;
}

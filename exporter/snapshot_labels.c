/* SPDX-License-Identifier: Apache-2.0 */
/* Label texts (snapshot_labels.h). */
#include "snapshot_labels.h"

#include <stdlib.h>

#include "agent/methods.h"
#include "label_pairs.h"
#include "rules_ext.h"

const char *tb_abort_name(uint16_t status)
{
    static const char *const names[] = {"", "client_closed", "server_closed", "incomplete_request", "never_answered"};
    return status >= 1 && status <= TB_ABORT_NEVER_ANSWERED ? names[status] : "";
}

static const char *call_error_name(uint16_t status)
{
    static const char *const names[] = {
        [TB_CALL_REFUSED] = "refused",  [TB_CALL_TIMEOUT] = "timeout", [TB_CALL_RESET] = "reset",
        [TB_CALL_DNS] = "dns",          [TB_CALL_TLS] = "tls",         [TB_CALL_CLOSED] = "closed",
        [TB_CALL_PROTOCOL] = "protocol"};
    return status >= TB_CALL_REFUSED && status <= TB_CALL_PROTOCOL ? names[status] : "";
}

static const char *invocation_error_name(uint16_t status)
{
    static const char *const names[] = {[TB_INVOCATION_FUNCTION] = "function",
                                        [TB_INVOCATION_REFUSED] = "refused",
                                        [TB_INVOCATION_UNFINISHED] = "unfinished",
                                        [TB_INVOCATION_INIT] = "init"};
    return status >= TB_INVOCATION_FUNCTION && status <= TB_INVOCATION_INIT ? names[status] : "";
}

const char *tb_reason_name(const struct tb_snap_key *key)
{
    if (key->family == TB_FAMILY_ABORTED)
        return tb_abort_name(key->status);
    if (key->family == TB_FAMILY_CALL_ERRORS)
        return call_error_name(key->status);
    if (key->family == TB_FAMILY_CALL_RESULT)
        return key->status == TB_CALL_ANSWERED ? "answered" : "failed";
    if (key->family == TB_FAMILY_INVOCATION_ERRORS)
        return invocation_error_name(key->status);
    return NULL;
}

const char *tb_custom_why_name(uint16_t why)
{
    static const char *const names[TB_CUSTOM_WHYS] = {"",        "compressed", "too_long", "not_utf8", "malformed",
                                                      "missing", "type",       "unseen",   "no_memory"};
    return why < TB_CUSTOM_WHYS ? names[why] : "";
}

void tb_put_label(struct tb_buffer *text, const char *name, const char *value)
{
    if (!name)
        return;
    tb_puts(text, text->len ? "," : "");
    tb_puts(text, name);
    tb_puts(text, "=\"");
    tb_put_escaped(text, value, strlen(value));
    tb_puts(text, "\"");
}

/* @text becomes that of an entry. */
static void use(struct tb_buffer *text, char **label, uint32_t *len)
{
    *len = (uint32_t)text->len;
    free(*label);
    *label = tb_buffer_text(text);
}

void tb_labels_service(const struct tb_snapshot *s, struct tb_snap_service *e)
{
    struct tb_buffer b = {0};
    tb_put_label(&b, s->label_names[TB_LABEL_SERVICE], e->name);
    if (*e->instance) {
        tb_puts(&b, b.len ? "," : "");
        tb_puts(&b, e->instance);
    }
    use(&b, &e->label, &e->label_len);
}

void tb_labels_series(const struct tb_snapshot *s, struct tb_snap_series *e)
{
    const char *const *names = (const char *const *)s->label_names, *reason = tb_reason_name(&e->key);
    const bool is_exchange = tb_is_exchange_family(e->key.family);
    struct tb_buffer b = {0};
    char status[8] = {(char)('0' + e->key.status / 100 % 10), (char)('0' + e->key.status / 10 % 10),
                      (char)('0' + e->key.status % 10)};
    struct tb_ext ext;
    tb_put(&b, e->service->label, e->service->label_len);
    if (tb_ext_is_family(e->key.family)) {
        if (tb_ext_read(e->key.ext, &ext) && ext.labels_len) {
            tb_puts(&b, b.len ? "," : "");
            tb_put(&b, ext.labels, ext.labels_len);
        }
        use(&b, &e->labels, &e->labels_len);
        free(e->pairs);
        e->pairs = NULL;
        return;
    }
    if (e->key.family == TB_FAMILY_UNREADABLE) {
        tb_put_label(&b, "rule", e->key.ext);
        tb_put_label(&b, names[TB_LABEL_REASON], tb_custom_why_name(e->key.status));
        use(&b, &e->labels, &e->labels_len);
        free(e->pairs);
        e->pairs = NULL;
        return;
    }
    if (e->key.role == TB_ROLE_CLIENT)
        tb_put_label(&b, names[TB_LABEL_TARGET], e->key.target);
    else if (*e->key.target)
        tb_put_label(&b, names[TB_LABEL_HOST], e->key.target);
    if (is_exchange) {
        tb_put_label(&b, names[TB_LABEL_METHOD], tb_method_name(e->key.method));
        tb_put_label(&b, names[TB_LABEL_ROUTE], e->key.route);
    }
    if (reason)
        tb_put_label(&b, names[TB_LABEL_REASON], reason);
    else if (is_exchange)
        tb_put_label(&b, names[TB_LABEL_STATUS], status);
    use(&b, &e->labels, &e->labels_len);
    free(e->pairs);
    e->pairs = NULL;
}

void tb_labels_pairs(struct tb_snap_series *e)
{
    struct tb_buffer b = {0};
    if (e->pairs)
        return;
    char *to = tb_buffer_room(&b, tb_label_pairs_max(e->labels_len));
    b.len = (size_t)(tb_label_pairs(to, e->labels, e->labels_len) - to);
    use(&b, &e->pairs, &e->pairs_len);
}

void tb_labels_unobserved(const struct tb_snapshot *s, struct tb_snap_unobserved *e)
{
    struct tb_buffer b = {0};
    uint32_t len;
    tb_put_label(&b, s->label_names[TB_LABEL_SERVICE], e->name);
    use(&b, &e->label, &len);
}

bool tb_snapshot_has_names(const struct tb_snapshot *s, const char *const names[TB_LABEL_COUNT])
{
    for (size_t i = 0; i < TB_LABEL_COUNT; i++)
        if (!s->label_names[i] != !names[i] || (names[i] && strcmp(names[i], s->label_names[i]) != 0))
            return false;
    return true;
}

void tb_snapshot_names(struct tb_snapshot *s, const char *const names[TB_LABEL_COUNT])
{
    if (tb_snapshot_has_names(s, names))
        return;
    for (size_t i = 0; i < TB_LABEL_COUNT; i++) {
        free(s->label_names[i]);
        s->label_names[i] = names[i] ? tb_strndup(names[i], strlen(names[i])) : NULL;
    }
    for (size_t i = 0; i < s->service_count; i++)
        tb_labels_service(s, s->services[i]);
    for (size_t i = 0; i < s->series_count; i++)
        tb_labels_series(s, s->series[i]);
    for (size_t i = 0; i < s->unobserved_count; i++)
        tb_labels_unobserved(s, &s->unobserved[i]);
}

void tb_labels_start(struct tb_snapshot *s)
{
    tb_snapshot_names(s, tb_names_default()->labels);
}

void tb_labels_free(struct tb_snapshot *s)
{
    for (size_t i = 0; i < TB_LABEL_COUNT; i++)
        free(s->label_names[i]);
}

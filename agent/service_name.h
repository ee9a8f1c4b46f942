/* SPDX-License-Identifier: Apache-2.0 */
/* Names of services, in the observed program and as seen from outside alike. Pure; context: any. */
#ifndef TB_SERVICE_NAME_H
#define TB_SERVICE_NAME_H

#include <stddef.h>

/* tb_service_script - the name of what an interpreter runs, from @argv (@len bytes, NUL-separated); "" = nothing
 * better. */
void tb_service_script(const char *program, const char *argv, size_t len, char *ret, size_t size);

/* tb_service_unit - the systemd service in the text of a cgroup file; "" = none. */
void tb_service_unit(const char *cgroup, size_t len, char *ret, size_t size);

/* tb_service_attribute - the value of @key in a list k=v,k=v as OTEL_RESOURCE_ATTRIBUTES has it, %XX decoded; "" = not
 * there. */
void tb_service_attribute(const char *list, const char *key, char *ret, size_t size);

/* tb_text_copy - @len bytes of @from, cut to @size - 1, and an end. Returns how many. */
size_t tb_text_copy(char *to, size_t size, const char *from, size_t len);

/* tb_base_name - the part of @path (@len bytes) behind the last '/'. */
const char *tb_base_name(const char *path, size_t len);

#endif

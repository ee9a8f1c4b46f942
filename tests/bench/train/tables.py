#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Route tables out of API descriptions: one JSON object a line, {"service": ..., "paths": {template: {parameter: schema}}}.

  tables.py DIRECTORY >tables.jsonl

DIRECTORY holds OpenAPI or Swagger documents (*.json), at any depth; the first folder is the provider and a service is
`provider/rest/of/the/path`. Only templates and what is said of path parameters (type, format, pattern, example, enum)
are kept. `provider()` and `part_of()` are the split by provider that the other programs here use.
"""
import hashlib, json, os, re, sys

METHODS = {"get", "put", "post", "delete", "patch", "head", "options"}
PARTS = (("train", 72), ("tune", 86), ("held", 100))  # of a hundred, by provider, but for these:
PINNED = {
    "practice": "stripe.com twilio.com digitalocean.com spotify.com spotify box.com docker.com docker.local discourse.local discord.com "
                "discordapp.com",
    "tune": "github.com gitea.io trello.com zoom.us linode.com circleci.com bitbucket.org netlify.com",
    "held": "kubernetes.io gitlab.com atlassian.com jira.local keycloak.local netbox.dev asana.com slack.com magento.com sendgrid.com "
            "plaid.com jellyfin.local clever-cloud.com portainer.io",
}


def provider(service):
    return service.split("/")[0]


def hundredth(text):
    return int(hashlib.md5(text.encode()).hexdigest(), 16) % 100


def part_of(service):
    for part, names in PINNED.items():
        if provider(service) in names.split():
            return part
    return next(part for part, limit in PARTS if hundredth(provider(service)) < limit)


def base_path(document):
    base = document.get("basePath") or ""
    servers = document.get("servers") or []
    if not base and servers:
        url = servers[0].get("url", "")
        found = re.match(r"^(?:https?:)?//[^/]+(/[^?#{}]*)?$", url)
        base = (found.group(1) or "") if found else url if url.startswith("/") and "{" not in url else ""
    return base.rstrip("/")


def parameters(document, items, ret):
    shared = {**((document.get("components") or {}).get("parameters") or {}), **(document.get("parameters") or {})}
    schemas = (document.get("components") or {}).get("schemas") or {}
    for item in items or []:
        if isinstance(item, dict) and "$ref" in item:
            item = shared.get(item["$ref"].split("/")[-1]) or {}
        if not isinstance(item, dict) or item.get("in") != "path":
            continue
        schema = item.get("schema") or item
        if isinstance(schema, dict) and "$ref" in schema:
            schema = schemas.get(schema["$ref"].split("/")[-1]) or {}
        kept = {k: schema[k] for k in ("type", "format", "pattern", "example", "enum") if k in schema} if isinstance(schema, dict) else {}
        if "example" in item:
            kept["example"] = item["example"]
        ret[item.get("name", "")] = kept


def table(document):
    base, paths = base_path(document), {}
    for template, operations in (document.get("paths") or {}).items():
        if isinstance(operations, dict):
            found = paths.setdefault(base + template, {})
            parameters(document, operations.get("parameters"), found)
            for method, operation in operations.items():
                if method in METHODS and isinstance(operation, dict):
                    parameters(document, operation.get("parameters"), found)
    return paths


def main():
    root = sys.argv[1]
    names = sorted(os.path.join(d, f) for d, _, files in os.walk(root) for f in files if f.endswith(".json"))
    for name in names:
        try:
            with open(name, encoding="utf-8") as f:
                paths = table(json.load(f))
        except (ValueError, AttributeError, TypeError):
            continue  # not an API description
        if paths:
            print(json.dumps({"service": os.path.relpath(name, root)[:-5], "paths": paths}, sort_keys=True))


if __name__ == "__main__":
    main()

#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A custom runtime of bash and curl, as in the tutorial: a process for each request.
api=http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime
headers=$(mktemp)
while event=$(curl -sS -L -D "$headers" "$api/invocation/next"); do
    id=$(sed -n 's/^Lambda-Runtime-Aws-Request-Id: *\([^[:space:]]*\).*/\1/ip' "$headers")
    items=$(sed -n 's/.*"items": \([0-9]*\).*/\1/p' <<<"$event")
    ms=$(sed -n 's/.*"ms": \([0-9]*\).*/\1/p' <<<"$event")
    echo "working on $items items"
    sleep "$(printf '0.%03d' "${ms:-1}")"
    case $event in
    *'"fails": true'*) curl -sS -o /dev/null "$api/invocation/$id/error" -d '{"errorMessage":"it fails","errorType":"Error"}' ;;
    *) curl -sS -o /dev/null "$api/invocation/$id/response" -d "{\"itemsProcessed\":$items,\"ns\":$((${ms:-1} * 1000000))}" ;;
    esac
done

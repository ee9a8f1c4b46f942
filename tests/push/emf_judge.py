# SPDX-License-Identifier: Apache-2.0
"""What CloudWatch makes of documents of the embedded metric format: SCHEMA is after the specification, with the limits."""
import collections
import json

try:
    import jsonschema
except ImportError as missing:
    print(f"{missing}: install python3-jsonschema")
    raise SystemExit(77)
from push_lib import check

NAME = {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[\\x20-\\x7e]+$"}
SCHEMA = {
    "type": "object", "required": ["_aws"],
    "properties": {"_aws": {"type": "object", "required": ["Timestamp", "CloudWatchMetrics"], "properties": {
        "Timestamp": {"type": "integer", "minimum": 10 ** 12}, "LogGroupName": {"type": "string", "minLength": 1, "maxLength": 512},
        "CloudWatchMetrics": {"type": "array", "minItems": 1, "items": {
            "type": "object", "required": ["Namespace", "Dimensions", "Metrics"], "additionalProperties": False, "properties": {
                "Namespace": NAME,
                "Dimensions": {"type": "array", "minItems": 1, "items": {"type": "array", "maxItems": 30, "items": NAME}},
                "Metrics": {"type": "array", "minItems": 1, "maxItems": 100, "items": {
                    "type": "object", "required": ["Name"], "additionalProperties": False, "properties": {
                        "Name": NAME, "Unit": {"type": "string"}, "StorageResolution": {"enum": [1, 60]}}}}}}}}}},
    "additionalProperties": {"anyOf": [{"type": "string", "maxLength": 1024}, {"type": "number"},
                                       {"type": "array", "minItems": 1, "maxItems": 100, "items": {"type": "number"}}]}}

def extract(text, namespace="MyApp/Lambda"):
    """(dimensions, metric, unit) -> all values, as the specification says that they are extracted."""
    found = collections.defaultdict(list)
    for line in text.splitlines():
        check(len(line) < 256 << 10)
        document = json.loads(line, object_pairs_hook=unique)
        jsonschema.validate(document, SCHEMA)
        for directive in document["_aws"]["CloudWatchMetrics"]:
            check(directive["Namespace"] == namespace)
            for names in directive["Dimensions"]:
                dimensions = tuple((n, document[n]) for n in names)
                check(all(isinstance(v, str) for _, v in dimensions))
                for metric in directive["Metrics"]:
                    values = document[metric["Name"]]
                    found[(dimensions, metric["Name"], metric["Unit"])] += values if isinstance(values, list) else [values]
    return found


def unique(pairs):
    check(len({k for k, _ in pairs}) == len(pairs), pairs)
    return dict(pairs)

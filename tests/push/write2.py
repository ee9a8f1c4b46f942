# SPDX-License-Identifier: Apache-2.0
"""Reads requests of remote write 2.0 with the library of protobuf, from the published message (io.prometheus.write.v2.Request, 2.0-rc.5), and
snappy's own library."""
import ctypes
import ctypes.util

from push_lib import Skip, check

try:
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
except ImportError:
    descriptor_pb2 = None

PACKAGE = "io.prometheus.write.v2"
# message: {field: (number, type)}; a list's type begins with "*"
MESSAGES = {
    "Request": {"symbols": (4, "*string"), "timeseries": (5, "*TimeSeries")},
    "TimeSeries": {"labels_refs": (1, "*uint32"), "samples": (2, "*Sample"), "histograms": (3, "*Histogram"), "exemplars": (4, "*Exemplar"),
                   "metadata": (5, "Metadata")},
    "Exemplar": {"labels_refs": (1, "*uint32"), "value": (2, "double"), "timestamp": (3, "int64")},
    "Sample": {"value": (1, "double"), "timestamp": (2, "int64"), "start_timestamp": (3, "int64")},
    "Metadata": {"type": (1, "int32"), "help_ref": (3, "uint32"), "unit_ref": (4, "uint32")},
    "Histogram": {"count_int": (1, "uint64"), "sum": (3, "double"), "schema": (4, "sint32"), "zero_threshold": (5, "double"),
                  "zero_count_int": (6, "uint64"), "positive_spans": (11, "*BucketSpan"), "positive_deltas": (12, "*sint64"),
                  "timestamp": (15, "int64"), "start_timestamp": (17, "int64")},
    "BucketSpan": {"offset": (1, "sint32"), "length": (2, "uint32")},
}
TYPES = {1: "counter", 2: "gauge", 3: "histogram", 5: "summary"}


def request_class():
    if not descriptor_pb2:
        raise Skip("no python3-protobuf")
    file = descriptor_pb2.FileDescriptorProto(name="write2.proto", package=PACKAGE, syntax="proto3")
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, (number, kind) in fields.items():
            to = message.field.add(name=field, number=number, label=3 if kind[0] == "*" else 1)
            kind = kind.lstrip("*")
            if kind in MESSAGES:
                to.type, to.type_name = to.TYPE_MESSAGE, f".{PACKAGE}.{kind}"
            else:
                to.type = getattr(to, "TYPE_" + kind.upper())
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.MessageFactory(pool).GetPrototype(pool.FindMessageTypeByName(f"{PACKAGE}.Request"))


def unpacked(body):
    library = ctypes.util.find_library("snappy")
    if not library:
        raise Skip("no libsnappy")
    snappy, size = ctypes.CDLL(library), ctypes.c_size_t()
    check(snappy.snappy_uncompressed_length(body, ctypes.c_size_t(len(body)), ctypes.byref(size)) == 0)
    plain = ctypes.create_string_buffer(size.value)
    check(snappy.snappy_uncompress(body, ctypes.c_size_t(len(body)), plain, ctypes.byref(size)) == 0)
    return plain.raw


def cells_of(histogram):
    """index -> count."""
    deltas, found, at, count = list(histogram.positive_deltas), {}, 0, 0
    for span in histogram.positive_spans:
        at += span.offset
        for _ in range(span.length):
            count += deltas.pop(0)
            found[at] = count
            at += 1
    check(not deltas, histogram)
    return found


def exemplars_of(series, symbols):
    """[(labels, value, time in ms)]."""
    return [(dict(zip(*[iter(symbols[i] for i in x.labels_refs)] * 2)), x.value, x.timestamp) for x in series.exemplars]


def read(body):
    """(name, labels) -> (its series, metadata: type, help, unit, exemplars). What the protocol asks of a request is checked."""
    request, result = request_class()(), {}
    request.ParseFromString(unpacked(body))
    check(request.symbols[0] == "" and len(set(request.symbols)) == len(request.symbols), "each text is there once, the empty one first")
    for series in request.timeseries:
        check(not series.UnknownFields() if hasattr(series, "UnknownFields") else True)
        texts = [request.symbols[i] for i in series.labels_refs]
        names, labels = texts[::2], dict(zip(texts[::2], texts[1::2]))
        check(names == sorted(set(names)) and len(texts) == 2 * len(names) and all(labels.values()), texts)
        check(len(series.samples) + len(series.histograms) == 1, series)
        key = (labels.pop("__name__"), frozenset(labels.items()))
        check(key not in result, key)
        m = series.metadata
        result[key] = (series, (TYPES[m.type], request.symbols[m.help_ref], request.symbols[m.unit_ref], exemplars_of(series, request.symbols)))
    return result

# SPDX-License-Identifier: Apache-2.0
"""Requests whose framing two recipients may read in two ways: name -> bytes. A shape may smuggle SMUGGLED; behind each one
follows a marker request."""

SMUGGLED = b"GET /items/7?smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
CHUNKED = b"5\r\nhello\r\n0\r\n\r\n"


def post(*headers, body=b"", version=b"HTTP/1.1", target=b"/echo", method=b"POST"):
    return method + b" " + target + b" " + version + b"\r\nHost: x\r\n" + b"".join(h + b"\r\n" for h in headers) + b"\r\n" + body


def length(value, body=b"hello"):
    return post(b"Content-Length: " + value, body=body)


def coding(value, body=CHUNKED, *more):
    return post(b"Transfer-Encoding: " + value, *more, body=body)


def sized(size, data=b"hello", end=b"\r\n"):
    return coding(b"chunked", size + end + data + b"\r\n0\r\n\r\n")


LARGE = b"18446744073709551621"  # 2^64 + 5

SHAPES = {
    # sound ones: these must be counted exactly, marker and all
    "plain_post": length(b"5"),
    "plain_chunked": coding(b"chunked"),
    "chunk_extension": sized(b"5;a=b"),
    "chunk_leading_zeroes": sized(b"0000005"),
    "trailers": coding(b"chunked", b"5\r\nhello\r\n0\r\nX-Trailer: y\r\n\r\n"),
    "upper_case_coding": coding(b"CHUNKED"),
    "get_with_body": post(b"Content-Length: %d" % len(SMUGGLED), body=SMUGGLED, method=b"GET", target=b"/hello"),
    "head_with_length": post(b"Content-Length: 5", body=b"hello", method=b"HEAD", target=b"/hello"),
    "absolute_form": post(method=b"GET", target=b"http://x/hello"),
    "upgrade_refused": post(b"Connection: upgrade", b"Upgrade: made-up", method=b"GET", target=b"/hello"),
    "expect_continue": post(b"Expect: 100-continue", b"Content-Length: 5", body=b"hello"),
    "http10_keep_alive": post(b"Connection: keep-alive", method=b"GET", target=b"/hello", version=b"HTTP/1.0"),
    "length_with_body_that_looks_like_a_request": post(b"Content-Length: %d" % len(SMUGGLED), body=SMUGGLED),
    # two framings at once
    "length_then_coding": post(b"Content-Length: 6", b"Transfer-Encoding: chunked", body=b"0\r\n\r\nG" + SMUGGLED[1:]),
    "coding_then_length": post(b"Transfer-Encoding: chunked", b"Content-Length: 4", body=b"1c\r\n" + b"x" * 28 + b"\r\n0\r\n\r\n"),
    "length_twice_equal": post(b"Content-Length: 5", b"Content-Length: 5", body=b"hello"),
    "length_twice": post(b"Content-Length: 0", b"Content-Length: %d" % len(SMUGGLED), body=SMUGGLED),
    "length_twice_reversed": post(b"Content-Length: %d" % len(SMUGGLED), b"Content-Length: 0", body=SMUGGLED),
    "length_list": length(b"5, 5"),
    "length_list_different": length(b"0, 5"),
    "http10_with_coding": post(b"Transfer-Encoding: chunked", b"Connection: keep-alive", body=CHUNKED, version=b"HTTP/1.0"),
    # lengths
    "length_signed": length(b"+5"),
    "length_negative": length(b"-5"),
    "length_hex": length(b"0x5"),
    "length_empty": length(b""),
    "length_of_words": length(b"five"),
    "length_with_a_blank": length(b"5 5"),
    "length_over_2_64": length(LARGE),
    "length_2_63": length(b"9223372036854775808", b""),
    "length_with_nul": length(b"5\0"),
    "length_with_vt": length(b"\x0b5"),
    "length_folded": length(b"\r\n 5"),
    "length_goes_on": length(b"5\r\n 1"),
    "blank_before_colon": post(b"Content-Length : 5", body=b"hello"),
    "tab_before_colon": post(b"Content-Length\t: 5", body=b"hello"),
    "blank_before_name": post(b"X: y", b" Content-Length: 5", body=b"hello"),
    "nul_in_the_name": post(b"Content\0-Length: 5", body=b"hello"),
    # codings
    "coding_xchunked": coding(b"xchunked"),
    "coding_chunkedx": coding(b"chunkedx"),
    "coding_identity": coding(b"identity", b"", b"Content-Length: 0"),
    "coding_chunked_identity": coding(b"chunked, identity"),
    "coding_identity_chunked": coding(b"identity, chunked"),
    "coding_chunked_twice": coding(b"chunked, chunked"),
    "coding_on_two_lines": post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity", body=CHUNKED),
    "coding_folded": coding(b"\r\n chunked"),
    "coding_goes_on": coding(b"chunked\r\n , identity"),
    "coding_with_vt": coding(b"\x0bchunked"),
    "coding_with_nul": coding(b"chunked\0"),
    "coding_quoted": coding(b"\"chunked\""),
    "coding_with_parameter": coding(b"chunked;q=1"),
    "coding_before_a_comma": coding(b",chunked"),
    "coding_blank_before_colon": post(b"Transfer-Encoding : chunked", body=CHUNKED),
    "coding_with_underscore": post(b"Transfer_Encoding: chunked", body=CHUNKED),
    # chunks
    "chunk_2_64_and_5": sized(b"10000000000000005"),
    "chunk_of_16_digits": sized(b"fffffffffffffffb"),
    "chunk_signed": sized(b"+5"),
    "chunk_negative": sized(b"-5"),
    "chunk_hex_prefix": sized(b"0x5"),
    "chunk_underscore": sized(b"0_5"),
    "chunk_blank_before": sized(b" 5"),
    "chunk_blank_behind": sized(b"5 "),
    "chunk_lf_only": sized(b"5", end=b"\n"),
    "chunk_cr_only": sized(b"5", end=b"\r"),
    "chunk_extension_bare_lf": sized(b"5;a\nb"),
    "chunk_extension_bare_cr": sized(b"5;a\rb"),
    "chunk_data_too_long": coding(b"chunked", b"3\r\nhello\r\n0\r\n\r\n"),
    "chunk_data_without_end": coding(b"chunked", b"5\r\nhello0\r\n\r\n"),
    "last_chunk_lf_only": coding(b"chunked", b"5\r\nhello\r\n0\n\n"),
    "trailer_with_length": coding(b"chunked", b"0\r\nContent-Length: 50\r\n\r\n"),
    # line ends and bytes
    "lf_only": post(b"Content-Length: 5", body=b"hello").replace(b"\r\n", b"\n"),
    "bare_cr_before_a_length": post(b"X: y\rContent-Length: %d" % len(SMUGGLED), body=SMUGGLED),
    "bare_cr_before_a_coding": post(b"X: y\rTransfer-Encoding: chunked", body=CHUNKED),
    "bare_cr_for_the_empty_line": b"POST /echo HTTP/1.1\r\nHost: x\r\n\r\rContent-Length: 5\r\n\r\nhello",
    "cr_cr_lf": post(b"X: y\r", b"Content-Length: 5", body=b"hello"),
    "nul_in_a_value": post(b"X: y\0z", b"Content-Length: 5", body=b"hello"),
    "nul_in_the_target": post(target=b"/hel\0lo", method=b"GET"),
    "line_without_colon": post(b"no colon", b"Content-Length: 5", body=b"hello"),
    "leading_empty_lines": b"\r\n\r\n" + length(b"5"),
    "version_1_2": post(b"Content-Length: 5", body=b"hello", version=b"HTTP/1.2"),
    "version_2_0": post(b"Content-Length: 5", body=b"hello", version=b"HTTP/2.0"),
    "no_version": b"GET /hello\r\n",
    "lower_case_method": post(b"Content-Length: 0", method=b"get", target=b"/hello"),
    "connect": post(method=b"CONNECT", target=b"x:443"),
    "bytes_above_127": post(b"X: \xff\xfe", method=b"GET", target=b"/hello"),
    "garbage": b"\x01\x02\x03\xff\xfe garbage\r\n\r\n",
}
EXACT = list(SHAPES)[:13]

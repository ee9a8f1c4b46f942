<?php
// SPDX-License-Identifier: Apache-2.0
// The pages of every test application, for PHP's built-in server and for FastCGI.
$path = explode('?', $_SERVER['REQUEST_URI'])[0];
if (strncmp($path, 'http://', 7) === 0) {
    $path = '/' . (explode('/', $path, 4)[3] ?? '');
}
function answer($status, $body) {
    http_response_code($status);
    if ($status != 204 && $status != 304) {
        header('Content-Length: ' . strlen($body));
        echo $body;
    }
}
if (in_array($path, ['/hello', '/', '/left', '/echo']) || strncmp($path, '/items/', 7) === 0) {
    answer(200, "hello\n");
} elseif ($path === '/big.bin') {
    answer(200, str_repeat('0123456789abcdef', 65536));
} elseif ($path === '/nocontent') {
    answer(204, '');
} elseif ($path === '/notmodified') {
    answer(304, '');
} elseif ($path === '/error') {
    answer(500, "failed on purpose\n");
} elseif ($path === '/chunked' || $path === '/until-close') {
    foreach (["first\n", "GET /fake HTTP/1.1\r\n\r\n", "HTTP/1.1 500 Fake\r\n\r\n", str_repeat('z', 3000)] as $part) {
        echo $part;
        flush();
    }
} else {
    answer(404, "no such page\n");
}
return true;

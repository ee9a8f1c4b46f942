// SPDX-License-Identifier: Apache-2.0
// Says where the messages of streams end, as Node's own parser (llhttp) reads them: input and output of messages.c.
// Argument: the lenient flags of the parser (0 = none, 511 = all). Bytes are given one by one, so that a call-back tells
// the offset.
'use strict';
process.emitWarning = () => {};
const {HTTPParser, methods} = process.binding('http_parser');
const fs = require('fs');
const lenient = Number(process.argv[2] || 0);
const input = fs.readFileSync(0);
const out = [];
for (let at = 0; at + 5 <= input.length;) {
  const what = input[at], length = input.readUInt32LE(at + 1);
  const bytes = input.subarray(at + 5, at + 5 + length);
  at += 5 + length;
  const parser = new HTTPParser();
  const words = [];
  let offset = 0, name = '', headEnd = -1, isOver = '';
  parser.initialize(what === 0 ? HTTPParser.REQUEST : HTTPParser.RESPONSE, {}, 1 << 20, lenient);
  parser[HTTPParser.kOnHeaders | 0] = () => {};
  parser[HTTPParser.kOnBody | 0] = () => {};
  parser[HTTPParser.kOnHeadersComplete | 0] = (major, minor, headers, method, url, status, message, upgrade) => {
    name = what === 0 ? methods[method] : String(status);
    headEnd = offset + 1;
    if (upgrade) isOver = 'upgrade';
    return what === 2 ? 1 : 0;
  };
  parser[HTTPParser.kOnMessageComplete | 0] = () => {
    if (headEnd < 0) return;
    words.push(`${name}:${headEnd}:${isOver === 'finish' ? 'eof' : offset + 1}`);
    headEnd = -1;
  };
  let stop = '';
  for (; offset < bytes.length && !stop; offset++) {
    const result = parser.execute(bytes.subarray(offset, offset + 1));
    if (result instanceof Error) stop = result.code;
    else if (isOver === 'upgrade' && headEnd < 0) stop = 'upgrade';
  }
  if (headEnd >= 0) {
    if (!stop) {
      isOver = isOver || 'finish';
      parser.finish();
    }
    if (headEnd >= 0) words.push(`${name}:${headEnd}:?`);
  }
  words.push(stop || 'rest');
  out.push(words.join(' '));
  parser.close();
}
fs.writeFileSync(1, out.join('\n') + '\n');

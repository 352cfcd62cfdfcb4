// An HTTP/2 client with what curl has not. node h2_client.js ADDRESS NAME CA SCENARIO; prints one JSON object.
const fs = require('fs'), http2 = require('http2'), tls = require('tls');
const [address, name, ca, scenario] = process.argv.slice(2);
const session = http2.connect(`https://${name}`, {
  settings: {enablePush: true},
  createConnection: () => tls.connect({host: address, port: 443, servername: name, ca: fs.readFileSync(ca),
                                       ALPNProtocols: ['h2']})});
const told = {};
const finish = () => { console.log(JSON.stringify(told)); process.exit(0); };
session.on('error', (error) => { told.error = error.code || error.message; finish(); });
session.on('goaway', (code) => { told.goaway = code; });
session.on('close', finish);
setTimeout(() => { told.timeout = true; finish(); }, 40000);

function get(headers, body, trailers) {
  return new Promise((resolve) => {
    const got = {body: '', size: 0, interim: []};
    const stream = session.request(headers, {waitForTrailers: !!trailers});
    stream.on('headers', (fields) => got.interim.push({...fields}));
    stream.on('response', (fields) => { got.status = fields[':status']; got.headers = {...fields}; });
    stream.on('push', () => { got.pushed = true; });
    stream.on('trailers', (fields) => { got.trailers = {...fields}; });
    stream.on('wantTrailers', () => stream.sendTrailers(trailers));
    stream.on('data', (data) => { got.size += data.length; if (got.body.length < 5000) got.body += data; });
    stream.on('error', (error) => { got.error = error.code; });
    stream.on('close', () => { got.rst = stream.rstCode; resolve(got); });
    if (body === undefined) stream.end(); else if (Buffer.isBuffer(body)) stream.end(body); else body(stream);
  });
}
const base = (path, more) => ({':method': 'GET', ':path': path, ':authority': name, ...more});
const scenarios = {
  trailers: async () => { told.got = await get(base('/trailers')); },
  upload: async () => {
    told.got = await get(base('/up', {':method': 'POST'}), Buffer.alloc(20 << 20, 'u'), {'x-up': 'there'});
  },
  early: async () => { told.got = await get(base('/early')); },
  push: async () => { told.got = await get(base('/push')); },
  reset: async () => { told.got = await get(base('/reset')); },
  other: async () => { told.got = await get({...base('/'), ':authority': 'elsewhere.test'}); },
  big: async () => { told.got = await get(base('/big')); },
  many: async () => {
    const all = await Promise.all([...Array(300).keys()].map((i) => get(base(`/many/${i}`))));
    told.statuses = all.map((each) => each.status);
  },
  blocked: async () => {
    told.all = await Promise.all(['/films/1', '/fine', '/films/2'].map((path) => get(base(path))));
  },
  connect: async () => { told.got = await get({':method': 'CONNECT', ':authority': name}); },
  websocket: async () => {
    await new Promise((resolve) => session.remoteSettings.enableConnectProtocol ? resolve()
                                   : session.on('remoteSettings', (s) => s.enableConnectProtocol && resolve()));
    const stream = session.request({':method': 'CONNECT', ':protocol': 'websocket', ':scheme': 'https', ':path': '/chat',
                                    ':authority': name, 'sec-websocket-version': '13'});
    told.got = await new Promise((resolve) => {
      let text = '';
      stream.on('response', (fields) => { told.status = fields[':status']; stream.write('hello over two'); });
      stream.on('data', (data) => { text += data; if (text === 'hello over two') { stream.close(); resolve(text); } });
      stream.on('error', (error) => resolve(error.code));
    });
  },
  rapid: async () => {
    for (let i = 0; i < 5000 && !session.destroyed; ++i) {
      const stream = session.request(base('/x'));
      stream.on('error', () => {});
      stream.close(8);
      if (i % 100 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    for (let i = 0; i < 150 && told.goaway === undefined && !session.destroyed; ++i)
      await new Promise((resolve) => setTimeout(resolve, 100));
  },
};
session.on('connect', async () => {
  told.alpn = session.alpnProtocol;
  await scenarios[scenario]();
  finish();
});

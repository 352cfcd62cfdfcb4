// An HTTP/2 origin with what nginx has not: trailers, interim answers, pushes, WebSockets over HTTP/2 (RFC 8441).
// node h2_origin.js ADDRESS CERTIFICATE KEY
const fs = require('fs'), http2 = require('http2');
const [address, cert, key] = process.argv.slice(2);
const server = http2.createSecureServer({
  cert: fs.readFileSync(cert), key: fs.readFileSync(key), settings: {enableConnectProtocol: true}});
const sockets = new Set();
server.on('connection', (socket) => { sockets.add(socket); socket.on('close', () => sockets.delete(socket)); });
server.on('stream', (stream, headers) => {
  stream.on('error', () => {});
  const path = headers[':path'];
  if (headers[':method'] === 'CONNECT') {  // echoes what comes, frames and all
    stream.respond({':status': 200, 'x-protocol': headers[':protocol']});
    stream.pipe(stream);
  } else if (path === '/trailers') {
    stream.respond({':status': 200}, {waitForTrailers: true});
    stream.on('wantTrailers', () => stream.sendTrailers({'x-sum': '42'}));
    stream.end('body before trailers');
  } else if (path === '/early') {
    stream.additionalHeaders({':status': 103, link: '</style.css>; rel=preload'});
    stream.respond({':status': 200});
    stream.end('late');
  } else if (path === '/push') {
    stream.respond({':status': 200, 'x-push': String(stream.pushAllowed)});
    stream.end();
  } else if (path === '/reset') {
    stream.respond({':status': 200});
    stream.write('half');
    setTimeout(() => stream.destroy(new Error('on purpose')), 2000);  // what is read at once with a reset may be thrown away
  } else if (path === '/zip') {
    stream.respond({':status': 200, 'content-type': 'application/zip'});
    stream.end('PK'.repeat(100));
  } else if (path === '/cut') {  // the connection goes, without a word
    stream.respond({':status': 200});
    stream.write('half');
    setTimeout(() => sockets.forEach((socket) => socket.destroy()), 2000);
  } else if (path === '/big') {
    stream.respond({':status': 200});
    let left = 20 << 20;
    const more = () => {
      while (left > 0) {
        left -= 65536;
        if (!stream.write(Buffer.alloc(65536, 'b'))) return stream.once('drain', more);
      }
      stream.end();
    };
    more();
  } else {  // echoes the body, its trailers and the fields
    let size = 0, trailers = {};
    stream.on('trailers', (got) => { trailers = {...got}; });
    stream.on('data', (data) => { size += data.length; });
    stream.on('end', () => {
      stream.respond({':status': 200, 'content-type': 'application/json', 'alt-svc': 'h3=":443"; ma=86400, h2="other:443"'});
      stream.end(JSON.stringify({size, trailers, headers: {...headers}}));
    });
  }
});
server.listen(443, address, () => console.log('ready'));

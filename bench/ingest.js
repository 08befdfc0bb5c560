import net from "node:net";

/** The prototype's way in: one publisher over TCP, one line is one message. Resolves to the port. */
export async function ingest(onLine) {
  const server = net.createServer((socket) => {
    let rest = null;
    socket.setNoDelay(true);
    socket.on("error", () => {});
    socket.on("data", (bytes) => {
      if (rest) bytes = Buffer.concat([rest, bytes]);
      rest = null;
      let from = 0;
      for (let to = bytes.indexOf(10, from); to >= 0; to = bytes.indexOf(10, from)) {
        onLine(bytes.subarray(from, to));
        from = to + 1;
      }
      if (from < bytes.length) rest = Buffer.from(bytes.subarray(from));
    });
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return server.address().port;
}

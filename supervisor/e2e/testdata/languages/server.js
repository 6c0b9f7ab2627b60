// An HTTP server that runs under the supervisor, by its socket or by a port.
const http = require("node:http");
const { execFile } = require("node:child_process");

const version = "one";
const given = Number(process.env.LISTEN_FDS) > 0;
const server = http.createServer((_, answer) => answer.end(`node ${version} ${process.pid}\n`));

// The socket is descriptor 3, as systemd gives it (sd_listen_fds(3)).
server.listen(given ? { fd: 3 } : { port: Number(process.env.PORT), host: "127.0.0.1" }, () => {
  // Node has no Unix datagrams; without this program, ready_after says when it is ready.
  if (given) execFile("systemd-notify", ["--ready"], (error) => error && console.error(error.message));
});

process.on("SIGTERM", () => server.close(() => process.exit(0)));

"""An HTTP server that runs under the supervisor, by its socket or by a port."""
import http.server
import os
import signal
import socket
import threading

VERSION = "one"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = f"python {VERSION} {os.getpid()}\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = False  # server_close waits for the requests under way
    allow_reuse_port = True  # by a port of its own, so that the next one can begin before this one ends

    def __init__(self):
        given = int(os.environ.get("LISTEN_FDS", "0")) > 0
        super().__init__(("127.0.0.1", int(os.environ.get("PORT", "0"))), Handler, bind_and_activate=not given)
        if given:  # the socket is descriptor 3, as systemd gives it (sd_listen_fds(3))
            self.socket.close()
            self.socket = socket.socket(fileno=3)


def notify(text):
    name = os.environ.get("NOTIFY_SOCKET")
    if name:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            s.sendto(text.encode(), "\0" + name[1:] if name[0] == "@" else name)


server = Server()
signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
notify("READY=1")
server.serve_forever(poll_interval=0.05)
server.server_close()

// One WebSocket, reduced to what the client needs. After close nothing more
// is heard of it.

export function openSocket({ onOpen, onFrame, onClose }) {
  const scheme = location.protocol === 'https:' ? 'wss' : 'ws';
  const socket = new WebSocket(`${scheme}://${location.host}/ws`);
  const listening = new AbortController();
  const listen = (type, listener) => socket.addEventListener(type, listener, { signal: listening.signal });
  listen('open', onOpen);
  listen('message', ({ data }) => typeof data === 'string' && onFrame(data));
  listen('close', ({ code }) => onClose(code));
  return {
    send(line) {
      if (socket.readyState === WebSocket.OPEN) socket.send(line);
    },
    close() {
      listening.abort();
      socket.close();
    },
  };
}

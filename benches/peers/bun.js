// A plain publish/subscribe server, the reference for what one core can fan out without a protocol above WebSocket.
// Every connection to / is in one room; a text message that begins with P goes to the room as it is. A connection to
// /pub publishes without being in the room. No compression, no pings, no time-outs.
//
//     PORT=9001 bun benches/peers/bun.js
//     plexichat-loadtest fanout --peer plain --base http://127.0.0.1:9001 --sessions 1000 --pid $BUN
const LEN_MAX = 16 << 20;
const LETTER_P = 80;

const server = Bun.serve({
  hostname: "127.0.0.1",
  port: Number(process.env.PORT || 9001),
  fetch(request, server) {
    const publisher = new URL(request.url).pathname === "/pub";
    if (server.upgrade(request, { data: { publisher } })) return;
    return new Response("WebSocket only\n", { status: 400 });
  },
  websocket: {
    perMessageDeflate: false,
    sendPings: false,
    idleTimeout: 0,
    maxPayloadLength: LEN_MAX,
    backpressureLimit: LEN_MAX,
    open(socket) {
      if (!socket.data.publisher) socket.subscribe("room");
    },
    message(_socket, message) {
      if (typeof message === "string" && message.charCodeAt(0) === LETTER_P) server.publish("room", message);
    },
  },
});

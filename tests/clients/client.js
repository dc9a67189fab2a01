// A client in JavaScript, for browsers and Node 22: an account, a server, a message, and what arrives live, also after
// the connection was lost.
//
//     node client.js http://127.0.0.1:8000

/** A connection that knows the last number it has seen. */
class Gateway {
  frames = [];
  waiting = [];
  sequence = null;

  constructor(url) {
    this.socket = new WebSocket(url);
    this.socket.onmessage = ({ data }) => this.arrived(JSON.parse(data));
    this.socket.onclose = ({ code, reason }) => this.arrived({ error: `closed: ${code} ${reason}` });
  }

  arrived(frame) {
    this.sequence = frame.s ?? this.sequence;
    const next = this.waiting.shift();
    next ? next(frame) : this.frames.push(frame);
  }

  async receive() {
    const frame = this.frames.shift() ?? (await new Promise((next) => this.waiting.push(next)));
    if (frame.error) throw new Error(frame.error);
    if (frame.op === 9) throw new Error("the session is gone: identify anew");
    return frame;
  }

  send(op, d) {
    this.socket.send(JSON.stringify({ op, d }));
  }

  /** The next frame of that operation. */
  async op(op) {
    for (;;) {
      const frame = await this.receive();
      if (frame.op === op) return frame;
    }
  }

  /** What the next event of that name says. */
  async event(name) {
    for (;;) {
      const frame = await this.op(0);
      if (frame.t === name) return frame.d;
    }
  }
}

export async function run(base, say) {
  let token;

  // One request; what went wrong is said by the server in words.
  const call = async (method, path, body) => {
    const headers = { "Content-Type": "application/json", ...(token && { Authorization: `Bearer ${token}` }) };
    const answer = await fetch(`${base}/api/v1${path}`, { method, headers, body: body && JSON.stringify(body) });
    const json = await answer.json();
    if (!answer.ok) throw new Error(`${method} ${path}: ${json.error.message}`);
    return json;
  };
  const connect = async () => {
    const gateway = new Gateway(`${base.replace("http", "ws")}/gateway`);
    await gateway.op(10);
    return gateway;
  };

  // 1. An account; the token goes with each request.
  const username = `js_${crypto.randomUUID().slice(0, 8)}`;
  const account = { username, email: `${username}@example.org`, password: "Lovelace-1815!" };
  const made = await call("POST", "/auth/register", account);
  token = made.token;
  say(`registered ${made.user.username}`);

  // 2. A server comes with a channel.
  const server = await call("POST", "/servers", { name: "A server" });
  const messages = `/channels/${server.default_channel_id}/messages`;
  say(`server ${server.id}, channel ${server.default_channel_id}`);

  // 3. The gateway: HELLO, IDENTIFY, READY.
  let gateway = await connect();
  gateway.send(2, { token });
  const session = (await gateway.event("READY")).session_id;
  say("ready");

  // 4. A heartbeat now and then (HELLO says how often); its answer is op 11.
  gateway.send(1, gateway.sequence);
  await gateway.op(11);

  // 5. A message, as it arrives.
  await call("POST", messages, { content: "hello" });
  say(`live: ${(await gateway.event("MESSAGE_CREATE")).content}`);

  // 6. The connection is lost, something happens, and RESUME brings it.
  const seq = gateway.sequence;
  gateway.socket.close();
  await call("POST", messages, { content: "while you were away" });
  gateway = await connect();
  gateway.send(6, { token, session_id: session, seq });
  await gateway.event("RESUMED");
  say(`missed: ${(await gateway.event("MESSAGE_CREATE")).content}`);
  gateway.socket.close();
}

if (globalThis.process?.argv) {
  await run(process.argv[2] ?? "http://127.0.0.1:8000", console.log);
}

"""A client in Python: an account, a server, a message, and what arrives live, also after the connection was lost.

    pip install httpx websockets
    python client.py http://127.0.0.1:8000
"""

import json
import secrets
import sys

import httpx
from websockets.sync.client import connect

BASE = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000"
GATEWAY = BASE.replace("http", "ws", 1) + "/gateway"

http = httpx.Client(base_url=BASE + "/api/v1")


def call(method, path, body=None):
    """One request; what went wrong is said by the server in words."""
    answer = http.request(method, path, json=body)
    if answer.is_error:
        sys.exit(f"{method} {path}: {answer.json()['error']['message']}")
    return answer.json()


class Gateway:
    """A connection that knows the last number it has seen."""

    def __init__(self, socket):
        self.socket = socket
        self.sequence = None
        assert self.receive()["op"] == 10, "the first frame is HELLO"

    def send(self, op, d):
        self.socket.send(json.dumps({"op": op, "d": d}))

    def receive(self):
        frame = json.loads(self.socket.recv(timeout=10))
        self.sequence = frame.get("s", self.sequence)
        return frame

    def until(self, event):
        """The next event of that name."""
        while (frame := self.receive()).get("t") != event:
            if frame["op"] == 9:
                sys.exit("the session is gone: identify anew")
        return frame["d"]


# 1. An account; the token goes with each request.
name = "py_" + secrets.token_hex(4)
made = call("POST", "/auth/register", {"username": name, "email": f"{name}@example.org", "password": "Lovelace-1815!"})
token = made["token"]
http.headers["Authorization"] = f"Bearer {token}"
print(f"registered {made['user']['username']}")

# 2. A server comes with a channel.
server = call("POST", "/servers", {"name": "A server"})
channel = server["default_channel_id"]
print(f"server {server['id']}, channel {channel}")

with connect(GATEWAY) as socket:
    # 3. The gateway: HELLO, IDENTIFY, READY.
    gateway = Gateway(socket)
    gateway.send(2, {"token": token})
    session = gateway.until("READY")["session_id"]
    print("ready")

    # 4. A heartbeat now and then (HELLO says how often); its answer is op 11.
    gateway.send(1, gateway.sequence)
    while gateway.receive()["op"] != 11:
        pass

    # 5. A message, as it arrives.
    call("POST", f"/channels/{channel}/messages", {"content": "hello"})
    print("live:", gateway.until("MESSAGE_CREATE")["content"])
    sequence = gateway.sequence

# 6. The connection is lost, something happens, and RESUME brings it.
call("POST", f"/channels/{channel}/messages", {"content": "while you were away"})
with connect(GATEWAY) as socket:
    gateway = Gateway(socket)
    gateway.send(6, {"token": token, "session_id": session, "seq": sequence})
    gateway.until("RESUMED")
    print("missed:", gateway.until("MESSAGE_CREATE")["content"])

"""A mail server by aiosmtpd for tests/mail.rs: python3 mail_server.py PORT [CERT KEY [USER PASSWORD]]

With a certificate it takes nothing before STARTTLS, with a user nothing before a log-in. It refuses recipients that begin
with `refused.` (550), puts those off once that begin with `later.` (450), and refuses what is sent to `spam.` (554).
Prints the port, then each mail that it has taken as a line of JSON. Ends with its standard input.
"""
import email
import email.policy
import json
import ssl
import sys

try:
    from aiosmtpd.controller import Controller
    from aiosmtpd.smtp import AuthResult, LoginPassword
except ImportError:
    sys.exit(3)


class Handler:
    def __init__(self):
        self.put_off = set()

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("refused."):
            return f"550 5.1.1 <{address}>: no such mailbox"
        if address.startswith("later.") and address not in self.put_off:
            self.put_off.add(address)
            return f"450 4.2.0 <{address}>: greylisted"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        if envelope.rcpt_tos[0].startswith("spam."):
            return "554 5.7.1 we do not like it"
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        say({
            "to": envelope.rcpt_tos[0],
            "from": envelope.mail_from,
            "encrypted": session.ssl is not None,
            "authenticated": bool(session.authenticated),
            "headers": {name: str(value) for name, value in message.items()},
            "text": message.get_body(("plain",)).get_content(),
            "html": message.get_body(("html",)).get_content(),
            "defects": [str(defect) for part in message.walk() for defect in part.defects],
        })
        return "250 OK"


class AnyPort(Controller):
    """It tries its own port, which may be given as 0."""

    def _trigger_server(self):
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


def say(what):
    print(json.dumps(what), flush=True)


def main(port, cert=None, key=None, user=None, password=None):
    options = {}
    if cert:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(cert, key)
        options |= {"tls_context": context, "require_starttls": True}
    if user:
        wanted = LoginPassword(user.encode(), password.encode())
        check = lambda server, session, envelope, mechanism, data: AuthResult(success=data == wanted, handled=False)
        options |= {"authenticator": check, "auth_required": True}
    controller = AnyPort(Handler(), hostname="127.0.0.1", port=int(port), **options)
    controller.start()
    say(controller.port)
    sys.stdin.read()


main(*sys.argv[1:])

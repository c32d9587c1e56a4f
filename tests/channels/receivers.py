"""Who takes what Cordon tells people, on this machine: a mail server, and one web server for everything that speaks HTTP.

The mail server is aiosmtpd, with STARTTLS, and wants a login by password or by an access token. The web server keeps what
was posted to it, answers as the real services do, and issues access tokens; what it is asked for a token of Defender it
hands to the simulator. Nobody here judges what arrives: that is the tests' business.
"""

import base64
import json
import logging
import socket
import ssl
import subprocess
import threading
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

LOCAL = "127.0.0.1"

# It warns of itself at every login.
logging.getLogger("mail.log").setLevel(logging.ERROR)


def free_port():
    with socket.socket() as listener:
        listener.bind((LOCAL, 0))
        return listener.getsockname()[1]


def certificates(folder):
    """An authority and a certificate for this machine that it vouches for, made by openssl."""
    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=test authority")
    openssl("req", *key, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=localhost")
    (folder / "names").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=CA:FALSE\n")
    openssl("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
            "-days", "2", "-extfile", "names", "-out", "server.pem")


# ---- Mail ------------------------------------------------------------------------------------------------------------


@dataclass
class Letter:
    """A letter that the mail server took."""

    sender: str
    to: list
    encrypted: bool
    login: str
    content: bytes


class MailServer:
    """Takes letters over STARTTLS, from whoever logs in with one of the two proofs."""

    def __init__(self, folder, username, password, token):
        self.letters, self.username, self.password, self.token = [], username, password, token
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "server.pem", folder / "server.key")
        self.port = free_port()
        self.controller = Controller(
            self, hostname=LOCAL, port=self.port, tls_context=context, require_starttls=True, auth_required=True,
            authenticator=self.by_password, decode_data=False,
        )
        self.controller.start()

    def by_password(self, _server, _session, _envelope, mechanism, proof):
        good = (proof.login.decode(), proof.password.decode()) == (self.username, self.password)
        return AuthResult(success=good, handled=False, auth_data=mechanism)

    async def auth_XOAUTH2(self, server, arguments):
        said = base64.b64decode(arguments[1]).decode()
        good = said == f"user={self.username}\x01auth=Bearer {self.token}\x01\x01"
        if not good:
            await server.push("535 5.7.8 refused")
        return AuthResult(success=good, handled=not good, auth_data="XOAUTH2")

    async def handle_DATA(self, _server, session, envelope):
        encrypted = session.ssl is not None
        login = str(session.auth_data)
        letter = Letter(envelope.mail_from, envelope.rcpt_tos, encrypted, login, envelope.original_content)
        self.letters.append(letter)
        return "250 taken"

    def stop(self):
        self.controller.stop()


# ---- The web ---------------------------------------------------------------------------------------------------------


@dataclass
class Post:
    """A request that was posted."""

    path: str
    # By their names in small letters.
    headers: dict
    body: bytes
    json: object = field(default=None)


class Web:
    """Keeps what is posted, by the first part of the path, and answers as `answers` says."""

    def __init__(self, answers, tokens, simulator):
        """`answers`: status, content type and body by the first part of a path. `tokens`: the token of each client, by
        its id and secret. `simulator`: where every other token comes from."""
        self.posts, self.answers, self.tokens, self.simulator = {}, answers, tokens, simulator
        web = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                status, kind, answer = web.take(Post(self.path, {name.lower(): value for name, value in self.headers.items()}, body))
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer((LOCAL, 0), Handler)
        self.url = f"http://{LOCAL}:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def take(self, post):
        if urllib.parse.urlsplit(post.path).path.endswith("/token"):
            return self.token(post)
        if post.headers.get("content-type", "").startswith("application/json"):
            post.json = json.loads(post.body)
        name = post.path.split("/")[1]
        self.posts.setdefault(name, []).append(post)
        return self.answers.get(name, (404, "text/plain", b"nobody is here"))

    def token(self, post):
        asked = dict(urllib.parse.parse_qsl(post.body.decode()))
        token = self.tokens.get((asked.get("client_id"), asked.get("client_secret")))
        if token is None:
            return self.forwarded(post)
        self.posts.setdefault("token", []).append(post)
        answer = {"access_token": token, "token_type": "Bearer", "expires_in": 3599}
        return 200, "application/json", json.dumps(answer).encode()

    def forwarded(self, post):
        request = urllib.request.Request(self.simulator + post.path, post.body, method="POST")
        request.add_header("Content-Type", post.headers["content-type"])
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, answer.headers["Content-Type"], answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.headers["Content-Type"], error.read()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()

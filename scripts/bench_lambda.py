"""The measuring half of scripts/bench-lambda; standard library only.

Plays Lambda's Runtime API on the loopback, starts one process after the other, and takes three figures of each:

    init   from just before the process is started to its first `GET …/invocation/next`, by the wall clock
    CPU    how much of that the process has run, all threads: it does not count waiting for a busy machine
    peak   VmHWM when it asks for its second event. Of the first there is nothing to do: a batch without messages; a
           poll, a hunt and a track, which always have something to do, are refused their first call to AWS

It never lets a function reach anything: the credentials are fake, and the stub is AWS as well, which refuses.
The functions take turns, round by round, so that a busy moment of the machine meets all of them.
"""

import argparse
import io
import os
import pathlib
import queue
import signal
import socket
import statistics
import tempfile
import threading
import time
import zipfile

ROOT = pathlib.Path(__file__).resolve().parent.parent

# What each may be at most: times the init of the empty function; MB of peak memory; MB of its zip.
FUNCTIONS = ["poll", "hunt", "enrich", "respond", "track", "notify"]
BOUNDS = {name: (2, 20, 4) for name in FUNCTIONS} | {"respond": (3, 28, 5)}

# What a schedule starts.
SCHEDULED = {"poll", "hunt", "track"}

ACCOUNT = "arn:aws:secretsmanager:us-east-1:123456789012:secret:cordon"
SETTINGS = {
    "DEFENDER_TENANT_ID": "11111111-2222-3333-4444-555555555555",
    "DEFENDER_CLIENT_ID": "22222222-3333-4444-5555-666666666666",
    "DEFENDER_SECRET_ID": f"{ACCOUNT}-reader-AbCdEf",
    "DEFENDER_ACTOR_CLIENT_ID": "33333333-4444-5555-6666-777777777777",
    "DEFENDER_ACTOR_SECRET_ID": f"{ACCOUNT}-actor-AbCdEf",
    "DEFENDER_CLOUD": "commercial",
    "CORDON_TABLE": "cordon",
    "CORDON_PLAYBOOK": str(ROOT / "playbook"),
    "CORDON_MODE": "observe",
    "CORDON_LOOKBACK": "15m",
    "CORDON_MAIL_FROM": "cordon@example.com",
    "CORDON_MAIL_TO": "soc@example.com",
} | {
    f"CORDON_{queue}{kind}_URL": f"http://127.0.0.1:9/123456789012/{queue.lower().replace('_', '-')}{kind.lower()}"
    for queue in ("ALERTS_FOUND", "ALERTS_ENRICHED", "EFFECTS_REQUESTED", "ACTIONS_TAKEN")
    for kind in ("", "_DEAD_LETTERS")
}


def main():
    asked = arguments()
    names = ["empty"] + (asked.only or FUNCTIONS)
    programs = {name: asked.empty if name == "empty" else asked.binaries / name for name in names}
    taken = {name: [] for name in names}
    with tempfile.TemporaryDirectory(prefix="bench-lambda-") as folder:
        for turn in range(-1, asked.runs):
            for place in range(len(names)):
                name = names[(place + turn) % len(names)]
                figures = measure(name, programs[name], asked.certificates, pathlib.Path(folder) / "output")
                # The first turn only brings the binaries into the page cache.
                if turn >= 0:
                    taken[name].append(figures)
    return report(taken, programs, asked)


def arguments():
    parser = argparse.ArgumentParser(prog="bench-lambda")
    parser.add_argument("--binaries", type=pathlib.Path, required=True)
    parser.add_argument("--empty", type=pathlib.Path, required=True)
    parser.add_argument("--runs", type=int, default=21, metavar="N", help="processes of each")
    parser.add_argument("--only", nargs="+", choices=FUNCTIONS, metavar="FUNCTION")
    parser.add_argument(
        "--certificates",
        choices=["bundle", "host"],
        default="bundle",
        help="bundle: one file of root certificates, as Amazon Linux has; host: whatever is found here",
    )
    return parser.parse_args()


def environment(name, api, certificates):
    """What Lambda sets for a function on provided.al2023, and what our template adds."""
    found = {
        "AWS_LAMBDA_RUNTIME_API": api,
        "AWS_LAMBDA_FUNCTION_NAME": f"cordon-{name}",
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/cordon-{name}",
        "AWS_LAMBDA_LOG_STREAM_NAME": "2026/01/01/[$LATEST]0123456789abcdef0123456789abcdef",
        "AWS_LAMBDA_LOG_FORMAT": "JSON",
        "AWS_LAMBDA_LOG_LEVEL": "INFO",
        "AWS_EXECUTION_ENV": "AWS_Lambda_provided.al2023",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_SESSION_TOKEN": "test",
        "AWS_EC2_METADATA_DISABLED": "true",
        "LAMBDA_TASK_ROOT": "/var/task",
        "LAMBDA_RUNTIME_DIR": "/var/runtime",
        "_HANDLER": "bootstrap",
        "LANG": "en_US.UTF-8",
        "TZ": ":UTC",
        "PATH": "/usr/local/bin:/usr/bin/:/bin:/opt/bin",
    }
    if certificates == "bundle":
        found["SSL_CERT_FILE"] = bundle()
    # TLS is set up all the same: whether a call needs it is known only to the call.
    return found | {"AWS_ENDPOINT_URL": f"http://{api}"} | SETTINGS


def bundle():
    for path in ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"):
        if os.path.exists(path):
            return path
    raise SystemExit("no bundle of root certificates was found: use --certificates host")


def event(name):
    """The least that a function can be asked for."""
    if name in SCHEDULED:
        return (ROOT / f"tests/events/{name}.json").read_bytes()
    return b"null" if name == "empty" else b'{"Records":[]}'


class Api:
    """Lambda's Runtime API for one process. Requests are stamped where they are read."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=8)
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.requests = queue.Queue()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        with connection, connection.makefile("rb") as stream:
            while line := stream.readline():
                stamp = time.perf_counter()
                headers = {}
                while (header := stream.readline().strip()) != b"":
                    key, _, value = header.partition(b":")
                    headers[key.lower()] = value.strip()
                body = self.body(stream, headers)
                self.requests.put((stamp, line.decode().split(" ")[1], body, connection))

    def body(self, stream, headers):
        if headers.get(b"transfer-encoding") == b"chunked":
            parts = []
            while size := int(stream.readline().split(b";")[0], 16):
                parts.append(stream.read(size))
                stream.readline()
            while stream.readline().strip() != b"":
                pass
            return b"".join(parts)
        return stream.read(int(headers.get(b"content-length", 0)))

    def answer(self, connection, status, body=b"", headers=()):
        head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
        connection.sendall("\r\n".join(head).encode() + b"\r\n\r\n" + body)

    def close(self):
        # Waking the thread that accepts takes a shutdown; closing alone leaves it asleep.
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


def measure(name, program, certificates, output):
    api = Api()
    variables = environment(name, api.address, certificates)
    with open(output, "w+b") as file:
        to_file = [(os.POSIX_SPAWN_DUP2, file.fileno(), stream) for stream in (1, 2)]
        started = time.perf_counter()
        pid = os.posix_spawn(program, [str(program)], variables, file_actions=to_file)
        try:
            stamp, connection = expect(name, api, pid, output, "/invocation/next")
            ran, waited = cpu(pid)
            headers = [
                "Content-Type: application/json",
                "Lambda-Runtime-Aws-Request-Id: 8476a536-e9f4-11e8-9739-2dfe598c3fcd",
                f"Lambda-Runtime-Deadline-Ms: {int(time.time() * 1000) + 30_000}",
                f"Lambda-Runtime-Invoked-Function-Arn: arn:aws:lambda:us-east-1:123456789012:function:cordon-{name}",
                "Lambda-Runtime-Trace-Id: Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=0",
            ]
            api.answer(connection, "200 OK", event(name), headers)
            expect(name, api, pid, output, "/invocation/next")
            return {"init": (stamp - started) * 1000, "cpu": ran, "waited": waited, "peak": peak(pid)}
        finally:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            api.close()


def expect(name, api, pid, output, wanted):
    """The next request for this; an answer to an event is taken on the way, a call to AWS refused."""
    until = time.monotonic() + 20
    while time.monotonic() < until:
        try:
            stamp, path, body, connection = api.requests.get(timeout=0.5)
        except queue.Empty:
            with open(f"/proc/{pid}/stat") as file:
                if file.read().rsplit(")", 1)[1].split()[0] == "Z":
                    break
            continue
        refused = name in SCHEDULED and "/invocation/" in path
        if path.endswith("/error") and not refused:
            raise SystemExit(f"{path}: {body.decode(errors='replace')}\n{output.read_text(errors='replace')}")
        if path.endswith(wanted):
            return stamp, connection
        if "/runtime/" in path:
            api.answer(connection, "202 Accepted")
        else:
            api.answer(connection, "400 Bad Request", b'{"__type":"AccessDeniedException"}')
    raise SystemExit(f"{name} did not ask for {wanted}:\n{output.read_text(errors='replace')}")


def cpu(pid):
    """Milliseconds that the process has run so far, and has waited to be let run: of all its threads."""
    tasks = pathlib.Path(f"/proc/{pid}/task").iterdir()
    stats = [(task / "schedstat").read_text().split() for task in tasks]
    return (sum(int(stat[which]) for stat in stats) / 1e6 for which in (0, 1))


def peak(pid):
    """MB."""
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise SystemExit("the kernel does not tell VmHWM")


def zipped(program):
    """MB of the zip that holds the stripped program alone."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(program, "bootstrap")
    return packed.tell() / 1e6


def report(taken, programs, asked):
    middle = {
        name: {key: statistics.median(run[key] for run in runs) for key in runs[0]}
        for name, runs in taken.items()
    }
    empty = middle["empty"]["init"]
    print(f"{asked.runs} processes of each; root certificates: {asked.certificates}")
    busy = any(figures["waited"] > figures["init"] / 10 for figures in middle.values())
    print(f"{'':8} {'zip MB':>7} {'init ms':>8} {'10–90 %':>11} {'× empty':>8} {'CPU ms':>7} {'peak MB':>8}")
    broken = []
    for name, figures in middle.items():
        runs = sorted(run["init"] for run in taken[name])
        low, high = runs[len(runs) // 10], runs[-1 - len(runs) // 10]
        size, ratio = zipped(programs[name]), figures["init"] / empty
        verdict = ""
        if name in BOUNDS:
            found = zip(("init", "peak", "zip"), (ratio, figures["peak"], size), BOUNDS[name])
            over = [f"{what} over {bound}" for what, value, bound in found if value > bound]
            broken += over
            verdict = "FAIL: " + ", ".join(over) if over else "ok"
        print(
            f"{name:8} {size:>7.2f} {figures['init']:>8.2f} {low:>5.2f}–{high:<5.2f} {ratio:>8.2f} "
            f"{figures['cpu']:>7.2f} {figures['peak']:>8.1f}  {verdict}"
        )
    if busy:
        print("The machine was busy, which flatters the ratios: repeat it on an idle one.")
    return 2 if busy else 1 if broken else 0


if __name__ == "__main__":
    raise SystemExit(main())

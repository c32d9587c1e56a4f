"""Deploys template.yaml beside a simulated tenant and tells what its functions do, from the first schedule to the last
mail. It ends with exit code 0 if people were told the same as by `cordon demo`, the same pipeline on one machine.

It invokes no function and sends no message: the schedules and the queues do. Started by scripts/demo-aws; speaks to the
emulator through stack.py, and to nothing beyond this machine.
"""

import argparse
import collections
import contextlib
import datetime
import email
import email.policy
import json
import os
import pathlib
import platform
import signal
import subprocess
import sys
import tempfile
import time

import stack

# When the schedules start Poll and Track, in seconds from the beginning of the deployment, which takes a few. The
# emulator looks at its schedules every ten seconds. Track comes only once, so it gives the devices time to do as they
# are told.
POLL_AFTER = 12
TRACK_AFTER = POLL_AFTER + 20
# For how long what is expected is waited for, in seconds.
PATIENCE = 90
LOOK_EVERY = 0.2

FUNCTIONS = ["Poll", "Hunt", "Enrich", "Respond", "Notify", "Track"]
QUEUES = {"AlertsFound": "Enrich", "AlertsEnriched": "Respond", "EffectsRequested": "Respond", "ActionsTaken": "Notify"}


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--functions", required=True, metavar="DIR", help="holds <function>/bootstrap for each")
    arguments.add_argument("--programs", required=True, metavar="DIR", help="holds the programs simulator and cordon")
    args = arguments.parse_args()
    # However this is ended, the simulator ends with it.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    programs = pathlib.Path(args.programs)
    try:
        with simulated_tenant(programs / "simulator") as tenant:
            expected = told_on_one_machine(programs / "cordon")
            deploy(args.functions, tenant)
            problems = follow(expected)
            show_cases()
            for problem in problems:
                say(f"Not as expected: {problem}.")
            if not problems:
                mails = sum(count for count, *_ in expected.values())
                say(f"As expected: {mails} mails, which say of each device what those of `cordon demo` say.")
            look_around()
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(1 if problems else 0)


def say(line=""):
    print(line, flush=True)


@contextlib.contextmanager
def simulated_tenant(program):
    """A process of its own; gives the settings that it prints."""
    process = subprocess.Popen([program, "--demo", "--listen", "127.0.0.1:0"], stdout=subprocess.PIPE, text=True)
    try:
        settings = {}
        while "DEFENDER_LOGIN_URL" not in settings:
            line = process.stdout.readline()
            if not line:
                sys.exit("the simulator did not start")
            name, _, value = line.strip().partition("=")
            settings[name] = value
        say(f"A simulated tenant with ten alerts answers at {settings['DEFENDER_API_URL']}.")
        yield settings
    finally:
        process.kill()
        process.wait()


def told_on_one_machine(program):
    """What people are told by `cordon demo`."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([program, "demo", "--mail", folder], check=True, stdout=subprocess.DEVNULL)
        files = [file.read_bytes() for file in pathlib.Path(folder).iterdir()]
    return told(email.message_from_bytes(file, policy=email.policy.default)["Subject"] for file in files)


def told(subjects):
    """How many mails there are about each device, and what each device's mails say. Not of which alert: which of two
    on one device comes first, and whether the other finds the isolation requested or ended, is chance on AWS."""
    parts = [subject.split(" · ") for subject in subjects]
    says = {device: sorted({what for _, what, about, *_ in parts if about == device}) for _, _, device, *_ in parts}
    return {device: (sum(part[2] == device for part in parts), *what) for device, what in says.items()}


def deploy(functions, tenant):
    begun = time.time()
    poll_at, track_at = begun + POLL_AFTER, begun + TRACK_AFTER
    parameters = {
        "TenantId": tenant["DEFENDER_TENANT_ID"],
        # The simulator has one app for both.
        "ClientId": tenant["DEFENDER_CLIENT_ID"],
        "ActorClientId": tenant["DEFENDER_CLIENT_ID"],
        "DefenderApiUrl": tenant["DEFENDER_API_URL"],
        "DefenderLoginUrl": tenant["DEFENDER_LOGIN_URL"],
        "Mode": "enforce",
        # As in `cordon demo`.
        "Lookback": "1h",
        "MailFrom": "cordon@example.com",
        "MailTo": "soc@example.com",
        "SenderIdentity": "example.com",
        "Architecture": "arm64" if platform.machine() in ("arm64", "aarch64") else "x86_64",
        "PlaybookFolder": str(pathlib.Path("playbook").resolve()),
        "PollSchedule": f"at({utc(poll_at):%Y-%m-%dT%H:%M:%S})",
        "TrackSchedule": f"at({utc(track_at):%Y-%m-%dT%H:%M:%S})",
        "ScheduleState": "ENABLED",
    }
    say(f"Deploying template.yaml to {stack.endpoint()}, in mode enforce.")
    made = stack.up(
        argparse.Namespace(
            template="template.yaml",
            binaries=functions,
            sender=parameters["SenderIdentity"],
            set=[f"{name}={value}" for name, value in parameters.items()],
        )
    )
    for secret in made["secrets"]:
        value = json.dumps({"client_secret": tenant["DEFENDER_CLIENT_SECRET"]})
        stack.put_secret(argparse.Namespace(secret=secret, input=lambda: value))
    resources = stack.client("cloudformation").describe_stack_resources(StackName=stack.STACK)["StackResources"]
    say(f"It is up after {time.time() - begun:.1f} s: {len(resources)} resources. Both apps' secrets are put.")
    if time.time() > poll_at:
        say("That took too long: the poll may have come before the secrets, and fails then.")
    say(f"The schedule of Poll is due at {utc(poll_at):%H:%M:%S}, that of Track at {utc(track_at):%H:%M:%S} (UTC);")
    say("the emulator looks at its schedules every ten seconds.")
    say()


def utc(stamp):
    return datetime.datetime.fromtimestamp(stamp, datetime.timezone.utc)


def follow(expected):
    """Tells what happens until it is what was expected, or patience is over. Gives what is not as expected."""
    end = time.time() + PATIENCE
    waiting_for_track = False
    started, most, mails = set(), collections.Counter(), []
    while True:
        for function in [name for name in ("Poll", "Track") if name not in started and logs(name)]:
            started.add(function)
            happened(f"The schedule has started {function}.")
        lying = {name: len(messages) for name, messages in stack.queues(None).items()}
        for queue, function in QUEUES.items():
            if lying[queue] > most[queue]:
                most[queue] = lying[queue]
                happened(f"{lying[queue]} in {queue}, for {function}.")
        new = stack.mails(None)[len(mails) :]
        mails += new
        for mail in new:
            happened(f"Mail: {mail['Subject']}")
        so_far = told(mail["Subject"] for mail in mails)
        if so_far == expected and "Track" in started and not any(lying.values()):
            return []
        if not waiting_for_track and "Track" not in started and mails and not any(lying.values()):
            waiting_for_track = True
            happened("Every alert is answered. Devices take their time: Track will look how the isolations ended.")
        if time.time() > end:
            break
        time.sleep(LOOK_EVERY)
    problems = [
        f"the mails about {device} are {so_far.get(device)}, not {expected.get(device)}"
        for device in expected.keys() | so_far.keys()
        if so_far.get(device) != expected.get(device)
    ]
    problems += [f"{count} in {queue}" for queue, count in lying.items() if count]
    return problems or ["Track has not run"]


def logs(function):
    return stack.logs(argparse.Namespace(function=function))


def happened(what):
    say(f"{utc(time.time()):%H:%M:%S}  {what}")


def show_cases():
    """A line for each alert, from the table in DynamoDB."""
    items = [(item["partition"], item["sort"], json.loads(item["value"])) for item in stack.items(None)]
    claims = {value["device"]: value for _, sort, value in items if sort == "claim#cut-off"}
    cases = [(partition, value) for partition, sort, value in items if sort.startswith("case#")]
    say()
    say(f"{'answer':9} {'state':10} {'mails':5}  alert")
    for partition, case in sorted(cases, key=lambda case: case[1]["last"]["alert"]["created"]):
        last = case["last"]
        alert = last["alert"]
        # An isolation belongs to its device: several alerts may share one.
        state = claims[case["about"]]["state"] if last.get("claim") else last["state"]
        mails = sum(1 for key, sort, _ in items if key == partition and sort.startswith("told#"))
        about = f"{alert['severity']} · {alert['device_name']} · {alert['title']}"
        say(f"{last['decision']['answer']:9} {state or '-':10} {mails:5}  {about}")
    starts = {name: sum(1 for line in logs(name) if line.startswith("START ")) for name in FUNCTIONS}
    say()
    say("Invocations: " + ", ".join(f"{name} {count}" for name, count in starts.items()) + ".")


def look_around():
    """Leaves everything as it is until Enter is pressed, if there is somebody to press it."""
    if not sys.stdin.isatty():
        say("Everything stops now. Started from a terminal, it stays until Enter is pressed, to be looked at.")
        return
    shared = ["AWS_ENDPOINT_URL", "AWS_CA_BUNDLE", "SSL_CERT_FILE", "AWS_REGION", "AWS_DEFAULT_REGION"]
    shared += ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]
    say()
    say("All of it is still running. To look at it, in another terminal and in this folder:")
    say(f"  export {' '.join(f'{name}={os.environ[name]}' for name in shared)}")
    for command in ["mails", "queues", "items", "logs Respond", "environment Respond", "--help"]:
        say(f"  .venv/bin/python tests/aws/stack.py {command}")
    for command in ["cloudformation describe-stacks", "lambda list-functions", "scheduler list-schedules"]:
        say(f"  aws --endpoint-url {stack.endpoint()} {command}")
    say()
    with contextlib.suppress(EOFError, KeyboardInterrupt):
        input("Press Enter to stop everything. ")


if __name__ == "__main__":
    main()

"""Deploys template.yaml to the emulator at AWS_ENDPOINT_URL and works on what it made, for the end-to-end test.

It replaces the code of each function by what it is given, uploads each layer, and leaves the rest of the template as it
is. It never speaks to an account: without an endpoint on this machine it does nothing. It judges nothing; the test
does. Start it beside the emulator: scripts/aws-emulator --auth .venv/bin/python tests/aws/stack.py --help
"""

import argparse
import base64
import functools
import io
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import urllib.parse
import urllib.request
import zipfile

import boto3
from botocore.config import Config
from samtranslator.yaml_helper import yaml_parse

STACK = "cordon"
BUCKET = "cordon-e2e"
# The topic that people would be subscribed to, and the queue that stands for them.
PEOPLE = "cordon-e2e-people"
# One word for each type of resource that a test asks for.
KINDS = {
    "AWS::Lambda::Function": "functions",
    "AWS::SQS::Queue": "queues",
    "AWS::DynamoDB::Table": "tables",
    "AWS::SecretsManager::Secret": "secrets",
}
# On AWS, whoever may do one of these may do it in a batch.
BATCHED = ["sqs:SendMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility"]
# The policy that stands beside a role's own.
ALIGNED = "emulator"


@functools.cache
def client(service):
    # An invocation may last as long as its function's time-out, and must not be made twice.
    config = Config(read_timeout=130, retries={"total_max_attempts": 1})
    return boto3.client(service, endpoint_url=endpoint(), config=config)


def endpoint():
    url = os.environ.get("AWS_ENDPOINT_URL", "")
    if urllib.parse.urlsplit(url).hostname != "127.0.0.1":
        sys.exit("AWS_ENDPOINT_URL names no emulator on this machine: start this beside scripts/aws-emulator")
    return url


def inspect(path):
    """What the emulator itself shows, beside what AWS has."""
    with urllib.request.urlopen(f"{endpoint()}/_ministack/{path}") as answer:
        return json.load(answer)["messages"]


# Deploying


def up(args):
    client("s3").create_bucket(Bucket=BUCKET)
    client("sesv2").create_email_identity(EmailIdentity=args.sender)
    parameters = dict(one.split("=", 1) for one in args.set) | {"NotifyTopicArn": subscribed()}
    path = pathlib.Path(args.template)
    template = yaml_parse(path.read_text())
    for name, resource in template["Resources"].items():
        properties = resource.get("Properties", {})
        if resource["Type"] == "AWS::Serverless::Function":
            properties["CodeUri"] = upload(name, pathlib.Path(args.binaries) / name.lower())
        elif resource["Type"] == "AWS::Serverless::LayerVersion":
            properties["ContentUri"] = upload(name, path.parent / properties["ContentUri"])
    client("s3").put_object(Bucket=BUCKET, Key="template.json", Body=json.dumps(template))
    client("cloudformation").create_stack(
        StackName=STACK,
        TemplateURL=f"{endpoint()}/{BUCKET}/template.json",
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
        Capabilities=["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"],
    )
    wait_for_stack("stack_create_complete")
    for function in made()["functions"].values():
        align(role_of(function))
    return made() | {"outputs": outputs()}


def subscribed():
    """A topic with its one subscriber."""
    sqs, sns = client("sqs"), client("sns")
    queue = sqs.create_queue(QueueName=PEOPLE)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    topic = sns.create_topic(Name=PEOPLE)["TopicArn"]
    # Without it nothing is delivered, and nobody hears of that.
    policy = {"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage", "Resource": arn,
        "Condition": {"ArnEquals": {"aws:SourceArn": topic}},
    }]}
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": json.dumps(policy)})
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    return topic


def upload(name, folder):
    """Zips a folder, barely compressed: it is unpacked on the same machine a moment later."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for parent, _, files in os.walk(folder, followlinks=True):
            for file in map(pathlib.Path(parent).joinpath, files):
                archive.write(file, file.relative_to(folder))
    if not archive.namelist():
        sys.exit(f"{folder} has no files for {name}")
    client("s3").put_object(Bucket=BUCKET, Key=f"{name}.zip", Body=content.getvalue())
    return f"s3://{BUCKET}/{name}.zip"


def wait_for_stack(state):
    formation = client("cloudformation")
    try:
        formation.get_waiter(state).wait(StackName=STACK, WaiterConfig={"Delay": 0.2, "MaxAttempts": 300})
    except Exception as error:
        events = formation.describe_stack_events(StackName=STACK)["StackEvents"]
        failed = [
            f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason')}"
            for event in events
            if event["ResourceStatus"].endswith("FAILED")
        ]
        sys.exit("; ".join([f"the stack is not as it should be: {error}", *failed]))


@functools.cache
def made():
    """What the stack made, by kind, each by its logical id: queues by their URL, the others by their name or ARN."""
    found = {kind: {} for kind in KINDS.values()}
    for resource in client("cloudformation").describe_stack_resources(StackName=STACK)["StackResources"]:
        if kind := KINDS.get(resource["ResourceType"]):
            found[kind][resource["LogicalResourceId"]] = resource["PhysicalResourceId"]
    return found


def outputs():
    stack = client("cloudformation").describe_stacks(StackName=STACK)["Stacks"][0]
    return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}


def down(_):
    client("cloudformation").delete_stack(StackName=STACK)
    wait_for_stack("stack_delete_complete")


# Working on what is deployed. A function, queue or secret is named by its logical id in the template.


def invoke(args):
    payload = pathlib.Path(args.payload).read_bytes() if args.payload else b"{}"
    answer = client("lambda").invoke(FunctionName=made()["functions"][args.function], Payload=payload)
    said = json.loads(answer["Payload"].read() or b"null")
    return {"status": answer["StatusCode"], "error": answer.get("FunctionError"), "payload": said}


def put_secret(args):
    client("secretsmanager").put_secret_value(SecretId=made()["secrets"][args.secret], SecretString=args.input())


def mails(_):
    return [mail for account in inspect("ses/messages").values() for mail in account]


def published(_):
    """What the topic's subscriber was sent, each in the envelope of SNS."""
    return [json.loads(message["Body"]) for message in lying()[PEOPLE]]


def queues(_):
    """The messages in every queue of the stack."""
    shown = lying()
    return {name: shown[url.rsplit("/", 1)[-1]] for name, url in made()["queues"].items()}


def lying():
    """The messages in every queue, by the queue's name, seen without receiving them."""
    shown = {}
    for regions in inspect("sqs/messages").values():
        for region in regions.values():
            shown |= {url.rsplit("/", 1)[-1]: messages for url, messages in region.items()}
    return shown


def send(args):
    client("sqs").send_message(QueueUrl=made()["queues"][args.queue], MessageBody=args.input())


def hold(args):
    """Keeps a function from taking messages."""
    set_mapping(args.function, enabled=False)


def release(args):
    set_mapping(args.function, enabled=True)


def set_mapping(function, enabled):
    mappings = client("lambda").list_event_source_mappings(FunctionName=made()["functions"][function])
    for mapping in mappings["EventSourceMappings"]:
        client("lambda").update_event_source_mapping(UUID=mapping["UUID"], Enabled=enabled)


def logs(args):
    """What a function has written, oldest first."""
    config = configuration(made()["functions"][args.function])
    group = config.get("LoggingConfig", {}).get("LogGroup") or f"/aws/lambda/{config['FunctionName']}"
    pages = client("logs").get_paginator("filter_log_events").paginate(logGroupName=group)
    return [event["message"] for page in pages for event in page["events"]]


def items(_):
    """Every item of every table."""
    found = []
    for table in made()["tables"].values():
        for page in client("dynamodb").get_paginator("scan").paginate(TableName=table):
            found += [{name: next(iter(value.values())) for name, value in item.items()} for item in page["Items"]]
    return found


def environment(args):
    return configuration(made()["functions"][args.function]).get("Environment", {}).get("Variables", {})


def configuration(name):
    return client("lambda").get_function_configuration(FunctionName=name)


# Processes


def pids(args):
    """A function's processes: they run from a folder that is named for the digest of their zip."""
    folder = base64.b64decode(configuration(made()["functions"][args.function])["CodeSha256"]).hex()
    port = urllib.parse.urlsplit(endpoint()).port
    bootstrap = re.compile(rf"\S*{port}/{folder}/bootstrap$")
    listed = subprocess.run(["ps", "-A", "-o", "pid=,args="], check=True, capture_output=True, text=True)
    lines = (line.split(None, 1) for line in listed.stdout.splitlines())
    return sorted(int(line[0]) for line in lines if len(line) == 2 and bootstrap.search(line[1]))


def kill(args):
    found = pids(args)
    for pid in found:
        os.kill(pid, signal.SIGKILL)
    return found


# Permissions


def deny(args):
    """Takes an action out of the role's policies, as if the template had never named it; keeps them for `allow`."""
    role = role_of(made()["functions"][args.function])
    taken = 0
    for name, policy in policies_of(role).items():
        statements = policy["Statement"]
        if not any(args.action in actions_of(statement) for statement in statements):
            continue
        client("s3").put_object(Bucket=BUCKET, Key=f"taken/{role}/{name}", Body=json.dumps(policy))
        for statement in statements:
            statement["Action"] = [action for action in actions_of(statement) if action != args.action]
        put_policy(role, name, [statement for statement in statements if statement["Action"]])
        taken += 1
    if not taken:
        sys.exit(f"no policy of {role} names {args.action}")
    align(role)


def allow(args):
    """Gives back whatever was taken from the function."""
    s3, role = client("s3"), role_of(made()["functions"][args.function])
    for kept in s3.list_objects_v2(Bucket=BUCKET, Prefix=f"taken/{role}/").get("Contents", []):
        policy = json.load(s3.get_object(Bucket=BUCKET, Key=kept["Key"])["Body"])
        put_policy(role, kept["Key"].rsplit("/", 1)[-1], policy["Statement"])
        s3.delete_object(Bucket=BUCKET, Key=kept["Key"])
    align(role)


def align(role):
    """Adds a policy with what the emulator asks for in other words than AWS does, derived from the role's own: a batch
    as an action of its own, and ses:SendEmail on `*`, because it knows neither the identity nor the sender."""
    statements = []
    for policy in policies_of(role).values():
        for statement in policy["Statement"]:
            batches = [f"{action}Batch" for action in actions_of(statement) if action in BATCHED]
            if batches:
                statements.append(statement | {"Action": batches})
            if "ses:SendEmail" in actions_of(statement):
                statements.append({"Effect": "Allow", "Action": "ses:SendEmail", "Resource": "*"})
    put_policy(role, ALIGNED, statements)


def role_of(function):
    return configuration(function)["Role"].rsplit("/", 1)[-1]


def policies_of(role):
    """The role's policies as the template made them."""
    iam = client("iam")
    names = iam.list_role_policies(RoleName=role)["PolicyNames"]
    own = [name for name in names if name != ALIGNED]
    return {name: iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"] for name in own}


def put_policy(role, name, statements):
    """Without a statement there is no policy: one that allows nothing takes its place."""
    nothing = {"Effect": "Deny", "Action": "none:None", "Resource": "*"}
    policy = {"Version": "2012-10-17", "Statement": statements or [nothing]}
    client("iam").put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=json.dumps(policy))


def actions_of(statement):
    actions = statement.get("Action", [])
    return [actions] if isinstance(actions, str) else actions


# The command line


def serve(_):
    """One JSON object per line in, {"run": [COMMAND, …], "input": TEXT}, and one out, {"ok": …} or {"error": …}."""
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            args = parser().parse_args(asked["run"])
            args.input = lambda: asked["input"]
            answer = {"ok": args.run(args)}
        except (Exception, SystemExit) as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer, default=str), flush=True)


def parser():
    top = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    def command(function, does, *names):
        added = commands.add_parser(function.__name__.replace("_", "-"), help=does, description=does)
        added.set_defaults(run=function, input=sys.stdin.read)
        for name in names:
            added.add_argument(name, metavar=name.upper())
        return added

    added = command(up, "deploy, and show what was made")
    added.add_argument("--template", default="template.yaml", metavar="FILE")
    added.add_argument("--binaries", required=True, metavar="DIR", help="holds <function>/bootstrap for each function")
    added.add_argument("--sender", required=True, metavar="IDENTITY", help="the verified identity that mail comes from")
    added.add_argument("--set", action="append", default=[], metavar="PARAMETER=VALUE", help="may stand several times")
    added = command(invoke, "invoke a function and wait for it", "function")
    added.add_argument("--payload", metavar="FILE", help="default: {}")
    command(put_secret, "give a secret the value that stands on standard input", "secret")
    command(mails, "show the e-mails so far")
    command(published, "show what was published so far to the topic that people are subscribed to")
    command(queues, "show the messages in every queue, dead letters included")
    command(send, "send what stands on standard input", "queue")
    command(hold, "keep a function from taking messages", "function")
    command(release, "let it take messages again", "function")
    command(logs, "show what a function has written", "function")
    command(items, "show every item of the table")
    command(environment, "show the environment variables of a function", "function")
    command(pids, "show the running processes of a function", "function")
    command(kill, "kill the running processes of a function, and show which", "function")
    command(deny, "take an action out of the policies of a function's role", "function", "action")
    command(allow, "give back what was taken", "function")
    command(down, "delete the stack")
    command(serve, "read commands from standard input, for a test that has many")
    return top


def main():
    args = parser().parse_args()
    answer = args.run(args)
    if isinstance(answer, list) and all(isinstance(line, str) for line in answer):
        print("\n".join(answer))
    elif answer is not None:
        print(json.dumps(answer, indent=2, default=str))


if __name__ == "__main__":
    main()

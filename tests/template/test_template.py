"""What template.yaml must hold, read from the file as it is: who may do what, what every queue, function and schedule
must have, and that nothing acts by default.

Each check yields what is wrong, in words. For each there is at least one broken template below that it must notice.
It knows the template, not AWS: whether CloudFormation takes it is for cfn-lint and the deployment to say.
Run by scripts/check-template; needs PyYAML.
"""

import copy
import pathlib
import re
import unittest

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]


def ref(name):
    return {"Ref": name}


def att(name, attribute="Arn"):
    return {"Fn::GetAtt": [name, attribute]}


def sub(text):
    return {"Fn::Sub": text}


def given(condition, value):
    """A value that is not there at all without the condition."""
    return {"Fn::If": [condition, value, ref("AWS::NoValue")]}


LOG = ["logs:CreateLogStream", "logs:PutLogEvents"]
CONSUME = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility", "sqs:GetQueueAttributes"]
SEND = ["sqs:SendMessage"]
SECRET = ["secretsmanager:GetSecretValue"]
SEND_KEY = "kms:GenerateDataKey via sqs"

# Every action of every role on every resource. A transaction of DynamoDB needs the permissions of its parts.
PERMISSIONS = {
    "PollRole": {
        "log of poll": LOG,
        "ReaderSecret": SECRET,
        "AlertsFound": SEND,
        "AlertsFoundDeadLetters": SEND,
        "ActionsTaken": SEND,
        "Table": ["dynamodb:GetItem", "dynamodb:BatchGetItem", "dynamodb:PutItem"],
        "Key": ["kms:Decrypt via dynamodb, secretsmanager, sqs", SEND_KEY],
    },
    "HuntRole": {
        "log of hunt": LOG,
        "ReaderSecret": SECRET,
        "AlertsFound": SEND,
        "AlertsFoundDeadLetters": SEND,
        "EffectsRequested": SEND,
        "EffectsRequestedDeadLetters": SEND,
        "ActionsTaken": SEND,
        "ActionsTakenDeadLetters": SEND,
        "Table": ["dynamodb:GetItem", "dynamodb:BatchGetItem", "dynamodb:PutItem"],
        "Key": ["kms:Decrypt via dynamodb, secretsmanager, sqs", SEND_KEY],
    },
    "EnrichRole": {
        "log of enrich": LOG,
        "ReaderSecret": SECRET,
        "AlertsFound": CONSUME + SEND,
        "AlertsFoundDeadLetters": SEND,
        "AlertsEnriched": SEND,
        "Table": ["dynamodb:GetItem", "dynamodb:PutItem"],
        "Key": ["kms:Decrypt via dynamodb, secretsmanager, sqs", SEND_KEY],
    },
    "RespondRole": {
        "log of respond": LOG,
        "ReaderSecret": SECRET,
        "ActorSecret": SECRET,
        "AlertsEnriched": CONSUME + SEND,
        "AlertsEnrichedDeadLetters": SEND,
        "EffectsRequested": CONSUME + SEND,
        "EffectsRequestedDeadLetters": SEND,
        "ActionsTaken": SEND,
        "Table": ["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:DeleteItem", "dynamodb:ConditionCheckItem"],
        "Key": ["kms:Decrypt via dynamodb, secretsmanager, sqs", SEND_KEY],
    },
    "TrackRole": {
        "log of track": LOG,
        "ReaderSecret": SECRET,
        "EffectsRequested": SEND,
        "ActionsTaken": SEND,
        "Table": ["dynamodb:GetItem", "dynamodb:BatchGetItem", "dynamodb:Query", "dynamodb:PutItem",
                  "dynamodb:DeleteItem"],
        "Key": ["kms:Decrypt via dynamodb, secretsmanager, sqs", SEND_KEY],
    },
    "NotifyRole": {
        "log of notify": LOG,
        "ActionsTaken": CONSUME + SEND,
        "ActionsTakenDeadLetters": SEND,
        "Table": ["dynamodb:GetItem", "dynamodb:BatchGetItem", "dynamodb:Query", "dynamodb:PutItem",
                  "dynamodb:DeleteItem", "dynamodb:ConditionCheckItem"],
        "the sender's identity": ["ses:SendEmail from MailFrom", "ses:SendRawEmail from MailFrom"],
        "the topic that was given": ["sns:Publish where HasNotifyTopic"],
        "NotifySecret": ["secretsmanager:GetSecretValue where HasChannelsSecret"],
        "Key": ["kms:Decrypt via dynamodb, secretsmanager, sqs", SEND_KEY],
    },
    "ScheduleRole": {name: ["lambda:InvokeFunction"] for name in ("Poll", "Hunt", "Track")},
}

TENANT = "DEFENDER_TENANT_ID DEFENDER_CLOUD CORDON_TABLE"
READER = ("DEFENDER_CLIENT_ID DEFENDER_SECRET_ID DEFENDER_API_URL DEFENDER_LOGIN_URL GRAPH_API_URL DEFENDER_ALERTS_API "
          "DEFENDER_HUNTING_API")
# Timeout, the queues that are consumed with batch and concurrency of each, and every environment variable; VALUES holds
# their values.
FUNCTIONS = {
    "Poll": (120, {}, f"{TENANT} {READER} CORDON_PLAYBOOK CORDON_MODE CORDON_LOOKBACK "
             "CORDON_ALERTS_FOUND_URL CORDON_ALERTS_FOUND_DEAD_LETTERS_URL CORDON_ACTIONS_TAKEN_URL"),
    "Hunt": (300, {}, f"{TENANT} {READER} CORDON_PLAYBOOK CORDON_MODE CORDON_ALERTS_FOUND_URL "
             "CORDON_ALERTS_FOUND_DEAD_LETTERS_URL CORDON_EFFECTS_REQUESTED_URL "
             "CORDON_EFFECTS_REQUESTED_DEAD_LETTERS_URL CORDON_ACTIONS_TAKEN_URL CORDON_ACTIONS_TAKEN_DEAD_LETTERS_URL"),
    "Enrich": (30, {"AlertsFound": (10, 5)}, f"{TENANT} {READER} CORDON_ALERTS_FOUND_URL "
               "CORDON_ALERTS_FOUND_DEAD_LETTERS_URL CORDON_ALERTS_ENRICHED_URL"),
    "Respond": (30, {"AlertsEnriched": (2, 2), "EffectsRequested": (2, 2)},
                f"{TENANT} {READER} DEFENDER_ACTOR_CLIENT_ID DEFENDER_ACTOR_SECRET_ID CORDON_PLAYBOOK CORDON_MODE "
                "CORDON_ALERTS_ENRICHED_URL CORDON_ALERTS_ENRICHED_DEAD_LETTERS_URL CORDON_EFFECTS_REQUESTED_URL "
                "CORDON_EFFECTS_REQUESTED_DEAD_LETTERS_URL CORDON_ACTIONS_TAKEN_URL"),
    "Track": (60, {}, f"{TENANT} {READER} CORDON_PLAYBOOK CORDON_EFFECTS_REQUESTED_URL CORDON_ACTIONS_TAKEN_URL"),
    "Notify": (60, {"ActionsTaken": (10, 2)}, f"{TENANT} CORDON_PLAYBOOK CORDON_MAIL_FROM CORDON_MAIL_TO "
               "CORDON_SNS_TOPIC CORDON_CHANNELS_SECRET_ID "
               "CORDON_ACTIONS_TAKEN_URL CORDON_ACTIONS_TAKEN_DEAD_LETTERS_URL"),
}

# What an environment variable holds, whichever function has it.
VALUES = {
    "DEFENDER_TENANT_ID": ref("TenantId"),
    "DEFENDER_CLOUD": ref("DefenderCloud"),
    "DEFENDER_CLIENT_ID": ref("ClientId"),
    "DEFENDER_SECRET_ID": att("ReaderSecret", "Id"),
    "DEFENDER_ACTOR_CLIENT_ID": given("HasActor", ref("ActorClientId")),
    "DEFENDER_ACTOR_SECRET_ID": given("HasActor", att("ActorSecret", "Id")),
    "DEFENDER_API_URL": given("HasApiUrl", ref("DefenderApiUrl")),
    "DEFENDER_LOGIN_URL": given("HasLoginUrl", ref("DefenderLoginUrl")),
    "GRAPH_API_URL": given("HasApiUrl", ref("DefenderApiUrl")),
    "DEFENDER_ALERTS_API": ref("AlertsApi"),
    "DEFENDER_HUNTING_API": ref("HuntingApi"),
    "CORDON_TABLE": ref("Table"),
    "CORDON_PLAYBOOK": ref("PlaybookFolder"),
    "CORDON_MODE": ref("Mode"),
    "CORDON_LOOKBACK": ref("Lookback"),
    "CORDON_MAIL_FROM": ref("MailFrom"),
    "CORDON_MAIL_TO": ref("MailTo"),
    "CORDON_SNS_TOPIC": given("HasNotifyTopic", ref("NotifyTopicArn")),
    "CORDON_CHANNELS_SECRET_ID": given("HasChannelsSecret", att("NotifySecret", "Id")),
    "CORDON_ALERTS_FOUND_URL": ref("AlertsFound"),
    "CORDON_ALERTS_FOUND_DEAD_LETTERS_URL": ref("AlertsFoundDeadLetters"),
    "CORDON_ALERTS_ENRICHED_URL": ref("AlertsEnriched"),
    "CORDON_ALERTS_ENRICHED_DEAD_LETTERS_URL": ref("AlertsEnrichedDeadLetters"),
    "CORDON_EFFECTS_REQUESTED_URL": ref("EffectsRequested"),
    "CORDON_EFFECTS_REQUESTED_DEAD_LETTERS_URL": ref("EffectsRequestedDeadLetters"),
    "CORDON_ACTIONS_TAKEN_URL": ref("ActionsTaken"),
    "CORDON_ACTIONS_TAKEN_DEAD_LETTERS_URL": ref("ActionsTakenDeadLetters"),
}

# Each says whether a parameter was given, but for AgainstTenant.
CONDITIONS = {
    "HasActor": {"Fn::Not": [{"Fn::Equals": [ref("ActorClientId"), ""]}]},
    "HasApiUrl": {"Fn::Not": [{"Fn::Equals": [ref("DefenderApiUrl"), ""]}]},
    "AgainstTenant": {"Fn::Equals": [ref("DefenderApiUrl"), ""]},
    "HasLoginUrl": {"Fn::Not": [{"Fn::Equals": [ref("DefenderLoginUrl"), ""]}]},
    "HasAlarmEmail": {"Fn::Not": [{"Fn::Equals": [ref("AlarmEmail"), ""]}]},
    "HasChannelsSecret": {"Fn::Equals": [ref("ChannelsSecret"), "create"]},
    "HasNotifyTopic": {"Fn::Not": [{"Fn::Equals": [ref("NotifyTopicArn"), ""]}]},
}

ACCOUNT = "${AWS::Region}:${AWS::AccountId}"
# Who may use the key: the account, by its own policies; the logs, for ours; the alarms, for the topic.
KEY_POLICY = [
    {
        "Sid": "Account", "Effect": "Allow", "Resource": "*", "Action": "kms:*",
        "Principal": {"AWS": sub("arn:${AWS::Partition}:iam::${AWS::AccountId}:root")},
    },
    {
        "Sid": "Logs", "Effect": "Allow", "Resource": "*",
        "Action": ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"],
        "Principal": {"Service": sub("logs.${AWS::Region}.amazonaws.com")},
        "Condition": {"ArnLike": {
            "kms:EncryptionContext:aws:logs:arn":
                sub(f"arn:${{AWS::Partition}}:logs:{ACCOUNT}:log-group:/aws/lambda/${{AWS::StackName}}-*"),
        }},
    },
    {
        "Sid": "Alarms", "Effect": "Allow", "Resource": "*", "Action": ["kms:Decrypt", "kms:GenerateDataKey*"],
        "Principal": {"Service": "cloudwatch.amazonaws.com"},
    },
]
TOPIC_POLICY = [
    {
        "Sid": "AlarmsOfThisStack", "Effect": "Allow", "Action": "sns:Publish", "Resource": ref("Alarms"),
        "Principal": {"Service": "cloudwatch.amazonaws.com"},
        "Condition": {"ArnLike": {
            "aws:SourceArn": sub(f"arn:${{AWS::Partition}}:cloudwatch:{ACCOUNT}:alarm:${{AWS::StackName}}-*"),
        }},
    },
    {
        "Sid": "TlsOnly", "Effect": "Deny", "Action": "sns:Publish", "Resource": ref("Alarms"), "Principal": "*",
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    },
]

# The oldest message's age in seconds, from which a queue is alarming.
QUEUES = {"AlertsFound": 600, "AlertsEnriched": 120, "EffectsRequested": 120, "ActionsTaken": 900}
# What `cordon --stack` finds by its tag on the queue effects-requested, because it has no fixed name.
TAGS = {"cordon:tenant": ref("TenantId"), "cordon:table": ref("Table"), "cordon:mode": ref("Mode")}

# Whether each is there always, or when it is asked for.
SECRETS = {"ReaderSecret": None, "ActorSecret": None, "NotifySecret": "HasChannelsSecret"}

# The alarms on silence: of which function, and after how many minutes. The rarest schedule, in minutes, leaves a run for each
# of them, and for hunts that are to run every five minutes.
SILENT = {"PollSilence": ("Poll", 5), "HuntSilence": ("Hunt", 15)}
SLOWEST = {"Poll": 4, "Hunt": 5}
# A visibility other than the parameter's, against a tenant.
OWN_VISIBILITY = {"ActionsTaken": 360}

DAY = 86_400


# ---- Reading the template --------------------------------------------------------------------------------------------


class Loader(yaml.SafeLoader):
    """YAML with CloudFormation's short forms, each read as its long form."""


def intrinsic(loader, tag, node):
    name = tag if tag in ("Ref", "Condition") else f"Fn::{tag}"
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
        return {name: value.split(".", 1) if tag == "GetAtt" else value}
    if isinstance(node, yaml.SequenceNode):
        return {name: loader.construct_sequence(node, deep=True)}
    return {name: loader.construct_mapping(node, deep=True)}


Loader.add_multi_constructor("!", intrinsic)


def load():
    return yaml.load((ROOT / "template.yaml").read_text(), Loader)


def of_type(template, kind):
    return {name: one for name, one in template["Resources"].items() if one["Type"] == kind}


def properties(template, name):
    """A resource's properties; a function's with what is global."""
    resource = template["Resources"].get(name, {})
    own = resource.get("Properties", {})
    if resource.get("Type") == "AWS::Serverless::Function":
        return merged(template["Globals"]["Function"], own)
    return own


def merged(below, above):
    if isinstance(below, dict) and isinstance(above, dict):
        return {key: merged(below.get(key), above.get(key, below.get(key))) for key in below | above}
    return above


def listed(value):
    return value if isinstance(value, list) else [value]


def everywhere(value):
    """Every part of a value, itself included."""
    yield value
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from everywhere(part)


def words(condition):
    """A condition in short; one that is not known stays as it is, and so fits no table."""
    if not condition:
        return ""
    match condition:
        case {"StringEquals": {"kms:ViaService": services, **rest}, **others} if not rest and not others:
            found = [re.fullmatch(r"(\w+)\.\$\{AWS::Region\}\.\$\{AWS::URLSuffix\}", one["Fn::Sub"]) for one in listed(services)]
            return " via " + ", ".join(sorted(one.group(1) if one else "?" for one in found))
        case {"StringEquals": {"ses:FromAddress": {"Ref": "MailFrom"}, **rest}, **others} if not rest and not others:
            return " from MailFrom"
    return f" if {condition}"


def resource_name(resource):
    arn = "arn:${AWS::Partition}:%s:${AWS::Region}:${AWS::AccountId}:"
    match resource:
        case {"Fn::GetAtt": [name, "Arn" | "Id"]}:
            return name
        case {"Ref": "NotifyTopicArn"}:
            return "the topic that was given"
        case {"Fn::Sub": str(text)}:
            log = re.fullmatch(re.escape(arn % "logs" + "log-group:/aws/lambda/${AWS::StackName}-") + r"(\w+):\*", text)
            if log:
                return f"log of {log.group(1)}"
            if text == arn % "ses" + "identity/${SenderIdentity}":
                return "the sender's identity"
    return str(resource)


# ---- The checks ------------------------------------------------------------------------------------------------------


def permissions(template):
    """Each role may do what stands in the table, nothing less and nothing more."""
    roles = of_type(template, "AWS::IAM::Role")
    for name in sorted(roles.keys() ^ PERMISSIONS.keys()):
        yield f"{name} stands in only one of the template and the table"
    for kind in ("Policy", "ManagedPolicy", "RolePolicy", "UserPolicy", "GroupPolicy"):
        yield from (f"{name} gives permissions beside the roles" for name in of_type(template, f"AWS::IAM::{kind}"))
    for name in sorted(roles.keys() & PERMISSIONS.keys()):
        role = roles[name]["Properties"]
        if role.keys() - {"RoleName", "AssumeRolePolicyDocument", "Policies"}:
            yield f"{name} has permissions from elsewhere"
        has = set()
        for statement in [one for policy in role["Policies"] for one in policy["PolicyDocument"]["Statement"]]:
            statement, where = unconditional(statement)
            if statement.keys() - {"Effect", "Action", "Resource", "Condition"} or statement["Effect"] != "Allow":
                yield f"{name} has a statement of another form: {statement}"
                continue
            how = words(statement.get("Condition")) + where
            actions = [f"{action}{how}" for action in listed(statement["Action"])]
            has |= {(resource_name(one), action) for one in listed(statement["Resource"]) for action in actions}
        may = {(resource, action) for resource, actions in PERMISSIONS[name].items() for action in actions}
        yield from (f"{name} lacks {action} on {resource}" for resource, action in sorted(may - has))
        yield from (f"{name} must not have {action} on {resource}" for resource, action in sorted(has - may))


def unconditional(statement):
    """A statement that is there under a condition of the template, and the condition in words."""
    match statement:
        case {"Fn::If": [condition, dict(there), {"Ref": "AWS::NoValue"}], **rest} if not rest:
            return there, f" where {condition}"
    return statement, ""


def roles(template):
    """A role per function that only Lambda takes, with a name from the stack's; the schedules' only for the Scheduler."""
    for name in FUNCTIONS:
        function = properties(template, name)
        if function.get("Role") != att(f"{name}Role"):
            yield f"{name} does not run as {name}Role"
        if function.keys() & {"Policies", "AssumeRolePolicyDocument", "PermissionsBoundary"}:
            yield f"{name} gets permissions from SAM"
    for name, role in of_type(template, "AWS::IAM::Role").items():
        service = "scheduler" if name == "ScheduleRole" else "lambda"
        trust = role["Properties"]["AssumeRolePolicyDocument"]["Statement"]
        if len(trust) != 1 or trust[0]["Principal"] != {"Service": f"{service}.amazonaws.com"}:
            yield f"{name} may be taken by others than {service}"
        low = name.removesuffix("Role").lower()
        if role["Properties"].get("RoleName") != {"Fn::Sub": f"${{AWS::StackName}}-${{AWS::Region}}-{low}"}:
            yield f"{name} has no fixed name, or one that clashes with another stack's"


def wildcards(template):
    """No `*` as a resource but in the key's own policy (where it means the key), none as a principal but to deny."""
    for name, resource in template["Resources"].items():
        for part in everywhere(resource):
            if not isinstance(part, dict) or "Effect" not in part:
                continue
            if "*" in listed(part.get("Resource")) and resource["Type"] != "AWS::KMS::Key":
                yield f"{name} names every resource"
            if "*" in str(part.get("Principal")) and part["Effect"] != "Deny":
                yield f"{name} allows everybody"
            whole = [action for action in listed(part.get("Action")) if action.endswith(":*") or action == "*"]
            account = resource["Type"] == "AWS::KMS::Key" and part.get("Sid") == "Account"
            if whole and part["Effect"] == "Allow" and not account:
                yield f"{name} allows {whole[0]}"


def functions(template):
    """The functions are those of the table, with its timeouts, and without what was decided against."""
    found = of_type(template, "AWS::Serverless::Function")
    for name in sorted(found.keys() ^ FUNCTIONS.keys()):
        yield f"{name} stands in only one of the template and the table"
    for name in sorted(found.keys() & FUNCTIONS.keys()):
        function = properties(template, name)
        expected = {
            "Timeout": FUNCTIONS[name][0], "MemorySize": 256, "Runtime": "provided.al2023",
            "Architectures": [ref("Architecture")], "FunctionName": {"Fn::Sub": f"${{AWS::StackName}}-{name.lower()}"},
        }
        for key, value in expected.items():
            if function.get(key) != value:
                yield f"{name}: {key} is {function.get(key)}, not {value}"
        for key in function.keys() & {"ReservedConcurrentExecutions", "VpcConfig", "Tracing"}:
            yield f"{name} has {key}"
        if found[name]["Metadata"].get("BuildProperties", {}).get("Binary") != name.lower():
            yield f"{name} is not built from the binary {name.lower()}"
    if template["Parameters"]["Architecture"]["Default"] != "arm64":
        yield "the architecture is not arm64 by default"


def settings(template):
    """Each function has the environment variables of the tables, with the values there; none holds a secret, and no
    parameter could."""
    for name, (*_, expected) in FUNCTIONS.items():
        variables = properties(template, name).get("Environment", {}).get("Variables", {})
        for variable in sorted(variables.keys() ^ set(expected.split())):
            yield f"{name}: {variable} stands in only one of the template and the table"
        for variable, value in variables.items():
            if value != VALUES.get(variable):
                yield f"{name}: {variable} is {value}, not {VALUES.get(variable)}"
            secret = re.search("SECRET|PASSWORD|TOKEN|CREDENTIAL|PRIVATE", variable)
            names = ({"Fn::GetAtt": [one, "Id"]} for one in SECRETS)
            if secret and not any(one in everywhere(value) for one in names):
                yield f"{name}: {variable} is not a secret's ARN"
    for name in sorted(template["Conditions"].keys() | CONDITIONS.keys()):
        if template["Conditions"].get(name) != CONDITIONS.get(name):
            yield f"the condition {name} is {template['Conditions'].get(name)}, not {CONDITIONS.get(name)}"
    for name, parameter in template["Parameters"].items():
        # What is chosen from a list of words holds no secret.
        looks = re.search("secret|password|token|credential|privatekey", name, re.I) and "AllowedValues" not in parameter
        if "NoEcho" in parameter or looks:
            yield f"the parameter {name} looks like a secret"
        if parameter["Type"] == "String" and not parameter.keys() & {"AllowedPattern", "AllowedValues"}:
            yield f"the parameter {name} takes anything"
    if any("{{resolve:" in part for part in everywhere(template) if isinstance(part, str)):
        yield "a value is resolved from elsewhere into the template"
    secrets = of_type(template, "AWS::SecretsManager::Secret")
    if {name: one.get("Condition") for name, one in secrets.items()} != SECRETS:
        yield f"the secrets are {sorted(secrets)}, or not there when they should be"
    for name, secret in secrets.items():
        if secret["Properties"].keys() & {"SecretString", "GenerateSecretString"}:
            yield f"{name} has a value"
        if any(part == ref(name) for part in everywhere(template)):
            yield f"{name}'s ARN is taken by Ref, which an emulator answers with the name"


def modes(template):
    """Nothing acts by default, nothing acts without an app of its own, and a test's addresses are no tenant's."""
    mode = template["Parameters"]["Mode"]
    if mode.get("Default") != "observe" or mode.get("AllowedValues") != ["observe", "enforce"]:
        yield "the mode is not observe by default"
    rule = template.get("Rules", {}).get("EnforceWithAnActor", {})
    if rule.get("RuleCondition") != {"Fn::Equals": [ref("Mode"), "enforce"]}:
        yield "there is no rule for enforce"
    asserted = [one["Assert"] for one in rule.get("Assertions", [])]
    if asserted != [{"Fn::Not": [{"Fn::Equals": [ref("ActorClientId"), ""]}]}]:
        yield "enforce does not need ActorClientId alone"
    for name in ("DefenderApiUrl", "DefenderLoginUrl"):
        parameter = template["Parameters"][name]
        if parameter.get("Default") != "":
            yield f"{name} is not empty by default"
        for url in ("", "http://127.0.0.1:8080"):
            if not re.fullmatch(parameter["AllowedPattern"], url):
                yield f"{name} does not take `{url}`"
        for url in ("https://api.security.microsoft.com", "http://127.0.0.1", "http://127.0.0.1:80@evil.example",
                    "http://127.0.0.1:80.evil.example", "http://127a0b0c1:80", "http://10.0.0.1:80", "x http://127.0.0.1:80"):
            if re.fullmatch(parameter["AllowedPattern"], url):
                yield f"{name} takes `{url}`"
    for name, what, choice in (("AlertsApi", "for alerts", ["defender", "graph"]), ("HuntingApi", "by hunts", ["graph", "defender"])):
        parameter = template["Parameters"][name]
        if (parameter.get("Default"), parameter.get("AllowedValues")) != (choice[0], choice):
            yield f"the interface that is asked {what} is not {choice[0]} by default, or no other can be chosen"
    for name in ("Poll", "Hunt", "Respond"):
        if properties(template, name)["Environment"]["Variables"].get("CORDON_MODE") != ref("Mode"):
            yield f"{name} does not get the mode"


def queues(template):
    """Every queue has dead letters that are kept for longer, after as many receives as the code counts on."""
    found = of_type(template, "AWS::SQS::Queue")
    if found.keys() != QUEUES.keys() | {f"{name}DeadLetters" for name in QUEUES}:
        yield f"the queues are {sorted(found)}"
    receives = int(re.search(r"MAX_RECEIVES: u32 = (\d+);", (ROOT / "shared/ports/src/queue.rs").read_text()).group(1))
    for name in QUEUES:
        queue, dead = properties(template, name), properties(template, f"{name}DeadLetters")
        redrive = queue.get("RedrivePolicy", {})
        if redrive.get("deadLetterTargetArn") != att(f"{name}DeadLetters"):
            yield f"{name} has no dead letters"
        if redrive.get("maxReceiveCount") != receives:
            yield f"{name}: maxReceiveCount is not {receives}, which the code counts on"
        if (queue.get("MessageRetentionPeriod"), dead.get("MessageRetentionPeriod")) != (4 * DAY, 14 * DAY):
            yield f"{name}: messages are not kept for 4 days, dead letters for 14"
        own = queue.get("QueueName", {}).get("Fn::Sub")
        source = f"arn:${{AWS::Partition}}:sqs:${{AWS::Region}}:${{AWS::AccountId}}:{own}"
        allow = {"redrivePermission": "byQueue", "sourceQueueArns": [{"Fn::Sub": source}]}
        if "RedrivePolicy" in dead or dead.get("RedriveAllowPolicy") != allow:
            yield f"{name}DeadLetters takes more than {name}'s dead letters"
    yield from found_by_name(template)


def found_by_name(template):
    """The queues have the names that shared/aws/src/stack.rs makes of the stack's, and one of them has its tags."""
    for name in QUEUES:
        low = re.sub("(?<!^)(?=[A-Z])", "-", name).lower()
        for queue, more in ((name, ""), (f"{name}DeadLetters", "-dead-letters")):
            if properties(template, queue).get("QueueName") != sub(f"${{AWS::StackName}}-{low}{more}"):
                yield f"{queue} cannot be found by the stack's name"
    tags = {tag["Key"]: tag["Value"] for tag in properties(template, "EffectsRequested").get("Tags", [])}
    if tags != TAGS:
        yield f"EffectsRequested has the tags {tags}"
    if not all(f'"{tag}"' in (ROOT / "shared/aws/src/stack.rs").read_text() for tag in TAGS):
        yield "the tags are not those that the code looks for"


def tls(template):
    """Every queue refuses what does not come over TLS, and its policy allows nobody anything."""
    policies = of_type(template, "AWS::SQS::QueuePolicy")
    for name in of_type(template, "AWS::SQS::Queue"):
        own = [one["Properties"] for one in policies.values() if one["Properties"]["Queues"] == [ref(name)]]
        deny = {
            "Effect": "Deny", "Principal": "*", "Action": "sqs:*", "Resource": att(name),
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        }
        if [one["PolicyDocument"]["Statement"] for one in own] != [[deny]]:
            yield f"{name} is not for TLS only"


def visibility(template):
    """A queue hides a message for six times as long as its consumer may take, and for as long as it gathers a batch."""
    parameter = template["Parameters"]["QueueVisibilitySeconds"]
    for name, queue in [(name, queue) for name, (_, queues, _) in FUNCTIONS.items() for queue in queues]:
        timeout = properties(template, name).get("Timeout", FUNCTIONS[name][0])
        window = max(event["Properties"].get("MaximumBatchingWindowInSeconds", 0) for event in events(template, name))
        own, seconds = ref("QueueVisibilitySeconds"), OWN_VISIBILITY.get(queue, parameter["Default"])
        if queue in OWN_VISIBILITY:
            own = {"Fn::If": ["AgainstTenant", seconds, own]}
        if properties(template, queue).get("VisibilityTimeout") != own:
            yield f"{queue} has another visibility"
        if seconds < 6 * timeout + window:
            yield f"{queue}: {seconds} s are less than 6 x {timeout} s + {window} s"
    rule = template.get("Rules", {}).get("ShortVisibilityOnlyAgainstASimulator", {})
    condition = {"Fn::Equals": [ref("DefenderApiUrl"), ""]}
    holds = {"Fn::Equals": [ref("QueueVisibilitySeconds"), str(parameter["Default"])]}
    if rule.get("RuleCondition") != condition or [one["Assert"] for one in rule["Assertions"]] != [holds]:
        yield "a tenant's queues may have a shorter visibility"


def events(template, function):
    return list(properties(template, function).get("Events", {}).values())


def mappings(template):
    """Partial batch responses and a concurrency everywhere, filters and batching windows nowhere."""
    for part in everywhere(template):
        if isinstance(part, dict) and part.keys() & {"FilterCriteria", "FilterPolicy"}:
            yield "there is a filter: what it does not match is deleted"
    if of_type(template, "AWS::Lambda::EventSourceMapping"):
        yield "there is a mapping beside the functions' own"
    for name, (_, queues, _) in FUNCTIONS.items():
        found = {str(event["Properties"].get("Queue")): event for event in events(template, name)}
        sources = {str(att(queue)): queue for queue in queues}
        if found.keys() != sources.keys() or len(found) != len(events(template, name)):
            yield f"{name} does not consume {' and '.join(queues) or 'nothing'} alone"
        for source in found.keys() & sources.keys():
            yield from mapping_of(name, sources[source], found[source])


def mapping_of(name, queue, event):
    """One mapping is as the table says."""
    mapping, (batch, concurrency) = event["Properties"], FUNCTIONS[name][1][queue]
    if event["Type"] != "SQS" or mapping.get("FunctionResponseTypes") != ["ReportBatchItemFailures"]:
        yield f"{name} has no partial batch responses from {queue}"
    if mapping.get("BatchSize") != batch:
        yield f"{name} takes batches of {mapping.get('BatchSize')}, not {batch}"
    if mapping.get("ScalingConfig") != {"MaximumConcurrency": concurrency}:
        yield f"{name} has not a MaximumConcurrency of {concurrency}"
    if mapping.get("Enabled", True) is not True:
        yield f"{name} takes nothing from {queue}: the mapping is not enabled"
    if mapping.get("MaximumBatchingWindowInSeconds", 0):
        yield f"{name} waits for a batch to fill"


def schedules(template):
    """What a schedule starts is started once and in time, or not at all."""
    once = {"MaximumRetryAttempts": 0, "MaximumEventAgeInSeconds": 60}
    found = [one["Properties"] for one in of_type(template, "AWS::Scheduler::Schedule").values()]
    started = [one["Target"]["Arn"]["Fn::GetAtt"][0] for one in found]
    if sorted(started) != sorted(name for name, (_, queues, _) in FUNCTIONS.items() if not queues):
        yield f"the schedules start {started}"
    for name, schedule in zip(started, found):
        if schedule["Target"].get("RetryPolicy") != once:
            yield f"{name}'s schedule repeats"
        if properties(template, name).get("EventInvokeConfig") != once:
            yield f"Lambda repeats {name}"
        if schedule.get("FlexibleTimeWindow") != {"Mode": "OFF"}:
            yield f"{name}'s schedule is not punctual"
        if schedule.get("State") != ref("ScheduleState"):
            yield f"{name}'s schedule cannot be stopped"
        if schedule["Target"].get("RoleArn") != att("ScheduleRole"):
            yield f"{name}'s schedule has not the schedules' role"


def table(template):
    """The state is not lost, and its keys are those that the code writes."""
    resource, own = template["Resources"]["Table"], properties(template, "Table")
    # Without its key the state cannot be read, so that both are kept; but a first deployment that fails leaves no key.
    for name, deletion in (("Table", "Retain"), ("Key", "RetainExceptOnCreate")):
        for policy, expected in (("DeletionPolicy", deletion), ("UpdateReplacePolicy", "Retain")):
            if template["Resources"][name].get(policy) != expected:
                yield f"{name}: {policy} is not {expected}"
    expected = {
        "BillingMode": "PAY_PER_REQUEST",
        "DeletionProtectionEnabled": True,
        "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": True},
        "TimeToLiveSpecification": {"AttributeName": "expires", "Enabled": True},
        "KeySchema": [{"AttributeName": "partition", "KeyType": "HASH"}, {"AttributeName": "sort", "KeyType": "RANGE"}],
    }
    for key, value in expected.items():
        if own.get(key) != value:
            yield f"Table: {key} is {own.get(key)}"
    if "TableName" in own or resource["Type"] != "AWS::DynamoDB::Table":
        yield "Table has a fixed name, which one that was kept would stand in the way of"


def encryption(template):
    """One key for everything that is kept, for those who need it and nobody else."""
    key = att("Key")
    used = {
        "AWS::SQS::Queue": "KmsMasterKeyId", "AWS::SecretsManager::Secret": "KmsKeyId",
        "AWS::Logs::LogGroup": "KmsKeyId", "AWS::SNS::Topic": "KmsMasterKeyId",
    }
    for kind, attribute in used.items():
        for name, resource in of_type(template, kind).items():
            if resource["Properties"].get(attribute) != key:
                yield f"{name} is not encrypted with the key"
    by_key = {"SSEEnabled": True, "SSEType": "KMS", "KMSMasterKeyId": key}
    if properties(template, "Table").get("SSESpecification") != by_key:
        yield "Table is not encrypted with the key"
    if properties(template, "Key").get("EnableKeyRotation") is not True:
        yield "the key does not rotate"
    yield from policy("the key's policy", properties(template, "Key").get("KeyPolicy"), KEY_POLICY)


def policy(what, document, expected):
    """The document has these statements, no more and no fewer."""
    found = document["Statement"] if document else []
    yield from (f"{what} lacks {one['Sid']} as the table has it" for one in expected if one not in found)
    yield from (f"{what} must not have {one}" for one in found if one not in expected)


def logs(template):
    """Every function has a log group of its own, with a retention, and writes JSON; its troubles are counted."""
    for name in FUNCTIONS:
        group = properties(template, f"{name}Logs")
        if group.get("LogGroupName") != {"Fn::Sub": f"/aws/lambda/${{AWS::StackName}}-{name.lower()}"}:
            yield f"{name} has no log group"
        if group.get("RetentionInDays") != ref("LogRetentionDays"):
            yield f"{name}'s log is kept for ever"
        config = properties(template, name).get("LoggingConfig", {})
        if config.get("LogGroup") != ref(f"{name}Logs") or config.get("LogFormat") != "JSON":
            yield f"{name} does not write JSON to its log group"
    counted = [one.get("Properties") for one in of_type(template, "AWS::Logs::MetricFilter").values() if "Condition" not in one]
    count = {"MetricNamespace": "Cordon", "MetricName": sub("${AWS::StackName}-trouble"), "MetricValue": "1"}
    for name in FUNCTIONS:
        # Notify only warns when it cannot tell, and tries again.
        warned = name == "Notify"
        pattern = '{ ($.level = "ERROR") || ($.level = "WARN") }' if warned else '{ $.level = "ERROR" }'
        own = [one for one in counted if one.get("LogGroupName") == ref(f"{name}Logs")]
        if own != [{"LogGroupName": ref(f"{name}Logs"), "FilterPattern": pattern, "MetricTransformations": [count]}]:
            yield f"{name}'s troubles are not counted"
    if len(of_type(template, "AWS::Logs::MetricFilter")) != len(FUNCTIONS):
        yield "something else is counted"


def alarms(template):
    """Whatever must be noticed has an alarm, and every alarm is told, to whoever asked for it."""
    topics = [one["Properties"] for one in of_type(template, "AWS::SNS::TopicPolicy").values()]
    document = topics[0]["PolicyDocument"] if [one["Topics"] for one in topics] == [[ref("Alarms")]] else None
    yield from policy("the topic's policy", document, TOPIC_POLICY)
    mail = {"TopicArn": ref("Alarms"), "Protocol": "email", "Endpoint": ref("AlarmEmail")}
    subscriptions = [{"Type": "AWS::SNS::Subscription", "Condition": "HasAlarmEmail", "Properties": mail}]
    if list(of_type(template, "AWS::SNS::Subscription").values()) != subscriptions:
        yield "AlarmEmail, and only it, is not what gets the alarms"
    found = {name: one["Properties"] for name, one in of_type(template, "AWS::CloudWatch::Alarm").items()}
    for name, alarm in found.items():
        if alarm.get("AlarmActions") != [ref("Alarms")] or alarm.get("ActionsEnabled", True) is not True:
            yield f"{name} is told to nobody"
        if name not in SILENT and "Condition" in template["Resources"][name]:
            yield f"{name} may be missing"
        if not alarm.get("AlarmName", {}).get("Fn::Sub", "").startswith("${AWS::StackName}-"):
            yield f"{name} may not publish: the topic takes alarms with the stack's name only"

    def rings(namespace, metric, dimension, threshold, periods, of):
        return any(
            (one.get("Namespace"), one.get("MetricName"), one.get("Threshold")) == (namespace, metric, threshold)
            and one.get("Dimensions") == (dimension and [dimension]) and one["ComparisonOperator"] == "GreaterThanThreshold"
            and one["TreatMissingData"] == "notBreaching" and one["Period"] == 60
            and (one.get("DatapointsToAlarm", one["EvaluationPeriods"]), one["EvaluationPeriods"]) == (periods, of)
            for one in found.values() if "Metrics" not in one
        )

    for name, age in QUEUES.items():
        dead = {"Name": "QueueName", "Value": att(f"{name}DeadLetters", "QueueName")}
        if not rings("AWS/SQS", "ApproximateNumberOfMessagesVisible", dead, 0, 1, 1):
            yield f"nobody hears of {name}'s dead letters"
        own = {"Name": "QueueName", "Value": att(name, "QueueName")}
        if not rings("AWS/SQS", "ApproximateAgeOfOldestMessage", own, age, 1, 1):
            yield f"nobody hears that {name} is not worked on for {age} s"
    for name in FUNCTIONS:
        for metric in ("Errors", "Throttles"):
            if not rings("AWS/Lambda", metric, {"Name": "FunctionName", "Value": ref(name)}, 0, 2, 5):
                yield f"nobody hears of {name}'s {metric}"
    if not rings("Cordon", sub("${AWS::StackName}-trouble"), None, 0, 3, 15):
        yield "nobody hears of what the functions log as trouble"
    for name, (function, minutes) in SILENT.items():
        yield from silence(template, name, found.get(name, {}), function, minutes)


def silence(template, name, alarm, function, minutes):
    """No successful run for so many minutes, whether it fails or does not run at all."""
    metrics = {one["Id"]: one for one in alarm.get("Metrics", [])}
    parts = {
        name: one["MetricStat"]["Metric"]["MetricName"] for name, one in metrics.items()
        if one.get("MetricStat", {}).get("Metric", {}).get("Dimensions") == [{"Name": "FunctionName", "Value": ref(function)}]
        and one["MetricStat"]["Period"] == 60 and one["MetricStat"]["Stat"] == "Sum"
    }
    expression = metrics.get("successes", {}).get("Expression")
    if parts != {"invocations": "Invocations", "errors": "Errors"} or expression != "invocations - FILL(errors, 0)":
        yield f"nobody counts the runs of {function} that succeed"
    expected = {
        "ComparisonOperator": "LessThanThreshold", "Threshold": 1, "EvaluationPeriods": minutes,
        "DatapointsToAlarm": minutes,
        "TreatMissingData": "breaching",
    }
    if any(alarm.get(key) != value for key, value in expected.items()):
        yield f"nobody hears that {function} has stopped"
    if template["Resources"].get(name, {}).get("Condition", "AgainstTenant") != "AgainstTenant":
        yield f"{name} may be missing in front of a tenant"
    pattern = template["Parameters"][f"{function}Schedule"]["AllowedPattern"]
    longest = SLOWEST[function]
    for schedule in (f"rate({longest + 1} minutes)", "rate(15 minutes)", "rate(1 hour)", "rate(1 minutes)", "rate(2 minute)",
                     "rate(0 minutes)", "cron(0 0 * * ? *)"):
        if re.fullmatch(pattern, schedule):
            yield f"{function} may be started by {schedule}: too rarely, or no schedule"
    for schedule in ("rate(1 minute)", f"rate({longest} minutes)"):
        if not re.fullmatch(pattern, schedule):
            yield f"{function} cannot be started by {schedule}"


def playbook(template):
    """The layer puts the playbook where its readers look for it, and only those have it."""
    layer = properties(template, "Playbook")
    folder = ROOT / layer.get("ContentUri", "") / "playbook"
    if not (folder / "playbook.toml").is_file() or [one.name for one in folder.parent.iterdir()] != ["playbook"]:
        yield "the layer does not hold the playbook alone, in a folder `playbook`"
    if template["Parameters"]["PlaybookFolder"]["Default"] != "/opt/playbook":
        yield "the playbook is looked for elsewhere"
    for name, (*_, variables) in FUNCTIONS.items():
        function = properties(template, name)
        layers = [ref("Playbook")] if "CORDON_PLAYBOOK" in variables else []
        if function.get("Layers", []) != layers:
            yield f"{name} has the layers {function.get('Layers')}"


CHECKS = [
    permissions, roles, wildcards, functions, settings, modes, queues, tls, visibility, mappings, schedules, table,
    encryption, logs, alarms, playbook,
]

# ---- Broken templates ------------------------------------------------------------------------------------------------

EVERYTHING = {"Effect": "Allow", "Action": "dynamodb:GetItem", "Resource": "*"}


def statements(template, role):
    return template["Resources"][role]["Properties"]["Policies"][0]["PolicyDocument"]["Statement"]


def own(template, name):
    return template["Resources"][name]["Properties"]


def variables(template, name):
    return own(template, name)["Environment"]["Variables"]


def mapping(template, name):
    return next(iter(own(template, name)["Events"].values()))["Properties"]


def without(template, name, document, sid):
    found = own(template, name)[document]["Statement"]
    found[:] = [one for one in found if one["Sid"] != sid]


# The check that must notice it, what it must say, and how the template is broken.
BROKEN = [
    (permissions, "PollRole lacks sqs:SendMessage on AlertsFound", lambda t: statements(t, "PollRole").pop(2)),
    (permissions, "EnrichRole must not have dynamodb:Scan on Table",
     lambda t: statements(t, "EnrichRole").append({"Effect": "Allow", "Action": "dynamodb:Scan", "Resource": att("Table")})),
    (permissions, "TrackRole must not have sqs:SendMessage on AlertsEnriched",
     lambda t: statements(t, "TrackRole").append({"Effect": "Allow", "Action": SEND, "Resource": att("AlertsEnriched")})),
    (permissions, "TrackRole must not have secretsmanager:GetSecretValue on ActorSecret",
     lambda t: statements(t, "TrackRole").append({"Effect": "Allow", "Action": SECRET, "Resource": att("ActorSecret", "Id")})),
    (permissions, "HuntRole must not have secretsmanager:GetSecretValue on ActorSecret",
     lambda t: statements(t, "HuntRole").append({"Effect": "Allow", "Action": SECRET, "Resource": att("ActorSecret", "Id")})),
    (permissions, "must not have ses:SendEmail on",
     lambda t: [one.pop("Condition") for one in statements(t, "NotifyRole") if "ses:SendEmail" in one.get("Action", [])]),
    (permissions, "must not have sns:Publish on",
     lambda t: statements(t, "NotifyRole").append(
         {"Effect": "Allow", "Action": "sns:Publish", "Resource": ref("NotifyTopicArn")})),
    (permissions, "NotifyRole lacks secretsmanager:GetSecretValue where HasChannelsSecret on NotifySecret",
     lambda t: [one["Fn::If"].reverse() for one in statements(t, "NotifyRole") if "Fn::If" in one]),
    (permissions, "must not have kms:Decrypt on Key",
     lambda t: [one.pop("Condition") for one in statements(t, "PollRole") if one["Action"] == "kms:Decrypt"]),
    (permissions, "permissions from elsewhere", lambda t: own(t, "PollRole").update(ManagedPolicyArns=["x"])),
    (permissions, "beside the roles", lambda t: t["Resources"].update(More={"Type": "AWS::IAM::RolePolicy"})),
    (permissions, "another form",
     lambda t: statements(t, "PollRole").append({"Effect": "Allow", "NotAction": "iam:*", "Resource": "x"})),
    (permissions, "OtherRole stands in only one",
     lambda t: t["Resources"].update(OtherRole=copy.deepcopy(t["Resources"]["PollRole"]))),
    (roles, "Enrich does not run as EnrichRole", lambda t: own(t, "Enrich").update(Role=att("RespondRole"))),
    (roles, "permissions from SAM", lambda t: own(t, "Enrich").update(Policies=["AmazonSQSFullAccess"])),
    (roles, "others than lambda",
     lambda t: own(t, "PollRole")["AssumeRolePolicyDocument"]["Statement"][0].update(Principal={"AWS": "*"})),
    (roles, "clashes", lambda t: own(t, "PollRole").update(RoleName="cordon-poll")),
    (wildcards, "names every resource", lambda t: statements(t, "TrackRole").append(EVERYTHING)),
    (wildcards, "allows everybody", lambda t: own(t, "AlarmsPolicy")["PolicyDocument"]["Statement"][1].update(Effect="Allow")),
    (wildcards, "allows sqs:*", lambda t: statements(t, "PollRole")[2].update(Action="sqs:*")),
    (functions, "Timeout is 61", lambda t: own(t, "Notify").update(Timeout=61)),
    (functions, "ReservedConcurrentExecutions", lambda t: own(t, "Poll").update(ReservedConcurrentExecutions=1)),
    (functions, "Watch stands in only one", lambda t: t["Resources"].update(Watch=copy.deepcopy(t["Resources"]["Poll"]))),
    (settings, "DEFENDER_ACTOR_SECRET_ID stands in only one",
     lambda t: variables(t, "Poll").update(DEFENDER_ACTOR_SECRET_ID=att("ActorSecret", "Id"))),
    (settings, "CORDON_LOOKBACK stands in only one", lambda t: variables(t, "Poll").pop("CORDON_LOOKBACK")),
    (settings, "is not a secret's ARN", lambda t: variables(t, "Poll").update(DEFENDER_SECRET_ID=ref("ClientId"))),
    (settings, "looks like a secret", lambda t: t["Parameters"].update(ClientSecret={"Type": "String", "AllowedPattern": "x"})),
    (settings, "looks like a secret", lambda t: t["Parameters"]["MailTo"].update(NoEcho=True)),
    (settings, "looks like a secret",
     lambda t: t["Parameters"].update(ChannelsSecret={"Type": "String", "AllowedPattern": "x"})),
    (settings, "not there when they should be", lambda t: t["Resources"]["NotifySecret"].pop("Condition")),
    (settings, "takes anything", lambda t: t["Parameters"]["MailTo"].pop("AllowedPattern")),
    (settings, "resolved from elsewhere",
     lambda t: variables(t, "Poll").update(CORDON_MODE="{{resolve:secretsmanager:x}}")),
    (settings, "has a value", lambda t: own(t, "ReaderSecret").update(SecretString="hunter2")),
    (settings, "taken by Ref", lambda t: variables(t, "Track").update(DEFENDER_SECRET_ID=ref("ReaderSecret"))),
    (settings, "CORDON_ALERTS_ENRICHED_DEAD_LETTERS_URL is",
     lambda t: variables(t, "Respond").update(CORDON_ALERTS_ENRICHED_DEAD_LETTERS_URL=ref("ActionsTakenDeadLetters"))),
    (settings, "DEFENDER_ACTOR_SECRET_ID is",
     lambda t: variables(t, "Respond").update(DEFENDER_ACTOR_SECRET_ID=given("HasActor", att("ReaderSecret", "Id")))),
    (settings, "DEFENDER_ACTOR_CLIENT_ID is",
     lambda t: variables(t, "Respond").update(DEFENDER_ACTOR_CLIENT_ID=ref("ActorClientId"))),
    (settings, "DEFENDER_CLIENT_ID is", lambda t: variables(t, "Poll").update(DEFENDER_CLIENT_ID=ref("ActorClientId"))),
    (settings, "CORDON_CHANNELS_SECRET_ID is",
     lambda t: variables(t, "Notify").update(CORDON_CHANNELS_SECRET_ID=att("ReaderSecret", "Id"))),
    (settings, "CORDON_MAIL_TO is", lambda t: variables(t, "Notify").update(CORDON_MAIL_TO=ref("MailFrom"))),
    (settings, "DEFENDER_CLOUD is",
     lambda t: t["Globals"]["Function"]["Environment"]["Variables"].update(DEFENDER_CLOUD="commercial")),
    (settings, "the condition HasActor is",
     lambda t: t["Conditions"].update(HasActor={"Fn::Equals": [ref("ActorClientId"), ""]})),
    (settings, "the condition AgainstTenant is", lambda t: t["Conditions"].pop("AgainstTenant")),
    (modes, "not observe by default", lambda t: t["Parameters"]["Mode"].update(Default="enforce")),
    (modes, "no rule for enforce", lambda t: t["Rules"].pop("EnforceWithAnActor")),
    (modes, "does not need ActorClientId", lambda t: t["Rules"]["EnforceWithAnActor"]["Assertions"].pop(0)),
    (modes, "takes `https://api", lambda t: t["Parameters"]["DefenderApiUrl"].update(AllowedPattern=".*")),
    (modes, "takes `http://127a0b0c1:80", lambda t: t["Parameters"]["DefenderApiUrl"].update(AllowedPattern="(http://127.0.0.1:[0-9]+)?")),
    (modes, "Respond does not get the mode", lambda t: variables(t, "Respond").update(CORDON_MODE="enforce")),
    (modes, "Hunt does not get the mode", lambda t: variables(t, "Hunt").pop("CORDON_MODE")),
    (modes, "asked by hunts is not", lambda t: t["Parameters"]["HuntingApi"].update(Default="defender")),
    (modes, "asked for alerts is not", lambda t: t["Parameters"]["AlertsApi"].update(AllowedValues=["defender"])),
    (queues, "AlertsEnriched has no dead letters", lambda t: own(t, "AlertsEnriched").pop("RedrivePolicy")),
    (queues, "maxReceiveCount", lambda t: own(t, "ActionsTaken")["RedrivePolicy"].update(maxReceiveCount=4)),
    (queues, "not kept for 4 days", lambda t: own(t, "AlertsFoundDeadLetters").update(MessageRetentionPeriod=4 * DAY)),
    (queues, "takes more than", lambda t: own(t, "AlertsFoundDeadLetters").pop("RedriveAllowPolicy")),
    (queues, "by the stack's name", lambda t: own(t, "AlertsFound").update(QueueName=sub("${AWS::StackName}-found"))),
    (queues, "by the stack's name", lambda t: own(t, "EffectsRequestedDeadLetters").pop("QueueName")),
    (queues, "EffectsRequested has the tags", lambda t: own(t, "EffectsRequested").pop("Tags")),
    (queues, "EffectsRequested has the tags", lambda t: own(t, "EffectsRequested")["Tags"].pop(1)),
    (queues, "the queues are", lambda t: t["Resources"].update(More={"Type": "AWS::SQS::Queue", "Properties": {}})),
    (tls, "AlertsFoundDeadLetters is not for TLS only", lambda t: t["Resources"].pop("AlertsFoundDeadLettersPolicy")),
    (tls, "AlertsFound is not", lambda t: own(t, "AlertsFoundPolicy")["PolicyDocument"]["Statement"][0].pop("Condition")),
    (visibility, "less than 6 x 30 s", lambda t: t["Parameters"]["QueueVisibilitySeconds"].update(Default=179)),
    (visibility, "less than 6 x 60 s", lambda t: own(t, "Enrich").update(Timeout=60)),
    (visibility, "less than 6 x 61 s", lambda t: own(t, "Notify").update(Timeout=61)),
    (visibility, "+ 5 s", lambda t: mapping(t, "Notify").update(MaximumBatchingWindowInSeconds=5)),
    (visibility, "AlertsFound has another", lambda t: own(t, "AlertsFound").update(VisibilityTimeout=30)),
    (visibility, "ActionsTaken has another",
     lambda t: own(t, "ActionsTaken").update(VisibilityTimeout=ref("QueueVisibilitySeconds"))),
    (visibility, "shorter visibility", lambda t: t["Rules"].pop("ShortVisibilityOnlyAgainstASimulator")),
    (mappings, "there is a filter", lambda t: mapping(t, "Enrich").update(FilterCriteria={"Filters": []})),
    (mappings, "no partial batch", lambda t: mapping(t, "Notify").pop("FunctionResponseTypes")),
    (mappings, "MaximumConcurrency", lambda t: mapping(t, "Respond").pop("ScalingConfig")),
    (mappings, "batches of 10, not 2", lambda t: mapping(t, "Respond").update(BatchSize=10)),
    (mappings, "waits for a batch", lambda t: mapping(t, "Respond").update(MaximumBatchingWindowInSeconds=1)),
    (mappings, "does not consume", lambda t: mapping(t, "Respond").update(Queue=att("AlertsFound"))),
    (mappings, "does not consume", lambda t: own(t, "Respond")["Events"].pop("EffectsRequested")),
    (mappings, "does not consume", lambda t: own(t, "Enrich")["Events"].update(More=own(t, "Respond")["Events"]["EffectsRequested"])),
    (mappings, "takes nothing from EffectsRequested",
     lambda t: own(t, "Respond")["Events"]["EffectsRequested"]["Properties"].update(Enabled=False)),
    (mappings, "Respond takes nothing", lambda t: mapping(t, "Respond").update(Enabled=False)),
    (schedules, "schedule repeats", lambda t: own(t, "PollEveryMinute")["Target"].pop("RetryPolicy")),
    (schedules, "Lambda repeats Track", lambda t: own(t, "Track").pop("EventInvokeConfig")),
    (schedules, "not punctual", lambda t: own(t, "PollEveryMinute").update(FlexibleTimeWindow={"Mode": "FLEXIBLE"})),
    (schedules, "the schedules start", lambda t: t["Resources"].pop("TrackEveryMinute")),
    (table, "Table: DeletionPolicy", lambda t: t["Resources"]["Table"].pop("DeletionPolicy")),
    (table, "Key: DeletionPolicy", lambda t: t["Resources"]["Key"].update(DeletionPolicy="Delete")),
    (table, "Key: UpdateReplacePolicy", lambda t: t["Resources"]["Key"].pop("UpdateReplacePolicy")),
    (table, "DeletionProtectionEnabled", lambda t: own(t, "Table").pop("DeletionProtectionEnabled")),
    (table, "PointInTimeRecovery", lambda t: own(t, "Table").pop("PointInTimeRecoverySpecification")),
    (table, "TimeToLive", lambda t: own(t, "Table")["TimeToLiveSpecification"].update(AttributeName="ttl")),
    (encryption, "AlertsFound is not encrypted", lambda t: own(t, "AlertsFound").pop("KmsMasterKeyId")),
    (encryption, "Table is not encrypted", lambda t: own(t, "Table").pop("SSESpecification")),
    (encryption, "Table is not encrypted", lambda t: own(t, "Table")["SSESpecification"].update(SSEEnabled=False)),
    (encryption, "the key's policy lacks Alarms", lambda t: without(t, "Key", "KeyPolicy", "Alarms")),
    (encryption, "the key's policy lacks Logs", lambda t: without(t, "Key", "KeyPolicy", "Logs")),
    (encryption, "the key's policy lacks Account", lambda t: without(t, "Key", "KeyPolicy", "Account")),
    (encryption, "the key's policy must not have",
     lambda t: own(t, "Key")["KeyPolicy"]["Statement"].append({"Sid": "More", "Effect": "Allow"})),
    (logs, "Notify has no log group", lambda t: t["Resources"].pop("NotifyLogs")),
    (logs, "kept for ever", lambda t: own(t, "PollLogs").pop("RetentionInDays")),
    (logs, "JSON", lambda t: own(t, "Poll").pop("LoggingConfig")),
    (logs, "Track's troubles", lambda t: t["Resources"].pop("TrackTrouble")),
    (logs, "Notify's troubles", lambda t: own(t, "NotifyTrouble").update(FilterPattern='{ $.level = "ERROR" }')),
    (logs, "Poll's troubles", lambda t: own(t, "PollTrouble").update(LogGroupName=ref("TrackLogs"))),
    (logs, "Poll's troubles", lambda t: own(t, "PollTrouble")["MetricTransformations"][0].update(MetricName="trouble")),
    (logs, "Poll's troubles", lambda t: t["Resources"]["PollTrouble"].update(Condition="HasAlarmEmail")),
    (logs, "something else",
     lambda t: t["Resources"].update(More={"Type": "AWS::Logs::MetricFilter", "Properties": {}})),
    (alarms, "the topic's policy lacks AlarmsOfThisStack",
     lambda t: without(t, "AlarmsPolicy", "PolicyDocument", "AlarmsOfThisStack")),
    (alarms, "the topic's policy lacks TlsOnly", lambda t: without(t, "AlarmsPolicy", "PolicyDocument", "TlsOnly")),
    (alarms, "the topic's policy lacks", lambda t: own(t, "AlarmsPolicy").update(Topics=[])),
    (alarms, "AlarmEmail", lambda t: t["Resources"].pop("AlarmsMail")),
    (alarms, "AlarmEmail", lambda t: t["Resources"]["AlarmsMail"].update(Condition="HasActor")),
    (alarms, "log as trouble", lambda t: t["Resources"].pop("Trouble")),
    (alarms, "log as trouble", lambda t: own(t, "Trouble").update(MetricName="trouble")),
    (alarms, "log as trouble", lambda t: own(t, "Trouble").update(DatapointsToAlarm=15)),
    (alarms, "Trouble is told to nobody", lambda t: own(t, "Trouble").pop("AlarmActions")),
    (alarms, "Trouble is told to nobody", lambda t: own(t, "Trouble").update(ActionsEnabled=False)),
    (alarms, "Trouble may be missing", lambda t: t["Resources"]["Trouble"].update(Condition="HasAlarmEmail")),
    (alarms, "AlertsFound's dead letters", lambda t: t["Resources"].pop("AlertsFoundDeadLettersAlarm")),
    (alarms, "EffectsRequested's dead letters", lambda t: t["Resources"].pop("EffectsRequestedDeadLettersAlarm")),
    (alarms, "EffectsRequested is not worked on", lambda t: t["Resources"].pop("EffectsRequestedAgeAlarm")),
    (alarms, "AlertsEnriched is not worked on", lambda t: own(t, "AlertsEnrichedAgeAlarm").update(Threshold=121)),
    (alarms, "Respond's Throttles", lambda t: t["Resources"].pop("RespondThrottlesAlarm")),
    (alarms, "Respond's Errors", lambda t: own(t, "RespondErrorsAlarm").update(Dimensions=own(t, "PollErrorsAlarm")["Dimensions"])),
    (alarms, "told to nobody", lambda t: own(t, "PollSilence").pop("AlarmActions")),
    (alarms, "Hunt has stopped", lambda t: t["Resources"].pop("HuntSilence")),
    (alarms, "Hunt has stopped", lambda t: own(t, "HuntSilence").update(EvaluationPeriods=5, DatapointsToAlarm=5)),
    (alarms, "runs of Hunt that succeed", lambda t: own(t, "HuntSilence").update(Metrics=own(t, "PollSilence")["Metrics"])),
    (alarms, "HuntSilence may be missing", lambda t: t["Resources"]["HuntSilence"].update(Condition="HasAlarmEmail")),
    (alarms, "started by rate(15 minutes)",
     lambda t: t["Parameters"]["HuntSchedule"].update(AllowedPattern=r"^rate\((1 minute|[0-9]{1,2} minutes)\)$")),
    (alarms, "Poll has stopped", lambda t: own(t, "PollSilence").update(TreatMissingData="notBreaching")),
    (alarms, "runs of Poll that succeed", lambda t: own(t, "PollSilence")["Metrics"].pop()),
    (alarms, "may be missing", lambda t: t["Resources"]["PollSilence"].update(Condition="HasAlarmEmail")),
    (alarms, "too rarely", lambda t: t["Parameters"]["PollSchedule"].update(AllowedPattern=".*")),
    (playbook, "Respond has the layers", lambda t: own(t, "Respond").pop("Layers")),
    (playbook, "Track has the layers", lambda t: own(t, "Track").pop("Layers")),
    (playbook, "does not hold the playbook", lambda t: own(t, "Playbook").update(ContentUri="playbook/")),
    (playbook, "elsewhere", lambda t: t["Parameters"]["PlaybookFolder"].update(Default="/opt")),
]


class Template(unittest.TestCase):
    def test_it_holds_what_it_must(self):
        template = load()
        for check in CHECKS:
            with self.subTest(check.__name__):
                self.assertEqual(list(check(template)), [])

    def test_every_check_notices_what_is_broken(self):
        self.assertEqual({check for check, *_ in BROKEN}, set(CHECKS), "a check that was never seen to fail")
        good = load()
        for check, said, break_it in BROKEN:
            with self.subTest(check=check.__name__, said=said):
                template = copy.deepcopy(good)
                break_it(template)
                self.assertTrue(any(said in one for one in check(template)), list(check(template)))


if __name__ == "__main__":
    unittest.main()

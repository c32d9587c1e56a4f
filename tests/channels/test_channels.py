"""Every channel that one machine has, told by the built `cordon` what happens in a simulated tenant.

What arrives is read by libraries: mail by `email`, cards by the schema of Adaptive Cards, blocks by Slack's own SDK, the
signature by the library of the Standard Webhooks. It takes two runs: the first asks for isolations, the second finds them
done. One channel answers with an error all the time. Run by scripts/check-channels.
"""

import base64
import collections
import email
import email.policy
import functools
import html.parser
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import time
import unittest
import urllib.parse

import jsonschema
import standardwebhooks
from slack_sdk.models.blocks import Block

import receivers

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARIES = pathlib.Path(os.environ.get("CORDON_BINARIES", ROOT / "target" / "debug"))
SCHEMA = ROOT / "functions" / "notify" / "tests" / "schemas" / "adaptive-card.json"

# The device with a Medium alert, and one that is isolated and reports it; without their domain, whose dots are defanged.
MEDIUM, ISOLATED = "営業-ノート-12", "fin-ws-0114"

# Planted: none of them may show up in anything that cordon prints, logs or writes.
PASSWORD = "planted-Password+1/Zq91"
MAIL_SECRET = "planted-MailSecret+2/Zq92"
MAIL_TOKEN = "planted-MailToken3Zq93"
GRAPH_SECRET = "planted-GraphSecret+4/Zq94"
GRAPH_TOKEN = "planted-GraphToken5Zq95"
TEAMS = "planted-TeamsSig6Zq96"
SLACK = "planted-SlackPath7Zq97"
BROKEN = "planted-BrokenPath8Zq98"
KEY = base64.b64encode(b"planted-WebhookKey9-of-32-bytes!").decode()
SECRETS = [PASSWORD, MAIL_SECRET, MAIL_TOKEN, GRAPH_SECRET, GRAPH_TOKEN, TEAMS, SLACK, BROKEN, KEY,
           "planted-WebhookKey9-of-32-bytes!"]

PLAYBOOK = """
mode = "enforce"

# The first of the list answers with an error, so that what comes after it is what it could hold up.
[[channels]]
name = "broken"
kind = "webhook"
url_env = "BROKEN_URL"
key_env = "WEBHOOK_KEY"

[[channels]]
name = "post"
kind = "smtp"
host = "localhost"
port = {smtp}
username = "cordon@example.com"
password_env = "SMTP_PASSWORD"
ca_file = "ca.pem"
from = "Cordon <cordon@example.com>"
to = ["soc@example.com", "duty@example.com"]
digest_after = "never"

[[channels]]
name = "outlook"
kind = "smtp"
host = "localhost"
port = {smtp}
auth = "xoauth2"
username = "cordon@example.com"
token_url = "{web}/mail/oauth2/v2.0/token"
scope = "https://outlook.office365.com/.default"
client_id = "mail-app"
client_secret_env = "MAIL_CLIENT_SECRET"
ca_file = "ca.pem"
from = "cordon@example.com"
to = ["night@example.com"]
digest_after = "never"

[[channels]]
name = "mailbox"
kind = "graph"
client_id = "graph-app"
client_secret_env = "GRAPH_CLIENT_SECRET"
from = "cordon@example.com"
to = ["soc@example.com"]
digest_after = "never"

[[channels]]
name = "teams"
kind = "teams"
url_env = "TEAMS_URL"
severities = ["High"]
digest_after = "never"

[[channels]]
name = "slack"
kind = "slack"
url_env = "SLACK_URL"
severities = ["High", "Medium"]
digest_after = "never"

[[channels]]
name = "soar"
kind = "webhook"
url_env = "SOAR_URL"
key_env = "WEBHOOK_KEY"

[[channels]]
name = "files"
kind = "folder"
path = "files"
digest_after = "never"

[[channels]]
name = "cloud"
kind = "sns"
"""

HERE = ["post", "outlook", "mailbox", "teams", "slack", "soar", "files"]


class Text(html.parser.HTMLParser):
    """What a reader of HTML sees, and what would be fetched or run."""

    def __init__(self, source):
        super().__init__()
        self.words, self.tags, self.links, self.hidden = [], set(), [], 0
        self.feed(source)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.hidden += tag in ("style", "title", "head")
        self.links += [value for name, value in attributes if name in ("href", "src", "action", "background")]

    def handle_endtag(self, tag):
        self.hidden -= tag in ("style", "title", "head")

    def handle_data(self, data):
        if not self.hidden:
            self.words.append(data)


class Site:
    """A folder with a playbook, the receivers, a simulated tenant, and what cordon says."""

    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="cordon-channels-"))
        receivers.certificates(self.folder)
        self.simulator, tenant = self.start_simulator()
        tokens = {("mail-app", MAIL_SECRET): MAIL_TOKEN, ("graph-app", GRAPH_SECRET): GRAPH_TOKEN}
        self.web = receivers.Web(
            {
                "teams": (202, "text/plain", b""),
                "slack": (200, "text/plain", b"ok"),
                "soar": (204, "text/plain", b""),
                "graph": (202, "text/plain", b""),
                "broken": (500, "text/plain", b"out of order"),
            },
            tokens, tenant["DEFENDER_API_URL"],
        )
        self.mail = receivers.MailServer(self.folder, "cordon@example.com", PASSWORD, MAIL_TOKEN)
        shutil.copytree(ROOT / "playbook", self.folder / "playbook")
        playbook = PLAYBOOK.format(smtp=self.mail.port, web=self.web.url)
        (self.folder / "playbook" / "playbook.toml").write_text(playbook)
        self.channels = {
            "CORDON_PLAYBOOK": "playbook", "SMTP_PASSWORD": PASSWORD, "MAIL_CLIENT_SECRET": MAIL_SECRET,
            "GRAPH_CLIENT_SECRET": GRAPH_SECRET, "WEBHOOK_KEY": f"whsec_{KEY}",
            "TEAMS_URL": f"{self.web.url}/teams/workflows/1/triggers/manual/paths/invoke?api-version=1&sig={TEAMS}",
            "SLACK_URL": f"{self.web.url}/slack/T000/B000/{SLACK}", "SOAR_URL": f"{self.web.url}/soar/hook",
            "BROKEN_URL": f"{self.web.url}/broken/{BROKEN}", "DEFENDER_TENANT_ID": tenant["DEFENDER_TENANT_ID"],
            "DEFENDER_LOGIN_URL": self.web.url, "GRAPH_API_URL": f"{self.web.url}/graph",
        }
        self.tenant = tenant | {"CORDON_LOOKBACK": "2h", "RUST_LOG": "debug"}
        self.said = []

    def start_simulator(self):
        command = [BINARIES / "simulator", "--demo", "--no-quotas", "--listen", "127.0.0.1:0"]
        simulator = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        settings = {}
        while "DEFENDER_API_URL" not in settings or "DEFENDER_CLIENT_SECRET" not in settings:
            name, _, value = simulator.stdout.readline().strip().partition("=")
            if not name:
                raise RuntimeError("the simulator has not started")
            settings[name] = value
        return simulator, settings

    def cordon(self, *arguments, settings=None):
        """Runs cordon with nothing else in its environment; by default without the settings for Defender."""
        environment = (settings or {}) | self.channels
        ended = subprocess.run([BINARIES / "cordon", *arguments], cwd=self.folder, env=environment,
                               capture_output=True, text=True, timeout=60)
        self.said.append((arguments, ended))
        return ended

    def stop(self):
        self.mail.stop()
        self.web.stop()
        self.simulator.terminate()
        self.simulator.wait()
        self.simulator.stdout.close()
        shutil.rmtree(self.folder)

    # What has arrived, and forgets it, so that each part of the test sees its own.

    def taken(self):
        posts, letters = self.web.posts, list(self.mail.letters)
        self.web.posts, self.mail.letters[:] = {}, []
        for path in sorted((self.folder / "files").glob("*.eml")):
            posts.setdefault("files", []).append(path.read_bytes())
            path.unlink()
        return Arrived(posts, letters)


class Arrived:
    """What arrived in one part of the test, by channel."""

    def __init__(self, posts, letters):
        self.posts, self.letters = posts, letters
        parse = functools.partial(email.message_from_bytes, policy=email.policy.default)
        self.mails = {
            "post": [parse(one.content) for one in letters if "soc@example.com" in one.to],
            "outlook": [parse(one.content) for one in letters if one.to == ["night@example.com"]],
            "mailbox": [parse(base64.b64decode(one.body, validate=True)) for one in posts.get("graph", [])],
            "files": [parse(content) for content in posts.get("files", [])],
        }

    def all_mails(self):
        return [mail for mails in self.mails.values() for mail in mails]

    def cards(self):
        return [post.json["attachments"][0]["content"] for post in self.posts.get("teams", [])]

    def text_of(self, channel):
        """Everything that a channel was sent, as text."""
        if channel in self.mails:
            return [plain(mail) for mail in self.mails[channel]]
        return ["\n".join(strings(post.json)) for post in self.posts.get(channel, [])]


def strings(value):
    """Every string of a value of JSON."""
    if isinstance(value, str):
        return [value]
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    return [one for part in parts for one in strings(part)]


def plain(mail):
    return mail.get_body(("plain",)).get_content()


def rich(mail):
    return Text(mail.get_body(("html",)).get_content())


def setUpModule():
    global SITE, CHECKED, SAMPLES, SAMPLED, BEFORE, FIRST, SECOND, TOLD, RUNS
    SITE = Site()
    unittest.addModuleCleanup(SITE.stop)
    CHECKED = SITE.cordon("check", "--playbook")
    SAMPLES = {name: SITE.cordon("notify-test", name, "--json") for name in HERE + ["broken", "cloud", "nobody"]}
    BEFORE = sorted(path.name for path in SITE.folder.iterdir())
    SAMPLED = SITE.taken()
    RUNS = [SITE.cordon("run", "--once", "--json", settings=SITE.tenant)]
    FIRST = SITE.taken()
    # The simulated devices report after three seconds, by the computer's clock.
    time.sleep(4)
    RUNS.append(SITE.cordon("run", "--once", "--json", settings=SITE.tenant))
    SECOND = SITE.taken()
    posts = collections.defaultdict(list)
    for part in (FIRST, SECOND):
        for name, some in part.posts.items():
            posts[name] += some
    TOLD = Arrived(posts, FIRST.letters + SECOND.letters)


class Samples(unittest.TestCase):
    """`cordon notify-test`, for each channel."""

    def test_the_playbook_is_in_order(self):
        self.assertEqual(CHECKED.returncode, 0, CHECKED.stderr)

    def test_every_channel_takes_its_sample(self):
        for name in HERE:
            with self.subTest(name):
                ended = SAMPLES[name]
                self.assertEqual((ended.returncode, ended.stderr), (0, ""))
                [tried] = json.loads(ended.stdout)["channels"]
                self.assertEqual((tried["channel"], tried["taken"], tried["why"]), (name, True, None))

    def test_each_sample_arrives_once_where_it_belongs_and_says_that_it_is_one(self):
        for name in HERE:
            with self.subTest(name):
                [text] = SAMPLED.text_of(name)
                self.assertIn("test", text.lower())
                self.assertIn("nothing has happened", " ".join(text.lower().split()))

    def test_a_channel_that_is_out_of_order_is_said_to_be(self):
        ended = SAMPLES["broken"]
        self.assertEqual(ended.returncode, 1)
        self.assertIn("500", ended.stderr)
        self.assertEqual(len(SAMPLED.posts["broken"]), 1, "it was tried once")

    def test_a_channel_that_is_elsewhere_or_nowhere_is_bad_usage(self):
        self.assertEqual((SAMPLES["cloud"].returncode, SAMPLES["nobody"].returncode), (2, 2))
        self.assertIn("--stack", SAMPLES["cloud"].stderr)
        for name in HERE:
            self.assertIn(name, SAMPLES["nobody"].stderr)

    def test_samples_leave_no_state(self):
        self.assertFalse([name for name in BEFORE if name.startswith("cordon.db")])


class Mail(unittest.TestCase):
    """Mails by all four channels that send them."""

    def test_mails_come_encrypted_from_whoever_has_logged_in(self):
        self.assertTrue(TOLD.letters)
        for letter in TOLD.letters + SAMPLED.letters:
            self.assertTrue(letter.encrypted and letter.login != "None", letter)
            self.assertEqual(letter.sender, "cordon@example.com")
        self.assertEqual({letter.login for letter in TOLD.letters if letter.to == ["night@example.com"]}, {"XOAUTH2"})

    def test_every_mail_channel_gets_the_same_mails_once(self):
        ids = {name: [mail["Message-ID"].split("@")[0] for mail in mails] for name, mails in TOLD.mails.items()}
        for name, all_of_it in ids.items():
            self.assertEqual(len(all_of_it), len(set(all_of_it)), f"{name} was told something twice")
        sets = {frozenset(all_of_it) for all_of_it in ids.values()}
        self.assertEqual(len(sets), 1, {name: len(all_of_it) for name, all_of_it in ids.items()})
        self.assertGreaterEqual(len(ids["post"]), 8)

    def test_plain_text_and_html_name_the_same_device(self):
        for mail in TOLD.all_mails():
            for device in (MEDIUM, ISOLATED):
                in_plain, in_html = (device in " ".join(text.split()) for text in (plain(mail), rich(mail).text))
                self.assertEqual(in_plain, in_html, mail["Subject"])

    def test_html_fetches_nothing_and_runs_nothing(self):
        for mail in TOLD.all_mails():
            found = rich(mail)
            self.assertFalse(found.tags & {"script", "img", "form", "iframe", "object", "link", "input"}, found.tags)
            for link in found.links:
                self.assertRegex(link, r"^https://security\.microsoft\.com/", mail["Subject"])

    def test_headers_are_those_of_one_mail_and_nothing_more(self):
        once = ["From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "MIME-Version", "Content-Type"]
        for mail in TOLD.all_mails() + SAMPLED.all_mails():
            self.assertEqual(mail.defects, [], mail["Subject"])
            for name in once:
                self.assertEqual(len(mail.get_all(name, [])), 1, f"{name} of {mail['Subject']}")
            self.assertFalse({"bcc", "cc", "reply-to"} & {name.lower() for name in mail.keys()})
            self.assertNotRegex(str(mail["Subject"]), r"[\x00-\x1f\x7f]")

    def test_a_story_is_one_thread(self):
        for name in ("post", "mailbox", "files"):
            threads = collections.defaultdict(list)
            for mail in TOLD.mails[name]:
                references = str(mail["References"] or mail["Message-ID"]).split()
                threads[references[0]].append(mail)
            with self.subTest(name):
                about = [thread for thread in threads.values() if any(ISOLATED in plain(mail) for mail in thread)]
                self.assertEqual(len([thread for thread in about if len(thread) > 1]), 1, "one story that goes on")
                [thread] = [thread for thread in about if len(thread) > 1]
                for later in thread[1:]:
                    self.assertIn(str(later["In-Reply-To"]).strip(), str(later["References"]))

    def test_a_request_is_told_as_one_and_its_success_after_it(self):
        about = [mail for mail in TOLD.mails["post"] if ISOLATED in plain(mail)]
        words = [" ".join(plain(mail).lower().split()) for mail in about]
        requested = next(i for i, text in enumerate(words) if "requested" in text)
        later = [text for text in words[requested + 1:] if "succeeded" in text or "is isolated" in text]
        self.assertTrue(later, words)


class Cards(unittest.TestCase):
    """Teams and Slack."""

    @classmethod
    def setUpClass(cls):
        schema = json.loads(SCHEMA.read_text())
        cls.validator = jsonschema.validators.validator_for(schema)(schema)

    def test_teams_gets_adaptive_cards(self):
        self.assertTrue(TOLD.cards())
        for part in (SAMPLED, TOLD):
            for post in part.posts["teams"]:
                self.assertEqual(post.json["type"], "message")
                [attachment] = post.json["attachments"]
                self.assertEqual(attachment["contentType"], "application/vnd.microsoft.card.adaptive")
                card = attachment["content"]
                self.assertEqual((card["type"], card["version"]), ("AdaptiveCard", "1.5"))
                # Teams' own field, which the schema does not know.
                known = {name: value for name, value in card.items() if name != "msteams"}
                errors = [error.message for error in self.validator.iter_errors(known)]
                self.assertEqual(errors, [])
                self.assertLess(len(post.body), 28_000, "the most that a workflow takes")

    def test_slack_gets_blocks(self):
        self.assertTrue(TOLD.posts["slack"])
        for part in (SAMPLED, TOLD):
            for post in part.posts["slack"]:
                self.assertTrue(post.json["text"], "what a notification shows")
                raw = post.json["blocks"]
                self.assertTrue(0 < len(raw) <= 50)
                for one, block in zip(raw, Block.parse_all(raw)):
                    self.assertIsInstance(block, Block, one)
                    block.validate_json()
                    self.assertEqual(block.type, one["type"])

    def test_only_who_asks_for_medium_is_told_of_medium(self):
        for name in ("post", "slack", "soar"):
            self.assertTrue(any(MEDIUM in text for text in TOLD.text_of(name)), name)
        self.assertFalse(any(MEDIUM in text for text in TOLD.text_of("teams")))
        self.assertTrue(any(ISOLATED in text for text in TOLD.text_of("teams")))

    def test_command_lines_stay_out_of_chats(self):
        lines = [line[:30] for text in TOLD.text_of("files") for line in re.findall(r"^ +Command +(.{12,})$", text, re.M)]
        self.assertTrue(lines, "mails have some")
        for name in ("teams", "slack", "soar"):
            for text in TOLD.text_of(name):
                for line in lines:
                    self.assertNotIn(line, text)


class Webhook(unittest.TestCase):
    """The signed webhook."""

    def test_every_message_is_signed_by_the_key(self):
        webhook = standardwebhooks.Webhook(KEY)
        self.assertGreaterEqual(len(TOLD.posts["soar"]), 8)
        for post in TOLD.posts["soar"] + SAMPLED.posts["soar"]:
            self.assertEqual(webhook.verify(post.body, post.headers), post.json)

    def test_a_changed_body_or_another_key_is_noticed(self):
        post = TOLD.posts["soar"][0]
        other = standardwebhooks.Webhook(base64.b64encode(b"another key of 32 bytes, not his").decode())
        for webhook, body in ((other, post.body), (standardwebhooks.Webhook(KEY), post.body + b" ")):
            with self.assertRaises(standardwebhooks.WebhookVerificationError):
                webhook.verify(body, post.headers)

    def test_the_code_that_the_guide_shows_to_receivers_verifies(self):
        guide = (ROOT / "docs" / "CHANNELS.md").read_text()
        [code] = re.findall(r"^```python\n(.*?)^```", guide, re.M | re.S)
        shown = {}
        exec(code, shown)
        verified, post = shown["verified"], TOLD.posts["soar"][0]
        self.assertTrue(verified(post.headers, post.body, f"whsec_{KEY}"))
        self.assertFalse(verified(post.headers, post.body + b" ", f"whsec_{KEY}"))
        old = post.headers | {"webhook-timestamp": str(int(post.headers["webhook-timestamp"]) - 301)}
        self.assertFalse(verified(old, post.body, f"whsec_{KEY}"))

    def test_each_message_comes_once_under_an_id_of_its_own(self):
        ids = [post.headers["webhook-id"] for post in TOLD.posts["soar"]]
        self.assertEqual(len(ids), len(set(ids)))


class Delivery(unittest.TestCase):
    """One channel that fails, and no secret anywhere."""

    def test_a_channel_that_fails_neither_holds_up_nor_repeats_the_others(self):
        self.assertTrue(TOLD.posts["broken"], "it was tried")
        self.assertLessEqual(len(FIRST.posts["broken"]), 2, "after an error it is left alone for a while")
        self.assertGreaterEqual(len(FIRST.mails["post"]), 5, "the others were told in the same run")
        for name in ("teams", "slack"):
            texts = TOLD.text_of(name)
            self.assertEqual(len(texts), len(set(texts)), f"{name} was told something twice")

    def test_what_could_not_be_told_is_said(self):
        self.assertEqual(RUNS[0].returncode, 1, RUNS[0].stderr)
        self.assertIn("attempts to tell people failed", RUNS[0].stderr)

    def test_graph_and_the_mail_server_get_their_own_tokens(self):
        posts = TOLD.posts["token"] + SAMPLED.posts["token"]
        asked = {dict(urllib.parse.parse_qsl(post.body.decode()))["client_id"] for post in posts}
        self.assertEqual(asked, {"graph-app", "mail-app"})
        self.assertLessEqual(len(TOLD.posts["token"]), 4, "a token is kept as long as it holds")
        for post in TOLD.posts["graph"]:
            self.assertEqual(post.headers["authorization"], f"Bearer {GRAPH_TOKEN}")

    def test_no_secret_is_printed_logged_or_written(self):
        places = [(f"{stream} of {arguments}", text.encode()) for arguments, ended in SITE.said
                  for stream, text in (("stdout", ended.stdout), ("stderr", ended.stderr))]
        places += [(path.name, path.read_bytes()) for path in SITE.folder.rglob("*") if path.is_file()]
        places += [(mail["Subject"], mail.as_bytes()) for mail in TOLD.all_mails()]
        told = {name: posts for name, posts in TOLD.posts.items() if name not in ("files", "token")}
        places += [(name, post.body) for name, posts in told.items() for post in posts]
        self.assertGreater(len(places), 30)
        logs = [content for where, content in places if where.startswith("stderr")]
        self.assertTrue(any(b"told" in content for content in logs), "logs were kept")
        for secret in SECRETS:
            encoded = base64.b64encode(secret.encode()).decode()
            for form in (secret, encoded, urllib.parse.quote(secret, safe="")):
                for where, content in places:
                    self.assertNotIn(form.encode(), content, f"{secret} in {where}")


if __name__ == "__main__":
    unittest.main(verbosity=1)

//! The channels of a playbook: what each kind needs, what goes where, and how a bad one is refused.

use crate::{
    faults::{fault, settings_alone, whole_fault},
    shipped_file,
};
use model::{Effect, EffectState, Severity};
use policy::{
    Channel, ChannelKind, HostKind, NOTHING, Notices, OUTCOMES, Route, SecretName, Settings, SmtpLogin,
    SmtpProof, SmtpSecurity, SmtpSettings, taken_by_none,
};
use std::path::PathBuf;

/// The one channel of some settings.
fn channel(keys: &str) -> Channel {
    let settings = settings_alone(&of(keys)).unwrap_or_else(|problems| panic!("{keys}\n{problems}")).settings;
    let [channel] = settings.channels.try_into().unwrap();
    channel
}

fn of(keys: &str) -> String {
    format!("[[channels]]\nname = \"x\"\n{keys}\n")
}

fn env(name: &str) -> SecretName {
    SecretName { env: Some(name.into()), field: None }
}

fn field(name: &str) -> SecretName {
    SecretName { env: None, field: Some(name.into()) }
}

#[test]
fn two_channels_cannot_share_a_name() {
    let folder = "[[channels]]\nname = \"x\"\nkind = \"folder\"\npath = \"p\"\n";
    assert_eq!(fault(&folder.repeat(2)), "playbook.toml:6:8: there are two channels called `x`");
}

pub(crate) fn smtp(more: &str) -> String {
    format!(
        "[[channels]]\nname = \"m\"\nkind = \"smtp\"\nfrom = \"c@example.com\"\nto = [\"s@example.com\"]\n{more}"
    )
}

#[test]
fn a_mail_channel_needs_little() {
    let cases = [
        ("host = \"mail.example.com\"", SmtpSecurity::Starttls, 587),
        ("host = \"mail.example.com\"\nsecurity = \"tls\"", SmtpSecurity::Tls, 465),
        ("host = \"localhost\"\nsecurity = \"plain\"", SmtpSecurity::Plain, 25),
        ("host = \"127.0.0.1\"\nsecurity = \"plain\"\nport = 2525", SmtpSecurity::Plain, 2525),
        ("host = \"::1\"\nsecurity = \"plain\"", SmtpSecurity::Plain, 25),
    ];
    for (more, security, port) in cases {
        let playbook = settings_alone(&smtp(more)).unwrap_or_else(|problems| panic!("{problems}"));
        let ChannelKind::Smtp(found) = &playbook.settings.channels[0].kind else {
            panic!("{:?}", playbook.settings.channels)
        };
        assert_eq!((found.security, found.port), (security, port), "{more}");
    }
    let full = smtp("host = \"m\"\nusername = \"u\"\npassword_env = \"CORDON_SMTP\"\nca_file = \"/ca.pem\"");
    let playbook = settings_alone(&full).unwrap();
    let password = SecretName { env: Some("CORDON_SMTP".into()), field: None };
    let expected = SmtpSettings {
        host: "m".into(),
        port: 587,
        security: SmtpSecurity::Starttls,
        login: Some(SmtpLogin { username: "u".into(), proof: SmtpProof::Password(password) }),
        from: "c@example.com".into(),
        to: vec!["s@example.com".into()],
        ca_file: Some(PathBuf::from("/ca.pem")),
    };
    let expected = Channel::new("m", ChannelKind::Smtp(Box::new(expected)));
    assert_eq!(playbook.settings.channels, [expected]);
}

#[test]
fn mail_never_goes_unprotected_to_another_machine() {
    for host in ["mail.example.com", "10.0.0.1", "localhost.example.com", "127.0.0.1.example.com"] {
        let found = fault(&smtp(&format!("host = \"{host}\"\nsecurity = \"plain\"")));
        assert!(
            found.starts_with(
                "playbook.toml:6:8: `security` = \"plain\" is for a server on this machine only"
            ),
            "{found}"
        );
    }
}

#[test]
fn a_password_is_never_written_in_the_playbook_nor_shown() {
    let found = whole_fault(&smtp("host = \"m\"\nusername = \"u\"\npassword = \"hunter2\""));
    assert_eq!(
        found,
        "playbook.toml:8:12: `password` is never written here: name the environment variable that holds it in \
         `password_env`\n 8 | password = …\n   |            ^"
    );
    let found = whole_fault(&smtp("host = \"m\"\nusername = \"u\"\npassword_env = \"hunter2!\""));
    assert!(
        found.contains("must be the name of an environment variable") && !found.contains("hunter2"),
        "{found}"
    );
}

#[test]
fn half_a_login_is_no_login() {
    let found = fault(&smtp("host = \"m\"\npassword_env = \"P\""));
    assert_eq!(found, "playbook.toml:7:16: `password_env` needs a `username` to go with it");
    let found = fault(&smtp("host = \"m\"\nusername = \"u\""));
    assert!(found.contains("`username` needs a `password_env`"), "{found}");
}

#[test]
fn a_mail_channel_that_reaches_nobody_is_refused() {
    let channel = |to: &str| {
        format!("[[channels]]\nname = \"m\"\nkind = \"smtp\"\nhost = \"m\"\nfrom = \"c@example.com\"\n{to}")
    };
    for nobody in ["", "to = []"] {
        assert!(fault(&channel(nobody)).contains("`to` is missing"), "{nobody}");
    }
    for bad in ["soc", "a@b@c", "@b", "a@"] {
        assert_eq!(
            fault(&channel(&format!("to = [\"{bad}\"]"))),
            format!("playbook.toml:6:7: `{bad}` is not a mail address")
        );
    }
    let found = fault(&channel("to = [\"a@b\\r\\nBcc: x\"]"));
    assert!(found.contains("must be a text on one line"), "{found}");
    for bad in ["m:x/y", "m y", "http://m"] {
        assert!(fault(&smtp(&format!("host = \"{bad}\""))).contains("is not a host"), "{bad}");
    }
    for bad in ["0", "70000", "\"25\"", "-1"] {
        assert!(
            fault(&smtp(&format!("host = \"m\"\nport = {bad}"))).contains("between 1 and 65535"),
            "{bad}"
        );
    }
}

#[test]
fn teams_slack_and_a_webhook_need_the_place_of_their_address() {
    let both = SecretName { env: Some("URL".into()), field: Some("url".into()) };
    let (url, place) = ("url_env = \"URL\"", "url_field = \"url\"");
    for (keys, expected) in [
        (format!("kind = \"teams\"\n{url}"), ChannelKind::Teams { url: env("URL") }),
        (format!("kind = \"teams\"\n{place}"), ChannelKind::Teams { url: field("url") }),
        (format!("kind = \"slack\"\n{url}\n{place}"), ChannelKind::Slack { url: both }),
        (
            format!("kind = \"webhook\"\n{url}\nkey_field = \"key\""),
            ChannelKind::Webhook { url: env("URL"), key: field("key") },
        ),
    ] {
        assert_eq!(channel(&keys).kind, expected);
    }
    for kind in ["teams", "slack"] {
        let found = fault(&of(&format!("kind = \"{kind}\"")));
        assert_eq!(
            found,
            "playbook.toml:1:1: `url_env` is missing: the environment variable that holds it; or, on AWS, \
             `url_field`: the field of the deployment's secret for channels"
        );
        let found =
            whole_fault(&of(&format!("kind = \"{kind}\"\nurl = \"https://hooks.example/T/B/hunter2\"")));
        assert!(found.contains("`url` is never written here") && !found.contains("hunter2"), "{found}");
        let found =
            whole_fault(&of(&format!("kind = \"{kind}\"\nurl_env = \"https://hooks.example/hunter2\"")));
        assert!(found.contains("must be the name of an environment variable"), "{found}");
        assert!(!found.contains("hunter2"), "{found}");
    }
    let keyless = fault(&of("kind = \"webhook\"\nurl_env = \"URL\""));
    assert!(keyless.contains("`key_env` is missing"), "{keyless}");
}

#[test]
fn graph_names_an_app_and_a_mailbox() {
    let keys = "kind = \"graph\"\nclient_id = \"app\"\nclient_secret_env = \"S\"\nfrom = \"soc@example.com\"\n\
                to = [\"duty@example.com\"]";
    let ChannelKind::Graph(graph) = channel(keys).kind else { panic!("{keys}") };
    assert_eq!((graph.tenant, graph.client_secret), (None, env("S")));
    let secret = keys.replace("client_secret_env", "client_secret");
    assert!(fault(&of(&secret)).contains("`client_secret` is never written here"));
    assert!(fault(&of(&keys.replace("to = [\"duty@example.com\"]", ""))).contains("`to` is missing"));
}

#[test]
fn a_mail_server_can_want_an_access_token() {
    let keys = "host = \"smtp.office365.com\"\nauth = \"xoauth2\"\nusername = \"u\"\n\
                token_url = \"https://login.example/t/oauth2/v2.0/token\"\nclient_id = \"app\"\n\
                client_secret_env = \"S\"\nscope = \"https://outlook.office365.com/.default\"";
    let oauth = |more: &str| {
        let playbook =
            settings_alone(&smtp(&format!("{keys}{more}"))).unwrap_or_else(|problems| panic!("{problems}"));
        let ChannelKind::Smtp(settings) = playbook.settings.channels[0].kind.clone() else {
            panic!("no mail")
        };
        let Some(SmtpLogin { proof: SmtpProof::OAuth(oauth), .. }) = settings.login else {
            panic!("no token")
        };
        *oauth
    };
    assert_eq!((oauth("").client_secret, oauth("").refresh_token), (env("S"), None));
    assert_eq!(oauth("\nrefresh_token_env = \"R\"").refresh_token, Some(env("R")));
    for (from, to, expected) in [
        ("https://login", "http://login", "is not an address that begins with https://"),
        ("username = \"u\"", "", "`token_url` needs a `username`"),
        ("auth = \"xoauth2\"", "password_env = \"P\"", "`token_url` belongs to `auth` = \"xoauth2\""),
        ("client_id = \"app\"", "", "`client_id` is missing"),
        ("client_id", "password_env", "`password_env` belongs to `auth` = \"password\""),
    ] {
        let problems = settings_alone(&smtp(&keys.replace(from, to))).unwrap_err().to_string();
        assert!(problems.contains(expected), "{problems}");
    }
    let local = keys.replace("https://login.example", "http://127.0.0.1:8080");
    assert!(settings_alone(&smtp(&local)).is_ok(), "a stand-in on this machine");
}

#[test]
fn a_channel_takes_everything_unless_it_says_otherwise() {
    let all = channel("kind = \"ses\"").route;
    for severity in [None, Some(Severity::High), Some(Severity::Other("Severe".into()))] {
        for outcome in OUTCOMES {
            assert!(all.takes(severity.as_ref(), Effect::Isolate, outcome));
            assert!(all.takes(severity.as_ref(), Effect::Release, outcome));
        }
    }
    assert!(all.takes_notice(true) && all.takes_notice(false));
}

#[test]
fn a_channel_takes_what_its_lists_name() {
    let keys = "kind = \"ses\"\nseverities = [\"High\", \"UnSpecified\"]\nactions = [\"isolate\"]\n\
                outcomes = [\"timed out\", \"nothing\"]\nnotices = \"urgent\"";
    let route = channel(keys).route;
    let takes = |severity: &str, outcome: &str| {
        route.takes(Some(&Severity::from(severity)), Effect::Isolate, outcome)
    };
    assert!(takes("High", "timed out") && takes("High", NOTHING));
    assert!(takes("Severe", NOTHING), "a word that nobody knows is no severity");
    assert!(route.takes(None, Effect::Isolate, NOTHING));
    assert!(!takes("Medium", NOTHING) && !takes("High", EffectState::Succeeded.word()));
    assert!(!route.takes(Some(&Severity::High), Effect::Release, NOTHING));
    assert!(route.takes_notice(true) && !route.takes_notice(false));
    assert_eq!(channel("kind = \"ses\"\nnotices = \"none\"").route.notices, Notices::None);
    for (key, word, known) in [
        ("severities", "Severe", "known are `High`, `Medium`"),
        ("actions", "scan", "known are `isolate`, `release`"),
        ("outcomes", "done", "`timed out`"),
    ] {
        let found = fault(&of(&format!("kind = \"ses\"\n{key} = [\"{word}\"]")));
        assert!(found.contains(&format!("cannot hold `{word}`")) && found.contains(known), "{found}");
        let found = fault(&of(&format!("kind = \"ses\"\n{key} = []")));
        assert!(found.contains("leave it out to take everything"), "{found}");
    }
}

/// Routing chooses among channels; it must be seen where it chooses none.
#[test]
fn what_no_channel_takes_is_named() {
    let high = channel("kind = \"ses\"\nseverities = [\"High\"]");
    let all = channel("kind = \"teams\"\nurl_env = \"U\"");
    let lonely = |channels: &[Channel]| taken_by_none(channels, HostKind::Aws);
    assert_eq!(lonely(std::slice::from_ref(&high)).unwrap(), "Medium · isolation claimed");
    assert_eq!(lonely(&[high.clone(), all.clone()]), None);
    assert_eq!(taken_by_none(&[high, all.clone()], HostKind::Local), None);
    let quiet = Channel { route: Route { notices: Notices::Urgent, ..all.route.clone() }, ..all };
    assert_eq!(lonely(&[quiet]).unwrap(), "a notice that is not urgent");
    assert_eq!(lonely(&[]), None);
}

#[test]
fn a_folder_is_nobody_who_is_told_where_another_channel_is() {
    let high = channel("kind = \"teams\"\nurl_env = \"U\"\nseverities = [\"High\"]");
    let folder = channel("kind = \"folder\"\npath = \"p\"");
    let both = [high, folder.clone()];
    assert_eq!(taken_by_none(&both, HostKind::Local).unwrap(), "Medium · isolation claimed");
    assert_eq!(taken_by_none(&[folder], HostKind::Local), None);
}

#[test]
fn command_lines_go_to_mail_alone_unless_a_channel_asks_for_them() {
    let mails = ["kind = \"ses\"", "kind = \"folder\"\npath = \"p\""];
    let others = ["kind = \"sns\"", "kind = \"teams\"\nurl_env = \"U\"", "kind = \"slack\"\nurl_env = \"U\""];
    assert!(mails.iter().all(|keys| channel(keys).command_lines));
    assert!(others.iter().all(|keys| !channel(keys).command_lines));
    assert!(channel("kind = \"sns\"\ncommand_lines = true").command_lines);
    assert!(!channel("kind = \"ses\"\ncommand_lines = false").command_lines);
}

#[test]
fn people_get_digests_and_where_nobody_is_woken_every_message_comes() {
    assert_eq!(channel("kind = \"ses\"").digest_after, Some(10));
    assert_eq!(channel("kind = \"ses\"\ndigest_after = 3").digest_after, Some(3));
    assert_eq!(channel("kind = \"ses\"\ndigest_after = \"never\"").digest_after, None);
    let webhook = "kind = \"webhook\"\nurl_env = \"U\"\nkey_env = \"K\"";
    assert_eq!(channel(webhook).digest_after, None);
    assert_eq!(channel("kind = \"folder\"\npath = \"p\"").digest_after, None);
    for bad in ["0", "1001", "\"often\"", "true"] {
        let found = fault(&of(&format!("kind = \"ses\"\ndigest_after = {bad}")));
        assert!(found.contains("between 1 and 1000, or \"never\""), "{found}");
    }
}

#[test]
fn each_host_has_its_own_channels() {
    assert_eq!(channel("kind = \"sns\"").only_on(), Some(HostKind::Aws));
    assert_eq!(channel("kind = \"ses\"").only_on(), Some(HostKind::Aws));
    assert_eq!(channel("kind = \"folder\"\npath = \"p\"").only_on(), Some(HostKind::Local));
    assert_eq!(channel("kind = \"teams\"\nurl_env = \"U\"").only_on(), None);
}

/// Examples that do not work are worse than none.
#[test]
fn the_examples_of_the_shipped_file_are_channels_of_every_kind() {
    let text = shipped_file("playbook.toml");
    let uncommented: Vec<&str> = text.lines().map(|line| line.strip_prefix("#: ").unwrap_or(line)).collect();
    let settings = Settings::parse(&uncommented.join("\n")).unwrap_or_else(|problems| panic!("{problems}"));
    let word = |channel: &Channel| match channel.kind {
        ChannelKind::Folder { .. } => "folder",
        ChannelKind::Smtp(_) => "smtp",
        ChannelKind::Ses { .. } => "ses",
        ChannelKind::Graph(_) => "graph",
        ChannelKind::Teams { .. } => "teams",
        ChannelKind::Slack { .. } => "slack",
        ChannelKind::Sns => "sns",
        ChannelKind::Webhook { .. } => "webhook",
    };
    let mut kinds: Vec<&str> = settings.channels.iter().map(word).collect();
    kinds.sort_unstable();
    kinds.dedup();
    assert_eq!(kinds, ["folder", "graph", "ses", "slack", "smtp", "sns", "teams", "webhook"]);
}

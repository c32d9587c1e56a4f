//! Real conversations with a mail server in the same process.

use crate::{
    memory::Memory,
    samples::{PORTAL, envelope, now, requested},
    smtp_receiver::{Encryption, Manners, Receiver},
    smtp_tokens::Log,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use credentials::{Problems, Vars};
use mail_parser::MessageParser;
use notify::{Channel, open};
use policy::{ChannelKind, SecretName, SmtpLogin, SmtpProof, SmtpSecurity, SmtpSettings};
use ports::{Disposition, Fault, Tally, Unsent};
use std::{path::PathBuf, time::Duration};

const PASSWORD: &str = "correct horse battery staple";

/// The settings of a channel to a receiver.
pub(crate) struct Settings {
    pub(crate) port: u16,
    pub(crate) host: &'static str,
    pub(crate) security: SmtpSecurity,
    pub(crate) login: bool,
    pub(crate) ca_file: Option<PathBuf>,
}

impl Settings {
    pub(crate) fn plain(receiver: &Receiver) -> Settings {
        let security = SmtpSecurity::Plain;
        Settings { port: receiver.port, host: "127.0.0.1", security, login: false, ca_file: None }
    }

    pub(crate) fn named(self, name: &str) -> policy::Channel {
        let proof =
            || SmtpProof::Password(SecretName { env: Some("CORDON_SMTP_PASSWORD".to_owned()), field: None });
        let settings = SmtpSettings {
            host: self.host.to_owned(),
            port: self.port,
            security: self.security,
            login: self.login.then(|| SmtpLogin { username: "cordon".to_owned(), proof: proof() }),
            from: "Cordon <cordon@example.com>".to_owned(),
            to: vec!["soc@example.com".to_owned(), "Zoë <zoe@example.com>".to_owned()],
            ca_file: self.ca_file,
        };
        policy::Channel::new(name, ChannelKind::Smtp(Box::new(settings)))
    }
}

fn opened(channel: policy::Channel, vars: &[(&str, &str)]) -> Result<Vec<Channel>, String> {
    let vars: Vars = vars.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let mut problems = Problems::default();
    let channels = open(&[channel], &vars, None, &mut problems);
    if problems.is_empty() { Ok(channels) } else { Err(problems.iter().collect::<Vec<_>>().join("\n")) }
}

/// Tells one outcome over this channel; the error is why it is to be tried again.
async fn tell(settings: Settings) -> Result<(), String> {
    let channels = opened(settings.named("mail"), &[("CORDON_SMTP_PASSWORD", PASSWORD)])?;
    let (_, state) = Memory::state();
    let notify = crate::memory::notify(channels, state, Tally::default());
    match notify.handle(envelope(requested()), now()).await {
        Disposition::Done => Ok(()),
        Disposition::Defer { why, .. } => Err(why),
        other => panic!("unexpected: {other:?}"),
    }
}

/// Settings that encrypt and trust the receiver's authority.
fn encrypted(receiver: &Receiver, security: SmtpSecurity, folder: &tempfile::TempDir) -> Settings {
    let ca_file = folder.path().join(format!("{}.pem", receiver.port));
    std::fs::write(&ca_file, &receiver.authority).unwrap();
    Settings { security, ca_file: Some(ca_file), login: true, ..Settings::plain(receiver) }
}

fn with(encryption: Encryption) -> Manners {
    Manners { encryption, login: Some(("cordon", PASSWORD)), ..Manners::default() }
}

#[tokio::test]
async fn a_letter_arrives_with_its_headers_and_both_parts() {
    let receiver = Receiver::start(Manners::default()).await;
    tell(Settings::plain(&receiver)).await.unwrap();
    let [received] = receiver.received().try_into().unwrap();
    assert_eq!(received.to, ["soc@example.com", "zoe@example.com"]);

    let letter = MessageParser::default().parse(&received.content).unwrap();
    let message = envelope(requested());
    assert_eq!(
        letter.subject().unwrap(),
        "[Cordon] 1 High · isolation requested · laptop-7 · Suspicious encryption of files"
    );
    assert_eq!(letter.message_id().unwrap(), format!("{}@example.com", message.id));
    assert_eq!(letter.date().unwrap().to_rfc3339(), "2026-11-20T10:01:00Z");
    assert_eq!(letter.from().unwrap().first().unwrap().address().unwrap(), "cordon@example.com");
    assert_eq!(letter.to().unwrap().last().unwrap().name().unwrap(), "Zoë");
    assert_eq!(letter.header_raw("Auto-Submitted").unwrap().trim(), "auto-generated");
    let story = letter.references().as_text().unwrap();
    assert!(story.starts_with("story-") && story.ends_with("@example.com"), "{story}");
    assert_eq!(letter.in_reply_to().as_text().unwrap(), story);
    let mail = notify::render(&message.body, PORTAL, message.occurred_at, &message.id);
    assert_eq!(letter.body_text(0).unwrap().replace("\r\n", "\n"), mail.text);
    assert_eq!(letter.body_html(0).unwrap().replace("\r\n", "\n"), mail.html);
}

#[tokio::test]
async fn encrypted_letters_arrive_where_the_authority_is_trusted() {
    let folder = tempfile::tempdir().unwrap();
    for (encryption, security) in
        [(Encryption::Starttls, SmtpSecurity::Starttls), (Encryption::Implicit, SmtpSecurity::Tls)]
    {
        for methods in ["PLAIN", "LOGIN"] {
            let receiver = Receiver::start(Manners { methods, ..with(encryption) }).await;
            tell(encrypted(&receiver, security, &folder)).await.unwrap();
            assert!(receiver.received().iter().all(|letter| letter.encrypted));
            assert_eq!(receiver.received().len(), 1);
            assert!(!receiver.clear().contains("AUTH"), "{}", receiver.clear());
        }
    }
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for (encryption, security) in
        [(Encryption::Starttls, SmtpSecurity::Starttls), (Encryption::Implicit, SmtpSecurity::Tls)]
    {
        let receiver = Receiver::start(with(encryption)).await;
        let stranger = Receiver::start(with(encryption)).await;
        for ca_file in [None, encrypted(&stranger, security, &folder).ca_file] {
            let why =
                tell(Settings { ca_file, ..encrypted(&receiver, security, &folder) }).await.unwrap_err();
            assert!(
                why.contains("channel `mail`") && why.contains("certificate") && why.contains("ca_file"),
                "{why}"
            );
        }
        let other_name = Settings { host: "localhost", ..encrypted(&receiver, security, &folder) };
        let why = tell(other_name).await.unwrap_err();
        assert!(why.contains("certificate"), "{why}");
        assert!(receiver.received().is_empty());
        assert!(!receiver.clear().contains("AUTH"));
    }
}

#[tokio::test]
async fn without_starttls_nothing_is_sent() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start(with(Encryption::None)).await;
    let why = tell(encrypted(&receiver, SmtpSecurity::Starttls, &folder)).await.unwrap_err();
    assert!(why.contains("does not offer STARTTLS"), "{why}");
    assert!(receiver.received().is_empty());
    let clear = receiver.clear();
    assert!(!clear.contains("AUTH") && !clear.contains("MAIL"), "{clear}");
}

#[tokio::test]
async fn a_refused_login_names_the_variable_and_never_the_password() {
    let folder = tempfile::tempdir().unwrap();
    for methods in ["PLAIN", "LOGIN"] {
        let login = Some(("cordon", "another"));
        let manners = Manners { login, methods, echoes: true, ..with(Encryption::Implicit) };
        let receiver = Receiver::start(manners).await;
        let why = tell(encrypted(&receiver, SmtpSecurity::Tls, &folder)).await.unwrap_err();
        assert!(why.contains("CORDON_SMTP_PASSWORD") && why.contains("535"), "{why}");
        assert!(!why.contains(PASSWORD) && !why.contains("AUTH"), "{why}");
        assert!(receiver.received().is_empty());
    }
}

/// Sends a sample over this channel; the error is what the channel says.
async fn sent(settings: Settings) -> Result<(), Unsent> {
    let channels = opened(settings.named("mail"), &[("CORDON_SMTP_PASSWORD", PASSWORD)]).unwrap();
    crate::http_receiver::sent(channels.first().unwrap()).await
}

#[tokio::test]
async fn a_refused_address_is_told_in_the_servers_words() {
    let manners = Manners { to_recipients: "550 5.1.1 no such user", ..Manners::default() };
    let receiver = Receiver::start(manners).await;
    let why = sent(Settings::plain(&receiver)).await.unwrap_err().why;
    assert!(why.contains("550") && why.contains("no such user") && why.contains("from and to"), "{why}");
}

#[tokio::test]
async fn one_address_that_is_refused_does_not_keep_the_letter_from_the_others() {
    for answer in ["550 5.1.1 no such user", "452 4.2.2 mailbox full"] {
        let but: &'static [(&str, &str)] = Vec::leak(vec![("soc@example.com", answer)]);
        let receiver = Receiver::start(Manners { but, ..Manners::default() }).await;
        let (log, _guard) = Log::listen();
        sent(Settings::plain(&receiver)).await.unwrap();
        let said = log.text();
        let (code, words) = answer.split_once(' ').unwrap();
        for expected in ["WARN", "soc@example.com", code, words] {
            assert!(said.contains(expected), "{expected} in {said}");
        }
        assert!(!said.contains("zoe@example.com"), "{said}");
        let [received] = receiver.received().try_into().unwrap();
        assert_eq!(received.to, ["zoe@example.com"]);
    }
}

#[tokio::test]
async fn where_nobody_is_taken_the_channel_rests_and_says_of_the_first_why() {
    let but = &[("soc@example.com", "550 5.1.1 no such user"), ("zoe@example.com", "450 4.2.0 greylisted")];
    let receiver = Receiver::start(Manners { but, ..Manners::default() }).await;
    let unsent = sent(Settings::plain(&receiver)).await.unwrap_err();
    assert_eq!(unsent.fault, Fault::Channel, "{unsent:?}");
    assert!(unsent.why.contains("no such user"), "{unsent:?}");
    assert!(receiver.received().is_empty());
}

#[tokio::test]
async fn a_letter_that_is_refused_for_good_is_its_own_fault_and_everything_else_is_the_channels() {
    let usual = Manners::default;
    let cases = [
        (Manners { to_sender: "552 5.3.4 too big", ..usual() }, Fault::Channel),
        (Manners { to_recipients: "550 5.7.1 not here", ..usual() }, Fault::Channel),
        (Manners { to_letters: "554 5.7.1 spam", ..usual() }, Fault::Message),
        (Manners { to_sender: "530 5.7.0 log in first", ..usual() }, Fault::Channel),
        (Manners { to_sender: "451 4.3.0 later", ..usual() }, Fault::Channel),
        (Manners { to_recipients: "421 4.3.2 closing", ..usual() }, Fault::Channel),
        (Manners { to_recipients: "450 4.2.0 greylisted", ..usual() }, Fault::Channel),
        (Manners { to_letters: "452 4.3.1 disk full", ..usual() }, Fault::Channel),
        (Manners { to_letters: "554 5.7.60 no permissions to be this sender", ..usual() }, Fault::Channel),
        (
            Manners { to_letters: "554 5.2.252 SendAsDenied; not allowed to Send As it", ..usual() },
            Fault::Channel,
        ),
    ];
    for (manners, fault) in cases {
        let receiver = Receiver::start(manners).await;
        let unsent = sent(Settings::plain(&receiver)).await.unwrap_err();
        assert_eq!((unsent.fault, unsent.after), (fault, None), "{unsent:?}");
        assert!(receiver.received().is_empty());
    }
}

#[tokio::test]
async fn a_server_that_says_nothing_takes_ten_seconds_and_no_more() {
    let receiver = Receiver::start(Manners { says_nothing: true, ..Manners::default() }).await;
    tokio::time::pause();
    let told = sent(Settings::plain(&receiver));
    let unsent = tokio::time::timeout(Duration::from_millis(10_500), told).await.unwrap().unwrap_err();
    assert_eq!(unsent.fault, Fault::Channel);
    assert!(unsent.why.contains("did not answer in 10 s"), "{unsent:?}");
}

#[tokio::test]
async fn a_server_that_says_back_what_it_was_sent_is_not_repeated() {
    let folder = tempfile::tempdir().unwrap();
    for methods in ["PLAIN", "LOGIN"] {
        let to_recipients = "550 5.7.1 no";
        let manners = Manners { methods, to_recipients, echoes: true, ..with(Encryption::Implicit) };
        let receiver = Receiver::start(manners).await;
        let why = sent(encrypted(&receiver, SmtpSecurity::Tls, &folder)).await.unwrap_err().why;
        let as_sent =
            [format!("\0cordon\0{PASSWORD}"), PASSWORD.to_owned()].map(|text| STANDARD.encode(text));
        let hidden = as_sent.iter().map(String::as_str).chain([PASSWORD]);
        assert!(hidden.into_iter().all(|hidden| !why.contains(hidden)), "{why}");
        assert!(why.contains("did not take the letter"), "{why}");
    }
}

#[tokio::test]
async fn a_server_that_hangs_up_after_taking_a_letter_has_taken_it() {
    let receiver = Receiver::start(Manners { hangs_up_after_data: true, ..Manners::default() }).await;
    tell(Settings::plain(&receiver)).await.unwrap();
    assert_eq!(receiver.received().len(), 1);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named() {
    let port = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let receiver = Receiver::start(Manners::default()).await;
    let why = tell(Settings { port, ..Settings::plain(&receiver) }).await.unwrap_err();
    assert!(why.contains(&format!("no connection to 127.0.0.1:{port}")), "{why}");
}

#[tokio::test]
async fn what_is_wrong_with_the_settings_is_said_when_opening() {
    let receiver = Receiver::start(Manners::default()).await;
    let plain = || Settings::plain(&receiver);
    let elsewhere = Settings { host: "mail.example.com", ..plain() }.named("mail");
    assert!(opened(elsewhere, &[]).unwrap_err().contains("this machine only"));
    let no_password = Settings { login: true, ..plain() }.named("mail");
    assert!(
        opened(no_password, &[]).unwrap_err().starts_with("channel `mail`: CORDON_SMTP_PASSWORD is not set")
    );

    let folder = tempfile::tempdir().unwrap();
    let with_ca = |ca_file: PathBuf| {
        let security = SmtpSecurity::Tls;
        opened(Settings { security, ca_file: Some(ca_file), ..plain() }.named("mail"), &[]).unwrap_err()
    };
    assert!(with_ca(folder.path().join("missing.pem")).contains("cannot be read"));
    let empty = folder.path().join("empty.pem");
    std::fs::write(&empty, "nothing\n").unwrap();
    assert!(with_ca(empty).contains("holds no certificate"));
}

#[tokio::test]
async fn debug_shows_no_password() {
    let receiver = Receiver::start(Manners::default()).await;
    let channel = Settings { login: true, ..Settings::plain(&receiver) }.named("mail");
    let channels = opened(channel, &[("CORDON_SMTP_PASSWORD", PASSWORD)]).unwrap();
    assert!(!format!("{channels:?}").contains(PASSWORD));
}

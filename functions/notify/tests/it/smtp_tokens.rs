//! Mail servers that want an access token (XOAUTH2): both ways to get one, one that is not good any more, and where
//! none of the secrets may stand.

use crate::{
    http_receiver::{opened, sent},
    smtp_receiver::{Encryption, Manners, Receiver},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use notify::Channel;
use policy::{ChannelKind, OAuthSettings, SecretName, SmtpLogin, SmtpProof, SmtpSecurity, SmtpSettings};
use ports::Fault;
use simulator::{Grants, TokenEndpoint};
use std::{
    io::Write,
    sync::{Arc, LazyLock, Mutex},
};
use tracing::subscriber::DefaultGuard;

const USER: &str = "cordon@example.com";
const SECRET: &str = "the-apps-own-secret";
const REFRESH: &str = "the-mailboxes-refresh-token";
const SCOPE: &str = "https://outlook.office365.com/.default";

/// A mail server that takes the tokens of a token endpoint.
struct Post {
    endpoint: Arc<TokenEndpoint>,
    receiver: Receiver,
    folder: tempfile::TempDir,
}

impl Post {
    async fn start(refresh_token: Option<&str>, manners: Manners) -> Post {
        let grants = Grants {
            client_id: "app".to_owned(),
            client_secret: SECRET.to_owned(),
            refresh_token: refresh_token.map(str::to_owned),
            ..Grants::default()
        };
        let endpoint = Arc::new(TokenEndpoint::start(grants).await.unwrap());
        let tokens = Some((USER, endpoint.clone()));
        let (encryption, folder) = (Encryption::Starttls, tempfile::tempdir().unwrap());
        let receiver =
            Receiver::start(Manners { encryption, tokens, methods: "PLAIN XOAUTH2", ..manners }).await;
        Post { endpoint, receiver, folder }
    }

    fn channel(&self, refreshes: bool) -> Channel {
        let named = |name: &str| SecretName { env: Some(name.to_owned()), field: None };
        let oauth = OAuthSettings {
            token_url: self.endpoint.url().to_owned(),
            client_id: "app".to_owned(),
            client_secret: named("CORDON_MAIL_SECRET"),
            scope: Some(SCOPE.to_owned()),
            refresh_token: refreshes.then(|| named("CORDON_MAIL_REFRESH")),
        };
        let ca_file = self.folder.path().join("ca.pem");
        std::fs::write(&ca_file, &self.receiver.authority).unwrap();
        let proof = SmtpProof::OAuth(Box::new(oauth));
        let settings = SmtpSettings {
            host: "127.0.0.1".to_owned(),
            port: self.receiver.port,
            security: SmtpSecurity::Starttls,
            login: Some(SmtpLogin { username: USER.to_owned(), proof }),
            from: USER.to_owned(),
            to: vec!["soc@example.com".to_owned(), "zoe@example.com".to_owned()],
            ca_file: Some(ca_file),
        };
        let vars = [("CORDON_MAIL_SECRET", SECRET), ("CORDON_MAIL_REFRESH", REFRESH)];
        opened(ChannelKind::Smtp(Box::new(settings)), &vars).unwrap()
    }

    /// How often a token was asked for.
    fn asked(&self) -> usize {
        self.endpoint.with(|grants| grants.asked.len())
    }
}

#[tokio::test]
async fn a_token_is_got_in_both_ways_and_used_for_many_letters() {
    for refresh_token in [None, Some(REFRESH)] {
        let post = Post::start(refresh_token, Manners::default()).await;
        let channel = post.channel(refresh_token.is_some());
        for _ in 0..2 {
            sent(&channel).await.unwrap();
        }
        assert_eq!((post.receiver.received().len(), post.asked()), (2, 1));
        let form = post.endpoint.with(|grants| grants.asked[0].clone());
        let grant = if refresh_token.is_some() { "refresh_token" } else { "client_credentials" };
        assert_eq!((form["grant_type"].as_str(), form["scope"].as_str()), (grant, SCOPE));
        assert!(!post.receiver.clear().contains("AUTH"), "a token goes out encrypted only");
    }
}

#[tokio::test]
async fn a_token_that_is_not_good_any_more_is_replaced_at_once() {
    let post = Post::start(None, Manners::default()).await;
    let channel = post.channel(false);
    sent(&channel).await.unwrap();
    post.endpoint.with(|grants| grants.good.clear());
    sent(&channel).await.unwrap();
    assert_eq!((post.receiver.received().len(), post.asked()), (2, 2));
}

#[tokio::test]
async fn a_mailbox_that_is_not_the_apps_is_refused_after_one_other_token() {
    let post = Post::start(None, Manners::default()).await;
    let tokens = Some(("somebody@example.com", post.endpoint.clone()));
    let (encryption, methods) = (Encryption::Starttls, "XOAUTH2");
    let receiver = Receiver::start(Manners { encryption, tokens, methods, ..Manners::default() }).await;
    let post = Post { receiver, ..post };
    let unsent = sent(&post.channel(false)).await.unwrap_err();
    assert_eq!(unsent.fault, Fault::Channel);
    for words in ["535", USER, "scope"] {
        assert!(unsent.why.contains(words), "{}", unsent.why);
    }
    assert_eq!(post.asked(), 2);
}

#[tokio::test]
async fn without_a_token_no_mail_server_is_asked() {
    let post = Post::start(Some("another-refresh-token"), Manners::default()).await;
    let unsent = sent(&post.channel(true)).await.unwrap_err();
    assert_eq!(unsent.fault, Fault::Channel);
    assert!(unsent.why.contains("the refresh token has ended"), "{}", unsent.why);
    assert_eq!(post.receiver.clear(), "");
}

#[tokio::test]
async fn a_server_that_takes_no_tokens_is_sent_none() {
    let post = Post::start(None, Manners::default()).await;
    let (encryption, methods) = (Encryption::Starttls, "PLAIN LOGIN");
    let receiver = Receiver::start(Manners { encryption, methods, ..Manners::default() }).await;
    let post = Post { receiver, ..post };
    let unsent = sent(&post.channel(false)).await.unwrap_err();
    assert!(unsent.why.contains("no method in common"), "{}", unsent.why);
    assert!(post.receiver.received().is_empty());
}

/// A listener that is always there. With one alone, the first thread to come to a line decides whether it is logged at
/// all, and that may be another test's.
static ANOTHER: LazyLock<tracing::Dispatch> =
    LazyLock::new(|| tracing::Dispatch::new(tracing_subscriber::registry()));

/// Everything that is logged on this thread, traces included, as long as the guard lives.
#[derive(Debug, Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    pub(crate) fn listen() -> (Log, DefaultGuard) {
        LazyLock::force(&ANOTHER);
        let log = Log::default();
        let writer = log.clone();
        let lines = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_ansi(false);
        let subscriber = lines.with_writer(move || writer.clone()).finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    /// JSON lines, as the functions on AWS write them.
    pub(crate) fn listen_as_on_aws() -> (Log, DefaultGuard) {
        LazyLock::force(&ANOTHER);
        let log = Log::default();
        let writer = log.clone();
        let lines = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).json();
        let lines = lines.flatten_event(true).with_span_list(false);
        let subscriber = lines.with_writer(move || writer.clone()).finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn no_secret_and_no_token_is_shown_or_logged_whatever_the_others_say_back() {
    let (log, _guard) = Log::listen();
    let rude = |to_recipients| Manners { echoes: true, to_recipients, ..Manners::default() };
    // The letter is refused, one recipient is, and there is no token.
    let one_by_one = [
        (REFRESH, rude("550 5.7.1 no")),
        (REFRESH, Manners { but: &[("zoe@example.com", "550 5.7.1 no")], ..rude("250 fine") }),
        ("another-refresh-token", rude("250 fine")),
    ];
    for (refresh_token, manners) in one_by_one {
        let post = Post::start(Some(refresh_token), manners).await;
        let channel = post.channel(true);
        let first = sent(&channel).await;
        post.endpoint.with(|grants| grants.good.clear());
        let second = sent(&channel).await;
        let shown = format!("{first:?} {second:?} {channel:?} {channel:#?} {}", log.text());
        let asked = post.asked();
        let mut hidden = vec![SECRET.to_owned(), REFRESH.to_owned(), "nobody-keeps".to_owned()];
        for token in (1..=asked).map(|nth| format!("access-token-{nth}-of-app")) {
            hidden.push(as_sent(&token));
            hidden.push(token);
        }
        let found: Vec<&String> = hidden.iter().filter(|hidden| shown.contains(hidden.as_str())).collect();
        assert!(asked > 0 && found.is_empty(), "{found:?} in {shown}");
        assert!(shown.contains(USER), "{shown}");
    }
    assert!(log.text().contains("somebody was not told"), "{}", log.text());
}

/// A token as it stands in the command.
fn as_sent(token: &str) -> String {
    STANDARD.encode(format!("user={USER}\u{1}auth=Bearer {token}\u{1}\u{1}"))
}

//! A mail server in the test's own process: speaks enough SMTP to take a letter, refuse a login or hang up, and
//! keeps what it was given. Relays nothing.

use base64::{Engine, engine::general_purpose::STANDARD};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
use simulator::TokenEndpoint;
use std::sync::{Arc, Mutex};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;

/// How the receiver behaves.
#[derive(Clone)]
pub(crate) struct Manners {
    pub(crate) encryption: Encryption,
    /// The login that it wants; none for nobody's.
    pub(crate) login: Option<(&'static str, &'static str)>,
    /// Whose access tokens it takes instead, for that user.
    pub(crate) tokens: Option<(&'static str, Arc<TokenEndpoint>)>,
    /// What it offers after AUTH.
    pub(crate) methods: &'static str,
    /// Says back what it was sent, where it refuses a login.
    pub(crate) echoes: bool,
    pub(crate) to_sender: &'static str,
    /// The answer to every recipient but these, each with an answer of its own.
    pub(crate) to_recipients: &'static str,
    pub(crate) but: &'static [(&'static str, &'static str)],
    /// The answer to a whole letter; one that begins with another digit than 2 takes none.
    pub(crate) to_letters: &'static str,
    /// It takes the connection, and never says a word.
    pub(crate) says_nothing: bool,
    pub(crate) hangs_up_after_data: bool,
}

impl Default for Manners {
    fn default() -> Self {
        Manners {
            encryption: Encryption::None,
            login: None,
            tokens: None,
            methods: "PLAIN LOGIN",
            echoes: false,
            to_sender: "250 fine",
            to_recipients: "250 fine",
            but: &[],
            to_letters: "250 taken",
            says_nothing: false,
            hangs_up_after_data: false,
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Encryption {
    None,
    Starttls,
    Implicit,
}

/// A letter that was taken.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Received {
    pub(crate) encrypted: bool,
    pub(crate) to: Vec<String>,
    pub(crate) content: Vec<u8>,
}

pub(crate) struct Receiver {
    pub(crate) port: u16,
    /// The authority that vouches for the receiver, as PEM.
    pub(crate) authority: String,
    received: Arc<Mutex<Vec<Received>>>,
    /// Every line that came in the clear.
    clear: Arc<Mutex<Vec<String>>>,
}

impl Receiver {
    pub(crate) async fn start(manners: Manners) -> Receiver {
        let (acceptor, authority) = certificate();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let received = Arc::new(Mutex::new(Vec::new()));
        let clear = Arc::new(Mutex::new(Vec::new()));
        let session = Session { manners, received: Arc::clone(&received), clear: Arc::clone(&clear) };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (session, acceptor) = (session.clone(), acceptor.clone());
                // A client that gives up in the middle is no failure of the test's.
                tokio::spawn(async move { session.serve(stream, acceptor).await.ok() });
            }
        });
        Receiver { port, authority, received, clear }
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    pub(crate) fn clear(&self) -> String {
        self.clear.lock().unwrap().join("\n")
    }
}

/// A certificate for 127.0.0.1, and the private authority that signed it.
fn certificate() -> (TlsAcceptor, String) {
    let mut authority = CertificateParams::new(vec![]).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_key = KeyPair::generate().unwrap();
    let pem = authority.self_signed(&authority_key).unwrap().pem();
    let issuer = Issuer::new(authority, authority_key);
    let key = KeyPair::generate().unwrap();
    let server =
        CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![server.der().clone()], PrivatePkcs8KeyDer::from(key.serialize_der()).into())
        .unwrap();
    (TlsAcceptor::from(Arc::new(config)), pem)
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

#[derive(Clone)]
struct Session {
    manners: Manners,
    received: Arc<Mutex<Vec<Received>>>,
    clear: Arc<Mutex<Vec<String>>>,
}

impl Session {
    async fn serve(&self, stream: TcpStream, acceptor: TlsAcceptor) -> std::io::Result<()> {
        if self.manners.says_nothing {
            let mut stream = BufReader::new(stream);
            while self.hear(&mut stream, false).await?.is_some() {}
            return Ok(());
        }
        if self.manners.encryption == Encryption::Implicit {
            let mut stream = BufReader::new(acceptor.accept(stream).await?);
            return self.talk(&mut stream, true, true).await.map(|_| ());
        }
        let mut plain = BufReader::new(stream);
        if self.talk(&mut plain, false, true).await? {
            let mut stream = BufReader::new(acceptor.accept(plain.into_inner()).await?);
            self.talk(&mut stream, true, false).await?;
        }
        Ok(())
    }

    /// One conversation; true when the client wants to go on encrypted.
    async fn talk<S: Stream>(
        &self,
        stream: &mut BufReader<S>,
        encrypted: bool,
        greet: bool,
    ) -> std::io::Result<bool> {
        if greet {
            say(stream, "220 receiver").await?;
        }
        let mut logged_in = self.manners.login.is_none() && self.manners.tokens.is_none();
        let (mut to, mut sent) = (Vec::new(), String::new());
        loop {
            let Some(line) = self.hear(stream, encrypted).await? else { return Ok(false) };
            let verb = line.split(' ').next().unwrap().to_ascii_uppercase();
            match verb.as_str() {
                "EHLO" => {
                    if self.manners.encryption == Encryption::Starttls && !encrypted {
                        say(stream, "250-receiver\r\n250 STARTTLS").await?;
                    } else {
                        say(
                            stream,
                            &format!("250-receiver\r\n250-8BITMIME\r\n250 AUTH {}", self.manners.methods),
                        )
                        .await?;
                    }
                }
                "STARTTLS" => {
                    say(stream, "220 go on").await?;
                    return Ok(true);
                }
                "AUTH" => {
                    let login = self.login(stream, &line, encrypted).await?;
                    logged_in = self.is_let_in(&login);
                    match (logged_in, self.manners.echoes) {
                        (true, _) => say(stream, "235 welcome").await?,
                        (false, false) => say(stream, "535 no").await?,
                        (false, true) => say(stream, &format!("535 not `{login:?}` ({line})")).await?,
                    }
                    sent = line;
                }
                "MAIL" if logged_in => say(stream, &self.answer(self.manners.to_sender, &sent)).await?,
                "RCPT" if logged_in => {
                    let address = line.trim_start_matches("RCPT TO:<").trim_end_matches('>');
                    let other = self.manners.but.iter().find(|(other, _)| *other == address);
                    let answer = other.map_or(self.manners.to_recipients, |(_, answer)| answer);
                    if answer.starts_with('2') {
                        to.push(address.to_owned());
                    }
                    say(stream, &self.answer(answer, &sent)).await?;
                }
                "DATA" if logged_in => {
                    say(stream, "354 go on").await?;
                    let content = self.content(stream).await?;
                    let received = Received { encrypted, to: std::mem::take(&mut to), content };
                    if self.manners.to_letters.starts_with('2') {
                        self.received.lock().unwrap().push(received);
                    }
                    say(stream, &self.answer(self.manners.to_letters, &sent)).await?;
                    if self.manners.hangs_up_after_data {
                        return Ok(false);
                    }
                }
                "QUIT" => {
                    say(stream, "221 bye").await?;
                    return Ok(false);
                }
                _ => say(stream, "530 not like this").await?,
            }
        }
    }

    fn is_let_in(&self, (user, proof): &(String, String)) -> bool {
        match (&self.manners.tokens, self.manners.login) {
            (Some((known, endpoint)), _) => {
                user == known && endpoint.with(|grants| grants.good.contains(proof))
            }
            (None, Some((known, password))) => user == known && proof == password,
            (None, None) => false,
        }
    }

    /// An answer; a rude server adds what it was sent to log in by.
    fn answer(&self, answer: &str, sent: &str) -> String {
        if self.manners.echoes { format!("{answer} ({sent})") } else { answer.to_owned() }
    }

    async fn hear<S: Stream>(
        &self,
        stream: &mut BufReader<S>,
        encrypted: bool,
    ) -> std::io::Result<Option<String>> {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(None);
        }
        let line = line.trim_end().to_owned();
        if !encrypted {
            self.clear.lock().unwrap().push(line.clone());
        }
        Ok(Some(line))
    }

    async fn login<S: Stream>(
        &self,
        stream: &mut BufReader<S>,
        line: &str,
        encrypted: bool,
    ) -> std::io::Result<(String, String)> {
        let decode = |text: &str| String::from_utf8(STANDARD.decode(text).unwrap()).unwrap();
        if let Some(initial) = line.strip_prefix("AUTH PLAIN ") {
            let decoded = decode(initial);
            let mut parts = decoded.split('\0').skip(1).map(str::to_owned);
            return Ok((parts.next().unwrap(), parts.next().unwrap()));
        }
        if let Some(initial) = line.strip_prefix("AUTH XOAUTH2 ") {
            return self.by_token(stream, &decode(initial), encrypted).await;
        }
        say(stream, &format!("334 {}", STANDARD.encode("Username:"))).await?;
        let user = self.hear(stream, encrypted).await?.unwrap();
        say(stream, &format!("334 {}", STANDARD.encode("Password:"))).await?;
        let password = self.hear(stream, encrypted).await?.unwrap();
        Ok((decode(&user), decode(&password)))
    }

    /// As Outlook and Gmail do it: the reason first, and the code once the client has answered that with an empty line.
    async fn by_token<S: Stream>(
        &self,
        stream: &mut BufReader<S>,
        said: &str,
        encrypted: bool,
    ) -> std::io::Result<(String, String)> {
        let rest = said.strip_prefix("user=").unwrap().strip_suffix("\u{1}\u{1}").unwrap();
        let (user, token) = rest.split_once("\u{1}auth=Bearer ").unwrap();
        let login = (user.to_owned(), token.to_owned());
        if !self.is_let_in(&login) {
            let why = STANDARD.encode(r#"{"status":"400","schemes":"Bearer"}"#);
            say(stream, &format!("334 {why}")).await?;
            assert_eq!(self.hear(stream, encrypted).await?.as_deref(), Some(""));
        }
        Ok(login)
    }

    async fn content<S: Stream>(&self, stream: &mut BufReader<S>) -> std::io::Result<Vec<u8>> {
        let mut content = Vec::new();
        loop {
            let mut line = Vec::new();
            stream.read_until(b'\n', &mut line).await?;
            if line == b".\r\n" || line.is_empty() {
                return Ok(content);
            }
            content.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
        }
    }
}

async fn say<S: Stream>(stream: &mut BufReader<S>, line: &str) -> std::io::Result<()> {
    stream.get_mut().write_all(format!("{line}\r\n").as_bytes()).await?;
    stream.get_mut().flush().await
}

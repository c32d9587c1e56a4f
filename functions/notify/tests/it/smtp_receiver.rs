//! A mail server in the test's own process: speaks enough SMTP to take a letter, refuse a login or hang up, and
//! keeps what it was given. Relays nothing.

use base64::{Engine, engine::general_purpose::STANDARD};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
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
    /// What it offers after AUTH.
    pub(crate) methods: &'static str,
    /// Says back what it was sent, where it refuses a login.
    pub(crate) echoes: bool,
    /// The answer to every recipient.
    pub(crate) to_recipients: &'static str,
    pub(crate) hangs_up_after_data: bool,
}

impl Default for Manners {
    fn default() -> Self {
        Manners {
            encryption: Encryption::None,
            login: None,
            methods: "PLAIN LOGIN",
            echoes: false,
            to_recipients: "250 fine",
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
        let mut logged_in = self.manners.login.is_none();
        let mut to = Vec::new();
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
                    logged_in = self
                        .manners
                        .login
                        .is_some_and(|(user, password)| login == (user.into(), password.into()));
                    match (logged_in, self.manners.echoes) {
                        (true, _) => say(stream, "235 welcome").await?,
                        (false, false) => say(stream, "535 no").await?,
                        (false, true) => say(stream, &format!("535 not `{login:?}` ({line})")).await?,
                    }
                }
                "MAIL" if logged_in => say(stream, "250 fine").await?,
                "RCPT" if logged_in => {
                    to.push(line.trim_start_matches("RCPT TO:<").trim_end_matches('>').to_owned());
                    say(stream, self.manners.to_recipients).await?;
                }
                "DATA" if logged_in => {
                    say(stream, "354 go on").await?;
                    let content = self.content(stream).await?;
                    let received = Received { encrypted, to: std::mem::take(&mut to), content };
                    self.received.lock().unwrap().push(received);
                    say(stream, "250 taken").await?;
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
        say(stream, &format!("334 {}", STANDARD.encode("Username:"))).await?;
        let user = self.hear(stream, encrypted).await?.unwrap();
        say(stream, &format!("334 {}", STANDARD.encode("Password:"))).await?;
        let password = self.hear(stream, encrypted).await?.unwrap();
        Ok((decode(&user), decode(&password)))
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

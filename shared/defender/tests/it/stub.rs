//! A server that says what it is told to, and writes down on which connection it was asked.
//!
//! For answers that the simulator, which knows its manners, never gives.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

/// A running stub. Its threads end with the test process.
pub(crate) struct Stub {
    pub(crate) url: String,
    seen: Arc<Mutex<Vec<(usize, String)>>>,
    sent: Arc<AtomicUsize>,
}

/// What is answered to everything but the wish for a token.
#[derive(Clone)]
enum Body {
    Text(String),
    /// One after the other, the last again and again. `{url}` stands for the server's own address.
    InTurn(Vec<String>),
    /// So many blanks.
    Blanks(usize),
}

impl Stub {
    /// Gives a token to whoever asks for one, and this body to everything else.
    pub(crate) fn saying(body: &str) -> Stub {
        Stub::start(Body::Text(body.to_owned()))
    }

    /// Gives a token to whoever asks for one, and these bodies to everything else, one after the other.
    pub(crate) fn saying_in_turn(bodies: &[String]) -> Stub {
        Stub::start(Body::InTurn(bodies.to_vec()))
    }

    /// Gives a token to whoever asks for one, and a body of so many bytes to everything else, as long as that is read.
    pub(crate) fn blank(bytes: usize) -> Stub {
        Stub::start(Body::Blanks(bytes))
    }

    fn start(body: Body) -> Stub {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let body = match body {
            Body::InTurn(texts) => {
                Body::InTurn(texts.iter().map(|text| text.replace("{url}", &url)).collect())
            }
            body => body,
        };
        let (seen, sent) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicUsize::new(0)));
        let (log, count) = (seen.clone(), sent.clone());
        std::thread::spawn(move || {
            for (number, stream) in listener.incoming().flatten().enumerate() {
                let (body, log, count) = (body.clone(), log.clone(), count.clone());
                std::thread::spawn(move || converse(stream, number, &body, &log, &count));
            }
        });
        Stub { url, seen, sent }
    }

    /// The connection (counted from 0) and the first line of each request, in order.
    pub(crate) fn requests(&self) -> Vec<(usize, String)> {
        self.seen.lock().unwrap().clone()
    }

    /// How many blanks have been taken off it.
    pub(crate) fn sent(&self) -> usize {
        self.sent.load(Ordering::Relaxed)
    }
}

fn converse(
    mut stream: TcpStream,
    number: usize,
    body: &Body,
    seen: &Mutex<Vec<(usize, String)>>,
    sent: &AtomicUsize,
) {
    let mut request = Vec::new();
    let mut some = [0; 4096];
    while let Ok(length @ 1..) = stream.read(&mut some) {
        request.extend_from_slice(some.get(..length).unwrap_or_default());
        let text = String::from_utf8_lossy(&request).into_owned();
        let Some((head, rest)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        if rest.len() < length.unwrap_or(0) {
            continue;
        }
        let first = head.lines().next().unwrap_or_default().to_owned();
        let token = Body::Text(r#"{"access_token": "x.e30.x", "expires_in": 3599}"#.to_owned());
        let wants_token = |first: &str| first.contains("/oauth2/");
        let mut log = seen.lock().unwrap();
        let turn = log.iter().filter(|(_, first)| !wants_token(first)).count();
        let next = match body {
            Body::InTurn(texts) => {
                texts.get(turn).or(texts.last()).map_or(token.clone(), |text| Body::Text(text.clone()))
            }
            body => body.clone(),
        };
        let body = if wants_token(&first) { token } else { next };
        log.push((number, first));
        drop(log);
        request.clear();
        let length = match &body {
            Body::Text(text) => text.len(),
            Body::Blanks(count) => *count,
            Body::InTurn(_) => unreachable!("a turn is a text"),
        };
        let head =
            format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n");
        let written = stream.write_all(head.as_bytes()).and_then(|()| match &body {
            Body::Text(text) => stream.write_all(text.as_bytes()),
            Body::Blanks(count) => blanks(&mut stream, *count, sent),
            Body::InTurn(_) => unreachable!("a turn is a text"),
        });
        if written.is_err() {
            return;
        }
    }
}

fn blanks(stream: &mut TcpStream, count: usize, sent: &AtomicUsize) -> std::io::Result<()> {
    let some = [b' '; 65_536];
    let mut left = count;
    while left > 0 {
        let next = some.get(..left.min(some.len())).unwrap_or_default();
        stream.write_all(next)?;
        left -= next.len();
        sent.fetch_add(next.len(), Ordering::Relaxed);
    }
    Ok(())
}

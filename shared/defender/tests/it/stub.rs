//! A server that says what it is told to, and writes down on which connection it was asked.
//!
//! For answers that the simulator, which knows its manners, never gives.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
};

/// A running stub. Its threads end with the test process.
pub(crate) struct Stub {
    pub(crate) url: String,
    seen: Arc<Mutex<Vec<(usize, String)>>>,
}

impl Stub {
    /// Gives a token to whoever asks for one, and this body to everything else.
    pub(crate) fn saying(body: &str) -> Stub {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (body, log) = (body.to_owned(), seen.clone());
        std::thread::spawn(move || {
            for (number, stream) in listener.incoming().flatten().enumerate() {
                let (body, log) = (body.clone(), log.clone());
                std::thread::spawn(move || converse(stream, number, &body, &log));
            }
        });
        Stub { url, seen }
    }

    /// The connection (counted from 0) and the first line of each request, in order.
    pub(crate) fn requests(&self) -> Vec<(usize, String)> {
        self.seen.lock().unwrap().clone()
    }
}

fn converse(mut stream: TcpStream, number: usize, body: &str, seen: &Mutex<Vec<(usize, String)>>) {
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
        let token = r#"{"access_token": "x.e30.x", "expires_in": 3599}"#;
        let body = if first.contains("/oauth2/") { token } else { body };
        seen.lock().unwrap().push((number, first));
        request.clear();
        let head =
            format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}", body.len());
        if stream.write_all(format!("{head}\r\n\r\n{body}").as_bytes()).is_err() {
            return;
        }
    }
}

//! A stranger between Cordon and the tenant who writes into the answers what no well-behaved server would: half
//! characters, records that are none, a stamp that is missing.
//!
//! The simulator can plant any record, but only as good JSON. This passes everything on and replaces texts.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
};

/// What is replaced by what, in answers to requests whose first line holds the first text.
pub(crate) type Changes = Vec<(&'static str, String, String)>;

/// Starts to meddle between a client and `behind`, and gives the URL that the client is to use.
pub(crate) fn meddle(behind: &str, changes: Changes) -> String {
    let behind = behind.trim_start_matches("http://").to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for client in listener.incoming() {
            // Whoever hangs up meanwhile is not interested any more.
            let _ = client.and_then(|client| pass_on(client, &behind, &changes));
        }
    });
    url
}

/// One request and its answer; then the connection is closed.
fn pass_on(mut client: TcpStream, behind: &str, changes: &Changes) -> std::io::Result<()> {
    let mut request = Vec::new();
    while !is_whole(&request) {
        let mut some = [0; 4096];
        match client.read(&mut some)? {
            0 => return Ok(()),
            length => request.extend_from_slice(some.get(..length).unwrap_or_default()),
        }
    }
    let request = String::from_utf8_lossy(&request).replacen("\r\n", "\r\nConnection: close\r\n", 1);
    let mut server = TcpStream::connect(behind)?;
    server.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer)?;

    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    let first_line = request.lines().next().unwrap_or_default();
    let body = changes
        .iter()
        .filter(|(route, _, _)| first_line.contains(route))
        .fold(body.to_owned(), |body, (_, from, to)| body.replace(from, to));
    let kept = head.lines().filter(|line| !line.to_ascii_lowercase().starts_with("content-length"));
    let head = kept.collect::<Vec<_>>().join("\r\n");
    client.write_all(format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).as_bytes())
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head
        .lines()
        .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
    body.len() >= length.unwrap_or(0)
}

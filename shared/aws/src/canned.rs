//! A service for tests that gives prepared answers, among them those that no emulator can be brought to give.
//!
//! It understands nothing of what it is asked.

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_dynamodb::config::{Credentials, SharedCredentialsProvider};
use serde_json::Value;
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    thread::{self, JoinHandle},
};

#[derive(Debug, Clone)]
pub(crate) enum Answer {
    Said {
        status: u16,
        /// Headers beside those that every answer has, each with its line's end.
        more: String,
        body: String,
    },
    /// The request is read, and the connection closed.
    HangUp,
}

impl Answer {
    pub(crate) fn json(status: u16, body: &Value) -> Answer {
        Answer::text(status, body.to_string())
    }

    pub(crate) fn text(status: u16, body: String) -> Answer {
        Answer::Said { status, more: String::new(), body }
    }

    /// The same with another header.
    pub(crate) fn with(mut self, header: &str) -> Answer {
        if let Answer::Said { more, .. } = &mut self {
            more.push_str(&format!("{header}\r\n"));
        }
        self
    }
}

/// Answers as many requests as it has answers for, each on a connection of its own.
pub(crate) struct Canned {
    endpoint: String,
    serving: JoinHandle<Vec<Value>>,
}

impl Canned {
    pub(crate) fn start(answers: Vec<Answer>) -> Canned {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let serving = thread::spawn(move || {
            let answer = |answer| serve(listener.accept().unwrap().0, answer);
            answers.into_iter().map(answer).collect()
        });
        Canned { endpoint, serving }
    }

    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The requests' bodies, each a text where it is no JSON. Waits for those that are still missing.
    pub(crate) fn requests(self) -> Vec<Value> {
        self.serving.join().unwrap()
    }
}

fn serve(stream: TcpStream, answer: Answer) -> Value {
    let mut reader = BufReader::new(stream);
    let (mut length, mut line) = (0, String::new());
    while {
        line.clear();
        reader.read_line(&mut line).unwrap()
    } > 0
        && !line.trim().is_empty()
    {
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    if let Answer::Said { status, more, body } = answer {
        let kind = if body.starts_with('<') { "text/xml" } else { "application/x-amz-json-1.0" };
        let head = format!(
            "HTTP/1.1 {status} -\r\ncontent-type: {kind}\r\n{more}content-length: {}\r\nconnection: close\r\n\r\n",
            body.len()
        );
        reader.get_mut().write_all(format!("{head}{body}").as_bytes()).unwrap();
    }
    serde_json::from_slice(&body).unwrap_or_else(|_| Value::String(String::from_utf8(body).unwrap()))
}

pub(crate) fn config(endpoint: &str) -> SdkConfig {
    let credentials = Credentials::new("test", "test", None, None, "test");
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static("us-east-1"))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .endpoint_url(endpoint)
        .http_client(crate::http::client(Some(endpoint)).unwrap())
        .build()
}

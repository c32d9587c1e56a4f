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
    Json {
        status: u16,
        body: String,
    },
    /// The request is read, and the connection closed.
    HangUp,
}

impl Answer {
    pub(crate) fn json(status: u16, body: &Value) -> Answer {
        Answer::Json { status, body: body.to_string() }
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

    /// The requests' bodies. Waits for those that are still missing.
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
    if let Answer::Json { status, body } = answer {
        let head = format!(
            "HTTP/1.1 {status} -\r\ncontent-type: application/x-amz-json-1.0\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            body.len()
        );
        reader.get_mut().write_all(format!("{head}{body}").as_bytes()).unwrap();
    }
    serde_json::from_slice(&body).unwrap()
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

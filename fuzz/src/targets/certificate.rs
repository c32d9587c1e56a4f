//! The certificate authority of one's own mail server, the only PEM that is read so far (`DEFENDER_CERTIFICATE` is not
//! built yet). People put a key beside the certificate, so the secret stands in one.

use super::{Target, assert_sayable};
use crate::seeds;
use credentials::{Problems, Vars};
use policy::{Channel, ChannelKind, SmtpSecurity, SmtpSettings};
use tempfile::TempDir;

pub(super) const TARGETS: [Target; 1] =
    [Target { name: "certificate", check: certificate, seeds: seeds::certificates, words: &WORDS, cost: 8 }];

const WORDS: [&str; 5] = [
    "-----BEGIN CERTIFICATE-----\n",
    "-----END CERTIFICATE-----\n",
    "-----BEGIN PRIVATE KEY-----\n",
    "-----END PRIVATE KEY-----\n",
    "MIIB",
];

thread_local! {
    static FOLDER: TempDir = tempfile::tempdir().unwrap();
}

fn certificate(input: &[u8]) {
    let path = FOLDER.with(|folder| folder.path().join("ca.pem"));
    std::fs::write(&path, input).unwrap();
    let settings = SmtpSettings {
        host: "mail.example.com".to_owned(),
        port: 587,
        security: SmtpSecurity::Starttls,
        login: None,
        from: "cordon@example.com".to_owned(),
        to: vec!["soc@example.com".to_owned()],
        ca_file: Some(path),
    };
    let channel = Channel::new("team", ChannelKind::Smtp(Box::new(settings)));
    let mut problems = Problems::default();
    let opened = notify::open(&[channel], &Vars::default(), None, &mut problems);
    assert_eq!(opened.len(), usize::from(problems.is_empty()), "{problems:?}");
    problems.iter().for_each(|problem| assert_sayable(problem, 400));
}

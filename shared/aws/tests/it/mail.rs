//! Mail by SES: a verified address may send, another may not. What arrives is read by `scripts/aws-e2e`.

use crate::{emulator, unused};
use aws::SesMail;
use aws_sdk_sesv2::Client;
use ports::{Fault, MailBackend};

#[tokio::test]
async fn a_letter_goes_out_from_a_verified_address_only() {
    let config = emulator().await;
    let from = format!("{}@example.com", unused("cordon"));
    let letter = format!(
        "From: {from}\r\nTo: soc@example.com\r\nSubject: isolated\r\n\r\nws-1 is cut off: {from}\r\n"
    );
    let mail = SesMail::new(&config);
    let to = ["soc@example.com".to_owned()];
    let refused = mail.send(&from, &to, letter.clone().into_bytes()).await.unwrap_err();
    assert_eq!(refused.fault, Fault::Channel, "every other letter would fare the same: {refused:?}");
    let why = refused.why;
    assert!(why.contains("SES did not take") && why.contains("not verified"), "{why}");

    Client::new(&config).create_email_identity().email_identity(&from).send().await.unwrap();
    mail.send(&from, &to, letter.into_bytes()).await.unwrap();
}

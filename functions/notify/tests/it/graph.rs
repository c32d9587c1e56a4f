//! Mail by Microsoft Graph: what arrives is the letter that a mail server would get, read by a library.

use crate::{
    http_receiver::{Answer, Message, Receiver, Request, env, every_message, opened, sent, tell},
    samples::{PORTAL, envelope, requested},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use mail_parser::MessageParser;
use notify::Channel;
use policy::{ChannelKind, GraphSettings};
use ports::Fault;
use std::sync::atomic::{AtomicUsize, Ordering};

pub(crate) const CLIENT_SECRET: &str = "client-secret-of-the-mail-app";
pub(crate) const TOKEN: &str = "header-of-the-token.payload-of-the-token.signature-of-the-token";
const TENANT: &str = "99999999-2222-3333-4444-555555555555";

fn kind(tenant: Option<&str>) -> ChannelKind {
    ChannelKind::Graph(Box::new(GraphSettings {
        tenant: tenant.map(str::to_owned),
        client_id: "mail-app".to_owned(),
        client_secret: env("CORDON_GRAPH_SECRET"),
        from: "Cordon <cordon+mail@example.com>".to_owned(),
        to: vec!["soc@example.com".to_owned(), "Zoë <zoe@example.com>".to_owned()],
    }))
}

fn with(receiver: &Receiver, tenant: Option<&str>) -> Result<Channel, String> {
    let url = receiver.url("");
    let vars = [
        ("CORDON_GRAPH_SECRET", CLIENT_SECRET),
        ("DEFENDER_LOGIN_URL", &url),
        ("GRAPH_API_URL", &url),
        ("DEFENDER_TENANT_ID", "11111111-2222-3333-4444-555555555555"),
    ];
    opened(kind(tenant), &vars)
}

pub(crate) fn channel(receiver: &Receiver) -> Channel {
    with(receiver, Some(TENANT)).unwrap()
}

/// The token endpoint's answer, where the request is for it.
pub(crate) fn token(request: &Request) -> Option<Answer> {
    request.target.ends_with("/oauth2/v2.0/token").then(|| Answer::With {
        status: 200,
        header: ("Content-Type", "application/json".to_owned()),
        body: format!(r#"{{"token_type":"Bearer","expires_in":3599,"access_token":"{TOKEN}"}}"#),
    })
}

async fn graph(answer: Answer) -> Receiver {
    Receiver::answering(move |request| token(request).unwrap_or_else(|| answer.clone())).await
}

fn letter(request: &Request) -> Vec<u8> {
    assert_eq!(request.method, "POST");
    assert_eq!(request.target, "/v1.0/users/cordon%2Bmail@example.com/sendMail");
    assert_eq!(request.header("content-type"), "text/plain");
    assert_eq!(request.header("authorization"), format!("Bearer {TOKEN}"));
    STANDARD.decode(&request.body).unwrap()
}

#[tokio::test]
async fn a_letter_arrives_with_its_headers_and_both_parts() {
    let receiver = graph(Answer::Status(202, "")).await;
    tell(channel(&receiver), Message::Outcome(Box::new(requested()))).await;
    let [asked, sent] = receiver.received().try_into().unwrap();
    assert_eq!(asked.target, format!("/{TENANT}/oauth2/v2.0/token"));
    let form = String::from_utf8(asked.body).unwrap();
    for part in [
        "grant_type=client_credentials",
        "client_id=mail-app",
        "scope=https%3A%2F%2Fgraph.microsoft.com%2F.default",
    ] {
        assert!(form.contains(part), "{form}");
    }
    let letter = letter(&sent);
    let letter = MessageParser::default().parse(&letter).unwrap();
    let message = envelope(requested());
    assert_eq!(letter.message_id().unwrap(), format!("{}@example.com", message.id));
    assert_eq!(letter.from().unwrap().first().unwrap().address().unwrap(), "cordon+mail@example.com");
    assert_eq!(letter.to().unwrap().last().unwrap().name().unwrap(), "Zoë");
    assert!(letter.references().as_text().unwrap().ends_with("@example.com"));
    let mail = notify::render(&message.body, PORTAL, message.occurred_at, &message.id);
    assert_eq!(letter.subject().unwrap(), mail.subject);
    assert_eq!(letter.body_text(0).unwrap().replace("\r\n", "\n"), mail.text);
    assert_eq!(letter.body_html(0).unwrap().replace("\r\n", "\n"), mail.html);
}

#[tokio::test]
async fn every_kind_of_message_is_a_letter() {
    for message in every_message() {
        let receiver = graph(Answer::Status(202, "")).await;
        tell(channel(&receiver), message).await;
        let requests = receiver.received();
        let letter = letter(requests.last().unwrap());
        assert!(MessageParser::default().parse(&letter).unwrap().subject().unwrap().starts_with("[Cordon] "));
    }
}

#[tokio::test]
async fn without_a_tenant_of_its_own_it_is_the_one_whose_alerts_are_read() {
    let receiver = graph(Answer::Status(202, "")).await;
    sent(&with(&receiver, None).unwrap()).await.unwrap();
    assert_eq!(receiver.received()[0].target, "/11111111-2222-3333-4444-555555555555/oauth2/v2.0/token");
}

#[tokio::test]
async fn a_token_that_is_turned_down_is_replaced_once() {
    let calls = AtomicUsize::new(0);
    let receiver = Receiver::answering(move |request| {
        token(request).unwrap_or_else(|| match calls.fetch_add(1, Ordering::SeqCst) {
            0 => Answer::Status(401, ""),
            _ => Answer::Status(202, ""),
        })
    })
    .await;
    sent(&channel(&receiver)).await.unwrap();
    let targets =
        |end: &str| receiver.received().iter().filter(|request| request.target.ends_with(end)).count();
    assert_eq!((targets("/token"), targets("/sendMail")), (2, 2));

    let receiver = graph(Answer::Status(401, "")).await;
    let unsent = sent(&channel(&receiver)).await.unwrap_err();
    assert!(unsent.why.contains("check `tenant_id` and `client_id`"), "{unsent:?}");
    assert_eq!(receiver.received().len(), 4);
}

#[tokio::test]
async fn an_answer_says_what_to_do() {
    let denied = r#"{"error":{"code":"ErrorAccessDenied","message":"Access is denied."}}"#;
    let cases = [
        (403, denied, Fault::Channel, "it needs Mail.Send as an application permission"),
        (403, denied, Fault::Channel, "(it said: ErrorAccessDenied)"),
        (404, r#"{"error":{"code":"ErrorInvalidUser"}}"#, Fault::Channel, "check `from`"),
        (400, r#"{"error":{"code":"ErrorMimeContentInvalid"}}"#, Fault::Message, "ErrorMimeContentInvalid"),
        (400, r#"{"error":{"code":"ErrorInvalidRecipients"}}"#, Fault::Channel, "check `to`"),
        (400, r#"{"error":{"code":"ErrorSendAsDenied"}}"#, Fault::Channel, "check `from`"),
        (413, "", Fault::Message, "too long"),
        (503, "", Fault::Channel, "503"),
        (504, "", Fault::Channel, "504"),
    ];
    for (status, body, fault, words) in cases {
        let receiver = graph(Answer::Status(status, body)).await;
        let unsent = sent(&channel(&receiver)).await.unwrap_err();
        assert_eq!(unsent.fault, fault, "{unsent:?}");
        assert!(unsent.why.contains(words) && unsent.why.starts_with("Microsoft Graph"), "{unsent:?}");
    }
}

#[tokio::test]
async fn without_a_token_nothing_is_sent() {
    let refused = r#"{"error":"invalid_client","error_codes":[7000222],"error_description":"expired"}"#;
    let receiver = Receiver::start(Answer::Status(401, refused)).await;
    let unsent = sent(&channel(&receiver)).await.unwrap_err();
    assert!(unsent.why.contains("the client secret has expired"), "{unsent:?}");
    assert!(unsent.after.is_some(), "nobody hammers: {unsent:?}");
    assert_eq!(receiver.received().len(), 1);
}

#[test]
fn settings_that_are_wrong_are_named() {
    let why = opened(kind(Some("../x")), &[]).unwrap_err();
    for part in ["tenant_id: `../x`", "CORDON_GRAPH_SECRET is not set (the client secret of the channel)"] {
        assert!(why.contains(part), "{why}");
    }
    let why = opened(kind(None), &[("CORDON_GRAPH_SECRET", CLIENT_SECRET)]).unwrap_err();
    assert!(why.contains("channel `people`: DEFENDER_TENANT_ID"), "{why}");
}

//! The channels that the AWS host brings, as they ask its services: by the real clients, of a receiver that answers as
//! SNS or SES would. That the services themselves take it is for the tests of `aws` to show, beside an emulator.

use crate::{
    hostile,
    http_receiver::{Answer, Message, Receiver, assert_harmless, sent},
    memory::Memory,
    samples::{envelope, notice, now, release, requested},
    smtp_receiver::{self, Manners},
};
use aws::{Secrets, SesMail, SnsTopics};
use base64::{Engine, engine::general_purpose::STANDARD};
use credentials::{Problems, SecretStore, Vars};
use mail_parser::MessageParser;
use model::{EffectState, Topic};
use notify::{Channel, KeptSecret, OnAws, open};
use policy::{ChannelKind, SecretName, SmtpLogin, SmtpProof, SmtpSecurity, SmtpSettings};
use ports::{Disposition, Tally};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

const DEPLOYED: &str = "arn:aws:sns:eu-central-1:123456789012:soc";

/// SNS's answer to what it takes.
const TAKEN: &str =
    "<PublishResponse><PublishResult><MessageId>1</MessageId></PublishResult></PublishResponse>";

fn vars(given: &[(&str, &str)]) -> Vars {
    given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// The services, all of them at the receiver.
fn services(receiver: &Receiver, secret: Option<&str>) -> OnAws {
    let url = receiver.url("");
    let keys =
        [("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test"), ("AWS_REGION", "eu-central-1")];
    let given: Vec<(&str, &str)> = keys.into_iter().chain([("AWS_ENDPOINT_URL", url.as_str())]).collect();
    let config = aws::config(&vars(&given)).unwrap();
    let store: Arc<dyn SecretStore> = Arc::new(Secrets::new(&config));
    let secret = secret.map(|name| KeptSecret { store, name: name.to_owned() });
    OnAws { mail: Arc::new(SesMail::new(&config)), topics: Arc::new(SnsTopics::new(&config)), secret }
}

fn opened(kind: ChannelKind, given: &[(&str, &str)], services: &OnAws) -> Result<Channel, String> {
    let mut problems = Problems::default();
    let channels = open(&[policy::Channel::new("people", kind)], &vars(given), Some(services), &mut problems);
    let problems = problems.iter().collect::<Vec<_>>().join("\n");
    if problems.is_empty() { Ok(channels.into_iter().next().unwrap()) } else { Err(problems) }
}

/// Tells an outcome.
async fn tell(channel: Channel) {
    let notify = crate::memory::notify(vec![channel], Memory::state().1, Tally::default());
    assert_eq!(Box::pin(notify.handle(envelope(requested()), now())).await, Disposition::Done);
}

async fn sns() -> Receiver {
    let header = ("content-type", "text/xml".to_owned());
    Receiver::start(Answer::With { status: 200, header, body: TAKEN.to_owned() }).await
}

/// The fields of the one call.
fn form(receiver: &Receiver) -> BTreeMap<String, String> {
    let [request] = receiver.received().try_into().unwrap();
    url::form_urlencoded::parse(&request.body).into_owned().collect()
}

/// What a topic is told, by name.
fn attributes(form: &BTreeMap<String, String>) -> BTreeMap<&str, &str> {
    let entry = |nth: u32, part: &str| form.get(&format!("MessageAttributes.entry.{nth}.{part}"));
    let all = (1..)
        .map_while(|nth| Some((entry(nth, "Name")?.as_str(), entry(nth, "Value.StringValue")?.as_str())));
    all.collect()
}

#[tokio::test]
async fn a_topic_is_told_the_plain_part_with_words_to_choose_by() {
    let receiver = sns().await;
    let services = services(&receiver, None);
    tell(opened(ChannelKind::Sns, &[("CORDON_SNS_TOPIC", DEPLOYED)], &services).unwrap()).await;

    let form = form(&receiver);
    assert_eq!((form["Action"].as_str(), form["TopicArn"].as_str()), ("Publish", DEPLOYED));
    let subject = "[Cordon] 1 High - isolation requested - laptop-7 - Suspicious encryption of files";
    assert_eq!(form["Subject"], subject);
    assert!(form["Message"].contains("laptop-7") && !form["Message"].contains('<'), "{}", form["Message"]);
    // A topic's subscribers may be anybody: no command line goes there unless the playbook says so.
    assert!(!form["Message"].contains("-nop"), "{}", form["Message"]);
    let chosen_by = [
        ("action", "isolate"),
        ("kind", "outcome"),
        ("outcome", "requested"),
        ("severity", "High"),
        ("urgent", "true"),
    ];
    assert_eq!(attributes(&form), chosen_by.into());
}

#[tokio::test]
async fn a_topic_is_told_what_is_not_urgent_as_such() {
    let receiver = sns().await;
    let services = services(&receiver, None);
    let topic = opened(ChannelKind::Sns, &[("CORDON_SNS_TOPIC", DEPLOYED)], &services).unwrap();
    let released = Message::Outcome(Box::new(release(EffectState::Released)));
    crate::http_receiver::tell(topic, released).await;
    let form = form(&receiver);
    assert_eq!(attributes(&form)["urgent"], "false");
}

#[tokio::test]
async fn no_word_of_a_stranger_acts_in_a_topic() {
    for text in hostile::corpus() {
        let notice = Message::Notice(hostile::notice_of(Topic::AlienAction, &text));
        for message in [Message::Outcome(Box::new(hostile::everywhere(&text))), notice] {
            let receiver = sns().await;
            let services = services(&receiver, None);
            let topic = opened(ChannelKind::Sns, &[("CORDON_SNS_TOPIC", DEPLOYED)], &services).unwrap();
            crate::http_receiver::tell(topic, message).await;
            let form = form(&receiver);
            for told in ["Subject", "Message"] {
                assert_harmless(&form[told], &text);
            }
            attributes(&form).values().for_each(|value| assert_harmless(value, &text));
        }
    }
}

#[tokio::test]
async fn a_fifo_topic_of_the_deployment_is_refused() {
    let receiver = sns().await;
    let fifo = format!("{DEPLOYED}.fifo");
    let given = [("CORDON_SNS_TOPIC", fifo.as_str())];
    let problem = opened(ChannelKind::Sns, &given, &services(&receiver, None)).unwrap_err();
    assert!(problem.contains("CORDON_SNS_TOPIC") && problem.contains("FIFO"), "{problem}");
}

#[tokio::test]
async fn what_a_notice_does_not_have_is_no_attribute() {
    let receiver = sns().await;
    let given = [("CORDON_SNS_TOPIC", DEPLOYED)];
    let channel = opened(ChannelKind::Sns, &given, &services(&receiver, None)).unwrap();
    let notify = crate::memory::notify(vec![channel], Memory::state().1, Tally::default());
    let told = Box::pin(notify.handle_notice(envelope(notice(Topic::Paused)), now())).await;
    assert_eq!(told, Disposition::Done);
    let form = form(&receiver);
    let names: Vec<&str> = attributes(&form).into_keys().collect();
    assert_eq!(names, ["kind", "outcome", "urgent"]);
}

#[tokio::test]
async fn a_topic_that_nobody_names_is_a_problem_that_says_what_to_deploy() {
    let receiver = sns().await;
    let problem = opened(ChannelKind::Sns, &[], &services(&receiver, None)).unwrap_err();
    assert!(problem.starts_with("channel `people`: CORDON_SNS_TOPIC is not set"), "{problem}");
    assert!(problem.contains("NotifyTopicArn"), "{problem}");
}

#[tokio::test]
async fn a_letter_by_ses_is_the_same_as_by_any_other_server() {
    let body = json!({ "MessageId": "1" }).to_string();
    let header = ("content-type", "application/json".to_owned());
    let receiver = Receiver::start(Answer::With { status: 200, header, body }).await;
    let given =
        [("CORDON_MAIL_FROM", "cordon@example.com"), ("CORDON_MAIL_TO", "soc@example.com,zoe@example.com")];
    let services = services(&receiver, None);
    tell(opened(ChannelKind::Ses { to: vec![] }, &given, &services).unwrap()).await;

    let [request] = receiver.received().try_into().unwrap();
    let asked: Value = serde_json::from_slice(&request.body).unwrap();
    assert_eq!(asked["FromEmailAddress"], "cordon@example.com");
    assert_eq!(asked["Destination"], json!({ "ToAddresses": ["soc@example.com", "zoe@example.com"] }));
    let raw = STANDARD.decode(asked["Content"]["Raw"]["Data"].as_str().unwrap()).unwrap();
    let letter = MessageParser::default().parse(&raw).unwrap();
    assert!(letter.subject().unwrap().contains("isolation requested · laptop-7"));
    assert_eq!(letter.to().unwrap().iter().count(), 2);
    assert!(letter.references().as_text().unwrap().ends_with("@example.com"));
    assert!(letter.body_text(0).unwrap().contains("laptop-7"));
    assert!(letter.body_html(0).unwrap().contains("laptop-7"));
}

#[tokio::test]
async fn a_secret_of_a_channel_is_a_field_of_the_deployments_secret() {
    let value = json!({ "hook": "https://hooks.example.com/hunter2" }).to_string();
    let body = json!({ "Name": "channels", "SecretString": value }).to_string();
    let header = ("content-type", "application/x-amz-json-1.1".to_owned());
    let receiver = Receiver::start(Answer::With { status: 200, header, body }).await;
    let named = |field: &str| ChannelKind::Slack {
        url: SecretName { env: Some("CORDON_SLACK_URL".to_owned()), field: Some(field.to_owned()) },
    };
    let services = services(&receiver, Some("channels"));
    let channel = opened(named("missing"), &[], &services).unwrap();
    assert!(!format!("{channel:?}").contains("hunter2"));
    let unsent = sent(&channel).await.unwrap_err();
    assert!(unsent.why.contains("`channels` has no field `missing`"), "{}", unsent.why);
    assert!(!format!("{unsent:?}").contains("hunter2"));
    let [request] = receiver.received().try_into().unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&request.body).unwrap(), json!({ "SecretId": "channels" }));

    let problem = opened(named("hook"), &[], &OnAws { secret: None, ..services }).unwrap_err();
    assert!(problem.contains("ChannelsSecret=create"), "{problem}");
}

#[tokio::test]
async fn a_password_that_was_changed_since_it_was_read_is_read_anew_when_it_is_refused() {
    const PASSWORDS: [&str; 2] = ["the-old-one", "the-new-one"];
    let manners = Manners { login: Some(("cordon", PASSWORDS[1])), ..Manners::default() };
    let post = smtp_receiver::Receiver::start(manners).await;
    let reads = AtomicUsize::new(0);
    let store = Receiver::answering(move |_| {
        let read = reads.fetch_add(1, Ordering::SeqCst).min(1);
        let value = json!({ "smtp_password": PASSWORDS[read] }).to_string();
        let body = json!({ "Name": "channels", "SecretString": value }).to_string();
        Answer::With { status: 200, header: ("content-type", "application/x-amz-json-1.1".to_owned()), body }
    })
    .await;
    let secret = SecretName { env: None, field: Some("smtp_password".to_owned()) };
    let proof = SmtpProof::Password(secret);
    let settings = SmtpSettings {
        host: "127.0.0.1".to_owned(),
        port: post.port,
        security: SmtpSecurity::Plain,
        login: Some(SmtpLogin { username: "cordon".to_owned(), proof }),
        from: "cordon@example.com".to_owned(),
        to: vec!["soc@example.com".to_owned()],
        ca_file: None,
    };
    let services = services(&store, Some("channels"));
    sent(&opened(ChannelKind::Smtp(Box::new(settings)), &[], &services).unwrap()).await.unwrap();
    assert_eq!((post.received().len(), store.received().len()), (1, 2));
}

//! Secrets: read once, kept for a while, read anew when asked to; nothing of a value is ever said.

use crate::{emulator, now, unused};
use aws::Secrets;
use aws_sdk_secretsmanager::Client;
use credentials::SecretStore;
use jiff::{SignedDuration, Timestamp};
use secrecy::ExposeSecret;

async fn create(name: &str, value: &str) -> (Secrets, Client, String) {
    let config = emulator().await;
    let client = Client::new(&config);
    let made = client.create_secret().name(name).secret_string(value).send().await.unwrap();
    (Secrets::new(&config), client, made.arn.unwrap())
}

async fn client_secret(secrets: &Secrets, name: &str, now: Timestamp) -> String {
    secrets.field(name, "client_secret", now).await.unwrap().expose_secret().to_owned()
}

#[tokio::test]
async fn a_secret_is_kept_for_five_minutes_or_until_it_is_turned_down() {
    let name = unused("defender");
    let (secrets, client, arn) = create(&name, r#"{"client_secret":"old","client_id":"app"}"#).await;
    assert_eq!(client_secret(&secrets, &name, now()).await, "old");
    let rotate = async |value: &str| {
        let value = format!("{{\"client_secret\":\"{value}\"}}");
        client.put_secret_value().secret_id(&name).secret_string(value).send().await.unwrap();
    };
    rotate("new").await;
    let almost = now() + SignedDuration::from_secs(299);
    assert_eq!(client_secret(&secrets, &name, almost).await, "old", "what is kept is not asked for");
    assert_eq!(client_secret(&secrets, &arn, almost).await, "new", "an ARN will do as well");
    let then = now() + SignedDuration::from_mins(5);
    assert_eq!(client_secret(&secrets, &name, then).await, "new", "and after a while it is asked for");
    rotate("newer").await;
    secrets.clone().forget(&name).await;
    assert_eq!(client_secret(&secrets, &name, then).await, "newer", "at once when it was turned down");
}

#[tokio::test]
async fn a_secret_or_a_field_that_is_not_there_is_named() {
    let name = unused("never-made");
    let secrets = Secrets::new(&emulator().await);
    let missing = secrets.field(&name, "client_secret", now()).await.unwrap_err().to_string();
    assert!(missing.contains(&name) && missing.contains("no value yet"), "{missing}");
    let (secrets, _, _) = create(&name, r#"{"certificate":"hunter2"}"#).await;
    let missing = secrets.field(&name, "client_secret", now()).await.unwrap_err().to_string();
    assert!(missing.contains(&name) && missing.contains("`client_secret`"), "{missing}");
    assert!(!missing.contains("hunter2"), "{missing}");
}

#[tokio::test]
async fn nothing_of_a_value_is_said() {
    let name = unused("defender");
    let (secrets, _, _) = create(&name, r#"{"client_secret":"hunter2"}"#).await;
    let secret = secrets.field(&name, "client_secret", now()).await.unwrap();
    assert!(!format!("{secret:?}").contains("hunter2"));
    assert_eq!(format!("{secrets:?}"), "Secrets { .. }");
    for value in ["hunter2", "\"hunter2\"", "[\"hunter2\"]", r#"{"a":{"b":"hunter2"}}"#, r#"{"hunter2":1}"#] {
        let name = unused("malformed");
        let (secrets, _, _) = create(&name, value).await;
        let malformed = secrets.field(&name, "client_secret", now()).await.unwrap_err();
        assert!(malformed.why.contains("JSON object of strings"), "{value}: {malformed}");
        assert!(malformed.to_string().contains(&name) && !format!("{malformed:?}").contains("hunter2"));
    }
}

//! A deployed stack is found by its name: queues by theirs, the rest by the tags of one of them.

use crate::{emulator, now, unused};
use aws::{Stack, StackError};
use aws_sdk_sqs::Client;
use model::Mode;
use ports::QueueName;

const TENANT: &str = "11111111-2222-3333-4444-555555555555";

/// Queues as the template names and tags them.
async fn deployed(tags: &[(&str, &str)]) -> String {
    let (client, name) = (Client::new(&emulator().await), unused("cordon"));
    for queue in QueueName::ALL {
        for more in ["", "-dead-letters"] {
            let mut create = client.create_queue().queue_name(format!("{name}-{queue}{more}"));
            if queue == QueueName::EffectsRequested && more.is_empty() {
                for (tag, value) in tags {
                    create = create.tags(*tag, *value);
                }
            }
            create.send().await.unwrap();
        }
    }
    name
}

#[tokio::test]
async fn a_stack_is_found_by_its_name() {
    let tags = [("cordon:tenant", TENANT), ("cordon:table", "some-table"), ("cordon:mode", "enforce")];
    let name = deployed(&tags).await;
    let stack = Stack::find(&emulator().await, &name).await.unwrap();
    assert_eq!((stack.name, stack.tenant.as_str(), stack.mode), (name, TENANT, Mode::Enforce));
    stack.queue.set_aside(QueueName::EffectsRequested, &stack.tenant, "x", "a test", now()).await.unwrap();
    let letters = stack.queue.dead(QueueName::EffectsRequested, None).await.unwrap().letters;
    assert_eq!(letters.len(), 1);
    let state = format!("{:?}", stack.state);
    assert!(state.contains("some-table"), "{state}");
}

#[tokio::test]
async fn a_stack_that_is_not_there_is_named_with_the_region() {
    let failure = Stack::find(&emulator().await, "never-made").await.unwrap_err();
    assert!(matches!(failure, StackError::NotThere { .. }), "{failure:?}");
    let said = failure.to_string();
    assert!(said.contains("`never-made`") && said.contains("us-east-1"), "{said}");
}

#[tokio::test]
async fn a_stack_without_its_tags_says_which_is_missing() {
    for (tags, missing) in [
        (vec![("cordon:tenant", TENANT), ("cordon:mode", "observe")], "cordon:table"),
        (
            vec![("cordon:table", "t"), ("cordon:tenant", "contoso"), ("cordon:mode", "observe")],
            "cordon:tenant",
        ),
        (vec![("cordon:table", "t"), ("cordon:tenant", TENANT), ("cordon:mode", "maybe")], "cordon:mode"),
    ] {
        let name = deployed(&tags).await;
        let failure = Stack::find(&emulator().await, &name).await.unwrap_err();
        assert!(failure.to_string().contains(missing), "{failure}");
    }
}

//! A deployed stack as the operator's machine reaches it: its queues and its state, found by the stack's name.
//!
//! The queues have names made of the stack's. The table has none, so that one that was kept never stands in the way
//! of the next: its name, the tenant and the mode stand as tags on the queue effects-requested. `CloudFormation` is not
//! asked, no secret is read, no function is called; what the operator may do is what their own permissions say.

use crate::{
    Addresses, DynamoState, SdkConfig, SqsQueue, config,
    said::{code, words},
};
use aws_sdk_sqs::Client;
use credentials::Vars;
use model::{Mode, TenantId};
use ports::{Queue, QueueName, State};
use std::{collections::HashMap, sync::Arc};

/// The tags of the queue effects-requested.
const TENANT: &str = "cordon:tenant";
const TABLE: &str = "cordon:table";
const MODE: &str = "cordon:mode";

/// What there is of a deployed stack.
#[derive(Debug, Clone)]
pub struct Stack {
    pub name: String,
    pub tenant: TenantId,
    /// What it was deployed to do.
    pub mode: Mode,
    pub queue: Queue,
    pub state: State,
}

/// Why a stack cannot be worked with, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum StackError {
    #[error(
        "{missing} is not set: AWS credentials and the region are taken from variables of AWS's own names. From a profile: \
         eval \"$(aws configure export-credentials --format env)\"; export AWS_REGION=\"$(aws configure get region)\""
    )]
    NotSignedIn { missing: &'static str },
    #[error("there is no stack `{stack}` here: no queue `{queue}` in region {region} of this account")]
    NotThere { stack: String, queue: String, region: String },
    #[error(
        "the queue effects-requested of stack `{stack}` has no usable tag `{tag}`: the template sets it; deploy again"
    )]
    Untagged { stack: String, tag: &'static str },
    #[error("stack `{stack}`: {what} failed: {why}")]
    Failed { stack: String, what: &'static str, why: String },
    #[error("the HTTP client cannot be made: {0}")]
    NoClient(String),
}

/// Finds the stack of this name, in the account and region that the settings name.
pub async fn open(name: &str, vars: &Vars) -> Result<Stack, StackError> {
    for missing in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"] {
        if vars.get(missing).is_none() {
            return Err(StackError::NotSignedIn { missing });
        }
    }
    let sdk = config(vars).map_err(|error| StackError::NoClient(error.to_string()))?;
    Stack::find(&sdk, name).await
}

impl Stack {
    /// Finds the stack of this name by a configuration.
    pub async fn find(sdk: &SdkConfig, name: &str) -> Result<Stack, StackError> {
        let search = Search { client: Client::new(sdk), sdk, name };
        let mut addresses = Vec::new();
        for queue in QueueName::ALL {
            let url = search.url(&format!("{name}-{queue}")).await?;
            let dead_letters_url = Some(search.url(&format!("{name}-{queue}-dead-letters")).await?);
            addresses.push((queue, Addresses { url, dead_letters_url }));
        }
        let effects = addresses.iter().find(|(queue, _)| *queue == QueueName::EffectsRequested);
        let tags = search.tags(effects.map_or("", |(_, addresses)| &addresses.url)).await?;
        let table = search.tag(&tags, TABLE, |table| Some(table.to_owned()))?;
        Ok(Stack {
            name: name.to_owned(),
            tenant: search.tag(&tags, TENANT, |tenant| tenant.parse().ok())?,
            mode: search.tag(&tags, MODE, mode)?,
            queue: Queue::new(Arc::new(SqsQueue::new(sdk, addresses))),
            state: State::new(Arc::new(DynamoState::new(sdk, table))),
        })
    }
}

/// The search for one stack.
struct Search<'a> {
    client: Client,
    sdk: &'a SdkConfig,
    name: &'a str,
}

impl Search<'_> {
    async fn url(&self, queue: &str) -> Result<String, StackError> {
        let found = self.client.get_queue_url().queue_name(queue).send().await;
        let url = found.map_err(|error| match code(&error) {
            Some(code) if code.contains("NonExistentQueue") || code.contains("QueueDoesNotExist") => {
                let region = self.sdk.region().map_or("(none)", |region| region.as_ref()).to_owned();
                StackError::NotThere { stack: self.name.to_owned(), queue: queue.to_owned(), region }
            }
            _ => self.failed("looking for its queues (sqs:GetQueueUrl)", words(&error)),
        });
        url?.queue_url
            .ok_or_else(|| self.failed("looking for its queues", "an answer without a URL".to_owned()))
    }

    async fn tags(&self, url: &str) -> Result<HashMap<String, String>, StackError> {
        let tags = self.client.list_queue_tags().queue_url(url).send().await;
        let tags =
            tags.map_err(|error| self.failed("reading its tags (sqs:ListQueueTags)", words(&error)))?;
        Ok(tags.tags.unwrap_or_default())
    }

    fn tag<T>(
        &self,
        tags: &HashMap<String, String>,
        tag: &'static str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<T, StackError> {
        let value = tags.get(tag).filter(|value| !value.is_empty()).and_then(|value| read(value));
        value.ok_or_else(|| StackError::Untagged { stack: self.name.to_owned(), tag })
    }

    fn failed(&self, what: &'static str, why: String) -> StackError {
        StackError::Failed { stack: self.name.to_owned(), what, why }
    }
}

fn mode(said: &str) -> Option<Mode> {
    match said {
        "observe" => Some(Mode::Observe),
        "enforce" => Some(Mode::Enforce),
        _ => None,
    }
}

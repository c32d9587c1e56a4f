//! What a failed call says: in words for a log, and whether the service may have acted on it all the same.
//!
//! Which failure means what for a queue or a state is decided where the call is made.

use aws_sdk_sqs::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
};
use jiff::SignedDuration;
use std::error::Error;

/// The code that the service answered with, if it answered.
pub(crate) fn code<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> Option<&str> {
    match error {
        SdkError::ServiceError(answer) => answer.err().code(),
        _ => None,
    }
}

/// How long the service wants to be left alone, where its answer says so: in seconds, or in AWS's own header in
/// milliseconds.
pub(crate) fn after<E>(error: &SdkError<E, HttpResponse>) -> Option<SignedDuration> {
    let SdkError::ServiceError(answer) = error else { return None };
    let number = |name: &str| answer.raw().headers().get(name)?.trim().parse::<u32>().ok();
    let seconds = number("retry-after").map(|seconds| SignedDuration::from_secs(seconds.into()));
    seconds.or(number("x-amz-retry-after").map(|millis| SignedDuration::from_millis(millis.into())))
}

/// What went wrong, in one line.
pub(crate) fn words<E>(error: &SdkError<E, HttpResponse>) -> String
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let words = match error {
        SdkError::ServiceError(answer) => {
            let code = answer.err().code().unwrap_or("an error without a code");
            match answer.err().message() {
                Some(message) => format!("{code}: {message}"),
                None => format!("{code} (HTTP {})", answer.raw().status().as_u16()),
            }
        }
        SdkError::TimeoutError(_) => "no answer in time".to_owned(),
        other => chain(other),
    };
    model::one_line(&words, 400)
}

/// Whether the service may have done what was asked, though no answer says so.
pub(crate) fn maybe_done<E>(error: &SdkError<E, HttpResponse>) -> bool {
    match error {
        SdkError::ConstructionFailure(_) => false,
        SdkError::ServiceError(answer) => answer.raw().status().is_server_error(),
        SdkError::DispatchFailure(failure) => {
            !failure.as_connector_error().is_some_and(|error| never_connected(error))
        }
        // A time-out, an answer that cannot be read, and whatever the SDK may add.
        _ => true,
    }
}

/// Whether there was never a connection to send the request on. A connection that broke proves nothing.
fn never_connected(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.downcast_ref::<reqwest::Error>().is_some_and(reqwest::Error::is_connect) {
            return true;
        }
        next = error.source();
    }
    false
}

/// An error with its causes.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut words = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        words.push_str(": ");
        words.push_str(&error.to_string());
        next = error.source();
    }
    words
}

//! Reads a tenant's alerts and devices into the file that keeps them.
//!
//! A page that has come is written down before the next one is asked for: whatever ends the process, another one goes on
//! from there. How it is asked for is `walk`'s business.

use super::kept::{Kept, Line, Span};
use crate::{
    clock, show,
    walk::{Collect, Lack, Stopped, Walk},
};
use defender::{AlertPage, Portion, Reader, Window};
use jiff::{SignedDuration, Timestamp};
use std::{borrow::Cow, io};

/// How far the last window reaches past this clock: the service's may be ahead.
const SKEW: SignedDuration = SignedDuration::from_secs(30);

/// Reads what the file does not hold yet. The windows that could not be read, a sentence each; none when all is there.
/// An error where asking on is of no use.
pub(crate) async fn fetch(reader: &Reader, kept: &mut Kept) -> Result<Vec<String>, Stopped> {
    if kept.done.is_some() {
        return Ok(Vec::new());
    }
    let mut walk = Walk::new(reader, Portion::Whole);
    let read = all(&mut walk, kept).await;
    show::progress("");
    read.map(|()| walk.missed)
}

async fn all(walk: &mut Walk, kept: &mut Kept) -> Result<(), Stopped> {
    devices(walk, kept).await?;
    walk.alerts(kept.unread(), kept).await?;
    // What was changed meanwhile has left the window in which it was looked for.
    let end = clock::now().checked_add(SKEW).unwrap_or(Timestamp::MAX);
    walk.alerts(vec![Window { from: kept.order.to, to: on_tick(end) }], kept).await?;
    if walk.missed.is_empty() {
        kept.add(&[Line::Done(clock::now())])?;
    }
    Ok(())
}

async fn devices(walk: &mut Walk, kept: &mut Kept) -> Result<(), Stopped> {
    while let Some(skip) = kept.next_devices {
        let page = walk.devices(skip).await?;
        let mark = Line::Devices { next: page.next_skip, unreadable: page.unreadable.len() };
        let devices = page.devices.iter().map(|device| Line::Device(Cow::Borrowed(device)));
        let lines: Vec<Line<'_>> = devices.chain([mark]).collect();
        kept.add(&lines)?;
    }
    Ok(())
}

impl Collect for Kept {
    fn take(&mut self, page: AlertPage) -> io::Result<()> {
        let lines: Vec<Line<'_>> =
            page.alerts.into_iter().map(|alert| Line::Alert(Cow::Owned(alert))).collect();
        self.add(&lines)
    }

    fn has_read(&mut self, window: Window, lack: Lack) -> io::Result<()> {
        let (Window { from, to }, Lack { bare, unreadable }) = (window, lack);
        self.add(&[Line::Read(Span { from, to, bare, unreadable })])
    }
}

/// The time cut to whole seconds, as the service's filter takes it.
fn on_tick(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

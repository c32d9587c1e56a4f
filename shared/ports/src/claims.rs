//! Claims in the state: each write of a claim carries, in one commit, the pointers by which it is found, the machine
//! action that it knows, and the brakes.
//!
//! Which event happened is the steps' business; what it does to a claim stands in `ledger`, and what lets an
//! isolation through in `brakes`.

use crate::{
    Brakes, Claim, CommitError, CutOff, Event, Expect, Gate, Impossible, Key, KnownAction, Moved, OpenEffect,
    State, StateError, Stored, Wish, Write,
};
use jiff::Timestamp;
use model::{DeviceId, Effect, Limits, TenantId};

/// The claims of one tenant.
#[derive(Debug, Clone, Copy)]
pub struct Claims<'a> {
    pub tenant: &'a TenantId,
    pub state: &'a State,
}

/// Why a claim did not move. Nothing was written, unless the state says that it may have been.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Commit(#[from] CommitError),
    #[error(transparent)]
    Impossible(#[from] Impossible),
    /// It was written, and somebody has moved it on since.
    #[error("somebody else has taken the claim over")]
    Lost,
}

/// What the brakes say to an isolation.
#[derive(Debug)]
pub enum Permit {
    /// The claim stands as `requesting`.
    Given(Stored<Claim>),
    /// The claim stands as it did. `news`: what is to be written once people were told; none where they know.
    Held { gate: Gate, news: Option<News> },
}

/// The brakes as they are to be written once people were told that a gate holds cases back, and what must be there
/// for that. Told first: a crash in between tells the same again under the same id.
#[derive(Debug)]
pub struct News {
    pub brakes: Brakes,
    pub expect: Expect,
    /// Part of the notice's id: see [`Brakes::turn`].
    pub turn: String,
}

impl Claims<'_> {
    pub async fn read(&self, device: &DeviceId, now: Timestamp) -> Result<Option<Stored<Claim>>, StateError> {
        self.state.get(&Claim::key(self.tenant, device), now).await
    }

    /// Every claim that somebody has to come back to ([`Claim::is_unsettled`]). One that cannot be read keeps nobody from
    /// coming back to the others.
    pub async fn unsettled(&self, now: Timestamp) -> Result<Vec<Stored<Claim>>, StateError> {
        let open: Vec<Stored<OpenEffect>> =
            self.state.query_all(&OpenEffect::partition(self.tenant), "cut-off#", now).await?;
        let keys: Vec<Key> = open.iter().map(|open| Claim::key(self.tenant, &open.value.device)).collect();
        let claims = self.state.batch_get_readable(&keys, now).await?;
        let claims = claims.into_iter().filter_map(|(claim, _)| claim);
        // A pointer may have been read just before its claim moved on.
        Ok(claims.filter(|claim: &Stored<Claim>| claim.value.is_unsettled()).collect())
    }

    /// The claim on every device that is, or may be, cut off ([`Claim::is_cut_off`]). Fails where one cannot be read: a
    /// device must not be missing from this list without a word.
    pub async fn cut_off(&self, now: Timestamp) -> Result<Vec<Stored<Claim>>, StateError> {
        let cut_off: Vec<Stored<CutOff>> =
            self.state.query_all(&CutOff::partition(self.tenant), "device#", now).await?;
        let keys: Vec<Key> = cut_off.iter().map(|row| Claim::key(self.tenant, &row.value.device)).collect();
        let claims: Vec<Option<Stored<Claim>>> = self.state.batch_get(&keys, now).await?;
        Ok(claims.into_iter().flatten().filter(|claim| claim.value.is_cut_off()).collect())
    }

    pub async fn brakes(&self, now: Timestamp) -> Result<(Brakes, Expect), StateError> {
        let stored: Option<Stored<Brakes>> = self.state.get(&Brakes::key(self.tenant), now).await?;
        let expect = Stored::expected(stored.as_ref());
        Ok((stored.map(|stored| stored.value).unwrap_or_default(), expect))
    }

    /// Writes a new claim: the first, or the next generation after what `expect` says is there.
    pub async fn begin(
        &self,
        claim: Claim,
        expect: Expect,
        now: Timestamp,
    ) -> Result<Stored<Claim>, ClaimError> {
        self.write(&Moved { claim, spends: false, gives_back: false, standing: 0 }, expect, Vec::new(), now)
            .await
    }

    /// Moves a claim by an event other than being asked for.
    pub async fn after(
        &self,
        before: &Stored<Claim>,
        event: Event,
        also: Vec<Write>,
        now: Timestamp,
    ) -> Result<Stored<Claim>, ClaimError> {
        let moved = before.value.after(self.tenant, event, now)?;
        self.write(&moved, Expect::Is(before.version), also, now).await
    }

    /// The open machine action could not be read, or not be told of yet: when to look next, and nothing else.
    pub async fn postpone(
        &self,
        before: &Stored<Claim>,
        look: Timestamp,
        now: Timestamp,
    ) -> Result<Stored<Claim>, ClaimError> {
        let mut claim = before.value.clone();
        claim.looks += 1;
        claim.due = look;
        self.write(
            &Moved { claim, spends: false, gives_back: false, standing: 0 },
            Expect::Is(before.version),
            Vec::new(),
            now,
        )
        .await
    }

    /// Notes that what a hunt has found stands behind the isolation, and nothing else.
    pub async fn note_hunted(
        &self,
        before: &Stored<Claim>,
        now: Timestamp,
    ) -> Result<Stored<Claim>, ClaimError> {
        let claim = Claim { hunted: true, ..before.value.clone() };
        self.write(
            &Moved { claim, spends: false, gives_back: false, standing: 0 },
            Expect::Is(before.version),
            Vec::new(),
            now,
        )
        .await
    }

    /// Moves a claim to `requesting`, if nothing stands against it: limits are counted and pause is checked in the
    /// commit that does it. A release is never held.
    pub async fn ask(
        &self,
        before: &Stored<Claim>,
        wish: &Wish<'_>,
        limits: &Limits,
        quiet: Timestamp,
        also: Vec<Write>,
        now: Timestamp,
    ) -> Result<Permit, ClaimError> {
        let moved = before.value.after(self.tenant, Event::Asked { quiet }, now)?;
        let expect = Expect::Is(before.version);
        if moved.claim.effect == Effect::Release {
            return Ok(Permit::Given(self.write(&moved, expect, also, now).await?));
        }
        let (found, found_expect) = self.brakes(now).await?;
        let mut brakes = found.clone();
        let gate = match (&brakes.pause, moved.spends) {
            (Some(said), _) => Some(Gate::Paused(said.clone())),
            (None, true) => brakes.gate(wish, limits, now),
            // It was let through and counted when it was asked for the first time.
            (None, false) => None,
        };
        if let Some(gate) = gate {
            let news = news(brakes, &gate, found_expect, now);
            return Ok(Permit::Held { gate, news });
        }
        if moved.spends {
            brakes.spend(wish, now);
        }
        brakes.count(moved.standing);
        let mut writes = also;
        let key = Brakes::key(self.tenant);
        writes.push(if brakes == found {
            Write::Check { key, expect: found_expect }
        } else {
            Write::put(key, &brakes, found_expect, None)?
        });
        let moved = Moved { standing: 0, ..moved };
        Ok(Permit::Given(self.write(&moved, expect, writes, now).await?))
    }

    /// What stands against an isolation that was not counted yet, as things are: a look before anything is read for it.
    /// Only [`Claims::ask`] lets one through, and only it opens a breaker: what would open one may still turn out to be
    /// adopted or proposed.
    pub async fn gate(
        &self,
        wish: &Wish<'_>,
        limits: &Limits,
        now: Timestamp,
    ) -> Result<Option<(Gate, Option<News>)>, StateError> {
        let (mut brakes, expect) = self.brakes(now).await?;
        let open = brakes.open.len();
        let gate = brakes.gate(wish, limits, now).filter(|_| brakes.open.len() == open);
        Ok(gate.map(|gate| {
            let news = news(brakes, &gate, expect, now);
            (gate, news)
        }))
    }

    async fn write(
        &self,
        moved: &Moved,
        expect: Expect,
        also: Vec<Write>,
        now: Timestamp,
    ) -> Result<Stored<Claim>, ClaimError> {
        let claim = &moved.claim;
        let key = Claim::key(self.tenant, &claim.device);
        let device = || claim.device.clone();
        let mut writes = vec![
            Write::put(key.clone(), claim, expect, None)?,
            pointer(
                OpenEffect::key(self.tenant, &claim.device),
                &OpenEffect { device: device() },
                claim.is_unsettled(),
            )?,
            pointer(
                CutOff::key(self.tenant, &claim.device),
                &CutOff { device: device() },
                claim.is_cut_off(),
            )?,
        ];
        if let Some(action) = claim.action.as_ref().filter(|_| claim.state == model::EffectState::Requested) {
            let known = KnownAction { device: device(), claim: claim.id.clone() };
            let (key, expires) = (KnownAction::key(self.tenant, action), KnownAction::expires(now));
            writes.push(Write::put(key, &known, Expect::Any, expires)?);
        }
        if moved.standing != 0 || moved.gives_back {
            let (mut brakes, expect) = self.brakes(now).await?;
            brakes.count(moved.standing);
            if moved.gives_back {
                brakes.give_back(&claim.device);
            }
            writes.push(Write::put(Brakes::key(self.tenant), &brakes, expect, None)?);
        }
        writes.extend(also);
        self.state.commit(&writes, now).await?;
        match self.state.get::<Claim>(&key, now).await? {
            Some(stored) if stored.value == *claim => Ok(stored),
            _ => Err(ClaimError::Lost),
        }
    }
}

fn news(mut brakes: Brakes, gate: &Gate, expect: Expect, now: Timestamp) -> Option<News> {
    if !brakes.is_news(gate, now) {
        return None;
    }
    let turn = brakes.turn(gate, now);
    brakes.note_told(gate, now);
    Some(News { brakes, expect, turn })
}

fn pointer<T: serde::Serialize>(key: Key, value: &T, is_wanted: bool) -> Result<Write, StateError> {
    if is_wanted {
        Write::put(key, value, Expect::Any, None)
    } else {
        Ok(Write::Delete { key, expect: Expect::Any })
    }
}

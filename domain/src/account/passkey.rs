//! Passkeys: added by who proves both factors, each known once, counted, removed.

use time::OffsetDateTime;

use super::decide::is_own;
use super::{Account, Command, Event, PASSKEYS_MAX, Passkey, PasskeyUse, Refused};
use crate::decider::Context;
use crate::ids::PasskeyId;
use crate::permit::Role;
use crate::scope::{Erasable, Personal};

impl Account {
    pub(super) fn add_passkey(&self, command: &Command, now: OffsetDateTime) -> Result<Vec<Event>, Refused> {
        let Command::AddPasskey { passkey, session, second, credential, key, name, count } = command else {
            return Ok(vec![]);
        };
        let known = |value: &Erasable<String>| value.known() == Some(&credential.0);
        match self.passkeys.get(passkey) {
            Some(there) if known(&there.credential) => return Ok(vec![]),
            Some(_) => return Err(Refused::PasskeyExists),
            None if self.passkeys_ever.contains(passkey) => return Err(Refused::PasskeyExists),
            None => {}
        }
        self.session_at(*session, now).ok_or(Refused::NoSuchSession)?;
        self.unused(*second)?;
        if name.is_blank() || name.0.chars().count() > 60 || name.0.contains(char::is_control) {
            return Err(Refused::InvalidPasskeyName);
        }
        if self.passkeys.values().any(|one| known(&one.credential)) {
            return Err(Refused::PasskeyKnown);
        }
        if self.passkeys.len() >= PASSKEYS_MAX {
            return Err(Refused::TooManyPasskeys);
        }
        Ok(vec![Event::PasskeyAdded {
            passkey: *passkey,
            session: *session,
            second: *second,
            credential: Personal::new(credential.0.clone()),
            key: Personal::new(key.0.clone()),
            name: Personal::new(name.0.clone()),
            count: *count,
        }])
    }

    /// One's own, or any for who administers: a device may be lost together with its holder's way in.
    pub(super) fn remove_passkey(&self, passkey: PasskeyId, context: &Context<'_, ()>) -> Result<Vec<Event>, Refused> {
        if !is_own(context) && context.principal.actor.role != Role::Controller {
            return Err(Refused::NotOwnAccount);
        }
        match self.passkeys.contains_key(&passkey) {
            true => Ok(vec![Event::PasskeyRemoved { passkey, session: context.principal.session }]),
            false if self.passkeys_ever.contains(&passkey) => Ok(vec![]),
            false => Err(Refused::NoSuchPasskey),
        }
    }

    pub(super) fn evolve_passkeys(&mut self, event: &Event, at: OffsetDateTime) {
        match event {
            Event::PasskeyAdded { passkey, second, credential, key, name, count, .. } => {
                self.spend(*second, at);
                self.passkeys_ever.insert(*passkey);
                let added = Passkey {
                    credential: credential.value.clone(),
                    key: key.value.clone(),
                    name: name.value.clone(),
                    count: *count,
                    added_at: at,
                    used_at: None,
                };
                self.passkeys.insert(*passkey, added);
            }
            Event::PasskeyRemoved { passkey, session } => {
                self.passkeys.remove(passkey);
                self.sessions.retain(|id, _| Some(*id) == *session);
            }
            _ => {}
        }
    }

    /// Refuses a passkey that is not there, and one that has counted back (Web Authentication, 6.1.1).
    pub(super) fn usable(&self, used: PasskeyUse) -> Result<(), Refused> {
        let passkey = self.passkeys.get(&used.passkey).ok_or(Refused::NoSuchPasskey)?;
        let counts = used.count != 0 || passkey.count != 0;
        if counts && used.count <= passkey.count { Err(Refused::PasskeyCopied) } else { Ok(()) }
    }

    pub(super) fn count_use(&mut self, used: PasskeyUse, at: OffsetDateTime) {
        if let Some(passkey) = self.passkeys.get_mut(&used.passkey) {
            (passkey.count, passkey.used_at) = (used.count, Some(at));
        }
    }
}

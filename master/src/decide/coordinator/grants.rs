//! The commands about grants, and their effects: audit rows, events, and the end of all that holders of revoked grants use.

use super::Coordinator;
use super::model::Effect;
use super::record::{Answer, GrantId, GrantRow};
use super::requests::Request;
use crate::decide::grants::{AskedLogin, GrantOrder, Grants, account_of};
use schema::sturdy_ref::Fingerprint;
use schema::values::{Fact, Refusal, RefusalCode, Time};

impl Coordinator {
    /// The grants, for reading only.
    pub fn grants(&self) -> &Grants {
        &self.grants
    }

    /// Makes the root grant of a new store.
    pub fn found(&mut self, now: Time) {
        self.grants.found(now, &mut self.effects);
    }

    /// Issues a new grant below the caller's grant.
    pub fn issue(&mut self, now: Time, request: Request, order: GrantOrder) -> Result<GrantId, Refusal> {
        let answer = self.once(now, request, |this| {
            let row = this.grants.ordered(now, request.by, order)?;
            Ok(Answer::Grant(this.put_below(now, request.by, row)))
        });
        answer?.grant()
    }

    /// Binds a grant to the first key that shows its join. The same key may repeat the call with the same token.
    pub fn redeem(
        &mut self,
        now: Time,
        join_hash: [u8; 32],
        token_hash: [u8; 32],
        holder: Fingerprint,
    ) -> Result<GrantRow, Refusal> {
        let row = self.grants.redeemable(now, join_hash)?.clone();
        match row.holder {
            None => Ok(self.bind(now, row, token_hash, holder)),
            Some(key) if key == holder && row.token_hash == Some(token_hash) => Ok(row),
            Some(_) => {
                let text = format!("the join of grant {} ({}) was shown again, by another key", row.id.0, row.name);
                self.raise(now, row.id, Some(holder), &text);
                Err(Refusal::new(
                    RefusalCode::NotPermitted,
                    "this credential file was already used, on another machine or by another user",
                )
                .help("if that was not you, revoke the grant; ask for a new join"))
            }
        }
    }

    /// Returns the grant of a token, if this key may use it. Raises an alarm if another key shows the token. [`Grants::restorable`]
    /// returns the same grant, but raises no alarm.
    pub fn restore(&mut self, now: Time, token_hash: [u8; 32], key: Option<Fingerprint>) -> Result<GrantRow, Refusal> {
        let row = self.grants.of_token(now, token_hash)?.clone();
        if row.holder == key {
            return Ok(row);
        }
        // Logins come and go, so their alarms are counted for the person's grant above them.
        let of = account_of(&row);
        let whose = if row.is_browser { "the cookie of a browser" } else { "the credential" };
        let name = self.grants.get(of).map_or(row.name.as_str(), |row| row.name.as_str());
        let text = format!("{whose} of grant {} ({name}) was shown by another key", of.0);
        self.raise(now, of, key, &text);
        Err(Refusal::new(RefusalCode::NotPermitted, "this credential is bound to another key")
            .help("a credential works only with the identity.key beside which it was redeemed"))
    }

    /// Revokes a grant and all grants below it. Returns the grants that were not revoked already.
    pub fn revoke(&mut self, now: Time, request: Request, id: GrantId, reason: &str) -> Result<Vec<GrantId>, Refusal> {
        let answer = self.once(now, request, |this| {
            if !this.grants.lists(request.by, id) {
                return Err(Refusal::new(RefusalCode::NotFound, format!("no grant {} below your own", id.0)));
            }
            let ended = this.end_grants(now, id, reason);
            if ended.is_empty() {
                return Err(Refusal::new(RefusalCode::Conflict, format!("grant {} is revoked already", id.0)));
            }
            this.audit(now, request.by, format!("revoked grant {}: {reason}", id.0));
            Ok(Answer::Grants(ended))
        });
        answer?.grants()
    }

    /// Makes a login for the caller's browser. The same join gets the same grant until that is redeemed. If there are too many logins,
    /// those whose address nobody has used are removed first, and then the oldest.
    pub fn browse(&mut self, now: Time, by: GrantId, join_hash: [u8; 32]) -> Result<GrantId, Refusal> {
        let row = match self.grants.login(now, by, join_hash)? {
            AskedLogin::Made(id) => return Ok(id),
            AskedLogin::New(row) => row,
        };
        while let Some(id) = self.grants.login_in_the_way(by) {
            self.forget_grant(id, "there were newer logins");
        }
        let id = row.id;
        self.grants.add(*row, &mut self.effects);
        Ok(id)
    }

    /// Binds a login, once, to the cookie of the first browser that shows its join.
    pub fn redeem_browser(
        &mut self,
        now: Time,
        join_hash: [u8; 32],
        token_hash: [u8; 32],
        cookie: Fingerprint,
    ) -> Result<GrantRow, Refusal> {
        let (row, of) = self.grants.redeem_login(now, join_hash, token_hash, cookie, &mut self.effects)?;
        let (by, text) = (of.id, format!("a browser logged in with grant {} ({})", of.id.0, of.name));
        self.audit_often(now, by, &text);
        Ok(row)
    }

    /// Ends the login of a browser that asks for it.
    pub fn log_out(&mut self, now: Time, token_hash: [u8; 32], cookie: Fingerprint) {
        let row = self.grants.restorable(now, token_hash, Some(cookie)).filter(|row| row.is_browser);
        let id = row.map(|row| row.id);
        id.into_iter().for_each(|id| self.forget_grant(id, "logged out"));
    }

    pub(super) fn grants_timeout(&mut self, now: Time) {
        if let Some(id) = self.grants.tick(now, &mut self.effects) {
            self.end_grants(now, id, "its time is over");
        }
    }

    /// Revokes a grant and all grants below it. Returns the grants that were not revoked already.
    pub(super) fn end_grants(&mut self, now: Time, top: GrantId, reason: &str) -> Vec<GrantId> {
        let ended = self.grants.unrevoked_tree(top);
        ended.iter().for_each(|id| self.end_grant(now, *id, reason));
        if !ended.is_empty() {
            self.effects.push_back(Effect::Revoke { grants: ended.clone(), reason: reason.to_owned() });
            self.end_sessions_of(now, &ended);
            self.grants.take_ended().into_iter().for_each(|id| self.forget_grant(id, reason));
        }
        ended
    }

    /// Ends a grant and announces its end, except that the caller announces the end of a login.
    fn end_grant(&mut self, now: Time, id: GrantId, reason: &str) {
        let Some(row) = self.grants.end(now, id, reason, &mut self.effects) else { return };
        let fact = Fact::GrantRevoked { grant: id.0, name: row.name, reason: reason.to_owned() };
        self.tell_of(now, "", 0, fact);
    }

    fn put_below(&mut self, now: Time, parent: GrantId, row: GrantRow) -> GrantId {
        let GrantRow { id, kind, ref name, .. } = row;
        let text = format!("issued grant {} of kind {kind} to {name}", id.0);
        let fact = Fact::GrantIssued { grant: id.0, name: name.clone(), grant_kind: kind.word().to_owned() };
        self.grants.add(row, &mut self.effects);
        self.audit(now, parent, text);
        self.tell_of(now, "", 0, fact);
        id
    }

    fn bind(&mut self, now: Time, row: GrantRow, token_hash: [u8; 32], holder: Fingerprint) -> GrantRow {
        let row = self.grants.bind(row, token_hash, holder, &mut self.effects);
        self.audit(now, row.id, format!("redeemed grant {} by {holder}", row.id.0));
        self.tell_of(now, "", 0, Fact::GrantRedeemed { grant: row.id.0, name: row.name.clone() });
        row
    }

    /// Removes the row of a grant that is over: the grant of a login, or a grant that ended long ago.
    fn forget_grant(&mut self, id: GrantId, reason: &str) {
        if self.grants.forget(id, &mut self.effects).is_some_and(|row| row.revoked.is_none()) {
            self.effects.push_back(Effect::Revoke { grants: vec![id], reason: reason.to_owned() });
        }
    }
}

//! What a pod asks of the pods around it.

use super::maker::{APPS, KEYS, Maker, TRACKS};
use crate::differential::draft::{NOBODY, Scope, Term, selector};
use crate::differential::world::{HOST, NAMESPACES, Placed, REGION, ZONE};
use serde_json::{Value, json};

/// Both ways to name pods by a label of one's own.
const TRACK_KEYS: [&str; 2] = ["matchLabelKeys", "mismatchLabelKeys"];

impl Maker<'_> {
    /// A pod that is placed, and is so.
    fn placed(&mut self, is_so: impl Fn(&Placed) -> bool) -> Option<Placed> {
        let placed: Vec<Placed> =
            self.world.placed.iter().filter(|placed| is_so(placed)).cloned().collect();
        (!placed.is_empty()).then(|| self.one(&placed))
    }

    /// A way to mean pods of this namespace.
    fn scope(&mut self, namespace: &'static str) -> Scope {
        let (_, team) = NAMESPACES.into_iter().find(|(name, _)| *name == namespace).unwrap();
        match self.one(&[0, 1, 2, 3]) {
            0 if self.settle(namespace) => Scope::Own,
            1 => Scope::Team(team),
            2 => Scope::All,
            _ => Scope::Named(namespace),
        }
    }

    fn term(&mut self, key: &'static str, like: Option<&Placed>) -> Term {
        let namespace = like.map_or(self.draft.namespace, |like| like.draft.namespace);
        let scope = self.scope(namespace);
        let app = match like {
            Some(like) => like.draft.labels.get("app").copied(),
            None => Some(self.one(&APPS)),
        };
        let track = self.is_so(0.12).then(|| self.one(&TRACK_KEYS));
        Term { key, app, scope, track }
    }

    pub(super) fn join(&mut self) {
        let like = self.placed(|_| true);
        let key = self.one(&[ZONE, ZONE, REGION, HOST]);
        let mut term = self.term(key, like.as_ref());
        // The first of a kind that wants to be beside its like may be anywhere.
        if self.is_so(0.2) {
            (term.scope, term.app) = (Scope::Own, self.draft.labels.get("app").copied());
            self.draft.is_settled = true;
        }
        self.draft.beside.push(term);
    }

    pub(super) fn avoid(&mut self) {
        let key = self.one(&KEYS);
        let mut term = self.term(key, None);
        if self.is_so(0.05) {
            (term.app, term.track) = (Some(NOBODY), None);
        }
        self.draft.apart.push(term);
    }

    /// Becomes a pod that one of the placed wants to be apart from.
    pub(super) fn resemble(&mut self) {
        let Some(hermit) = self.placed(|placed| !placed.draft.apart.is_empty()) else {
            return self.avoid();
        };
        self.become_what_is_avoided_by(&hermit);
    }

    fn become_what_is_avoided_by(&mut self, hermit: &Placed) -> Option<Term> {
        let term = self.one(&hermit.draft.apart);
        let namespace = match term.scope {
            Scope::Own => hermit.draft.namespace,
            Scope::Named(name) => name,
            Scope::Team(team) => NAMESPACES.iter().find(|(_, of)| *of == team)?.0,
            Scope::All => self.draft.namespace,
        };
        if !self.settle(namespace) {
            return None;
        }
        let app = term.app.filter(|app| *app != NOBODY).unwrap_or(APPS[0]);
        self.draft.labels.insert("app", app);
        let own = hermit.draft.labels.get("track").copied();
        match (term.track, own) {
            (Some("matchLabelKeys"), Some(own)) => {
                self.draft.labels.insert("track", own);
            }
            (Some(_), Some(own)) => {
                let other = TRACKS.into_iter().find(|track| *track != own)?;
                self.draft.labels.insert("track", other);
            }
            _ => (),
        }
        Some(term)
    }

    pub(super) fn spread(&mut self) {
        let key = self.one(&KEYS);
        let own = self.draft.labels.get("app").copied();
        let mut spread = self.evenly(key, own);
        if self.is_so(0.2) && spread["whenUnsatisfiable"] == "DoNotSchedule" {
            spread["minDomains"] = self.one(&[1, 2, 3]).into();
        }
        self.add_spread(spread);
    }

    fn evenly(&mut self, key: &str, app: Option<&str>) -> Value {
        let mut spread = json!({
            "topologyKey": key, "maxSkew": self.one(&[1, 1, 2]),
            "whenUnsatisfiable": "DoNotSchedule", "labelSelector": selector(app),
        });
        for policy in ["nodeAffinityPolicy", "nodeTaintsPolicy"] {
            if self.is_so(0.5) {
                spread[policy] = self.one(&["Honor", "Ignore"]).into();
            }
        }
        match self.one(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]) {
            0 | 1 => spread["matchLabelKeys"] = json!(["track"]),
            2 => spread["labelSelector"] = Value::Null,
            _ => (),
        }
        if self.is_so(0.08) {
            spread["whenUnsatisfiable"] = "ScheduleAnyway".into();
        }
        spread
    }

    fn add_spread(&mut self, spread: Value) {
        if self.draft.spreads.iter().all(|other| other["topologyKey"] != spread["topologyKey"]) {
            self.draft.spreads.push(spread);
        }
    }

    /// Wants to be beside pods that are not there, or not where it can be.
    pub(super) fn join_in_vain(&mut self) {
        let target = self.placed(|placed| placed.draft.labels.contains_key("app"));
        let Some(target) = target.filter(|_| self.is_so(0.6)) else {
            let mut term = self.term(ZONE, None);
            (term.app, term.track) = (Some(self.one(&["nobody", "nobody", NOBODY])), None);
            return self.draft.beside.push(term);
        };
        let key = self.one(&[HOST, ZONE, "rack"]);
        let term = self.term(key, Some(&target));
        self.draft.beside.push(term);
        let there = self.world.place(&target.node).labels.get(key).cloned();
        if let Some(away) = self.place(|place| place.labels.get(key) != there.as_ref()) {
            self.pin(&away);
        }
    }

    /// Wants to be apart from pods that are where it can be.
    pub(super) fn avoid_in_vain(&mut self) {
        let Some(target) = self.placed(|placed| placed.draft.labels.contains_key("app")) else {
            return self.avoid();
        };
        let there = self.world.place(&target.node).clone();
        let keys: Vec<&str> =
            KEYS.into_iter().filter(|key| there.labels.contains_key(*key)).collect();
        let key = self.one(&keys);
        let term = self.term(key, Some(&target));
        self.draft.apart.push(term);
        if key != REGION || self.is_so(0.5) {
            self.pin(&there);
        }
    }

    /// Can be only where somebody wants to be apart from it.
    pub(super) fn be_avoided(&mut self) {
        let Some(hermit) = self.placed(|placed| !placed.draft.apart.is_empty()) else {
            return self.avoid();
        };
        let Some(term) = self.become_what_is_avoided_by(&hermit) else { return };
        if term.key != REGION || self.is_so(0.5) {
            let there = self.world.place(&hermit.node).clone();
            self.pin(&there);
        }
    }

    /// Is one too many where it can be.
    pub(super) fn crowd(&mut self) {
        let like = self.placed(|placed| placed.draft.labels.contains_key("app"));
        let Some(like) = like.filter(|like| self.settle(like.draft.namespace)) else {
            return self.spread();
        };
        let app = like.draft.labels["app"];
        self.draft.labels.insert("app", app);
        let key = self.one(&[ZONE, ZONE, HOST, "rack"]);
        let mut spread = self.evenly(key, Some(app));
        spread["maxSkew"] = 1.into();
        spread["whenUnsatisfiable"] = "DoNotSchedule".into();
        if self.is_so(0.35) {
            spread["minDomains"] = self.one(&[4, 12]).into();
        } else {
            spread["nodeAffinityPolicy"] = "Ignore".into();
        }
        self.add_spread(spread);
        let there = self.world.place(&like.node).clone();
        self.pin(&there);
    }
}

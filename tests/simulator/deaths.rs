//! Supervisors that die at the edge of an effect: before it, after it, or when the store has taken
//! what it asked and nobody has heard the answer.

use dispatcher_core::engine::Effect;

use super::faults::Fault;
use super::world::World;

/// On which side of an effect a supervisor dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DeathAt {
    Before,
    After,
    /// The store has taken it.
    Committed,
}

macro_rules! kinds {
    ($($pattern:pat => $kind:ident, $name:literal, one_in $odds:literal;)+) => {
        /// A kind of effect.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        enum Kind { $($kind,)+ }

        const fn kind(effect: &Effect) -> Kind {
            match effect { $($pattern => Kind::$kind,)+ }
        }

        impl Kind {
            /// Once in so many: each kind is to be reached as often as the others.
            const fn odds(self) -> u64 {
                match self { $(Self::$kind => $odds,)+ }
            }

            const fn name(self, at: DeathAt) -> &'static str {
                match (self, at) { $(
                    (Self::$kind, DeathAt::Before) => concat!("death before effect ", $name),
                    (Self::$kind, DeathAt::After | DeathAt::Committed) => {
                        concat!("death after effect ", $name)
                    }
                )+ }
            }
        }

        /// Everything there is to count.
        pub(super) const NAMES: &[&str] = &[$(
            concat!("death before effect ", $name),
            concat!("death after effect ", $name),
        )+];
    };
}

kinds! {
    Effect::Claim { .. } => Claim, "Claim", one_in 250;
    Effect::Spawn { .. } => Spawn, "Spawn", one_in 200;
    Effect::Boot { .. } => Boot, "Boot", one_in 90;
    Effect::Assign { .. } => Assign, "Assign", one_in 12;
    Effect::Hand { .. } => Hand, "Hand", one_in 80;
    Effect::Answer { .. } => Answer, "Answer", one_in 120;
    Effect::ResetOver { .. } => ResetOver, "ResetOver", one_in 5;
    Effect::Retire { .. } => Retire, "Retire", one_in 40;
    Effect::Stop { .. } => Stop, "Stop", one_in 30;
    Effect::Kill { .. } => Kill, "Kill", one_in 40;
    Effect::Bury { .. } => Bury, "Bury", one_in 12;
    Effect::Drain { .. } => Drain, "Drain", one_in 100;
    Effect::Record { .. } => Record, "Record", one_in 200;
    Effect::Renew => Renew, "Renew", one_in 40;
    Effect::Deadline { .. } => Deadline, "Deadline", one_in 60;
    Effect::Reopen => Reopen, "Reopen", one_in 4;
    Effect::CloseIfIdle => CloseIfIdle, "CloseIfIdle", one_in 2;
    Effect::HandOver => HandOver, "HandOver", one_in 7;
    Effect::Close => Close, "Close", one_in 8;
    Effect::Finish => Finish, "Finish", one_in 8;
}

impl World {
    /// Whether the supervisor dies at this effect, and on which side of it.
    pub(super) fn dies_at(&mut self, effect: &Effect) -> Option<DeathAt> {
        let kind = kind(effect);
        if !self.faults.is_on(Fault::RunnerDiesAtEffect) || !self.dice.one_in(kind.odds()) {
            return None;
        }
        self.coverage.count(Fault::RunnerDiesAtEffect.name());
        let at = match (self.dice.below(4), kind) {
            (0 | 1, _) => DeathAt::Before,
            (
                2,
                Kind::Claim
                | Kind::Record
                | Kind::Renew
                | Kind::Reopen
                | Kind::CloseIfIdle
                | Kind::HandOver
                | Kind::Close,
            ) => DeathAt::Committed,
            (_, _) => DeathAt::After,
        };
        self.coverage.count(kind.name(at));
        self.trace
            .line(self.now, format_args!("fault: {}", kind.name(at)));
        Some(at)
    }
}

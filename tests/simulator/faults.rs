//! What can go wrong, and which of it goes wrong in this run.
//!
//! Swarm style (Groce and others 2012): the seed switches each fault on or off for the whole run,
//! so that some runs have one fault only and reach what a mixture would hide.

use super::coverage::Coverage;
use super::dice::Dice;

macro_rules! faults {
    ($($variant:ident = $name:literal, one_in $odds:literal;)+) => {
        /// Something that goes wrong.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub(super) enum Fault { $($variant,)+ }

        impl Fault {
            pub(super) const ALL: &'static [Self] = &[$(Self::$variant,)+];

            pub(super) const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// Once in so many occasions while it is switched on.
            const fn odds(self) -> u64 {
                match self { $(Self::$variant => $odds,)+ }
            }
        }
    };
}

faults! {
    StoreUnavailable = "store unavailable", one_in 12;
    StoreConflict = "store conflict", one_in 12;
    StoreSlow = "store slow", one_in 6;
    AnswerLost = "commit applied, answer lost", one_in 12;
    ClaimFewer = "claim returns fewer", one_in 4;
    WakeLost = "wake-up lost", one_in 3;
    WakeTwice = "wake-up twice", one_in 3;
    WakeLate = "wake-up late", one_in 3;
    TimerLate = "driver late", one_in 4;
    SpawnFailsNow = "spawn fails for the moment", one_in 5;
    SpawnFails = "spawn fails", one_in 10;
    DeathBeforeHello = "worker dies before hello", one_in 10;
    NoHello = "worker never says hello", one_in 14;
    NoResult = "worker exits 0 without a result", one_in 10;
    CrashWithCore = "worker crashes", one_in 10;
    UncleanExit = "bad exit after the result", one_in 6;
    StaysAfterResult = "worker stays after its result", one_in 10;
    Hang = "worker hangs", one_in 6;
    IgnoresTerm = "worker ignores TERM", one_in 3;
    HoldsPipe = "grandchild keeps the pipe", one_in 6;
    LeavesProcesses = "worker leaves processes", one_in 6;
    PartialFrame = "partial frame", one_in 12;
    OversizedFrame = "oversized frame", one_in 12;
    GarbageFrame = "garbage on the channel", one_in 12;
    DuplicateFrames = "duplicate frames", one_in 6;
    SplitFrames = "frames arrive in pieces", one_in 2;
    Flood = "output flood", one_in 24;
    MemoryLimit = "memory limit exceeded", one_in 4;
    KeeperDies = "keeper dies", one_in 10;
    RunnerDies = "runner dies", one_in 10;
    RunnerDiesAtEffect = "runner dies at an effect", one_in 150;
    BothDie = "runner and keeper die at once", one_in 10;
    RescuerDies = "rescuer dies in a rescue", one_in 3;
    ShutdownFinish = "shutdown: finish", one_in 12;
    ShutdownDrain = "shutdown: drain", one_in 12;
    ShutdownNow = "shutdown: now", one_in 12;
    ClockJump = "clock jumps", one_in 6;
    ClockSkew = "clocks run apart", one_in 1;
    NewBuild = "a newer build arrives", one_in 2;
    SubmitterDies = "submitter dies after its commit", one_in 6;
}

/// What goes wrong in this run.
pub(super) struct Faults {
    on: Vec<Fault>,
}

impl Faults {
    pub(super) fn of_seed(dice: &mut Dice) -> Self {
        // Few faults in some runs, many in others.
        let share = 1 + dice.below(4);
        let on = Fault::ALL.iter().copied();
        Self {
            on: on.filter(|_| dice.below(5) < share).collect(),
        }
    }

    /// From now on nothing goes wrong any more.
    pub(super) fn stop(&mut self) {
        self.on.clear();
    }

    /// Whether it goes wrong now.
    pub(super) fn strikes(&self, fault: Fault, dice: &mut Dice, coverage: &mut Coverage) -> bool {
        let strikes = self.on.contains(&fault) && dice.one_in(fault.odds());
        if strikes {
            coverage.count(fault.name());
        }
        strikes
    }
}

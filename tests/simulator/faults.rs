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
    Flood = "output flood", one_in 16;
    MemoryLimit = "memory limit exceeded", one_in 4;
    KeeperDies = "keeper dies", one_in 10;
    RunnerDies = "runner dies", one_in 10;
    RunnerDiesAtEffect = "runner dies at an effect", one_in 1;
    BothDie = "runner and keeper die at once", one_in 10;
    RescuerDies = "rescuer dies in a rescue", one_in 3;
    ShutdownFinish = "shutdown: finish", one_in 12;
    ShutdownDrain = "shutdown: drain", one_in 12;
    ShutdownNow = "shutdown: now", one_in 12;
    ClockJump = "clock jumps", one_in 6;
    ClockSkew = "clocks run apart", one_in 1;
    NewBuild = "a newer build arrives", one_in 2;
    SubmitterDies = "submitter dies after its commit", one_in 6;
    BootDies = "pool worker dies at its start", one_in 10;
    BootNever = "pool worker is never ready", one_in 12;
    BootSlow = "pool worker starts slowly", one_in 8;
    BootSpeaks = "pool worker writes text before its hello", one_in 12;
    TaskCrash = "pool worker dies at its task", one_in 10;
    TaskHangs = "pool worker hangs at its task", one_in 12;
    IdleDeath = "pool worker dies some time", one_in 12;
    StrayText = "pool worker prints stray text", one_in 12;
    PoolGarbage = "pool worker writes garbage", one_in 12;
    AnswersTwice = "pool worker answers twice", one_in 12;
    Unwanted = "pool worker does not want its task", one_in 10;
    Reluctant = "workers of a pool want few tasks", one_in 2;
    SoftError = "pool worker gives a soft error", one_in 6;
    Streams = "pool worker streams", one_in 6;
    FinalizerFails = "finalizer fails", one_in 8;
    FinalizerHangs = "finalizer hangs", one_in 10;
    Outgrows = "pool worker outgrows its memory", one_in 3;
    IgnoresRetire = "pool worker does not end when asked", one_in 4;
    IgnoresEnd = "pool worker outlives its channel", one_in 4;
    BrokenProgram = "a reset meets a broken program", one_in 1;
    SourceFails = "source fails", one_in 16;
    StandsStill = "supervisor stands still", one_in 3;
    CutOff = "supervisor is cut off from the store", one_in 3;
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

    /// Whether it may go wrong in this run.
    pub(super) fn is_on(&self, fault: Fault) -> bool {
        self.on.contains(&fault)
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

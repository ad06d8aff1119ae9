//! Two CPUs in the same instant: what a router does with two packets at once.

use std::sync::atomic::{AtomicUsize, Ordering};

use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

/// Does step 0, 1, .. on two CPUs, which are 0 and 1; each step begins on both within nanoseconds.
pub fn at_once(steps: usize, step: impl Fn(usize, usize) + Sync) {
    let arrived = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for cpu in 0..2 {
            let (arrived, step) = (&arrived, &step);
            scope.spawn(move || {
                let mut set = CpuSet::new();
                // A machine with one CPU does the same without the race.
                let _ = set.set(cpu).and_then(|()| sched_setaffinity(Pid::from_raw(0), &set));
                for number in 0..steps {
                    arrived.fetch_add(1, Ordering::AcqRel);
                    let mut spins = 0u32;
                    while arrived.load(Ordering::Acquire) < 2 * (number + 1) {
                        spins += 1;
                        if spins.is_multiple_of(10_000) {
                            std::thread::yield_now();
                        }
                        std::hint::spin_loop();
                    }
                    step(cpu, number);
                }
            });
        }
    });
}

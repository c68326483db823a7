use dispatcher_core::{Context, Dispatcher, Failure, Process};
use serde::{Deserialize, Serialize};

#[derive(Dispatcher, Serialize, Deserialize)]
struct Job<T, const N: usize>
where
    T: Clone,
{
    value: T,
}

impl<T: Clone, const N: usize> Process for Job<T, N> {
    fn process(&mut self, _cx: &mut Context) -> Result<(), Failure> {
        Ok(())
    }
}

fn main() {
    let _definition = Job::<u32, 1>::definition();
}

use dispatcher_core::{Context, Dispatcher, Failure, Process};
use serde::{Deserialize, Serialize};

#[derive(Dispatcher, Serialize, Deserialize)]
#[dispatcher(
    backoff = "exponential",
)]
struct A;

impl Process for A {
    fn process(&mut self, _cx: &mut Context) -> Result<(), Failure> {
        Ok(())
    }
}

#[derive(Dispatcher, Serialize, Deserialize)]
#[dispatcher(
    backoff = "fibonacci(1s, 1h)",
)]
struct B;

impl Process for B {
    fn process(&mut self, _cx: &mut Context) -> Result<(), Failure> {
        Ok(())
    }
}

#[derive(Dispatcher, Serialize, Deserialize)]
#[dispatcher(
    backoff = "linear(1h, 1s)",
)]
struct C;

impl Process for C {
    fn process(&mut self, _cx: &mut Context) -> Result<(), Failure> {
        Ok(())
    }
}

#[derive(Dispatcher, Serialize, Deserialize)]
#[dispatcher(
    backoff = exponential(1s, 1h),
)]
struct D;

impl Process for D {
    fn process(&mut self, _cx: &mut Context) -> Result<(), Failure> {
        Ok(())
    }
}

#[derive(Dispatcher, Serialize, Deserialize)]
#[dispatcher(
    backoff = "constant(5)",
)]
struct E;

impl Process for E {
    fn process(&mut self, _cx: &mut Context) -> Result<(), Failure> {
        Ok(())
    }
}

fn main() {}

use dispatcher_core::{Context, Dispatcher, Failure, Process};
use serde::{Deserialize, Serialize};

#[derive(Dispatcher, Serialize, Deserialize)]
#[expect(non_camel_case_types, reason = "only a keyword has a raw name")]
struct r#type {
    r#fn: u8,
}

impl Process for r#type {
    fn process(&mut self, _cx: &mut Context) -> Result<(), Failure> {
        Ok(())
    }
}

fn main() {
    assert_eq!(r#type::NAME, "type");
    assert_eq!(r#type::definition().fields[0].name, "fn");
}

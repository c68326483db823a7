use dispatcher_core::{Context, Dispatcher, Failure, Process};
use serde::{Deserialize, Serialize};

fn main() {
    #[derive(Dispatcher, Serialize, Deserialize)]
    struct Inner(u8);

    impl Process for Inner {
        fn process(&mut self, _cx: &mut Context) -> Result<(), Failure> {
            self.0 += 1;
            Ok(())
        }
    }

    assert_eq!(Inner::NAME, "Inner");
}

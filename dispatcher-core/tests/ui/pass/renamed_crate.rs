extern crate dispatcher_core as jobs;

mod facade {
    pub mod inner {
        pub use dispatcher_core::*;
        #[doc(hidden)]
        pub use dispatcher_core::__private;
    }
}

mod dispatcher_core {}

use serde::{Deserialize, Serialize};

#[derive(jobs::Dispatcher, Serialize, Deserialize)]
#[dispatcher(crate = ::jobs)]
struct Renamed;

impl jobs::Process for Renamed {
    fn process(&mut self, _cx: &mut jobs::Context) -> Result<(), jobs::Failure> {
        Ok(())
    }
}

mod below {
    use super::facade::inner as jobs;
    use serde::{Deserialize, Serialize};

    #[derive(jobs::Dispatcher, Serialize, Deserialize)]
    #[dispatcher(crate = super::facade::inner)]
    pub struct Reexported;

    impl jobs::Process for Reexported {
        fn process(&mut self, _cx: &mut jobs::Context) -> Result<(), jobs::Failure> {
            Ok(())
        }
    }
}

fn main() {
    use jobs::Dispatcher;
    assert_eq!(Renamed::NAME, "Renamed");
    assert_eq!(below::Reexported::NAME, "Reexported");
}

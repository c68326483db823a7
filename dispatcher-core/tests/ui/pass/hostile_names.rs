#![deny(warnings, unsafe_code, unused_qualifications)]
#![allow(dead_code, non_camel_case_types, non_upper_case_globals, unused_macros)]

mod core {}
mod std {}
mod serde_json {}
mod inventory {}

mod hostile {
    mod core {}
    mod std {}
    mod dispatcher_core {}
    mod inventory {}

    pub struct Option;
    pub struct Result;
    pub struct String;
    pub struct Vec;
    pub struct Box;
    pub struct Some;
    pub struct None;
    pub struct Ok;
    pub struct Err;
    pub struct Duration;
    pub struct Definition;
    pub struct Registration;
    pub struct Field;
    pub struct Place;
    pub trait Default {}
    pub trait Sized {}
    pub trait Send {}
    pub const DEFINITION: () = ();
    pub const options: () = ();
    pub const check: () = ();

    macro_rules! env { () => {} }
    macro_rules! file { () => {} }
    macro_rules! line { () => {} }
    macro_rules! module_path { () => {} }
    macro_rules! vec { () => {} }

    use ::dispatcher_core::Context;

    /// Named like ours.
    #[derive(
        ::std::default::Default, ::dispatcher_core::Dispatcher, ::serde::Serialize, ::serde::Deserialize,
    )]
    #[dispatcher(
        schedule = "daily",
        timeout = "5m",
        nice = 5,
        env = ["PATH"],
        working_directory = "/",
        required_commands = "ssh",
        on_duplicate = "serial",
        backoff = "constant(5s)"
    )]
    pub struct Options {
        text: ::std::string::String,
        #[serde(skip)]
        number: ::core::primitive::u64,
    }

    impl ::dispatcher_core::Process for Options {
        fn process(
            &mut self,
            _cx: &mut Context,
        ) -> ::core::result::Result<(), ::dispatcher_core::Failure> {
            ::core::result::Result::Ok(())
        }
    }
}

/// Serde's derive does not survive these, so it is written by hand.
mod primitives {
    pub struct str;
    pub struct u64;
    pub struct u32;
    pub struct bool;

    #[derive(::dispatcher_core::Dispatcher)]
    #[dispatcher(timeout = 5, retries = 1)]
    pub struct Job;

    impl ::dispatcher_core::Process for Job {
        fn process(
            &mut self,
            _cx: &mut ::dispatcher_core::Context,
        ) -> Result<(), ::dispatcher_core::Failure> {
            Ok(())
        }
    }

    impl ::serde::Serialize for Job {
        fn serialize<S: ::serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
            to.serialize_unit()
        }
    }

    impl<'de> ::serde::Deserialize<'de> for Job {
        fn deserialize<D: ::serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
            <() as ::serde::Deserialize>::deserialize(from).map(|()| Self)
        }
    }
}

fn main() {
    use dispatcher_core::Dispatcher;
    let definition = hostile::Options::definition();
    assert_eq!(primitives::Job::NAME, "Job");
    assert_eq!(definition.name, "Options");
    assert_eq!(definition.fields.len(), 1);
    assert_eq!((definition.options)().nice, Some(5));
}

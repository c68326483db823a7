//! Loads the shared libraries that `package_includes` names.
//!
//! A loaded library stays until the process ends; its handle is never closed.
#![expect(unsafe_code, reason = "dlopen")]

use std::ffi::{CStr, CString};

use dispatcher_core::Library;

/// Loads all of them with global symbols, or says which could not be loaded, in the loader's words.
pub(super) fn load(names: &[String]) -> Result<Vec<Library>, Vec<String>> {
    let mut loaded = Vec::new();
    let mut missing = Vec::new();
    for name in names {
        match load_one(name) {
            Ok(library) => loaded.push(library),
            Err(why) => missing.push(why),
        }
    }
    if missing.is_empty() {
        Ok(loaded)
    } else {
        Err(missing)
    }
}

fn load_one(name: &str) -> Result<Library, String> {
    let Ok(file) = CString::new(name) else {
        return Err(format!("{name:?}: no name of a library"));
    };
    // SAFETY: the name is terminated. That the library's constructors are sound is what naming it
    // in the option asserts.
    let handle = unsafe { libc::dlopen(file.as_ptr(), libc::RTLD_NOW | libc::RTLD_GLOBAL) };
    if handle.is_null() {
        // SAFETY: the text is the loader's, valid until the next call of it; null is checked.
        let why = unsafe {
            let text = libc::dlerror();
            (!text.is_null()).then(|| CStr::from_ptr(text).to_string_lossy().into_owned())
        };
        let why = why.unwrap_or_else(|| "the loader does not say why".to_owned());
        return Err(if why.contains(name) {
            why
        } else {
            format!("{name}: {why}")
        });
    }
    Ok(Library {
        name: name.to_owned(),
        handle,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_loaded_is_named_in_the_loaders_words() {
        let names = ["libc.so.6", "/nowhere/a.so", "b\0c"].map(str::to_owned);
        let missing = load(&names).unwrap_err();
        assert_eq!(missing.len(), 2);
        assert!(
            missing[0].contains("/nowhere/a.so: cannot open"),
            "{missing:?}"
        );
        assert_eq!(load(&names[..1]).unwrap()[0].name, "libc.so.6");
    }
}

//! The URL of the other side, in parts.

use hyper::Uri;

/// Where messages go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::http) struct Target {
    pub(in crate::http) is_tls: bool,
    pub(in crate::http) host: String,
    pub(in crate::http) port: u16,
    /// As the header `host` has it.
    pub(in crate::http) authority: String,
    /// Where the routes begin, without a slash at its end.
    pub(in crate::http) prefix: String,
}

impl Target {
    pub(in crate::http) fn parse(url: &str) -> Result<Self, String> {
        let uri: Uri = url.parse().map_err(|error| format!("{error}"))?;
        let is_tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            Some(_) | None => return Err("it begins with https:// or http://".to_owned()),
        };
        let authority = uri.authority().ok_or("it names no host")?;
        if authority.as_str().contains('@') {
            return Err("it has a user: messages are signed, and need none".to_owned());
        }
        if uri.query().is_some() {
            return Err("it has a query".to_owned());
        }
        let host = authority.host().trim_matches(['[', ']']);
        if host.is_empty() {
            return Err("it names no host".to_owned());
        }
        Ok(Self {
            is_tls,
            host: host.to_owned(),
            port: authority
                .port_u16()
                .unwrap_or(if is_tls { 443 } else { 80 }),
            authority: authority.as_str().to_owned(),
            prefix: uri.path().trim_end_matches('/').to_owned(),
        })
    }
}

/// A text as one part of a path.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~:".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_come_apart() {
        let target = Target::parse("https://b.example").unwrap();
        assert!(target.is_tls);
        assert_eq!((target.host.as_str(), target.port), ("b.example", 443));
        assert_eq!(
            (target.authority.as_str(), target.prefix.as_str()),
            ("b.example", "")
        );
        let target = Target::parse("http://[::1]:8642/jobs/").unwrap();
        assert!(!target.is_tls);
        assert_eq!((target.host.as_str(), target.port), ("::1", 8642));
        assert_eq!(target.authority, "[::1]:8642");
        assert_eq!(target.prefix, "/jobs");
    }

    #[test]
    fn what_is_no_url_is_refused() {
        for url in [
            "",
            "b.example",
            "ftp://b",
            "https://",
            "http://u:p@b",
            "http://b/?q",
            "/x",
        ] {
            assert!(Target::parse(url).is_err(), "{url}");
        }
    }

    #[test]
    fn parts_of_paths_are_escaped() {
        assert_eq!(escape("a-b_c.1~:"), "a-b_c.1~:");
        assert_eq!(escape("a/../b?c#d e%"), "a%2F..%2Fb%3Fc%23d%20e%25");
    }
}

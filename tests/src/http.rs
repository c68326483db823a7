//! Messages over HTTP as tests send them: byte for byte, signed or not.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use dispatcher_runner::http::Secret;
use serde_json::Value;

use crate::service::Serving;
use crate::{Home, PATIENCE};

/// The secret of tests.
pub const SECRET: &str = "C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
/// The read token of tests.
pub const TOKEN: &str = "a-token-for-tests-that-read";

/// A request.
#[derive(Debug, Clone)]
pub struct Letter {
    /// `POST`, say.
    pub method: String,
    /// With its query.
    pub path: String,
    /// Those that are not there by themselves.
    pub headers: Vec<(String, String)>,
    /// Its bytes.
    pub body: Vec<u8>,
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Answer {
    /// 202, say.
    pub status: u16,
    headers: Vec<(String, String)>,
    /// Its bytes.
    pub body: Vec<u8>,
}

/// An id that no other message has.
#[must_use]
pub fn fresh_id() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    format!(
        "msg_{}_{}",
        std::process::id(),
        NEXT.fetch_add(1, Ordering::Relaxed)
    )
}

/// Seconds since 1970.
///
/// # Panics
/// When the clock stands before that.
#[must_use]
pub fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.expect("the clock is set").as_secs()
}

impl Letter {
    /// A signed message of now.
    #[must_use]
    pub fn signed(path: &str, body: &Value) -> Self {
        Self::signed_as(path, &fresh_id(), now(), body.to_string().as_bytes())
    }

    /// A signed message.
    #[must_use]
    pub fn signed_as(path: &str, id: &str, time: u64, body: &[u8]) -> Self {
        Self::signed_with(SECRET, path, id, time, body)
    }

    /// A message signed with a secret of one's own.
    ///
    /// # Panics
    /// When it is no secret.
    #[must_use]
    pub fn signed_with(secret: &str, path: &str, id: &str, time: u64, body: &[u8]) -> Self {
        let secret = Secret::parse(secret).expect("a secret");
        Self::post(path, body)
            .with("webhook-id", id)
            .with("webhook-timestamp", &time.to_string())
            .with("webhook-signature", &secret.sign(id, time, body))
    }

    /// A message that nobody signed.
    #[must_use]
    pub fn post(path: &str, body: &[u8]) -> Self {
        Self {
            method: "POST".to_owned(),
            path: path.to_owned(),
            headers: Vec::new(),
            body: body.to_vec(),
        }
        .with("content-type", "application/json")
    }

    /// A look with the read token.
    #[must_use]
    pub fn get(path: &str) -> Self {
        Self::bare_get(path).with("authorization", &format!("Bearer {TOKEN}"))
    }

    /// A look of somebody unknown.
    #[must_use]
    pub fn bare_get(path: &str) -> Self {
        Self {
            method: "GET".to_owned(),
            path: path.to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    /// Sets a header, in place of what it was.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(known, _)| known != name);
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Without a header.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(known, _)| known != name);
        self
    }

    /// Sends it on a connection of its own.
    ///
    /// # Panics
    /// When nobody answers.
    #[must_use]
    pub fn send(&self, address: &str) -> Answer {
        let mut stream = connect(address);
        stream.write_all(&self.head(address)).expect("it is read");
        // Whoever is refused early may find that nobody reads on.
        let _ = stream.write_all(&self.body);
        Answer::read(stream)
    }

    /// Everything before the body.
    #[must_use]
    pub fn head(&self, address: &str) -> Vec<u8> {
        let mut head = format!(
            "{} {} HTTP/1.1\r\nhost: {address}\r\n",
            self.method, self.path
        );
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let has = |wanted: &str| self.headers.iter().any(|(name, _)| name == wanted);
        if !has("content-length") && !has("transfer-encoding") && self.method != "GET" {
            head.push_str(&format!("content-length: {}\r\n", self.body.len()));
        }
        head.push_str("connection: close\r\n\r\n");
        head.into_bytes()
    }
}

/// A connection that does not wait for ever.
///
/// # Panics
/// When there is nobody.
#[must_use]
pub fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).expect("somebody listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time");
    stream
}

impl Answer {
    /// Everything until the other side hangs up.
    ///
    /// # Panics
    /// When it is no answer.
    #[must_use]
    pub fn read(mut stream: TcpStream) -> Self {
        let mut all = Vec::new();
        let mut piece = [0; 4096];
        // A reset after the answer, for a body that nobody wanted, loses nothing of it.
        while let Ok(count @ 1..) = stream.read(&mut piece) {
            all.extend_from_slice(&piece[..count]);
        }
        let end = all.windows(4).position(|it| it == b"\r\n\r\n");
        let end = end.unwrap_or_else(|| panic!("no head: {}", String::from_utf8_lossy(&all)));
        let head = String::from_utf8_lossy(&all[..end]).into_owned();
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1));
        let headers = lines.filter_map(|line| line.split_once(": "));
        Self {
            status: status.and_then(|it| it.parse().ok()).expect("a status"),
            headers: headers
                .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
                .collect(),
            body: all[end + 4..].to_vec(),
        }
    }

    /// A header's value.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// Its JSON.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&self.body)))
    }

    /// The id that it tells.
    ///
    /// # Panics
    /// When it tells none.
    #[must_use]
    pub fn id(&self) -> String {
        let body = self.json();
        let id = body["id"].as_str();
        id.unwrap_or_else(|| panic!("no id: {body}")).to_owned()
    }
}

/// What came to a server: its headers and its body.
#[derive(Debug)]
pub struct Heard {
    /// Its first line and its headers.
    pub head: String,
    /// Its bytes.
    pub body: Vec<u8>,
}

impl Heard {
    /// A header's value.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        let found = self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then_some(value)
        });
        found.unwrap_or_else(|| panic!("no {name}: {}", self.head))
    }
}

/// Hears one request, and answers it.
///
/// # Panics
/// When nobody comes, or it breaks off.
pub fn hear(listener: &TcpListener, answer: &str) -> Heard {
    listener.set_nonblocking(true).expect("a listener");
    let came = || listener.accept().ok();
    let (mut stream, _) = crate::eventually("somebody comes", PATIENCE, came);
    stream.set_read_timeout(Some(PATIENCE)).expect("a time");
    let (mut all, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        let count = stream.read(&mut piece).expect("it is written");
        assert!(count > 0, "it broke off");
        all.extend_from_slice(&piece[..count]);
        let Some(end) = all.windows(4).position(|it| it == b"\r\n\r\n") else {
            continue;
        };
        let heard = Heard {
            head: String::from_utf8_lossy(&all[..end]).into_owned(),
            body: all[end + 4..].to_vec(),
        };
        if heard.body.len() as u64
            == heard
                .header("content-length")
                .parse::<u64>()
                .expect("a number")
        {
            stream.write_all(answer.as_bytes()).expect("it is read");
            return heard;
        }
    }
}

impl Serving {
    /// A service that receives jobs, with more lines of configuration: first those of
    /// `[sources.http]`, then sections.
    ///
    /// # Panics
    /// When it does not begin.
    #[must_use]
    pub fn http(home: &Home, more: &str) -> Self {
        Self::configured(home, &http_section(more))
    }

    /// The address on which it receives jobs, as its log tells it.
    ///
    /// # Panics
    /// When it has none.
    #[must_use]
    pub fn http_address(&self, home: &Home) -> String {
        crate::eventually("it receives jobs", PATIENCE, || {
            address_in(&home.read("service.log"))
        })
    }
}

/// The address on which a service receives jobs, as its log tells it.
#[must_use]
pub fn address_in(log: &str) -> Option<String> {
    let (_, after) = log.split_once("jobs over HTTP address=")?;
    let (address, _) = after.split_once(char::is_whitespace)?;
    Some(address.to_owned())
}

/// `[sources.http]` with the secret of tests, on any free port.
#[must_use]
pub fn http_section(more: &str) -> String {
    format!(
        "[sources.http]\naddress = \"127.0.0.1:0\"\nis_backend = true\nsecret = \"{SECRET}\"\n\
         read_tokens = [\"{TOKEN}\"]\n{more}"
    )
}

//! Words and paths that may hold any byte, and how they travel through JSON.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use serde::de::Error as _;
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Bytes that are mostly, but not always, UTF-8: arguments, environment, paths.
///
/// In JSON it is a string where it is UTF-8, else `{"bytes": "percent-encoded"}`.
///
/// ```
/// use cluster_core::ByteString;
/// let odd = ByteString::from(b"a\xff".to_vec());
/// assert_eq!(serde_json::to_string(&odd).unwrap(), r#"{"bytes":"a%FF"}"#);
/// assert_eq!(serde_json::from_str::<ByteString>(r#""plain""#).unwrap(), ByteString::from("plain"));
/// ```
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteString(pub Vec<u8>);

impl ByteString {
    /// The bytes as the operating system takes them.
    pub fn as_os_str(&self) -> &OsStr {
        OsStr::from_bytes(&self.0)
    }

    /// The bytes as a path.
    pub fn as_path(&self) -> &Path {
        Path::new(self.as_os_str())
    }

    /// The bytes, lossily where they are no UTF-8: for people, never for programs.
    pub fn to_string_lossy(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.0)
    }
}

impl fmt::Debug for ByteString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_os_str(), f)
    }
}

impl From<&str> for ByteString {
    fn from(text: &str) -> Self {
        Self(text.as_bytes().to_vec())
    }
}

impl From<String> for ByteString {
    fn from(text: String) -> Self {
        Self(text.into_bytes())
    }
}

impl From<Vec<u8>> for ByteString {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl From<OsString> for ByteString {
    fn from(text: OsString) -> Self {
        Self(text.into_vec())
    }
}

impl From<PathBuf> for ByteString {
    fn from(path: PathBuf) -> Self {
        path.into_os_string().into()
    }
}

impl From<ByteString> for OsString {
    fn from(bytes: ByteString) -> Self {
        Self::from_vec(bytes.0)
    }
}

impl Serialize for ByteString {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(&self.0) {
            Ok(text) => to.serialize_str(text),
            Err(_) => {
                let mut map = to.serialize_map(Some(1))?;
                map.serialize_entry("bytes", &crate::percent::encode(&self.0))?;
                map.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for ByteString {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Text(String),
            Encoded { bytes: String },
        }
        match Form::deserialize(from)? {
            Form::Text(text) => Ok(text.into()),
            Form::Encoded { bytes } => crate::percent::decode(bytes.as_bytes())
                .map(Self)
                .ok_or_else(|| D::Error::custom("bytes that are not percent-encoded")),
        }
    }
}

/// Text of others for a terminal: what would move the cursor or forge a line is `?`.
///
/// ```
/// assert_eq!(cluster_core::bytestring::printable("a\x1b[31m\nb"), "a?[31m?b");
/// ```
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

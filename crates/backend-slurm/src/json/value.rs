//! Numbers, texts and wait statuses in all the forms that versions of Slurm give them in JSON.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use cluster_core::{Timestamp, Walltime};
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::lexeme;

/// Slurm's numbers for "not set" and "no limit".
const NO_VAL: u64 = 0xffff_fffe;
const INFINITE: u64 = 0xffff_ffff;

/// A number in any of Slurm's forms.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) enum Num {
    #[default]
    Unset,
    Infinite,
    Is(u64),
}

impl Num {
    pub(super) fn get(self) -> Option<u64> {
        if let Self::Is(n) = self { Some(n) } else { None }
    }

    pub(super) fn small(self) -> Option<u32> {
        self.get()?.try_into().ok()
    }

    /// Seconds since 1970; 0 is none.
    pub(super) fn time(self) -> Option<Timestamp> {
        self.get().filter(|n| *n > 0).and_then(|n| i64::try_from(n).ok()).map(Timestamp::from_secs)
    }

    /// A limit in minutes.
    pub(super) fn minutes(self) -> Option<Walltime> {
        match self {
            Self::Unset => None,
            Self::Infinite => Some(Walltime::UNLIMITED),
            Self::Is(n) => Walltime::try_from_secs(n.checked_mul(60)?),
        }
    }
}

impl<'de> Deserialize<'de> for Num {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Numbers;
        impl<'de> Visitor<'de> for Numbers {
            type Value = Num;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number, null, or a number with `set`")
            }
            fn visit_u64<E>(self, n: u64) -> Result<Num, E> {
                Ok(match n {
                    NO_VAL => Num::Unset,
                    INFINITE => Num::Infinite,
                    n => Num::Is(n),
                })
            }
            fn visit_i64<E>(self, n: i64) -> Result<Num, E> {
                Ok(u64::try_from(n).map_or(Num::Unset, Num::Is))
            }
            fn visit_f64<E>(self, _: f64) -> Result<Num, E> {
                Ok(Num::Unset)
            }
            fn visit_bool<E>(self, _: bool) -> Result<Num, E> {
                Ok(Num::Unset)
            }
            fn visit_str<E>(self, text: &str) -> Result<Num, E> {
                Ok(lexeme::number(text.as_bytes()).map_or(Num::Unset, Num::Is))
            }
            fn visit_unit<E>(self) -> Result<Num, E> {
                Ok(Num::Unset)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Num, A::Error> {
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Num::Unset)
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Num, A::Error> {
                let (mut set, mut infinite, mut number) = (true, false, Num::Unset);
                while let Some(key) = map.next_key::<Key<'de>>()? {
                    match &*key.0 {
                        "set" => set = map.next_value()?,
                        "infinite" => infinite = map.next_value()?,
                        "number" => number = map.next_value()?,
                        _ => drop(map.next_value::<IgnoredAny>()?),
                    }
                }
                Ok(if infinite {
                    Num::Infinite
                } else if set {
                    number
                } else {
                    Num::Unset
                })
            }
        }
        from.deserialize_any(Numbers)
    }
}

/// A key or a text, borrowed where it can be.
#[derive(Debug, Deserialize)]
pub(super) struct Key<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

/// Marks beside a state that do not change it: `["PENDING", "LAUNCH_FAILED"]` is pending.
const MARKS: &[&str] = &["LAUNCH_FAILED", "UPDATE_DB", "RECONFIG_FAIL", "EXPEDITING"];

/// A text; null and other types are the empty text, of a list the last item that is no mark.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Text<'a>(pub(super) Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Texts<'a>(PhantomData<&'a ()>);
        impl<'de: 'a, 'a> Visitor<'de> for Texts<'a> {
            type Value = Text<'a>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'a>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Text<'a>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
            fn visit_unit<E>(self) -> Result<Text<'a>, E> {
                Ok(Text::default())
            }
            fn visit_bool<E>(self, _: bool) -> Result<Text<'a>, E> {
                Ok(Text::default())
            }
            fn visit_u64<E>(self, n: u64) -> Result<Text<'a>, E> {
                Ok(Text(Cow::Owned(n.to_string())))
            }
            fn visit_i64<E>(self, n: i64) -> Result<Text<'a>, E> {
                Ok(Text(Cow::Owned(n.to_string())))
            }
            fn visit_f64<E>(self, _: f64) -> Result<Text<'a>, E> {
                Ok(Text::default())
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Text<'a>, A::Error> {
                let mut last = Text::default();
                while let Some(text) = list.next_element::<Text<'a>>()? {
                    if last.0.is_empty() || !MARKS.contains(&&*text.0) {
                        last = text;
                    }
                }
                Ok(last)
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Text<'a>, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Text::default())
            }
        }
        from.deserialize_any(Texts(PhantomData))
    }
}

impl<'a> Text<'a> {
    /// The text, with "None" as nothing.
    pub(super) fn or_nothing(self) -> Cow<'a, str> {
        if lexeme::is_unset(self.0.as_bytes()) { Cow::Borrowed("") } else { self.0 }
    }
}

/// A wait status as a number, or taken apart: `{"status":["SIGNALED"],"return_code":0,"signal":{"id":11}}`.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Exit(pub(super) Option<(u32, u32)>);

impl<'de> Deserialize<'de> for Exit {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(default)]
        #[derive(Default)]
        struct Parts {
            return_code: Num,
            signal: Option<Signal>,
        }
        #[derive(Deserialize, Default)]
        #[serde(default)]
        struct Signal {
            #[serde(alias = "signal_id")]
            id: Num,
        }
        struct Exits;
        impl<'de> Visitor<'de> for Exits {
            type Value = Exit;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a wait status")
            }
            fn visit_u64<E>(self, n: u64) -> Result<Exit, E> {
                Ok(Exit(lexeme::wait_status(n.to_string().as_bytes())))
            }
            fn visit_i64<E>(self, _: i64) -> Result<Exit, E> {
                Ok(Exit(None))
            }
            fn visit_unit<E>(self) -> Result<Exit, E> {
                Ok(Exit(None))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Exit, A::Error> {
                let parts = Parts::deserialize(serde::de::value::MapAccessDeserializer::new(map))?;
                let signal = parts.signal.and_then(|signal| signal.id.small()).unwrap_or(0);
                Ok(Exit(Some((parts.return_code.small().unwrap_or(0), signal))))
            }
        }
        from.deserialize_any(Exits)
    }
}

//! Reads typed values out of a parsed TOML document and collects every fault on the way.
//!
//! A derive-based reader stops at the first fault; an operator wants to see all of them, so each type
//! reads itself and reports into one list. The `section!` macro writes struct, default, reader and
//! schema of a table from one declaration, so that they cannot drift apart.

use crate::error::{ConfigError, Positions, did_you_mean};
use core::fmt::{self, Display};
use core::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use core::ops::RangeInclusive;
use std::path::PathBuf;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

pub(crate) type Node<'i> = Spanned<DeValue<'i>>;

/// A key as the schema knows it, for documentation and its tests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// `timers.t1_ms`; members of lists of tables as `realm.access.sip[].bind`.
    pub path: String,
    /// The default in TOML syntax; `unset` where leaving the key out means something of its own.
    pub default: String,
    /// `1..=5000` as `1..5000`; empty where the type says it all.
    pub range: String,
}

/// A type that reads itself from TOML.
pub(crate) trait Value: Sized {
    /// Reads `node`; `None` after reporting what is wrong.
    fn read(node: &Node<'_>, reader: &mut Reader) -> Option<Self>;
    /// Appends the keys below `path`, with `self` as the default.
    fn keys(&self, path: &str, range: &str, out: &mut Vec<Key>) {
        out.push(Key { path: path.to_owned(), default: self.show(), range: range.to_owned() });
    }
    /// Appends the keys of the default of this type, if it is a table; false if it is a plain value.
    fn nested_keys(_path: &str, _out: &mut Vec<Key>) -> bool {
        false
    }
    /// In TOML syntax.
    fn show(&self) -> String;
}

/// Collects positions and faults.
pub(crate) struct Reader {
    pub(crate) positions: Positions,
    pub(crate) errors: Vec<ConfigError>,
    path: String,
}

impl Reader {
    pub(crate) fn new(text: &str, file: &str) -> Self {
        let positions = Positions { file: file.to_owned(), text: text.to_owned(), ..Positions::default() };
        Self { positions, errors: Vec::new(), path: String::new() }
    }

    /// Reports a fault at `node`.
    pub(crate) fn fault(&mut self, node: &Node<'_>, message: impl Into<String>, hint: impl Into<String>) {
        let error = self.positions.error_at(node.span().start, message, hint);
        self.errors.push(error);
    }

    fn wrong_type<T>(&mut self, node: &Node<'_>, expected: &str) -> Option<T> {
        let message = format!("`{}` must be {expected}, not {}", self.path, kind(node.get_ref()));
        self.fault(node, message, "");
        None
    }

    /// The table at `node`, after reporting the keys that are not in `known`.
    pub(crate) fn table<'n, 'i>(&mut self, node: &'n Node<'i>, known: &[&str]) -> Option<&'n DeTable<'i>> {
        let DeValue::Table(table) = node.get_ref() else {
            return self.wrong_type(node, "a table");
        };
        for (key, _) in table.iter() {
            let name: &str = key.get_ref();
            if !known.contains(&name) {
                let place = if self.path.is_empty() { "the top level" } else { &self.path };
                let message = format!("unknown key `{name}` in {place}");
                let hint = match did_you_mean(name, known) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("known here: {}", known.join(", ")),
                };
                let error = self.positions.error_at(key.span().start, message, hint);
                self.errors.push(error);
            }
        }
        Some(table)
    }

    /// Reads the member `key` of `table` if it is there and well-formed.
    pub(crate) fn member<T: Value + Bounded>(
        &mut self,
        table: &DeTable<'_>,
        key: &str,
        range: Option<&RangeInclusive<T>>,
    ) -> Option<T> {
        let node = table.get(key)?;
        let parent = self.path.len();
        if parent > 0 {
            self.path.push('.');
        }
        self.path.push_str(key);
        self.positions.values.insert(self.path.clone(), node.span());
        let value = T::read(node, self).filter(|value| self.in_range(node, value, range));
        self.path.truncate(parent);
        value
    }

    fn in_range<T: Bounded>(
        &mut self,
        node: &Node<'_>,
        value: &T,
        range: Option<&RangeInclusive<T>>,
    ) -> bool {
        let Some(text) = range.and_then(|range| T::outside(value, range)) else {
            return true;
        };
        let message = format!("`{}` is out of range", self.path);
        self.fault(node, message, format!("allowed: {text}"));
        false
    }

    pub(crate) fn parsed<T: core::str::FromStr>(
        &mut self,
        node: &Node<'_>,
        what: &str,
        example: &str,
    ) -> Option<T> {
        let DeValue::String(text) = node.get_ref() else {
            return self.wrong_type(node, &format!("a string with {what}"));
        };
        let parsed = text.parse().ok();
        if parsed.is_none() {
            let message = format!("`{}` is not {what}: \"{text}\"", self.path);
            self.fault(node, message, format!("for example {example}"));
        }
        parsed
    }

    /// Reads a text whose parser says itself what is wrong.
    pub(crate) fn explained<T>(&mut self, node: &Node<'_>, what: &str) -> Option<T>
    where
        T: core::str::FromStr<Err: Display>,
    {
        let DeValue::String(text) = node.get_ref() else {
            return self.wrong_type(node, &format!("a string with {what}"));
        };
        match text.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                let message = format!("`{}` is not {what}: {error}", self.path);
                self.fault(node, message, "");
                None
            }
        }
    }

    /// Reads one of a closed set of words.
    pub(crate) fn word<T: Copy>(&mut self, node: &Node<'_>, words: &[(&str, T)]) -> Option<T> {
        let DeValue::String(text) = node.get_ref() else {
            return self.wrong_type(node, "a string");
        };
        if let Some((_, value)) = words.iter().find(|(word, _)| word == text) {
            return Some(*value);
        }
        let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let message = format!("`{}` does not know \"{text}\"", self.path);
        let hint = match did_you_mean(text, &names) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => format!("one of {}", names.join(", ")),
        };
        self.fault(node, message, hint);
        None
    }
}

fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a float",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}

/// What a range may be asked of.
pub(crate) trait Bounded: Sized {
    /// The allowed range as text, if `self` lies outside.
    fn outside(&self, _range: &RangeInclusive<Self>) -> Option<String> {
        None
    }
    /// The range as operators read it.
    fn show_range(_range: &RangeInclusive<Self>) -> String {
        String::new()
    }
}

macro_rules! numbers {
    ($($ty:ty),*) => { $(
        impl Bounded for $ty {
            fn outside(&self, range: &RangeInclusive<Self>) -> Option<String> {
                (!range.contains(self)).then(|| Self::show_range(range))
            }
            fn show_range(range: &RangeInclusive<Self>) -> String {
                format!("{}..{}", range.start(), range.end())
            }
        }
        impl Value for $ty {
            fn read(node: &Node<'_>, reader: &mut Reader) -> Option<Self> {
                let DeValue::Integer(number) = node.get_ref() else {
                    return reader.wrong_type(node, "an integer");
                };
                let parsed = Self::from_str_radix(number.as_str(), number.radix()).ok();
                if parsed.is_none() {
                    let message = format!("`{}` is out of range", reader.path);
                    reader.fault(node, message, format!("allowed: {}..{}", Self::MIN, Self::MAX));
                }
                parsed
            }
            fn show(&self) -> String { self.to_string() }
        }
    )* };
}
numbers!(u8, u16, u32, u64, usize);

impl Bounded for bool {}
impl Value for bool {
    fn read(node: &Node<'_>, reader: &mut Reader) -> Option<Self> {
        match node.get_ref() {
            DeValue::Boolean(value) => Some(*value),
            _ => reader.wrong_type(node, "true or false"),
        }
    }
    fn show(&self) -> String {
        self.to_string()
    }
}

impl Bounded for String {}
impl Value for String {
    fn read(node: &Node<'_>, reader: &mut Reader) -> Option<Self> {
        match node.get_ref() {
            DeValue::String(value) => Some(value.to_string()),
            _ => reader.wrong_type(node, "a string"),
        }
    }
    fn show(&self) -> String {
        format!("\"{self}\"")
    }
}

macro_rules! texts {
    ($($ty:ty, $what:literal, $example:literal;)*) => { $(
        impl Bounded for $ty {}
        impl Value for $ty {
            fn read(node: &Node<'_>, reader: &mut Reader) -> Option<Self> {
                reader.parsed(node, $what, $example)
            }
            fn show(&self) -> String { format!("\"{}\"", Shown(self)) }
        }
    )* };
}
texts! {
    SocketAddr, "an address with port", "\"192.0.2.7:5060\" or \"[2001:db8::7]:5060\"";
    Ipv4Addr, "an IPv4 address", "\"192.0.2.7\"";
    Ipv6Addr, "an IPv6 address", "\"2001:db8::7\"";
    PathBuf, "a path", "\"/etc/gatehouse/tls.pem\"";
    crate::types::NextHop, "a next hop (addresses only: names belong into [[core.pools]])", "\"sip:192.0.2.9:5060;transport=udp\"";
    wire::HostQuery, "a SIP host", "\"sip:icscf.example.net\" or \"sip:192.0.2.9:5060;transport=udp\"";
}

struct Shown<'a, T>(&'a T);
impl<T: fmt::Debug> Display for Shown<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(format!("{:?}", self.0).trim_matches('"'))
    }
}

impl<T: Bounded + Clone> Bounded for Option<T> {
    fn outside(&self, range: &RangeInclusive<Self>) -> Option<String> {
        self.as_ref()?.outside(&inner(range)?)
    }
    fn show_range(range: &RangeInclusive<Self>) -> String {
        inner(range).map_or_else(String::new, |range| T::show_range(&range))
    }
}

fn inner<T: Clone>(range: &RangeInclusive<Option<T>>) -> Option<RangeInclusive<T>> {
    Some(range.start().clone()?..=range.end().clone()?)
}

impl<T: Value> Value for Option<T> {
    fn read(node: &Node<'_>, reader: &mut Reader) -> Option<Self> {
        T::read(node, reader).map(Some)
    }
    fn keys(&self, path: &str, range: &str, out: &mut Vec<Key>) {
        if !T::nested_keys(path, out) {
            out.push(Key { path: path.to_owned(), default: self.show(), range: range.to_owned() });
        }
    }
    fn show(&self) -> String {
        self.as_ref().map_or_else(|| "unset".to_owned(), T::show)
    }
}

impl<T> Bounded for Vec<T> {}
impl<T: Value> Value for Vec<T> {
    fn read(node: &Node<'_>, reader: &mut Reader) -> Option<Self> {
        let DeValue::Array(array) = node.get_ref() else {
            return reader.wrong_type(node, "an array");
        };
        let parent = reader.path.len();
        let mut values = Self::with_capacity(array.len());
        for (i, member) in array.iter().enumerate() {
            reader.path.push_str(&format!("[{i}]"));
            reader.positions.values.insert(reader.path.clone(), member.span());
            values.extend(T::read(member, reader));
            reader.path.truncate(parent);
        }
        // A list with a faulty member is reported already; the rest is of use to the later checks.
        Some(values)
    }
    fn keys(&self, path: &str, range: &str, out: &mut Vec<Key>) {
        if !T::nested_keys(&format!("{path}[]"), out) {
            out.push(Key { path: path.to_owned(), default: self.show(), range: range.to_owned() });
        }
    }
    fn show(&self) -> String {
        let members: Vec<String> = self.iter().map(T::show).collect();
        format!("[{}]", members.join(", "))
    }
}

macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $( $(#[$vmeta:meta])* $variant:ident = $word:literal, )* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $( $(#[$vmeta])* $variant, )* }
        impl $name {
            /// Every value with the word that stands for it.
            pub const WORDS: &'static [(&'static str, Self)] = &[ $( ($word, Self::$variant), )* ];

            /// How it is written.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self { $( Self::$variant => $word, )* }
            }
        }
        impl crate::read::Bounded for $name {}
        impl crate::read::Value for $name {
            fn read(node: &crate::read::Node<'_>, reader: &mut crate::read::Reader) -> Option<Self> {
                reader.word(node, Self::WORDS)
            }
            fn show(&self) -> String {
                format!("\"{}\"", self.word())
            }
        }
    };
}
pub(crate) use words;

macro_rules! section {
    ($(#[$meta:meta])* $name:ident {
        $( $(#[$fmeta:meta])* $field:ident : $ty:ty = $default:expr $(, $range:expr)? ; )*
    }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name { $( $(#[$fmeta])* pub $field: $ty, )* }

        impl Default for $name {
            fn default() -> Self { Self { $( $field: $default, )* } }
        }

        impl crate::read::Bounded for $name {}
        impl crate::read::Value for $name {
            fn read(node: &crate::read::Node<'_>, reader: &mut crate::read::Reader) -> Option<Self> {
                let table = reader.table(node, &[ $( stringify!($field), )* ])?;
                let mut out = Self::default();
                $(
                    let range: Option<core::ops::RangeInclusive<$ty>> = None $( .or(Some($range)) )?;
                    if let Some(value) = reader.member(table, stringify!($field), range.as_ref()) {
                        out.$field = value;
                    }
                )*
                Some(out)
            }
            fn keys(&self, path: &str, _range: &str, out: &mut Vec<crate::read::Key>) {
                let dot = if path.is_empty() { "" } else { "." };
                $(
                    let range: Option<core::ops::RangeInclusive<$ty>> = None $( .or(Some($range)) )?;
                    let range = range.map_or_else(String::new, |r| crate::read::Bounded::show_range(&r));
                    self.$field.keys(&format!("{path}{dot}{}", stringify!($field)), &range, out);
                )*
            }
            fn nested_keys(path: &str, out: &mut Vec<crate::read::Key>) -> bool {
                Self::default().keys(path, "", out);
                true
            }
            fn show(&self) -> String { String::new() }
        }
    };
}
pub(crate) use section;

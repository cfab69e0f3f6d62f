//! The declaration of a metric.

use wire::{Realm, Transport};

/// How a metric behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows, over restarts of shards too.
    Counter,
    /// Goes both ways; summed over the shards that live.
    Gauge,
}

/// A label and every value it can take: nothing a peer sends ever becomes a label.
#[derive(Clone, Copy, Debug)]
pub struct Label {
    /// Its name.
    pub name: &'static str,
    /// Its values, in the order of the cells.
    pub values: &'static [&'static str],
}

/// One metric with all its label combinations.
#[derive(Debug)]
pub struct Family {
    /// `gatehouse_<area>_<thing>_<unit>[_total]`, base units.
    pub name: &'static str,
    /// For the HELP line.
    pub help: &'static str,
    /// Counter or gauge.
    pub kind: Kind,
    /// Outermost first: the last label varies fastest over the cells.
    pub labels: &'static [Label],
}

impl Family {
    /// The number of cells.
    #[must_use]
    pub fn len(&self) -> usize {
        self.labels.iter().map(|l| l.values.len()).product()
    }

    /// Never: a family without labels has one cell.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        false
    }

    /// The label values of a cell.
    #[must_use]
    pub fn values(&self, cell: usize) -> Vec<(&'static str, &'static str)> {
        let mut rest = cell;
        let mut values: Vec<_> = self
            .labels
            .iter()
            .rev()
            .map(|label| {
                let value = label.values[rest % label.values.len()];
                rest /= label.values.len();
                (label.name, value)
            })
            .collect();
        values.reverse();
        values
    }
}

/// The side of the edge; cells in the order of [`realm_cell`].
pub const REALM: Label = Label { name: "realm", values: &["access", "core"] };
/// The transport; cells in the order of [`transport_cell`].
pub const TRANSPORT: Label = Label { name: "transport", values: &["udp", "tcp", "tls"] };
/// Which way, as seen from the edge.
pub const DIRECTION: Label = Label { name: "direction", values: &["in", "out"] };

/// Where `realm` stands in [`REALM`].
#[must_use]
pub const fn realm_cell(realm: Realm) -> usize {
    match realm {
        Realm::Access => 0,
        Realm::Core => 1,
    }
}

/// Where `transport` stands in [`TRANSPORT`].
#[must_use]
pub const fn transport_cell(transport: Transport) -> usize {
    match transport {
        Transport::Udp => 0,
        Transport::Tcp => 1,
        Transport::Tls => 2,
    }
}

macro_rules! families {
    ($( $(#[$doc:meta])* $name:ident = $kind:ident, $text:literal, [$($label:expr),*], $help:literal; )*) => {
        $(
            $(#[$doc])*
            #[doc = concat!("`", $text, "`: ", $help)]
            pub static $name: crate::family::Family = crate::family::Family {
                name: $text,
                help: $help,
                kind: crate::family::Kind::$kind,
                labels: &[$($label),*],
            };
        )*
        /// Every metric of this area.
        pub static FAMILIES: &[&crate::family::Family] = &[ $( &$name, )* ];
    };
}
pub(crate) use families;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FAMILIES;

    fn all() -> impl Iterator<Item = &'static Family> {
        FAMILIES.iter().flat_map(|area| area.iter().copied())
    }

    #[test]
    fn labels_match_the_words_of_wire() {
        for realm in [Realm::Access, Realm::Core] {
            assert_eq!(REALM.values[realm_cell(realm)], realm.label());
        }
        for transport in Transport::ALL {
            assert_eq!(TRANSPORT.values[transport_cell(transport)], transport.label());
        }
    }

    #[test]
    fn names_are_unique_prefixed_and_end_as_their_kind_says() {
        let mut names: Vec<_> = all().map(|f| f.name).collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count, "two metrics bear one name");
        for family in all() {
            assert!(family.name.starts_with("gatehouse_"), "{}", family.name);
            assert_eq!(family.name.ends_with("_total"), family.kind == Kind::Counter, "{}", family.name);
            assert!(family.help.ends_with('.'), "{}", family.name);
            assert!(family.len() <= 512, "{} has {} series", family.name, family.len());
        }
    }

    #[test]
    fn the_last_label_varies_fastest() {
        let family = Family {
            name: "gatehouse_x_total",
            help: "X.",
            kind: Kind::Counter,
            labels: &[DIRECTION, TRANSPORT],
        };
        assert_eq!(family.len(), 6);
        assert_eq!(family.values(4), [("direction", "out"), ("transport", "tcp")]);
    }
}

//! Values of arguments that clap does not know.

use shardlift_model::{ByteCount, CustomerId, NodeId, ShardId};
use shardlift_pki::authority::CertifiedName;
use shardlift_planner::{CustomerRule, parse_bytes};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A length of time: `90s`, `30m`, `12h` or `7d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

impl Span {
    /// In whole minutes, rounded up.
    #[must_use]
    pub fn minutes(self) -> u32 {
        u32::try_from(self.0.as_secs().div_ceil(60)).unwrap_or(u32::MAX)
    }

    /// In whole days, rounded up.
    #[must_use]
    pub fn days(self) -> u32 {
        u32::try_from(self.0.as_secs().div_ceil(86_400)).unwrap_or(u32::MAX)
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("{text:?} is not a length of time such as 90s, 30m, 12h or 7d");
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at_checked(digits).ok_or_else(bad)?;
        let seconds: u64 = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            "d" => 86_400,
            _ => return Err(bad()),
        };
        let number: u64 = number.parse().map_err(|_| bad())?;
        let total = number.checked_mul(seconds).filter(|total| *total > 0).ok_or_else(bad)?;
        Ok(Self(Duration::from_secs(total)))
    }
}

/// A limit in bytes: `500GiB`, `20MiB`, `1048576`, or `none`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota(Option<u64>);

impl Quota {
    /// In bytes; 0 for none.
    #[must_use]
    pub fn bytes(self) -> u64 {
        self.0.unwrap_or(0)
    }
}

impl FromStr for Quota {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Self(None));
        }
        let bad = || format!("{text:?} is not a size such as 500GiB, 20MiB or 1048576, nor none");
        size(text).map(|bytes| Self(Some(bytes.0))).ok_or_else(bad)
    }
}

/// Bytes above 0: a whole number with a unit, or without one.
fn size(text: &str) -> Option<ByteCount> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit());
    let bytes = if plain { text.parse().ok().map(ByteCount) } else { parse_bytes(text).ok() };
    bytes.filter(|bytes| bytes.0 > 0)
}

/// A number of bytes: `2TiB`, `500GiB`, `1048576`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size(pub ByteCount);

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        size(text).map(Self).ok_or_else(|| format!("{text:?} is not a size such as 2TiB, 500GiB or 1048576"))
    }
}

/// `NODE=SHARD[,SHARD]`: where a node may go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowedTargets {
    /// Which node.
    pub node: NodeId,
    /// The shards.
    pub targets: Vec<ShardId>,
}

impl FromStr for AllowedTargets {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let read = text.split_once('=').and_then(|(node, targets)| {
            let targets = targets.split(',').map(str::parse).collect::<Result<_, _>>().ok()?;
            Some(Self { node: node.parse().ok()?, targets })
        });
        read.ok_or_else(|| format!("{text:?} is not NODE=SHARD[,SHARD], such as acme/web-1=shard-b,shard-c"))
    }
}

/// `CUSTOMER=N` or `CUSTOMER=N%`: most nodes of a customer on one shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpreadCustomer {
    /// Which customer.
    pub customer: CustomerId,
    /// Most nodes, or most per cent.
    pub rule: CustomerRule,
}

impl FromStr for SpreadCustomer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let read = text.split_once('=').and_then(|(customer, most)| {
            let rule = match most.strip_suffix('%') {
                Some(percent) => CustomerRule::SpreadShare {
                    percent_max: percent.parse().ok().filter(|percent| (1..=100).contains(percent))?,
                },
                None => CustomerRule::SpreadNodes { nodes_max: most.parse().ok().filter(|most| *most > 0)? },
            };
            Some(Self { customer: customer.parse().ok()?, rule })
        });
        read.ok_or_else(|| format!("{text:?} is not CUSTOMER=N or CUSTOMER=N%, such as acme=2 or acme=50%"))
    }
}

/// A number of bytes in a second: `50MiB`, `50MiB/s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace(pub u64);

impl FromStr for Pace {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("{text:?} is not a number of bytes in a second such as 50MiB or 800KiB/s");
        let size: Quota = text.strip_suffix("/s").unwrap_or(text).parse().map_err(|_| bad())?;
        size.0.map(Self).ok_or_else(bad)
    }
}

/// A limit, or `none`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ceiling<T> {
    /// No limit.
    None,
    /// This one.
    At(T),
}

impl<T> Ceiling<T> {
    /// The limit, or what stands for none.
    pub fn or<U>(self, none: U, of: impl FnOnce(T) -> U) -> U {
        match self {
            Self::None => none,
            Self::At(limit) => of(limit),
        }
    }
}

impl<T: FromStr> FromStr for Ceiling<T>
where
    T::Err: fmt::Display,
{
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Self::None);
        }
        text.parse().map(Self::At).map_err(|error: T::Err| format!("{error}, or none"))
    }
}

/// Something that is on or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Switch {
    /// Yes.
    On,
    /// No.
    Off,
}

/// `ID=REASON`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedReason {
    /// The id, which ends it later.
    pub id: String,
    /// The reason.
    pub reason: String,
}

impl FromStr for NamedReason {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let pair = text.split_once('=').filter(|(id, reason)| !id.trim().is_empty() && !reason.trim().is_empty());
        let (id, reason) = pair.ok_or_else(|| format!("{text:?} is not ID=REASON, such as case-17='claim of 2026'"))?;
        Ok(Self { id: id.trim().to_owned(), reason: reason.trim().to_owned() })
    }
}

/// `NODE=SEQ`: a node and a change of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeSeq {
    /// Which node.
    pub node: NodeId,
    /// Number of the change.
    pub seq: u64,
}

impl FromStr for NodeSeq {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let pair = text.split_once('=').and_then(|(node, seq)| Some((node.parse().ok()?, seq.parse().ok()?)));
        let (node, seq) = pair.ok_or_else(|| format!("{text:?} is not NODE=SEQ, such as acme/web-1=4711"))?;
        Ok(Self { node, seq })
    }
}

/// What a certificate may carry for a host: a name, every name below one (`*.backup.example`), or an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostName(CertifiedName);

impl FromStr for HostName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = |_| format!("{text:?} is not a host name, a wildcard such as *.backup.example, or an address");
        text.parse().map(Self).map_err(bad)
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_a_number_and_a_unit() {
        let of = |text: &str| text.parse::<Span>().map(|span| span.0.as_secs());
        assert_eq!([of("90s"), of("30m"), of("12h"), of("7d")], [Ok(90), Ok(1800), Ok(43_200), Ok(604_800)]);
        for bad in ["", "5", "h", "0m", "-1h", "1.5h", "1h30m", "99999999999999999999d", "99999999999999999d", "1ü"] {
            assert!(of(bad).is_err(), "{bad}");
        }
        assert_eq!("90s".parse::<Span>().unwrap().minutes(), 2);
        assert_eq!("25h".parse::<Span>().unwrap().days(), 2);
    }

    #[test]
    fn quotas_have_binary_units_or_are_none() {
        let of = |text: &str| text.parse::<Quota>().map(Quota::bytes);
        assert_eq!([of("none"), of("7"), of("20MiB"), of("2TiB")], [Ok(0), Ok(7), Ok(20 << 20), Ok(2 << 40)]);
        for bad in ["", "0", "GiB", "1GB", "-1", "1.5GiB", "99999999TiB"] {
            assert!(of(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_size_is_more_than_nothing() {
        let of = |text: &str| text.parse::<Size>().map(|size| size.0.0);
        assert_eq!([of("7"), of("2TiB"), of("3 GiB")], [Ok(7), Ok(2 << 40), Ok(3 << 30)]);
        for bad in ["", "none", "0", "0B", "2TB", "-1"] {
            assert!(of(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn allowed_targets_name_a_node_and_its_shards() {
        let allowed = "acme/web-1=shard-b,shard-c".parse::<AllowedTargets>().unwrap();
        assert_eq!(allowed.node.as_str(), "acme/web-1");
        assert_eq!(allowed.targets.iter().map(ShardId::as_str).collect::<Vec<_>>(), ["shard-b", "shard-c"]);
        for bad in ["", "a", "a=", "=b", "a=b,", "a=B", "../a=b"] {
            assert!(bad.parse::<AllowedTargets>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_customer_is_spread_by_number_or_by_share() {
        let rule = |text: &str| text.parse::<SpreadCustomer>().map(|spread| spread.rule);
        assert_eq!(rule("acme=2"), Ok(CustomerRule::SpreadNodes { nodes_max: 2 }));
        assert_eq!(rule("acme=50%"), Ok(CustomerRule::SpreadShare { percent_max: 50 }));
        for bad in ["", "acme", "acme=", "acme=0", "acme=0%", "acme=101%", "acme=-1", "=2", "a/b=2", "acme=2.5"] {
            assert!(rule(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_pace_is_a_size_in_a_second() {
        let of = |text: &str| text.parse::<Pace>().map(|pace| pace.0);
        assert_eq!([of("7"), of("50MiB"), of("800KiB/s")], [Ok(7), Ok(50 << 20), Ok(800 << 10)]);
        for bad in ["", "none", "0", "/s", "50MiB/h", "-1"] {
            assert!(of(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_ceiling_is_a_limit_or_none() {
        let of = |text: &str| text.parse::<Ceiling<Pace>>().map(|ceiling| ceiling.or(0, |pace| pace.0));
        assert_eq!([of("none"), of("5MiB/s")], [Ok(0), Ok(5 << 20)]);
        assert!(of("much").unwrap_err().ends_with(", or none"));
        assert_eq!("none".parse::<Ceiling<String>>(), Ok(Ceiling::None));
        assert!("-1".parse::<Ceiling<u32>>().is_err());
    }

    #[test]
    fn a_hold_has_an_id_and_a_reason() {
        let hold = "case-17=claim = urgent".parse::<NamedReason>().unwrap();
        assert_eq!((hold.id.as_str(), hold.reason.as_str()), ("case-17", "claim = urgent"));
        for bad in ["", "x", "=y", "x=", " = "] {
            assert!(bad.parse::<NamedReason>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_loss_names_a_node_and_a_change() {
        let loss = "acme/web-1=4711".parse::<NodeSeq>().unwrap();
        assert_eq!((loss.node.as_str(), loss.seq), ("acme/web-1", 4711));
        for bad in ["", "3", "a", "a=", "=3", "a=-1", "a=x", "../a=3", "a=1=2"] {
            assert!(bad.parse::<NodeSeq>().is_err(), "{bad}");
        }
    }

    #[test]
    fn host_names_are_checked_before_anything_is_asked() {
        for good in ["backup.example", "*.backup.example", "127.0.0.1", "::1"] {
            assert_eq!(good.parse::<HostName>().unwrap().to_string(), good);
        }
        for bad in ["", "*", "a b", "*.example", "http://x"] {
            assert!(bad.parse::<HostName>().is_err(), "{bad}");
        }
    }
}

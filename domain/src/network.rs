//! Networks, as CIDR writes them: `198.51.100.0/24`, `2001:db8::/32`.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A network of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, example = "198.51.100.0/24")]
pub struct Network((IpAddr, u8));

/// No network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this is no network: write an address, or one with its length, as 198.51.100.0/24, and nothing set beyond it")]
pub struct NoNetwork;

impl Network {
    /// Whether an address belongs to it. An IPv4 address is the same one where IPv6 carries it.
    pub fn contains(&self, address: IpAddr) -> bool {
        let (address, Self((own, bits))) = (address.to_canonical(), *self);
        own.is_ipv4() == address.is_ipv4() && first_bits(address, bits) == first_bits(own, bits)
    }
}

/// The first bits of an address, as a number at the top.
fn first_bits(address: IpAddr, bits: u8) -> u128 {
    let number = match address {
        IpAddr::V4(four) => u128::from(four.to_bits()) << 96,
        IpAddr::V6(six) => six.to_bits(),
    };
    match u32::from(bits) {
        0 => 0,
        bits => number >> (128 - bits),
    }
}

impl FromStr for Network {
    type Err = NoNetwork;

    fn from_str(text: &str) -> Result<Self, NoNetwork> {
        let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().map_err(|_| NoNetwork)?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let digits = |bits: &&str| !bits.is_empty() && bits.bytes().all(|digit| digit.is_ascii_digit());
        let bits = match bits {
            None => most,
            Some(bits) => Some(bits).filter(digits).and_then(|bits| bits.parse().ok()).ok_or(NoNetwork)?,
        };
        let rest = |bits: u8| {
            first_bits(address, most)
                ^ first_bits(address, bits).checked_shl(u32::from(most - bits)).unwrap_or_default()
                != 0
        };
        // A mapped address would never be met: every one is taken as IPv4.
        if bits > most || address.to_canonical() != address || bits < most && rest(bits) {
            return Err(NoNetwork);
        }
        Ok(Self((address, bits)))
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self((address, bits)) = self;
        write!(f, "{address}/{bits}")
    }
}

impl TryFrom<String> for Network {
    type Error = NoNetwork;

    fn try_from(text: String) -> Result<Self, NoNetwork> {
        text.parse()
    }
}

impl From<Network> for String {
    fn from(network: Network) -> Self {
        network.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_holds_its_addresses_and_no_other() {
        for (network, address, inside) in [
            ("198.51.100.0/24", "198.51.100.255", true),
            ("198.51.100.0/24", "198.51.101.0", false),
            ("198.51.100.0/24", "::ffff:198.51.100.7", true),
            ("198.51.100.7", "198.51.100.7", true),
            ("198.51.100.7", "198.51.100.6", false),
            ("0.0.0.0/0", "8.8.8.8", true),
            ("0.0.0.0/0", "::1", false),
            ("2001:db8::/32", "2001:db8:1::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
            ("::/0", "2001::", true),
        ] {
            let read: Network = network.parse().expect(network);
            assert_eq!(read.contains(address.parse().expect(address)), inside, "{network} {address}");
        }
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in [
            "",
            "198.51.100.0/",
            "198.51.100.0/33",
            "198.51.100.1/24",
            "::/129",
            "a/8",
            "1.2.3.4/+8",
            "::ffff:1.2.3.4/120",
        ] {
            assert!(text.parse::<Network>().is_err(), "{text}");
        }
        let network: Network = "10.0.0.0/8".parse().expect("a network");
        assert_eq!(serde_json::to_string(&network).expect("text"), "\"10.0.0.0/8\"");
        assert_eq!("10.1.2.3".parse::<Network>().expect("one").to_string(), "10.1.2.3/32");
    }
}

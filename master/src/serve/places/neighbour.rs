//! The neighbour that an address stands for: an IPv4 address, or the IPv6 network that one customer gets.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Neighbour {
    Loopback,
    V4(Ipv4Addr),
    /// The first 64 bits of the address.
    V6(u64),
}

impl Neighbour {
    pub(crate) fn of(address: IpAddr) -> Neighbour {
        match address.to_canonical() {
            address if address.is_loopback() => Neighbour::Loopback,
            IpAddr::V4(address) => Neighbour::V4(address),
            IpAddr::V6(address) => Neighbour::V6(network(address)),
        }
    }

    pub(crate) fn is_loopback(self) -> bool {
        self == Neighbour::Loopback
    }
}

fn network(address: Ipv6Addr) -> u64 {
    (address.to_bits() >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_stand_for_their_holders() {
        let rows = [
            ("127.0.0.1", "127.8.9.1", true),
            ("127.0.0.1", "::1", true),
            ("::ffff:127.0.0.1", "::1", true),
            ("10.0.0.1", "::ffff:10.0.0.1", true),
            ("10.0.0.1", "10.0.0.2", false),
            ("2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff", true),
            ("2001:db8::1", "2001:db8:0:1::1", false),
            ("::1", "::2", false),
        ];
        for (one, other, same) in rows {
            let [left, right] = [one, other].map(|text| Neighbour::of(text.parse().expect("an address")));
            assert_eq!(left == right, same, "{one} and {other}");
        }
    }
}

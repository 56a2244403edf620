//! Where a node is reached on the peer network.

use commonware_codec::{Buf, EncodeSize, Error, Read, ReadExt, Write};
use core::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// An IP address and a port.
///
/// Encoding: one byte that is 4 or 6, the address with its most significant byte first (4 or 16 bytes), the port (2 bytes). Flow information and
/// scope of an IPv6 address mean nothing on another machine, and are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerAddress {
    ip: IpAddr,
    port: u16,
}

impl PeerAddress {
    /// The address as the standard library has it.
    #[must_use]
    pub const fn socket(self) -> SocketAddr {
        SocketAddr::new(self.ip, self.port)
    }
}

impl From<SocketAddr> for PeerAddress {
    fn from(address: SocketAddr) -> Self {
        Self {
            ip: address.ip(),
            port: address.port(),
        }
    }
}

impl fmt::Display for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.socket().fmt(f)
    }
}

impl Write for PeerAddress {
    fn write(&self, buf: &mut impl bytes::BufMut) {
        match self.ip {
            IpAddr::V4(ip) => {
                4_u8.write(buf);
                ip.octets().write(buf);
            }
            IpAddr::V6(ip) => {
                6_u8.write(buf);
                ip.octets().write(buf);
            }
        }
        self.port.write(buf);
    }
}

impl EncodeSize for PeerAddress {
    fn encode_size(&self) -> usize {
        match self.ip {
            IpAddr::V4(_) => 7,
            IpAddr::V6(_) => 19,
        }
    }
}

impl Read for PeerAddress {
    type Cfg = ();

    fn read_cfg(buf: &mut impl Buf, (): &()) -> Result<Self, Error> {
        let ip = match u8::read(buf)? {
            4 => IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::read(buf)?)),
            6 => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::read(buf)?)),
            _ => return Err(Error::Invalid("peer address", "neither IPv4 nor IPv6")),
        };
        let port = u16::read(buf)?;
        Ok(Self { ip, port })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode;
    use commonware_codec::Encode;

    #[test]
    fn an_address_is_told_and_read_as_it_was() {
        for (text, bytes) in [
            ("1.2.3.4:9000", &[4, 1, 2, 3, 4, 0x23, 0x28][..]),
            (
                "[2001:db8::7]:1",
                &[
                    6, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7, 0, 1,
                ],
            ),
        ] {
            let address = PeerAddress::from(text.parse::<SocketAddr>().unwrap());
            assert_eq!(&address.encode()[..], bytes);
            assert_eq!(decode::<PeerAddress>(bytes).unwrap(), address);
            assert_eq!(address.to_string(), text);
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for bytes in [
            &[][..],
            &[4, 1, 2, 3, 4, 0],
            &[5, 1, 2, 3, 4, 0, 1],
            &[6, 1, 2, 3, 4, 0, 1],
        ] {
            assert!(decode::<PeerAddress>(bytes).is_err(), "{bytes:?}");
        }
    }
}

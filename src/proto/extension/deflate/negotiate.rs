//! Offers, responses and what is agreed on (RFC 7692 section 7.1).

use super::{Deflate, Direction, WindowBits};
use crate::proto::extension::grammar::{Extension, ExtensionOffer};

/// The extension's name (RFC 7692 section 7).
pub(super) const NAME: &str = "permessage-deflate";

const SERVER_NO_CONTEXT_TAKEOVER: &str = "server_no_context_takeover";
const CLIENT_NO_CONTEXT_TAKEOVER: &str = "client_no_context_takeover";
const SERVER_MAX_WINDOW_BITS: &str = "server_max_window_bits";
const CLIENT_MAX_WINDOW_BITS: &str = "client_max_window_bits";

/// The parameters that both endpoints use.
pub(super) struct Agreed {
    pub(super) server: Direction,
    pub(super) client: Direction,
    /// What the server responds with; None on the client's side.
    pub(super) response: Option<Extension>,
}

/// The parameters of an offer or a response. Bits are 8 to 15.
#[derive(Default)]
struct Params {
    server_no_context_takeover: bool,
    client_no_context_takeover: bool,
    server_max_window_bits: Option<u8>,
    /// `Some(None)` is the parameter without a value, which only an offer may have.
    client_max_window_bits: Option<Option<u8>>,
}

impl Params {
    /// RFC 7692 section 7.1: the peer must decline an offer, or fail the connection on a
    /// response, that has a parameter not defined for it, one with an invalid value, or several
    /// of the same name. The error says which.
    fn parse(element: &ExtensionOffer<'_>) -> Result<Self, &'static str> {
        let mut params = Self::default();
        for param in element.params() {
            let value = param.value.as_deref();
            match param.name {
                SERVER_NO_CONTEXT_TAKEOVER => {
                    if value.is_some() {
                        return Err(
                            "permessage-deflate: server_no_context_takeover has a value, \
                                    and takes none (RFC 7692 section 7.1.1.1)",
                        );
                    }
                    if params.server_no_context_takeover {
                        return Err("permessage-deflate: server_no_context_takeover is there \
                                    twice (RFC 7692 section 7.1)");
                    }
                    params.server_no_context_takeover = true;
                }
                CLIENT_NO_CONTEXT_TAKEOVER => {
                    if value.is_some() {
                        return Err(
                            "permessage-deflate: client_no_context_takeover has a value, \
                                    and takes none (RFC 7692 section 7.1.1.2)",
                        );
                    }
                    if params.client_no_context_takeover {
                        return Err("permessage-deflate: client_no_context_takeover is there \
                                    twice (RFC 7692 section 7.1)");
                    }
                    params.client_no_context_takeover = true;
                }
                SERVER_MAX_WINDOW_BITS => {
                    let bits = value.and_then(window_bits).ok_or(
                        "permessage-deflate: server_max_window_bits is not a number from 8 to 15 \
                         (RFC 7692 section 7.1.2.1)",
                    )?;
                    if params.server_max_window_bits.replace(bits).is_some() {
                        return Err("permessage-deflate: server_max_window_bits is there twice \
                                    (RFC 7692 section 7.1)");
                    }
                }
                CLIENT_MAX_WINDOW_BITS => {
                    let bits = value.map(|it| window_bits(it).ok_or(CLIENT_BITS_VALUE));
                    if params
                        .client_max_window_bits
                        .replace(bits.transpose()?)
                        .is_some()
                    {
                        return Err("permessage-deflate: client_max_window_bits is there twice \
                                    (RFC 7692 section 7.1)");
                    }
                }
                _ => {
                    return Err(
                        "permessage-deflate: a parameter that the extension doesn't have \
                                (RFC 7692 section 7.1)",
                    );
                }
            }
        }
        Ok(params)
    }

    fn into_extension(self) -> Extension {
        let mut extension = Extension::new(NAME);
        if self.server_no_context_takeover {
            extension = extension.with_flag(SERVER_NO_CONTEXT_TAKEOVER);
        }
        if self.client_no_context_takeover {
            extension = extension.with_flag(CLIENT_NO_CONTEXT_TAKEOVER);
        }
        if let Some(bits) = self.server_max_window_bits {
            extension = extension.with_value(SERVER_MAX_WINDOW_BITS, bits);
        }
        match self.client_max_window_bits {
            Some(Some(bits)) => extension.with_value(CLIENT_MAX_WINDOW_BITS, bits),
            Some(None) => extension.with_flag(CLIENT_MAX_WINDOW_BITS),
            None => extension,
        }
    }
}

const CLIENT_BITS_VALUE: &str = "permessage-deflate: client_max_window_bits is not a number from \
                                 8 to 15 (RFC 7692 section 7.1.2.2)";

/// RFC 7692 section 7.1.2.1: "a decimal integer value without leading zeroes between 8 to 15
/// inclusive".
fn window_bits(value: &str) -> Option<u8> {
    match value.as_bytes() {
        [digit @ b'8'..=b'9'] => Some(digit - b'0'),
        [b'1', digit @ b'0'..=b'5'] => Some(10 + digit - b'0'),
        _ => None,
    }
}

/// The number, if it restricts anything.
fn below_max(window: WindowBits) -> Option<u8> {
    (window < WindowBits::MAX).then_some(window.bits())
}

impl Deflate {
    /// Returns what a client offers. It always lets the server choose the client's window.
    pub(super) fn offer(&self) -> Extension {
        let params = Params {
            server_no_context_takeover: self.server_no_context_takeover,
            client_no_context_takeover: self.client_no_context_takeover,
            server_max_window_bits: below_max(self.server_max_window_bits),
            client_max_window_bits: Some(below_max(self.client_max_window_bits)),
        };
        params.into_extension()
    }

    /// Judges an offer on the server's side; None declines it.
    pub(super) fn judge_offer(&self, offer: &ExtensionOffer<'_>) -> Option<Agreed> {
        let offer = Params::parse(offer).ok()?;
        // RFC 7692 section 7.1.1.1: "A server accepts an extension negotiation offer that
        // includes the "server_no_context_takeover" extension parameter by including the
        // "server_no_context_takeover" extension parameter in the corresponding extension
        // negotiation response". Section 7.1.1.2 is the same for the client, whose parameter
        // "A server MAY include" unasked.
        let server_no_context_takeover =
            offer.server_no_context_takeover || self.server_no_context_takeover;
        let client_no_context_takeover =
            offer.client_no_context_takeover || self.client_no_context_takeover;
        // Section 7.1.2.1: accepted "with the same or smaller value as the offer", and "A server
        // MAY include the "server_max_window_bits" extension parameter in an extension
        // negotiation response even if the extension negotiation offer being accepted by the
        // response didn't include" it. zlib can't compress at 8: "A server declines an extension
        // negotiation offer with this parameter if the server doesn't support it."
        let server_window = match offer.server_max_window_bits {
            Some(bits) => WindowBits::new(bits)?.min(self.server_max_window_bits),
            None => self.server_max_window_bits,
        };
        // Section 7.1.2.2: without it in the offer, the response "MUST NOT include the
        // "client_max_window_bits" extension parameter"; with a value, "a value equal to or
        // smaller than the received value". A client at 8 is not asked for that: it may be one
        // that can't do it either.
        let client_window = match offer.client_max_window_bits {
            Some(None) => below_max(self.client_max_window_bits),
            Some(Some(bits)) => WindowBits::new(bits)
                .and_then(|window| below_max(window.min(self.client_max_window_bits))),
            None => None,
        };
        let response = Params {
            server_no_context_takeover,
            client_no_context_takeover,
            server_max_window_bits: match offer.server_max_window_bits {
                Some(_) => Some(server_window.bits()),
                None => below_max(server_window),
            },
            client_max_window_bits: client_window.map(Some),
        };
        Some(Agreed {
            server: Direction {
                takeover: !server_no_context_takeover,
                window: Some(server_window),
            },
            client: Direction {
                takeover: !client_no_context_takeover,
                window: client_window.map_or(Some(WindowBits::MAX), WindowBits::new),
            },
            response: Some(response.into_extension()),
        })
    }

    /// Judges the response to [`offer`](Self::offer) on the client's side.
    pub(super) fn judge_response(
        &self,
        response: &ExtensionOffer<'_>,
    ) -> Result<Agreed, &'static str> {
        let response = Params::parse(response)?;
        if self.server_no_context_takeover && !response.server_no_context_takeover {
            return Err("permessage-deflate: the response leaves the requested \
                        server_no_context_takeover out (RFC 7692 section 7.1.1.1)");
        }
        let requested = below_max(self.server_max_window_bits);
        let server_bits = response.server_max_window_bits;
        if requested.is_some_and(|most| server_bits.is_none_or(|bits| bits > most)) {
            return Err(
                "permessage-deflate: server_max_window_bits is above the offer, or left \
                        out (RFC 7692 section 7.1.2.1)",
            );
        }
        let client_bits = match response.client_max_window_bits {
            Some(None) => return Err(CLIENT_BITS_VALUE),
            Some(Some(bits)) => bits,
            None => WindowBits::MAX.bits(),
        };
        let most = self.client_max_window_bits.bits();
        if response.client_max_window_bits.is_some() && client_bits > most {
            return Err(
                "permessage-deflate: client_max_window_bits is above the offer \
                        (RFC 7692 section 7.1.2.2)",
            );
        }
        Ok(Agreed {
            server: Direction {
                takeover: !response.server_no_context_takeover,
                window: WindowBits::new(server_bits.unwrap_or(WindowBits::MAX.bits())),
            },
            client: Direction {
                // Section 7.1.1.2: a client may do so whatever the response says.
                takeover: !(response.client_no_context_takeover || self.client_no_context_takeover),
                window: WindowBits::new(client_bits.min(most)),
            },
            response: None,
        })
    }
}

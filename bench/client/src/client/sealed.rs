//! Lanes on which TLS is spoken: their events, and what they send.
//!
//! Invariants: a lane has one send under way, as every lane; what TLS itself has to say goes out in
//! front of the request as soon as none is. A lane without a request sends nothing, so that it can
//! always take the next one: what comes to be said there waits for that. An idle session takes in
//! tickets and new keys; bytes that are an answer nobody asked for end it.

use super::{Client, Connection, ExchangeError, Handler, LaneOf};
use crate::response::ResponseError;
use crate::ring::{Event, Kind, Lane};
use std::io;

impl Client {
    /// Sends what is next: of TLS itself, and of the request once the handshake is over. Nothing
    /// where a send is under way, whose end comes here again.
    pub(super) fn send_sealed<H: Handler>(
        &mut self,
        lane: Lane,
        handler: &mut H,
    ) -> Result<(), ExchangeError> {
        let connection = &self.connections[lane.0 as usize];
        if connection.is_cut || self.ring.is_sending(lane) {
            return Ok(());
        }
        let is_all_sealed = connection.sealed.as_ref().is_some_and(|s| s.plain.is_empty());
        if connection.is_connected && is_all_sealed {
            self.fill_output(lane, handler);
        }
        let Some(session) = &mut self.connections[lane.0 as usize].sealed else { return Ok(()) };
        let output = self.ring.output(lane);
        output.clear();
        session.seal(output).map_err(ExchangeError::Broken)?;
        if !output.is_empty() {
            self.ring.send(lane);
        }
        Ok(())
    }

    /// An event of a lane with a request under way.
    pub(super) fn take_sealed<H: Handler>(&mut self, event: Event, handler: &mut H) {
        let lane = event.lane;
        let taken = match (event.kind, event.result) {
            (Kind::Connect, Ok(_)) => {
                self.ring.receive(lane);
                self.send_sealed(lane, handler)
            }
            (Kind::Connect, Err(error)) => Err(ExchangeError::Connect(error)),
            (Kind::Send, Ok(_)) => self.send_sealed(lane, handler),
            // What the server said before it closed may still come.
            (Kind::Send, Err(_)) => {
                let connection = &mut self.connections[lane.0 as usize];
                (connection.encoder, connection.is_cut) = (None, true);
                Ok(())
            }
            (Kind::Receive, Ok(1..)) => return self.take_sealed_input(lane, handler),
            (Kind::Receive, Ok(_)) => Err(self.cut(lane)),
            (Kind::Receive, Err(error)) => match self.connections[lane.0 as usize].is_connected {
                true => Err(ExchangeError::Broken(error)),
                false => Err(ExchangeError::Connect(error)),
            },
        };
        if let Err(error) = taken {
            self.end(lane, Err(error), handler);
        }
    }

    /// What it means that the stream ends without the server's word for it: an answer that is
    /// whole has ended its request before.
    fn cut(&self, lane: Lane) -> ExchangeError {
        if self.connections[lane.0 as usize].is_connected {
            return ResponseError::Cut.into();
        }
        let problem = "the server ended the connection in the middle of the TLS handshake";
        ExchangeError::Connect(io::Error::new(io::ErrorKind::UnexpectedEof, problem))
    }

    /// Bytes have come for a request.
    fn take_sealed_input<H: Handler>(&mut self, lane: Lane, handler: &mut H) {
        let taken = self.opened(lane, handler);
        let connection = &mut self.connections[lane.0 as usize];
        let is_answered = connection.parser.is_ended();
        let session = connection.sealed.as_ref();
        let has_ended = session.is_some_and(|session| session.has_ended());
        if !connection.is_connected && session.is_some_and(|session| !session.is_handshaking()) {
            connection.is_connected = true;
            handler.connected(lane);
        }
        let outcome = match taken {
            Err(error) => Err(error),
            Ok(()) if is_answered => Ok(()),
            Ok(()) if has_ended => return self.take_end(lane, handler),
            Ok(()) => match self.send_sealed(lane, handler) {
                Ok(()) => return self.ring.receive(lane),
                Err(error) => Err(error),
            },
        };
        self.end(lane, outcome, handler);
    }

    /// Bytes have come while there is no request.
    pub(super) fn take_sealed_idle<H: Handler>(&mut self, lane: Lane, handler: &mut H) {
        let taken = self.opened(lane, handler);
        let session = self.connections[lane.0 as usize].sealed.as_ref();
        if taken.is_ok() && session.is_some_and(|session| session.is_open()) {
            self.ring.receive(lane);
        } else {
            self.close(lane);
        }
    }

    /// Opens what has come, and parses what was in it.
    fn opened<H: Handler>(&mut self, lane: Lane, handler: &mut H) -> Result<(), ExchangeError> {
        let connection = &mut self.connections[lane.0 as usize];
        let Connection { sealed, parser, .. } = connection;
        let Some(session) = sealed else { return Ok(()) };
        let mut sink = LaneOf { handler, lane };
        let parse = |bytes: &[u8]| parser.advance(bytes, &mut sink).map(|_| ());
        session.open(self.ring.input(lane), parse)
    }
}

//! The service manager's protocol: datagrams to the socket that NOTIFY_SOCKET names.
//!
//! Without a manager every call does nothing. A failed send is not an error of the server: the
//! manager finds out by its own timeouts.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// Connection to the service manager, if there is one.
pub struct Notify {
    target: Option<(UnixDatagram, SocketAddr)>,
    watchdog: Option<Duration>,
}

impl Notify {
    /// Reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID.
    pub fn from_environment() -> Self {
        let text = |name: &str| std::env::var(name).ok();
        let watchdog = watchdog_interval(
            text("WATCHDOG_USEC").as_deref(),
            text("WATCHDOG_PID").as_deref(),
            std::process::id(),
        );
        let target = std::env::var_os("NOTIFY_SOCKET").and_then(|name| connect(&name).ok());
        Self { target, watchdog }
    }

    /// How often `watchdog` is to be called: half of what the manager allows. None: never.
    pub fn watchdog_interval(&self) -> Option<Duration> {
        self.target.as_ref().and(self.watchdog)
    }

    /// Requests are served from now on.
    pub fn ready(&self) {
        self.send("READY=1");
    }

    /// The drain has begun.
    pub fn stopping(&self) {
        self.send("STOPPING=1");
    }

    /// The server is alive; call it only after checking that it is.
    pub fn watchdog(&self) {
        self.send("WATCHDOG=1");
    }

    /// One line for `systemctl status`.
    pub fn status(&self, text: &str) {
        self.send(&format!("STATUS={}", text.replace('\n', " ")));
    }

    fn send(&self, state: &str) {
        if let Some((socket, address)) = &self.target {
            let _ = socket.send_to_addr(state.as_bytes(), address);
        }
    }
}

/// A leading `@` means the abstract namespace.
fn connect(name: &OsStr) -> io::Result<(UnixDatagram, SocketAddr)> {
    let address = match name.as_bytes() {
        [b'@', rest @ ..] => SocketAddr::from_abstract_name(rest)?,
        [b'/', ..] => SocketAddr::from_pathname(name)?,
        _ => return Err(io::Error::other("NOTIFY_SOCKET is neither absolute nor abstract")),
    };
    let socket = UnixDatagram::unbound()?;
    // A manager that does not read must not block the server.
    socket.set_nonblocking(true)?;
    Ok((socket, address))
}

fn watchdog_interval(usec: Option<&str>, pid: Option<&str>, own_pid: u32) -> Option<Duration> {
    let usec: u64 = usec?.parse().ok()?;
    let ours = pid.is_none_or(|pid| pid.parse::<u32>() == Ok(own_pid));
    (ours && usec > 0).then(|| Duration::from_micros(usec / 2))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TempDir;

    fn receive(name: &OsStr, receiver: &UnixDatagram) {
        let notify = Notify { target: Some(connect(name).unwrap()), watchdog: None };
        notify.ready();
        notify.watchdog();
        notify.stopping();
        for expected in ["READY=1", "WATCHDOG=1", "STOPPING=1"] {
            let mut buffer = [0u8; 64];
            let length = receiver.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..length], expected.as_bytes());
        }
    }

    #[test]
    fn path_sockets_receive() {
        let directory = TempDir::new();
        let path = directory.path().join("notify");
        let receiver = UnixDatagram::bind(&path).unwrap();
        receive(path.as_os_str(), &receiver);
    }

    #[test]
    fn abstract_sockets_receive() {
        let name = format!("basalt-notify-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(name.as_bytes()).unwrap();
        let receiver = UnixDatagram::bind_addr(&address).unwrap();
        receive(OsStr::new(&format!("@{name}")), &receiver);
    }

    #[test]
    fn watchdog_is_for_this_process_only() {
        let half = Some(Duration::from_secs(15));
        assert_eq!(watchdog_interval(Some("30000000"), None, 7), half);
        assert_eq!(watchdog_interval(Some("30000000"), Some("7"), 7), half);
        assert_eq!(watchdog_interval(Some("30000000"), Some("8"), 7), None);
        assert_eq!(watchdog_interval(Some("soon"), None, 7), None);
        assert_eq!(watchdog_interval(None, None, 7), None);
    }
}

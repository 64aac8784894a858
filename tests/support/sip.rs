//! A small SIP client over real sockets, that can send what a well-behaved one cannot.
//!
//! Messages are text; nothing of the product's own parser is used, so that both cannot be wrong
//! together.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// How long an answer may take.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// How long nothing has to come where nothing may come.
pub const QUIET: Duration = Duration::from_millis(300);

/// A message as it came.
#[derive(Clone, Debug)]
pub struct Message {
    /// Request line or status line.
    pub start: String,
    /// In order, names as they came.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

impl Message {
    /// Reads one message; header fields are not folded, which the server never does.
    pub fn parse(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").expect("an empty line");
        let mut lines = head.split("\r\n");
        let start = lines.next().unwrap().to_owned();
        let headers = lines
            .map(|line| {
                let (name, value) = line.split_once(':').unwrap_or_else(|| panic!("{line}"));
                (name.trim().to_owned(), value.trim().to_owned())
            })
            .collect();
        Self {
            start,
            headers,
            body: body.to_owned(),
        }
    }

    /// The status of a response; 0 for a request.
    pub fn status(&self) -> u16 {
        let mut words = self.start.split(' ');
        match words.next() {
            Some("SIP/2.0") => words.next().unwrap().parse().unwrap(),
            _ => 0,
        }
    }

    /// The method of a request, or of the CSeq of a response.
    pub fn method(&self) -> &str {
        self.header("CSeq").split(' ').nth(1).unwrap()
    }

    /// The first header of this name; it must be there.
    pub fn header(&self, name: &str) -> &str {
        self.find(name)
            .unwrap_or_else(|| panic!("no {name} in {self:#?}"))
    }

    /// The first header of this name.
    pub fn find(&self, name: &str) -> Option<&str> {
        let of_name = |(n, _): &&(String, String)| n.eq_ignore_ascii_case(name);
        self.headers.iter().find(of_name).map(|(_, v)| v.as_str())
    }

    /// All headers of this name.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let of_name = move |(n, _): &&(String, String)| n.eq_ignore_ascii_case(name);
        self.headers.iter().filter(of_name).map(|(_, v)| v.as_str())
    }

    /// The tag of To.
    pub fn to_tag(&self) -> Option<&str> {
        let (_, tag) = self.header("To").split_once(";tag=")?;
        Some(tag.split(';').next().unwrap())
    }

    /// The URI of Contact.
    pub fn contact(&self) -> &str {
        let contact = self.header("Contact");
        contact
            .split_once('<')
            .unwrap()
            .1
            .split_once('>')
            .unwrap()
            .0
    }

    /// Where the description wants RTP.
    pub fn rtp(&self) -> SocketAddr {
        let line = |start: &str| {
            let lines = &mut self.body.split("\r\n");
            let line = lines.find_map(|l| l.strip_prefix(start));
            line.unwrap_or_else(|| panic!("no {start} in {}", self.body))
                .to_owned()
        };
        let ip: IpAddr = line("c=IN IP").split_once(' ').unwrap().1.parse().unwrap();
        let port = line("m=audio ").split(' ').next().unwrap().parse().unwrap();
        SocketAddr::new(ip, port)
    }

    /// The version in `o=`.
    pub fn sdp_version(&self) -> u64 {
        let line = self
            .body
            .split("\r\n")
            .find(|l| l.starts_with("o="))
            .unwrap();
        line.split(' ').nth(2).unwrap().parse().unwrap()
    }
}

/// The socket.
#[derive(Debug)]
enum Wire {
    Udp(UdpSocket),
    Tcp(TcpStream, Vec<u8>),
}

/// One end of a path to the server.
#[derive(Debug)]
pub struct Peer {
    wire: Wire,
    /// Our address.
    pub local: SocketAddr,
    /// The server's.
    pub remote: SocketAddr,
}

impl Peer {
    /// A UDP socket on the server's own address.
    pub fn udp(remote: SocketAddr) -> Self {
        Self::udp_from(remote, remote.ip())
    }

    /// A UDP socket on this address (any of 127.0.0.0/8 is another source).
    pub fn udp_from(remote: SocketAddr, ip: IpAddr) -> Self {
        let socket = UdpSocket::bind((ip, 0)).unwrap();
        socket.connect(remote).unwrap();
        let local = socket.local_addr().unwrap();
        Self {
            wire: Wire::Udp(socket),
            local,
            remote,
        }
    }

    /// A TCP connection.
    pub fn tcp(remote: SocketAddr) -> Self {
        let stream = TcpStream::connect(remote).unwrap();
        stream.set_nodelay(true).unwrap();
        let local = stream.local_addr().unwrap();
        Self {
            wire: Wire::Tcp(stream, Vec::new()),
            local,
            remote,
        }
    }

    /// A path of this transport.
    pub fn over(transport: &str, remote: SocketAddr) -> Self {
        match transport {
            "udp" => Self::udp(remote),
            _ => Self::tcp(remote),
        }
    }

    /// What Via and URIs call the transport.
    pub fn transport(&self) -> &'static str {
        match self.wire {
            Wire::Udp(_) => "UDP",
            Wire::Tcp(..) => "TCP",
        }
    }

    /// The TCP connection itself.
    pub fn stream(&mut self) -> &mut TcpStream {
        match &mut self.wire {
            Wire::Tcp(stream, _) => stream,
            Wire::Udp(_) => panic!("no stream"),
        }
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        match &mut self.wire {
            Wire::Udp(socket) => {
                socket.send(bytes.as_ref()).unwrap();
            }
            Wire::Tcp(stream, _) => stream.write_all(bytes.as_ref()).unwrap(),
        }
    }

    /// The next message, if one comes in time.
    pub fn recv_for(&mut self, limit: Duration) -> Option<Message> {
        let deadline = Instant::now() + limit;
        loop {
            match &mut self.wire {
                Wire::Udp(socket) => {
                    let mut buffer = vec![0; 65_536];
                    let length = read_until(deadline, |left| {
                        socket.set_read_timeout(Some(left)).unwrap();
                        socket.recv(&mut buffer)
                    })?;
                    buffer.truncate(length);
                    return Some(Message::parse(&String::from_utf8(buffer).unwrap()));
                }
                Wire::Tcp(stream, held) => {
                    if let Some(message) = take(held) {
                        return Some(message);
                    }
                    let mut buffer = [0; 8192];
                    let length = read_until(deadline, |left| {
                        stream.set_read_timeout(Some(left)).unwrap();
                        stream.read(&mut buffer)
                    })?;
                    if length == 0 {
                        return None;
                    }
                    held.extend_from_slice(&buffer[..length]);
                }
            }
        }
    }

    /// The next message.
    pub fn recv(&mut self) -> Message {
        self.recv_for(PATIENCE).expect("an answer")
    }

    /// The next message but 100.
    pub fn answer(&mut self) -> Message {
        self.await_that(|m| m.status() != 100)
    }

    /// The next message that is `wanted`; others are passed over.
    pub fn await_that(&mut self, wanted: impl Fn(&Message) -> bool) -> Message {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let message = self.recv_for(left).expect("the message that was awaited");
            if wanted(&message) {
                return message;
            }
        }
    }

    /// Nothing comes.
    pub fn assert_quiet(&mut self) {
        if let Some(message) = self.recv_for(QUIET) {
            panic!("unexpected: {message:#?}");
        }
    }

    /// Whether the server ends the connection in time; what it still says is passed over.
    pub fn is_closed_by_server(&mut self) -> bool {
        let deadline = Instant::now() + PATIENCE;
        let stream = self.stream();
        let mut buffer = [0; 1024];
        loop {
            let read = read_until(deadline, |left| {
                stream.set_read_timeout(Some(left)).unwrap();
                stream.read(&mut buffer)
            });
            match read {
                Some(0) => return true,
                Some(_) => {}
                None => return false,
            }
        }
    }
}

/// Reads until something comes or the time is up; 0 where the connection has ended. A refused UDP
/// packet is not the end.
fn read_until(
    deadline: Instant,
    mut read: impl FnMut(Duration) -> std::io::Result<usize>,
) -> Option<usize> {
    loop {
        let left = deadline.checked_duration_since(Instant::now())?;
        match read(left.max(Duration::from_millis(1))) {
            Ok(length) => return Some(length),
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(e) if e.kind() == ErrorKind::ConnectionRefused => {}
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) if e.kind() == ErrorKind::ConnectionReset => return Some(0),
            Err(e) => panic!("{e}"),
        }
    }
}

/// Takes a whole message off the front of what a stream brought.
fn take(held: &mut Vec<u8>) -> Option<Message> {
    while held.starts_with(b"\r\n") {
        held.drain(..2);
    }
    let text = String::from_utf8(held.clone()).unwrap();
    let (head, rest) = text.split_once("\r\n\r\n")?;
    let lengths = head.split("\r\n").filter_map(|l| l.split_once(':'));
    let length = lengths
        .filter(|(name, _)| name.eq_ignore_ascii_case("Content-Length"))
        .map(|(_, value)| value.trim().parse::<usize>().unwrap())
        .next()
        .expect("a message on a stream has a Content-Length");
    if rest.len() < length {
        return None;
    }
    let whole = head.len() + 4 + length;
    held.drain(..whole);
    Some(Message::parse(&text[..whole]))
}

/// A text that no other test uses: for Call-IDs, tags and branches.
pub fn unique() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    format!(
        "{:x}x{}",
        std::process::id(),
        NEXT.fetch_add(1, Ordering::Relaxed)
    )
}

/// A description that offers audio at this address; `formats` as in `0 8 101`.
pub fn sdp(rtp: SocketAddr, formats: &str, more: &str) -> String {
    let family = if rtp.is_ipv4() { "IP4" } else { "IP6" };
    let (ip, port) = (rtp.ip(), rtp.port());
    format!(
        "v=0\r\no=- 1 {version} IN {family} {ip}\r\ns=-\r\nc=IN {family} {ip}\r\nt=0 0\r\n\
         m=audio {port} RTP/AVP {formats}\r\n{more}",
        version = NEXT_VERSION.fetch_add(1, Ordering::Relaxed),
    )
}

static NEXT_VERSION: AtomicU32 = AtomicU32::new(1);

/// Our half of a dialog: what requests in it need.
#[derive(Clone, Debug)]
pub struct Dialog {
    /// Where the INVITE goes.
    pub uri: String,
    /// The peer's tag, once it has answered.
    pub to_tag: Option<String>,
    /// Our tag.
    pub from_tag: String,
    /// Its name.
    pub call_id: String,
    /// The number of the last request.
    pub cseq: u32,
    /// The branch of the last INVITE.
    pub branch: String,
    /// Where the next request goes: the peer's Contact.
    pub target: String,
    /// Route headers, as they are to be sent.
    pub routes: Vec<String>,
}

impl Dialog {
    /// Not begun yet; calls `user` at the server.
    pub fn new(peer: &Peer, user: &str) -> Self {
        let uri = format!("sip:{user}@{}", peer.remote);
        Self {
            target: uri.clone(),
            uri,
            to_tag: None,
            from_tag: unique(),
            call_id: unique(),
            cseq: 0,
            branch: String::new(),
            routes: Vec::new(),
        }
    }

    /// The next request: CSeq counts on; `headers` are whole lines with their ends.
    pub fn request(&mut self, peer: &Peer, method: &str, headers: &str, body: &str) -> String {
        if method != "ACK" && method != "CANCEL" {
            self.cseq += 1;
        }
        self.request_as(peer, method, self.cseq, headers, body)
    }

    /// The same with any CSeq, which does not count.
    pub fn request_as(
        &mut self,
        peer: &Peer,
        method: &str,
        cseq: u32,
        headers: &str,
        body: &str,
    ) -> String {
        let branch = format!("z9hG4bK{}", unique());
        if method == "INVITE" {
            self.branch.clone_from(&branch);
        }
        self.with_branch(peer, method, cseq, &branch, headers, body)
    }

    /// The same with any branch.
    pub fn with_branch(
        &self,
        peer: &Peer,
        method: &str,
        cseq: u32,
        branch: &str,
        headers: &str,
        body: &str,
    ) -> String {
        let (local, transport) = (peer.local, peer.transport());
        let Self {
            uri,
            target,
            from_tag,
            call_id,
            ..
        } = self;
        let to_tag = self
            .to_tag
            .as_ref()
            .map(|t| format!(";tag={t}"))
            .unwrap_or_default();
        let route = |r: &String| ["Route: ", r, "\r\n"].concat();
        let routes: String = self.routes.iter().map(route).collect();
        let kind = if body.is_empty() || headers.contains("Content-Type") {
            ""
        } else {
            "Content-Type: application/sdp\r\n"
        };
        // The transport is named, so that requests to us come back on it (RFC 3261 §19.1.1).
        let lower = transport.to_lowercase();
        format!(
            "{method} {target} SIP/2.0\r\n\
             Via: SIP/2.0/{transport} {local};branch={branch};rport\r\n\
             Max-Forwards: 70\r\n\
             From: <sip:test@{local}>;tag={from_tag}\r\n\
             To: <{uri}>{to_tag}\r\n\
             Call-ID: {call_id}\r\n\
             CSeq: {cseq} {method}\r\n\
             Contact: <sip:test@{local};transport={lower}>\r\n\
             {routes}{headers}{kind}\
             Content-Length: {length}\r\n\r\n{body}",
            length = body.len(),
        )
    }

    /// Takes tag and target of an answer.
    pub fn answered(&mut self, answer: &Message) {
        self.to_tag = answer.to_tag().map(str::to_owned);
        if answer.find("Contact").is_some() {
            answer.contact().clone_into(&mut self.target);
        }
    }

    /// The CANCEL of the last INVITE, or the ACK of its refusal: its branch, Request-URI and CSeq.
    pub fn of_invite(&self, peer: &Peer, method: &str, to_tag: Option<&str>) -> String {
        let same = Self {
            target: self.uri.clone(),
            to_tag: to_tag.map(str::to_owned),
            ..self.clone()
        };
        same.with_branch(peer, method, self.cseq, &self.branch, "", "")
    }
}

/// An answered call.
#[derive(Debug)]
pub struct Call {
    /// The path.
    pub peer: Peer,
    /// The dialog.
    pub dialog: Dialog,
    /// The 200.
    pub ok: Message,
}

impl Call {
    /// Calls, and acknowledges the 200.
    pub fn establish(peer: Peer, user: &str, body: &str) -> Self {
        Self::establish_with(peer, user, "", body)
    }

    /// The same with header lines of its own in the INVITE.
    pub fn establish_with(mut peer: Peer, user: &str, headers: &str, body: &str) -> Self {
        let mut dialog = Dialog::new(&peer, user);
        let invite = dialog.request(&peer, "INVITE", headers, body);
        peer.send(invite);
        let mut ok = peer.answer();
        while ok.status() == 180 {
            ok = peer.answer();
        }
        assert_eq!(ok.status(), 200, "{ok:#?}");
        dialog.answered(&ok);
        let ack = dialog.request(&peer, "ACK", "", "");
        peer.send(ack);
        Self { peer, dialog, ok }
    }

    /// Sends a request of the dialog and awaits the final answer to it.
    pub fn request(&mut self, method: &str, headers: &str, body: &str) -> Message {
        let text = self.dialog.request(&self.peer, method, headers, body);
        self.peer.send(text);
        let cseq = format!("{} {method}", self.dialog.cseq);
        self.peer
            .await_that(|m| m.status() >= 200 && m.header("CSeq") == cseq)
    }

    /// A re-INVITE that has to be answered 200, with its ACK.
    pub fn reinvite(&mut self, body: &str) -> Message {
        let ok = self.request("INVITE", "", body);
        assert_eq!(ok.status(), 200, "{ok:#?}");
        let ack = self.dialog.request(&self.peer, "ACK", "", "");
        self.peer.send(ack);
        ok
    }

    /// BYE, answered 200.
    pub fn hang_up(&mut self) {
        assert_eq!(self.request("BYE", "", "").status(), 200);
    }

    /// Awaits a request of the server and answers it 200.
    pub fn serve(&mut self, method: &str) -> Message {
        let start = format!("{method} ");
        let request = self.peer.await_that(|m| m.start.starts_with(&start));
        self.peer.send(response(&request, "200 OK"));
        request
    }
}

/// A response to a request of the server.
pub fn response(request: &Message, status: &str) -> String {
    let copied: String = request
        .headers
        .iter()
        .filter(|(n, _)| ["Via", "From", "To", "Call-ID", "CSeq"].contains(&n.as_str()))
        .map(|(n, v)| [n, ": ", v, "\r\n"].concat())
        .collect();
    format!("SIP/2.0 {status}\r\n{copied}Content-Length: 0\r\n\r\n")
}

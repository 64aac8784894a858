//! Phones of the load: calls into rooms, one after the other.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use antiphon::net::sys::Batch;

use super::generator::load::{Load, LoadLeg, Shape};
use super::server::Server;
use super::sip::{Dialog, Response};

/// While calls are made or ended, sockets are read so often: the server sends to them already.
const READ_EVERY: Duration = Duration::from_millis(500);

/// One socket for the signalling of all of them.
#[derive(Debug)]
pub struct Phones {
    sip: UdpSocket,
    local: SocketAddr,
    server: SocketAddr,
}

impl Phones {
    /// Phones that call this server.
    pub fn new(server: &Server) -> Self {
        let sip = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        sip.connect(server.sip).expect("a loopback address");
        sip.set_read_timeout(Some(Duration::from_secs(5)))
            .expect("not zero");
        Self {
            local: sip.local_addr().expect("it is bound"),
            sip,
            server: server.sip,
        }
    }

    /// Calls the room as call number `number`, and connects the socket of the leg.
    pub fn call(&self, number: usize, room: usize, socket: &UdpSocket, shape: &Shape) -> Dialog {
        let user = if shape.rooms == 1 {
            "600".to_owned()
        } else {
            format!("conf-{room}")
        };
        let media = socket.local_addr().expect("it is bound");
        let mut dialog = Dialog::new(number, user, self.local, self.server);
        let invite = dialog.invite_in(shape.format, media);
        let answer = self.request(&invite, number, "INVITE");
        let response = Response::parse(&answer).expect("it was parsed before");
        let line = response.first_line();
        assert_eq!(response.status, 200, "call {number} is answered: {line}");
        dialog.answered(&response);
        let port = response.media_port().expect("the answer has audio");
        self.sip
            .send(dialog.ack().as_bytes())
            .expect("the server listens");
        let to = SocketAddr::from(([127, 0, 0, 1], port));
        socket.connect(to).expect("a loopback address");
        dialog
    }

    /// Hangs up.
    pub fn hang_up(&self, dialog: &Dialog) {
        self.request(&dialog.bye(), dialog.number, "BYE");
    }

    /// Has all legs of a load call.
    pub fn call_in(&self, shape: &Shape) -> (Load, Vec<Dialog>) {
        let mut legs: Vec<LoadLeg> = Vec::with_capacity(shape.legs);
        let mut dialogs = Vec::with_capacity(shape.legs);
        let mut batch = Batch::new();
        let mut read = Instant::now();
        for number in 0..shape.legs {
            let leg = LoadLeg::bind(number, shape).expect("a socket");
            dialogs.push(self.call(number, leg.room, &leg.socket, shape));
            legs.push(leg);
            if read.elapsed() > READ_EVERY {
                legs.iter_mut().for_each(|l| l.receive(&mut batch));
                read = Instant::now();
            }
        }
        (Load::new(legs, shape), dialogs)
    }

    /// Has all of them hang up.
    pub fn leave(&self, load: &mut Load, dialogs: &[Dialog]) {
        let mut read = Instant::now();
        for dialog in dialogs {
            self.hang_up(dialog);
            if read.elapsed() > READ_EVERY {
                load.drain();
                read = Instant::now();
            }
        }
        load.drain();
    }

    /// Sends a request and waits for its final response.
    fn request(&self, text: &str, number: usize, method: &str) -> Vec<u8> {
        self.sip.send(text.as_bytes()).expect("the server listens");
        let mut buffer = vec![0; 8192];
        loop {
            let len = self.sip.recv(&mut buffer).expect("an answer in 5 s");
            let Some(response) = Response::parse(&buffer[..len]) else {
                continue;
            };
            if response.number == number && response.method == method && response.status >= 200 {
                buffer.truncate(len);
                return buffer;
            }
        }
    }
}

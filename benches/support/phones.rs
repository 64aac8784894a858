//! Phones of the load: calls into rooms.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use antiphon::net::sys::Batch;

use super::cable;
use super::generator::load::{Load, LoadLeg, Shape};
use super::generator::secure::Secure;
use super::server::Server;
use super::sip::{Dialog, Response};

/// While calls are made or ended, sockets are read so often: the server sends to them already.
const READ_EVERY: Duration = Duration::from_millis(500);

/// Calls that are made or ended at once: on a busy machine each answer takes its time.
const AT_ONCE: usize = 32;
/// After so long a request is sent again, and so often.
const RETRANSMIT: Duration = Duration::from_secs(1);
const TRIES: u32 = 20;

/// A leg's socket, and its keys.
type Media<'a> = (&'a UdpSocket, Option<&'a mut Secure>);

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
        let sip = UdpSocket::bind((cable::phones(), 0)).expect("a socket");
        sip.connect(server.sip).expect("a local address");
        sip.set_read_timeout(Some(RETRANSMIT)).expect("not zero");
        Self {
            local: sip.local_addr().expect("it is bound"),
            sip,
            server: server.sip,
        }
    }

    /// Calls the room as call number `number`, in the clear, and connects the socket of the leg.
    pub fn call(&self, number: usize, room: usize, socket: &UdpSocket, shape: &Shape) -> Dialog {
        let mut dialog = [self.dialog(number, room, shape)];
        self.invite(&mut dialog, [(socket, None)].into(), shape);
        let [dialog] = dialog;
        dialog
    }

    /// Hangs up.
    pub fn hang_up(&self, dialog: &Dialog) {
        self.request(&[(dialog.number, dialog.bye())], "BYE");
    }

    /// Has all legs of a load call.
    pub fn call_in(&self, shape: &Shape) -> (Load, Vec<Dialog>) {
        let mut legs: Vec<LoadLeg> = Vec::with_capacity(shape.legs);
        let mut dialogs: Vec<Dialog> = Vec::with_capacity(shape.legs);
        let mut batch = Batch::new();
        let mut read = Instant::now();
        while legs.len() < shape.legs {
            let first = legs.len();
            for number in first..shape.legs.min(first + AT_ONCE) {
                legs.push(LoadLeg::bind(number, shape).expect("a socket"));
                dialogs.push(self.dialog(number, legs[number].room, shape));
            }
            let media = legs[first..].iter_mut();
            let media = media
                .map(|l| (&l.socket, l.secure.as_deref_mut()))
                .collect();
            self.invite(&mut dialogs[first..], media, shape);
            if read.elapsed() > READ_EVERY {
                for leg in &mut legs {
                    leg.receive(&mut batch);
                }
                read = Instant::now();
            }
        }
        (Load::new(legs, shape), dialogs)
    }

    /// Has all of them hang up.
    pub fn leave(&self, loads: &mut [Load], dialogs: &[Dialog]) {
        let mut read = Instant::now();
        for some in dialogs.chunks(AT_ONCE) {
            let byes: Vec<_> = some.iter().map(|d| (d.number, d.bye())).collect();
            self.request(&byes, "BYE");
            if read.elapsed() > READ_EVERY {
                loads.iter_mut().for_each(Load::drain);
                read = Instant::now();
            }
        }
        loads.iter_mut().for_each(Load::drain);
    }

    fn dialog(&self, number: usize, room: usize, shape: &Shape) -> Dialog {
        let user = if shape.rooms == 1 {
            "600".to_owned()
        } else {
            format!("conf-{room}")
        };
        Dialog::new(number, user, self.local, self.server)
    }

    /// Calls with each of them, and connects their sockets to where the server answers.
    fn invite(&self, dialogs: &mut [Dialog], media: Vec<Media<'_>>, shape: &Shape) {
        let invites: Vec<_> = dialogs
            .iter()
            .zip(&media)
            .map(|(dialog, (socket, secure))| {
                let at = socket.local_addr().expect("it is bound");
                let crypto = secure.as_ref().map(|secure| secure.offer());
                (dialog.number, dialog.invite_in(shape.format, at, crypto))
            })
            .collect();
        let answers = self.request(&invites, "INVITE");
        for ((dialog, (socket, secure)), answer) in dialogs.iter_mut().zip(media).zip(answers) {
            let response = Response::parse(&answer).expect("it was parsed before");
            let line = response.first_line();
            assert_eq!(response.status, 200, "call {}: {line}", dialog.number);
            dialog.answered(&response);
            if let Some(secure) = secure {
                secure.answered(response.text());
            }
            let port = response.media_port().expect("the answer has audio");
            self.sip
                .send(dialog.ack().as_bytes())
                .expect("the server listens");
            socket
                .connect((cable::server(), port))
                .expect("a local address");
        }
    }

    /// Sends requests and waits for their final responses, which come back in the same order.
    fn request(&self, requests: &[(usize, String)], method: &str) -> Vec<Vec<u8>> {
        let mut answers = vec![Vec::new(); requests.len()];
        let send = |answers: &[Vec<u8>]| {
            let missing = requests.iter().zip(answers).filter(|(_, a)| a.is_empty());
            for ((_, text), _) in missing {
                self.sip.send(text.as_bytes()).expect("the server listens");
            }
        };
        send(&answers);
        let mut missing = requests.len();
        let mut tries = 1;
        let mut buffer = vec![0; 8192];
        while missing > 0 {
            let Ok(len) = self.sip.recv(&mut buffer) else {
                assert!(
                    tries < TRIES,
                    "{missing} requests {method} without an answer"
                );
                tries += 1;
                send(&answers);
                continue;
            };
            let Some(response) = Response::parse(&buffer[..len]) else {
                continue;
            };
            if response.method != method || response.status < 200 {
                continue;
            }
            let asked = requests.iter().position(|(n, _)| *n == response.number);
            if let Some(at) = asked.filter(|at| answers[*at].is_empty()) {
                answers[at] = buffer[..len].to_vec();
                missing -= 1;
            }
        }
        answers
    }
}

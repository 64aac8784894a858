//! A name server that knows a few names, over UDP on 127.0.0.1.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::rdata::{NAPTR, SRV};
use hickory_resolver::proto::rr::{Name, RData, Record};

/// What is known of a name.
#[derive(Clone, Debug)]
pub enum Entry {
    Address(IpAddr),
    /// Priority, weight, port, target.
    Srv(u16, u16, u16, &'static str),
    /// Order, preference, service, replacement.
    Naptr(u16, u16, &'static str, &'static str),
}

pub struct NameServer {
    pub address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl NameServer {
    /// Knows these names, and answers others with "no such name".
    pub fn start(zone: Vec<(&'static str, Entry)>) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let patience = Some(Duration::from_millis(50));
        socket.set_read_timeout(patience).unwrap();
        let address = socket.local_addr().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while !stopped.load(Ordering::Relaxed) {
                if let Ok((length, from)) = socket.recv_from(&mut buffer)
                    && let Ok(asked) = Message::from_vec(&buffer[..length])
                {
                    let answer = answer(&asked, &zone).to_vec().unwrap();
                    socket.send_to(&answer, from).unwrap();
                }
            }
        });
        Self {
            address,
            stop,
            thread: Some(thread),
        }
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().unwrap().join();
    }
}

fn answer(asked: &Message, zone: &[(&'static str, Entry)]) -> Message {
    let query = asked.queries[0].clone();
    let name = query.name().to_utf8().to_ascii_lowercase();
    let name = name.trim_end_matches('.');
    let known: Vec<&Entry> = zone
        .iter()
        .filter(|(of, _)| *of == name)
        .map(|(_, entry)| entry)
        .collect();
    let mut message = Message::response(asked.metadata.id, asked.metadata.op_code);
    message.metadata.recursion_available = true;
    if known.is_empty() {
        message.metadata.response_code = ResponseCode::NXDomain;
    }
    for entry in known {
        let data = data(entry);
        if data.record_type() == query.query_type() {
            message.add_answer(Record::from_rdata(query.name().clone(), 60, data));
        }
    }
    message.queries.push(query);
    message
}

fn data(entry: &Entry) -> RData {
    let name = |text: &str| Name::from_utf8(format!("{text}.")).unwrap();
    match entry {
        Entry::Address(IpAddr::V4(address)) => RData::A((*address).into()),
        Entry::Address(IpAddr::V6(address)) => RData::AAAA((*address).into()),
        Entry::Srv(priority, weight, port, target) => {
            RData::SRV(SRV::new(*priority, *weight, *port, name(target)))
        }
        Entry::Naptr(order, preference, service, replacement) => RData::NAPTR(NAPTR::new(
            *order,
            *preference,
            b"s"[..].into(),
            service.as_bytes().into(),
            b""[..].into(),
            name(replacement),
        )),
    }
}

//! Packets past the kernel's network stack (AF_XDP): a program of ours on a network interface hands RTP
//! over before the stack sees it, and takes Ethernet frames to be sent.
//!
//! One area of memory, in frames of 2 KB, is shared with the kernel and by all media threads. A frame belongs
//! to whoever holds its number, in a [`Frame`] or in one of the lists here; the kernel holds those that lie in
//! its rings. Each thread has a socket for each queue of the interface.

mod memory;
mod program;
mod rings;

use std::fs;
use std::io;
use std::net::SocketAddrV4;
use std::ops::Range;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};

use memory::Area;
use program::Program;
use rings::{Descriptors, Numbers, Socket};

/// Bytes of a frame; a kernel's headroom of 256 and a packet of an Ethernet path fit.
const FRAME_BYTES: usize = 2048;
/// Frames of a queue for what comes, half as many where there are more than two: at 50 packets a second, a
/// fifth of a second of 800 parties, and more of fewer.
const RECEIVED: u32 = 8192;
/// Frames of a thread for what it sends.
const SENT: u32 = 1024;
/// Queues of an interface at most: 128 MB of frames.
const MOST_QUEUES: usize = 16;
/// Sockets at most, one for each queue and thread.
const MOST_SOCKETS: usize = 64;
/// Packets that may wait for a thread, of each queue: all that there are frames for.
const WAITING: u32 = RECEIVED;
/// Room for frames that the kernel has not sent yet: more than a thread has.
const UNSENT: u32 = 2 * SENT;
/// Bytes in front of a received frame that hold its time of arrival.
const STAMP: usize = 8;
/// Calls that may be needed to have the kernel take what is to be sent, 32 frames each on older ones.
const KICKS: usize = 4;

/// A received frame, or one to be sent: whoever has it may read and write it.
#[derive(Debug)]
pub struct Frame {
    /// Where it begins in the shared memory.
    at: u32,
    len: u32,
}

impl Frame {
    /// Which one of [`Port::frames`] it is.
    pub fn index(&self) -> usize {
        self.at as usize / FRAME_BYTES
    }
}

/// The kernel's lists of frames of a queue of the interface.
struct Lists {
    /// Frames that it may fill.
    fill: Numbers,
    /// Frames that it has sent.
    sent: Numbers,
}

/// The interface, and what all threads share of it.
struct Shared {
    area: Area,
    /// By queue. Nobody waits for one: it is tried, and left for the next time.
    lists: Vec<Mutex<Lists>>,
    program: Program,
    layout: Layout,
    /// Frames that were sent, to the thread whose they are.
    to_owners: Vec<Sender<u32>>,
    mtu: usize,
    station: [u8; 6],
    // The program is taken off the interface before the sockets are closed.
    _link: OwnedFd,
    _sockets: Vec<OwnedFd>,
}

/// Whose a frame is: first those of each queue for what comes, then those of each thread for what it sends.
#[derive(Clone, Copy, Debug)]
struct Layout {
    queues: u32,
    threads: u32,
}

impl Layout {
    /// Frames of a queue.
    fn received(self) -> u32 {
        if self.queues > 2 {
            RECEIVED / 2
        } else {
            RECEIVED
        }
    }

    fn frames(self) -> u32 {
        self.received() * self.queues + SENT * self.threads
    }

    fn of_queue(self, queue: u32) -> Vec<u32> {
        let first = self.received() * queue;
        places(first..first + self.received())
    }

    fn of_thread(self, thread: u32) -> Vec<u32> {
        let first = self.received() * self.queues + SENT * thread;
        places(first..first + SENT)
    }

    fn queue(self, at: u32) -> usize {
        (at / FRAME_BYTES as u32 / self.received()) as usize
    }

    fn thread(self, at: u32) -> usize {
        let n = at / FRAME_BYTES as u32;
        (n.saturating_sub(self.received() * self.queues) / SENT) as usize
    }
}

fn places(frames: Range<u32>) -> Vec<u32> {
    frames.map(|n| n * FRAME_BYTES as u32).collect()
}

/// A thread's way past the stack. Does not allocate or wait.
pub struct Port {
    shared: Arc<Shared>,
    thread: usize,
    rx: Vec<Descriptors>,
    tx: Descriptors,
    tx_socket: i32,
    /// The queue that it sends by.
    queue: usize,
    /// Frames to send with.
    free: Vec<u32>,
    /// What has come back of them by another thread.
    back: Receiver<u32>,
    /// Received frames that are done with, by the queue that they go back to.
    used: Vec<Vec<u32>>,
    unsent: u32,
    /// The interface has not taken what was to be sent last.
    stuck: bool,
    failures: u64,
}

/// Takes an Ethernet interface for so many threads. Fails without the rights to, on an interface that has
/// another such program, and where there is none of that name.
pub fn open(interface: &str, threads: usize) -> io::Result<Vec<Port>> {
    let found = Interface::find(interface, threads)?;
    super::raise_memlock();
    // The kernel takes its time to clean up behind a server that was there before.
    let mut tries = 20;
    loop {
        match found.open(threads) {
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy && tries > 0 => {
                tries -= 1;
                thread::sleep(Duration::from_millis(100));
            }
            opened => return opened,
        }
    }
}

/// What the system says of an interface.
struct Interface {
    index: u32,
    mtu: u32,
    station: [u8; 6],
    receiving: u32,
    sending: u32,
}

impl Interface {
    fn find(name: &str, threads: usize) -> io::Result<Self> {
        let about = |what: &str| {
            let path = format!("/sys/class/net/{name}/{what}");
            fs::read_to_string(path).map(|text| text.trim().to_owned())
        };
        let refused = |why: String| Err(io::Error::other(why));
        if name.contains('/') || about("type").is_err() {
            return refused(format!("there is no interface {name}"));
        }
        if about("type")? != "1" {
            return refused(format!("{name} is no Ethernet interface"));
        }
        let entries = |path: String| {
            let names = fs::read_dir(path).into_iter().flatten().flatten();
            let names = names.map(|entry| entry.file_name().to_string_lossy().into_owned());
            names.collect::<Vec<_>>()
        };
        // A VLAN's frames may look like its own; a part of a bond or bridge is not what packets come by.
        let above = entries(format!("/sys/class/net/{name}"));
        if let Some(above) = above.iter().find_map(|n| n.strip_prefix("upper_")) {
            return refused(format!("{name} has {above} above it"));
        }
        let queues = entries(format!("/sys/class/net/{name}/queues"));
        let count = |kind| queues.iter().filter(|n| n.starts_with(kind)).count().max(1);
        let (receiving, sending) = (count("rx-"), count("tx-"));
        if receiving > MOST_QUEUES || receiving * threads > MOST_SOCKETS {
            return refused(format!(
                "{name} has {receiving} queues; {} are the most with {threads} media threads (ethtool -L)",
                MOST_QUEUES.min(MOST_SOCKETS / threads.max(1))
            ));
        }
        let number = |what: &str| about(what)?.parse().map_err(io::Error::other);
        let mut station = [0; 6];
        for (byte, text) in station.iter_mut().zip(about("address")?.split(':')) {
            *byte = u8::from_str_radix(text, 16).map_err(io::Error::other)?;
        }
        Ok(Self {
            index: number("ifindex")?,
            mtu: number("mtu")?,
            station,
            receiving: receiving as u32,
            sending: sending as u32,
        })
    }

    fn open(&self, threads: usize) -> io::Result<Vec<Port>> {
        let layout = Layout {
            queues: self.receiving,
            threads: threads as u32,
        };
        let area = Area::new(layout.frames() as usize * FRAME_BYTES)?;
        let program = Program::new(self.receiving, threads as u32)
            .map_err(|e| during(&e, "the program is loaded (CAP_BPF, CAP_NET_ADMIN)"))?;
        let mut sockets = Sockets::default();
        sockets
            .open(self, layout, &area, &program)
            .map_err(|e| during(&e, "sockets are opened (CAP_NET_RAW, LimitMEMLOCK)"))?;
        let link = program
            .attach(self.index)
            .map_err(|e| during(&e, "the program is put on the interface (CAP_NET_ADMIN)"))?;
        let (to_owners, back): (Vec<_>, Vec<_>) =
            (0..threads).map(|_| bounded(SENT as usize)).unzip();
        let shared = Arc::new(Shared {
            area,
            lists: sockets.lists,
            program,
            layout,
            to_owners,
            mtu: self.mtu as usize,
            station: self.station,
            _link: link,
            _sockets: sockets.all,
        });
        let parts = sockets.rx.into_iter().zip(sockets.tx).zip(back);
        let ports = parts.enumerate().map(|(thread, ((rx, tx), back))| Port {
            shared: shared.clone(),
            thread,
            rx,
            tx: tx.ring,
            tx_socket: tx.socket,
            queue: tx.queue,
            free: layout.of_thread(thread as u32),
            back,
            used: (0..self.receiving)
                .map(|_| Vec::with_capacity(layout.received() as usize))
                .collect(),
            unsent: 0,
            stuck: false,
            failures: 0,
        });
        Ok(ports.collect())
    }
}

/// An error, and while what it came.
fn during(error: &io::Error, what: &str) -> io::Error {
    io::Error::new(error.kind(), format!("{error}, while {what}"))
}

/// All sockets while they are opened: one for each queue and thread.
#[derive(Default)]
struct Sockets {
    all: Vec<OwnedFd>,
    lists: Vec<Mutex<Lists>>,
    /// By thread, by queue.
    rx: Vec<Vec<Descriptors>>,
    /// By thread.
    tx: Vec<Sending>,
}

struct Sending {
    ring: Descriptors,
    socket: i32,
    queue: usize,
}

impl Sockets {
    fn open(
        &mut self,
        interface: &Interface,
        layout: Layout,
        area: &Area,
        program: &Program,
    ) -> io::Result<()> {
        self.rx = (0..layout.threads).map(|_| Vec::new()).collect();
        let mut tx: Vec<Option<Sending>> = (0..layout.threads).map(|_| None).collect();
        let mut first = None;
        for queue in 0..layout.queues {
            // The first of a queue has its lists; the others share them.
            let mut of_queue = first;
            for thread in 0..layout.threads {
                let socket = Socket::new(WAITING, UNSENT)?;
                if first.is_none() {
                    socket.register(area, FRAME_BYTES)?;
                }
                if thread == 0 {
                    let sent = (SENT * layout.threads).next_power_of_two();
                    let (mut fill, sent) = socket.shared_rings(layout.received(), sent)?;
                    fill.put(&layout.of_queue(queue));
                    self.lists.push(Mutex::new(Lists { fill, sent }));
                }
                let rings = socket.rings()?;
                socket.bind(interface.index, queue, of_queue)?;
                let fd = socket.as_raw_fd();
                if thread == 0 {
                    of_queue = Some(fd);
                }
                first = first.or(Some(fd));
                program.direct(queue, thread, layout.threads, fd)?;
                self.rx[thread as usize].push(rings.rx);
                if queue == thread % layout.queues.min(interface.sending) {
                    tx[thread as usize] = Some(Sending {
                        ring: rings.tx,
                        socket: fd,
                        queue: queue as usize,
                    });
                }
                self.all.push(socket.into());
            }
        }
        self.tx = tx.into_iter().flatten().collect();
        Ok(())
    }
}

impl Port {
    /// How many frames there are, all in all.
    pub fn frames(&self) -> usize {
        self.shared.area.len() / FRAME_BYTES
    }

    /// The longest IP packet of the interface, bytes.
    pub fn mtu(&self) -> usize {
        self.shared.mtu
    }

    /// The interface's own address.
    pub fn station(&self) -> [u8; 6] {
        self.shared.station
    }

    /// From now on datagrams from a peer to a local address come here, to this thread.
    pub fn take_port(&self, local: SocketAddrV4, peer: SocketAddrV4) {
        let owner = program::value(local.ip().octets(), self.thread as u32);
        let peer = program::value(peer.ip().octets(), u32::from(peer.port()));
        self.shared.program.set(local.port(), owner, peer);
    }

    /// They go to its socket again.
    pub fn leave_port(&self, port: u16) {
        self.shared.program.set(port, 0, 0);
    }

    /// Hands over what has come.
    pub fn receive(&mut self, mut each: impl FnMut(Frame)) {
        for rx in &mut self.rx {
            rx.take(|at, len| each(Frame { at, len }));
        }
    }

    /// The bytes of a frame, from its Ethernet header on.
    pub fn bytes(&self, frame: &Frame) -> &[u8] {
        self.shared.area.bytes(frame.at, frame.len)
    }

    /// When it arrived: CLOCK_MONOTONIC, nanoseconds.
    pub fn stamp(&self, frame: &Frame) -> u64 {
        let at = frame.at - STAMP as u32;
        let bytes = self.shared.area.bytes(at, STAMP as u32);
        u64::from_ne_bytes(bytes.try_into().unwrap_or_default())
    }

    /// Has the processor fetch the first bytes of a frame, as many as that.
    pub fn prefetch(&self, frame: &Frame, bytes: u32) {
        super::prefetch(self.shared.area.bytes(frame.at, frame.len.min(bytes)));
    }

    /// Gives a received frame back.
    #[expect(clippy::needless_pass_by_value, reason = "nobody has it afterwards")]
    pub fn release(&mut self, frame: Frame) {
        let queue = self.shared.layout.queue(frame.at);
        if let Some(used) = self.used.get_mut(queue) {
            used.push(frame.at);
        }
    }

    /// Has `write` fill a frame, and keeps it until [`Port::send`]. Whether there was one; none while the
    /// interface takes nothing.
    pub fn push(&mut self, len: usize, write: impl FnOnce(&mut [u8])) -> bool {
        if self.stuck || len > FRAME_BYTES || !self.tx.has_room() {
            return false;
        }
        let Some(at) = self.free.pop() else {
            return false;
        };
        write(self.shared.area.bytes_mut(at, len as u32));
        self.tx.put(at, len as u32);
        self.unsent += 1;
        true
    }

    /// Frames that wait for [`Port::send`].
    pub fn unsent(&self) -> u32 {
        self.unsent
    }

    /// How often the interface has not taken all that was to be sent.
    pub fn failures(&self) -> u64 {
        self.failures
    }

    /// Sends what waits. What the interface does not take it is offered again.
    pub fn send(&mut self) {
        self.unsent = 0;
        self.tx.publish();
        for _ in 0..KICKS {
            if self.tx.is_taken() || rings::kick(self.tx_socket).is_err() {
                break;
            }
        }
        self.stuck = !self.tx.is_taken();
        self.failures += u64::from(self.stuck);
        // A large room sends more in a row than there are frames.
        if self.free.len() < SENT as usize / 2 {
            self.exchange(self.queue);
        }
    }

    /// Sends what waits, and moves frames to and from the kernel. To be called after each round of work.
    pub fn settle(&mut self) {
        if self.unsent > 0 || self.stuck {
            self.send();
        }
        while let Ok(at) = self.back.try_recv() {
            self.free.push(at);
        }
        for queue in 0..self.used.len() {
            let sends = queue == self.queue && self.free.len() < SENT as usize / 2;
            if sends || !self.used[queue].is_empty() {
                self.exchange(queue);
            }
        }
    }

    /// Where another thread is at it in that moment, the next time will do.
    fn exchange(&mut self, queue: usize) {
        let Self {
            shared,
            free,
            used,
            thread,
            ..
        } = self;
        let Ok(mut lists) = shared.lists[queue].try_lock() else {
            return;
        };
        lists.sent.take(|at| {
            let owner = shared.layout.thread(at);
            if owner == *thread {
                free.push(at);
            } else if let Some(owner) = shared.to_owners.get(owner) {
                // It has room for all frames that there are.
                let _ = owner.try_send(at);
            }
        });
        let taken = lists.fill.put(&used[queue]);
        used[queue].drain(..taken);
    }
}

impl std::fmt::Debug for Port {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Port")
            .field("thread", &self.thread)
            .finish_non_exhaustive()
    }
}

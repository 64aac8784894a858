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
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_channel::{Receiver, Sender, bounded};

use memory::Area;
use program::Program;
use rings::{Descriptors, Numbers, Socket};

/// Bytes of a frame; a kernel's headroom of 256 and a packet of an Ethernet path fit.
const FRAME_BYTES: usize = 2048;
/// Frames for what comes: at 50 packets a second, a fifth of a second of 800 parties, and more of fewer.
const RECEIVED: u32 = 8192;
/// Frames of a thread for what it sends.
const SENT: u32 = 1024;
/// Room in the rings between a thread and the kernel.
const RING: u32 = 4096;
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

/// What a queue of the interface has in common for all threads: the kernel's lists of frames.
struct Queue {
    /// Held by who moves frames, for some hundred nanoseconds. Nobody waits for it.
    busy: AtomicBool,
    /// To the kernel: frames that it may fill.
    fill: Numbers,
    /// From the kernel: frames that it has sent.
    sent: Numbers,
}

/// The interface, and what all threads share of it.
struct Shared {
    area: Area,
    queues: Vec<Queue>,
    program: Program,
    /// Frames that were sent, to the thread whose they are.
    to_owners: Vec<Sender<u32>>,
    mtu: usize,
    // The program is taken off the interface before the sockets are closed.
    _link: OwnedFd,
    _sockets: Vec<OwnedFd>,
}

/// A thread's way past the stack. Does not allocate, lock or wait.
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
    /// Received frames that are done with, on their way to the kernel.
    used: Vec<u32>,
    /// Where the next of them goes: the queues take turns.
    turn: usize,
    unsent: u32,
}

/// Takes an Ethernet interface for so many threads. Fails without CAP_NET_ADMIN, CAP_NET_RAW and CAP_BPF, on
/// an interface that has another such program, and where there is none of that name.
pub fn open(interface: &str, threads: usize) -> io::Result<Vec<Port>> {
    let about = |what: &str| {
        let path = format!("/sys/class/net/{interface}/{what}");
        fs::read_to_string(path).map(|text| text.trim().to_owned())
    };
    if interface.contains('/') || about("type").is_err() {
        return Err(io::Error::other(format!(
            "no interface {interface} is here"
        )));
    }
    if about("type")? != "1" {
        return Err(io::Error::other(format!(
            "{interface} is no Ethernet interface"
        )));
    }
    let number = |what: &str| about(what)?.parse().map_err(io::Error::other);
    let (index, mtu): (u32, u32) = (number("ifindex")?, number("mtu")?);
    let queues = fs::read_dir(format!("/sys/class/net/{interface}/queues"))?
        .filter_map(Result::ok)
        .filter(|e| e.file_name().to_string_lossy().starts_with("rx-"))
        .count()
        .max(1);
    let frames = RECEIVED * queues as u32 + SENT * threads as u32;
    let area = Area::new(frames as usize * FRAME_BYTES)?;
    let program = Program::new(queues, threads)?;
    let (mut shared_queues, mut sockets) = (Vec::new(), Vec::new());
    let mut rx: Vec<Vec<Descriptors>> = (0..threads).map(|_| Vec::new()).collect();
    let mut tx: Vec<Option<(Descriptors, i32)>> = (0..threads).map(|_| None).collect();
    let mut first = None;
    for queue in 0..queues {
        for thread in 0..threads {
            let socket = Socket::new(RING)?;
            if first.is_none() {
                socket.register(&area, FRAME_BYTES)?;
            }
            if thread == 0 {
                let sent = (SENT * threads as u32).next_power_of_two();
                let (fill, sent) = socket.shared_rings(RECEIVED, sent)?;
                let base = RECEIVED * queue as u32;
                let all: Vec<u32> = (base..base + RECEIVED)
                    .map(|n| n * FRAME_BYTES as u32)
                    .collect();
                fill.put(&all);
                let busy = AtomicBool::new(false);
                shared_queues.push(Queue { busy, fill, sent });
            }
            let descriptors = socket.descriptors()?;
            socket.bind(index, queue as u32, first)?;
            first = first.or(Some(socket.as_raw_fd()));
            program.direct(queue, thread, threads, socket.as_raw_fd())?;
            rx[thread].push(descriptors.rx);
            if queue == thread % queues {
                tx[thread] = Some((descriptors.tx, socket.as_raw_fd()));
            }
            sockets.push(socket.into());
        }
    }
    let (to_owners, back): (Vec<_>, Vec<_>) = (0..threads).map(|_| bounded(SENT as usize)).unzip();
    let link = program.attach(index)?;
    let shared = Arc::new(Shared {
        area,
        queues: shared_queues,
        program,
        to_owners,
        mtu: mtu as usize,
        _link: link,
        _sockets: sockets,
    });
    let parts = rx.into_iter().zip(tx).zip(back).enumerate();
    let ports = parts.filter_map(|(thread, ((rx, tx), back))| {
        let (tx, tx_socket) = tx?;
        let base = RECEIVED * queues as u32 + SENT * thread as u32;
        let free = (base..base + SENT).map(|n| n * FRAME_BYTES as u32);
        Some(Port {
            shared: shared.clone(),
            thread,
            rx,
            tx,
            tx_socket,
            queue: thread % queues,
            free: free.collect(),
            back,
            used: Vec::with_capacity(frames as usize),
            turn: 0,
            unsent: 0,
        })
    });
    Ok(ports.collect())
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

    /// From now on datagrams to a local port and address come here, to this thread. With IPv4 alone.
    pub fn take_port(&self, port: u16, address: [u8; 4]) {
        let value = u64::from(u32::from_ne_bytes(address)) | (self.thread as u64) << 32;
        self.shared.program.set(port, value);
    }

    /// They go to its socket again.
    pub fn leave_port(&self, port: u16) {
        self.shared.program.set(port, 0);
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
        self.used.push(frame.at);
    }

    /// Has `write` fill a frame, and keeps it until [`Port::send`]. Whether there was one.
    pub fn push(&mut self, len: usize, write: impl FnOnce(&mut [u8])) -> bool {
        if len > FRAME_BYTES || !self.tx.has_room() {
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

    /// Sends what waits. What an interface does not take now it takes with what is sent next.
    pub fn send(&mut self) {
        self.unsent = 0;
        self.tx.publish();
        for _ in 0..KICKS {
            if self.tx.is_taken() || !rings::kick(self.tx_socket) {
                break;
            }
        }
        // A large room sends more in a row than there are frames.
        if self.free.len() < SENT as usize / 2 {
            self.settle();
        }
    }

    /// Moves frames to and from the kernel. To be called after each round of work: where another thread is at
    /// it in that moment, the next time will do.
    pub fn settle(&mut self) {
        while let Ok(at) = self.back.try_recv() {
            self.free.push(at);
        }
        let queues = self.shared.queues.len();
        let turn = self.turn;
        self.turn = (turn + 1) % queues;
        // Frames sent come back by the queue that they were sent by; used ones go to all in turn.
        if self.used.is_empty() && self.free.len() > SENT as usize / 2 {
            return;
        }
        self.exchange(self.queue, queues == 1);
        if queues > 1 {
            self.exchange(turn, true);
        }
    }

    fn exchange(&mut self, queue: usize, with_used: bool) {
        let Self {
            shared,
            free,
            used,
            thread,
            ..
        } = self;
        let queue = &shared.queues[queue];
        if queue.busy.swap(true, Ordering::Acquire) {
            return;
        }
        let base = (shared.area.len() / FRAME_BYTES) as u32 - SENT * shared.to_owners.len() as u32;
        queue.sent.take(|at| {
            let owner = ((at / FRAME_BYTES as u32).saturating_sub(base) / SENT) as usize;
            if owner == *thread {
                free.push(at);
            } else if let Some(owner) = shared.to_owners.get(owner) {
                // It has room for all frames that there are.
                let _ = owner.try_send(at);
            }
        });
        if with_used {
            let taken = queue.fill.put(used);
            used.drain(..taken);
        }
        queue.busy.store(false, Ordering::Release);
    }
}

impl std::fmt::Debug for Port {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Port")
            .field("thread", &self.thread)
            .finish_non_exhaustive()
    }
}

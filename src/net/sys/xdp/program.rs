//! The program on the interface: which packets are taken, and whose they are.
//!
//! For each packet it looks whether it is a whole UDP datagram over IPv4, without options, for a local port and
//! address that a media thread has taken, from the peer that it has taken them for. It then writes the time in front of the packet and puts it into that
//! thread's socket. All others go on to the network stack as if it were not there.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

use super::super::check;
use super::memory::Mapping;

const PORTS: u32 = 65_536;

// Of linux/bpf.h.
const MAP_CREATE: libc::c_int = 0;
const MAP_UPDATE_ELEM: libc::c_int = 2;
const PROG_LOAD: libc::c_int = 5;
const LINK_CREATE: libc::c_int = 28;
const MAP_TYPE_ARRAY: u32 = 2;
const MAP_TYPE_XSKMAP: u32 = 17;
const F_MMAPABLE: u32 = 1 << 10;
const PROG_TYPE_XDP: u32 = 6;
const ATTACH_XDP: u32 = 37;
const XDP_PASS: i32 = 2;
const FLAGS_SKB_MODE: u32 = 1 << 1;
const FLAGS_DRV_MODE: u32 = 1 << 2;

// Instructions.
const LOAD_32: u8 = 0x61;
const LOAD_16: u8 = 0x69;
const LOAD_8: u8 = 0x71;
const STORE_32: u8 = 0x63;
const STORE_64: u8 = 0x7b;
const MOVE: u8 = 0xbf;
const SET: u8 = 0xb7;
const ADD: u8 = 0x07;
const ADD_REGISTER: u8 = 0x0f;
const MULTIPLY: u8 = 0x27;
const AND: u8 = 0x57;
const SWAP: u8 = 0xdc;
const LOAD_MAP: u8 = 0x18;
const CALL: u8 = 0x85;
const EXIT: u8 = 0x95;
const IF_GREATER: u8 = 0x2d;
const IF_NOT: u8 = 0x55;
const IF_IS: u8 = 0x15;
const IF_NOT_REGISTER: u8 = 0x5d;

/// Parameters of the system call, as much of them as is used.
#[repr(C, align(8))]
struct Attributes([u8; 128]);

impl Attributes {
    fn new(fields: &[(usize, u64, usize)]) -> Self {
        let mut bytes = [0; 128];
        for &(at, value, len) in fields {
            // The processors that this is for keep the low bytes first.
            bytes[at..at + len].copy_from_slice(&value.to_le_bytes()[..len]);
        }
        Self(bytes)
    }

    fn call(&mut self, command: libc::c_int) -> io::Result<RawFd> {
        // SAFETY: the attributes live through the call with their true length, and so does what they
        // point at, by each caller.
        let result = unsafe {
            libc::syscall(
                libc::SYS_bpf,
                command,
                self.0.as_mut_ptr(),
                self.0.len() as u32,
            )
        };
        check(result as libc::c_int)?;
        Ok(result as RawFd)
    }

    fn open(&mut self, command: libc::c_int) -> io::Result<OwnedFd> {
        let fd = self.call(command)?;
        // SAFETY: a new descriptor, which nobody else owns.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    }
}

/// One instruction.
#[derive(Clone, Copy)]
#[repr(C)]
struct Instruction {
    code: u8,
    /// The source register in the upper half, the destination in the lower.
    registers: u8,
    offset: i16,
    value: i32,
}

/// The program and its tables.
pub(super) struct Program {
    code: OwnedFd,
    sockets: OwnedFd,
    /// By local port, in pairs: its address and the thread behind it, 0: nobody's; the peer's address and port.
    ports: NonNull<AtomicU64>,
    _mapping: Mapping,
    _ports: OwnedFd,
}

// SAFETY: the address is of the mapping, which goes along, and is only used as atomics.
unsafe impl Send for Program {}
// SAFETY: as above.
unsafe impl Sync for Program {}

impl Program {
    pub fn new(queues: u32, threads: u32) -> io::Result<Self> {
        if cfg!(target_endian = "big") {
            return Err(io::Error::other("not on this processor"));
        }
        let map = |kind: u32, value: u32, entries: u32, flags: u32| {
            let fields = [kind, 4, value, entries, flags];
            let mut at = 0;
            let fields = fields.map(|v| {
                at += 4;
                (at - 4, u64::from(v), 4)
            });
            Attributes::new(&fields).open(MAP_CREATE)
        };
        let ports = map(MAP_TYPE_ARRAY, 16, PORTS, F_MMAPABLE)?;
        let sockets = map(MAP_TYPE_XSKMAP, 4, queues * threads, 0)?;
        let mapping = Mapping::new(PORTS as usize * 16, Some((ports.as_raw_fd(), 0)))?;
        let code = code(ports.as_raw_fd(), sockets.as_raw_fd(), threads as i32);
        let license = CString::new("Dual MIT/GPL")?;
        let program = Attributes::new(&[
            (0, u64::from(PROG_TYPE_XDP), 4),
            (4, code.len() as u64, 4),
            (8, code.as_ptr() as u64, 8),
            (16, license.as_ptr() as u64, 8),
        ])
        .open(PROG_LOAD)?;
        Ok(Self {
            code: program,
            sockets,
            ports: mapping.at(0, 2 * PORTS as usize),
            _mapping: mapping,
            _ports: ports,
        })
    }

    /// Puts a thread's socket for a queue in its place.
    pub fn direct(&self, queue: u32, thread: u32, threads: u32, fd: RawFd) -> io::Result<()> {
        let (key, value) = (queue * threads + thread, fd as u32);
        Attributes::new(&[
            (0, self.sockets.as_raw_fd() as u64, 4),
            (8, &raw const key as u64, 8),
            (16, &raw const value as u64, 8),
        ])
        .call(MAP_UPDATE_ELEM)
        .map(|_| ())
    }

    /// Puts the program on the interface, until what is returned is closed or the process ends: in the driver
    /// where that can do it, else behind it.
    pub fn attach(&self, interface: u32) -> io::Result<OwnedFd> {
        let link = |flags: u32| {
            Attributes::new(&[
                (0, self.code.as_raw_fd() as u64, 4),
                (4, u64::from(interface), 4),
                (8, u64::from(ATTACH_XDP), 4),
                (12, u64::from(flags), 4),
            ])
            .open(LINK_CREATE)
        };
        link(FLAGS_DRV_MODE).or_else(|_| link(FLAGS_SKB_MODE))
    }

    /// Whose a port is: `owner` its address (in the lower half) and thread, `peer` the other's address and port;
    /// each as [`value`] has it.
    pub fn set(&self, port: u16, owner: u64, peer: u64) {
        let place = 2 * usize::from(port);
        // SAFETY: there are twice as many as there are ports, and they are only used as atomics; the kernel
        // may see one of the two before the other, which the order below makes harmless.
        let [first, second] = [place, place + 1].map(|n| unsafe { self.ports.add(n).as_ref() });
        first.store(0, Ordering::SeqCst);
        second.store(peer, Ordering::SeqCst);
        first.store(owner, Ordering::SeqCst);
    }
}

/// An address and a number as the program compares them.
pub(super) fn value(address: [u8; 4], number: u32) -> u64 {
    u64::from(u32::from_ne_bytes(address)) | u64::from(number) << 32
}

/// Registers: 6 what the kernel says of the packet, 7 its destination; 8 and 9 its source, then the thread and
/// the time.
fn code(ports: RawFd, sockets: RawFd, threads: i32) -> Vec<Instruction> {
    let mut code = Vec::new();
    let mut passing = Vec::new();
    let add = |code: &mut Vec<Instruction>, op: u8, to: u8, from: u8, offset: i16, value: i32| {
        let registers = from << 4 | to;
        code.push(Instruction {
            code: op,
            registers,
            offset,
            value,
        });
    };
    // To be passed on: where to jump is filled in at the end.
    macro_rules! pass_if {
        ($op:expr, $a:expr, $b:expr, $value:expr) => {{
            passing.push(code.len());
            add(&mut code, $op, $a, $b, 0, $value);
        }};
    }
    macro_rules! op {
        ($op:expr, $to:expr, $from:expr, $offset:expr, $value:expr) => {
            add(&mut code, $op, $to, $from, $offset, $value)
        };
    }
    op!(MOVE, 6, 1, 0, 0);
    op!(LOAD_32, 1, 6, 0, 0); // begin
    op!(LOAD_32, 2, 6, 4, 0); // end
    op!(MOVE, 3, 1, 0, 0);
    op!(ADD, 3, 0, 0, 42);
    pass_if!(IF_GREATER, 3, 2, 0);
    op!(LOAD_16, 4, 1, 12, 0);
    pass_if!(IF_NOT, 4, 0, 0x0008); // no IPv4
    op!(LOAD_8, 4, 1, 14, 0);
    pass_if!(IF_NOT, 4, 0, 0x45); // with options
    op!(LOAD_8, 4, 1, 23, 0);
    pass_if!(IF_NOT, 4, 0, 17); // no UDP
    op!(LOAD_16, 4, 1, 20, 0);
    op!(AND, 4, 0, 0, 0xff3f);
    pass_if!(IF_NOT, 4, 0, 0); // a fragment
    op!(LOAD_32, 7, 1, 30, 0);
    op!(LOAD_32, 8, 1, 26, 0);
    op!(LOAD_16, 9, 1, 34, 0);
    op!(SWAP, 9, 0, 0, 16);
    op!(LOAD_16, 4, 1, 36, 0);
    op!(SWAP, 4, 0, 0, 16);
    op!(STORE_32, 10, 4, -4, 0);
    op!(LOAD_MAP, 1, 1, 0, ports);
    op!(0, 0, 0, 0, 0);
    op!(MOVE, 2, 10, 0, 0);
    op!(ADD, 2, 0, 0, -4);
    op!(CALL, 0, 0, 0, 1); // bpf_map_lookup_elem
    pass_if!(IF_IS, 0, 0, 0);
    op!(LOAD_32, 2, 0, 0, 0);
    pass_if!(IF_IS, 2, 0, 0); // nobody's
    pass_if!(IF_NOT_REGISTER, 2, 7, 0); // another address
    op!(LOAD_32, 2, 0, 8, 0);
    pass_if!(IF_NOT_REGISTER, 2, 8, 0); // from another address than the peer's
    op!(LOAD_32, 2, 0, 12, 0);
    pass_if!(IF_NOT_REGISTER, 2, 9, 0); // or port
    op!(LOAD_32, 8, 0, 4, 0);
    op!(CALL, 0, 0, 0, 5); // bpf_ktime_get_ns
    op!(MOVE, 9, 0, 0, 0);
    op!(MOVE, 1, 6, 0, 0);
    op!(SET, 2, 0, 0, -8);
    op!(CALL, 0, 0, 0, 54); // bpf_xdp_adjust_meta
    pass_if!(IF_NOT, 0, 0, 0);
    op!(LOAD_32, 1, 6, 8, 0); // begin of what goes before the packet
    op!(LOAD_32, 2, 6, 0, 0);
    op!(MOVE, 3, 1, 0, 0);
    op!(ADD, 3, 0, 0, 8);
    pass_if!(IF_GREATER, 3, 2, 0);
    op!(STORE_64, 1, 9, 0, 0);
    op!(LOAD_32, 2, 6, 16, 0); // the queue
    op!(MULTIPLY, 2, 0, 0, threads);
    op!(ADD_REGISTER, 2, 8, 0, 0);
    op!(LOAD_MAP, 1, 1, 0, sockets);
    op!(0, 0, 0, 0, 0);
    op!(SET, 3, 0, 0, XDP_PASS);
    op!(CALL, 0, 0, 0, 51); // bpf_redirect_map
    op!(EXIT, 0, 0, 0, 0);
    let end = code.len();
    op!(SET, 0, 0, 0, XDP_PASS);
    op!(EXIT, 0, 0, 0, 0);
    for at in passing {
        code[at].offset = (end - at - 1) as i16;
    }
    code
}

// SPDX-License-Identifier: MIT
//! A device model for retrap machines in Rust: the device protocol, version 5, with nothing but the standard library.
//!
//! ```no_run
//! #[path = "retrap_device.rs"]
//! mod retrap_device;
//! use retrap_device::{Declaration, Device, Host, Result};
//!
//! #[derive(Default)]
//! struct Thermometer;
//!
//! impl Device for Thermometer {
//!     const NAME: &'static str = "thermometer";
//!     fn declare(&self, it: &mut Declaration) {
//!         it.mmio(1, 0xfed9_0000, 4096);
//!     }
//!     fn read(&mut self, _host: &mut Host, _region: u64, _offset: u64, _size: u64) -> Result<u64> {
//!         Ok(21)
//!     }
//! }
//!
//! fn main() -> Result<()> {
//!     retrap_device::serve::<Thermometer>()
//! }
//! ```
//!
//! A program has one device, with ranges or with one PCI function, and one timer. README.md has the calls in a table, PROTOCOL.md the bytes.
#![allow(dead_code)]
use std::collections::VecDeque;
use std::io::{Error, ErrorKind, Read, Write};
use std::os::{fd::FromRawFd, unix::net::UnixListener, unix::net::UnixStream};

/// An error of the stream, or of a machine that breaks the protocol: the session ends.
pub type Result<T> = std::io::Result<T>;

/// The deadline of a timer that is off.
pub const NEVER: u64 = u64::MAX;
/// Most bytes of one transfer.
pub const MOST_BYTES: usize = 1 << 19;

const VERSION: u64 = 5;
const MOST_FRAME: usize = 1 << 20;
const STATE_VERSION: u8 = 1;

/// Numbers of the only device, function and timer.
const ONLY: u64 = 1;

// Kinds of frames: of either end, of the machine, of the server.
const ACK: u16 = 1;
const BYE: u16 = 15;

const HELLO: u16 = 2;
const READ: u16 = 3;
const WRITE: u16 = 4;
const CANCEL: u16 = 5;
const TIMER: u16 = 6;
const RESET: u16 = 7;
const SAVE: u16 = 10;
const RESTORE: u16 = 11;
const QUIESCE: u16 = 12;
const RESUME: u16 = 13;
const DMA_DONE: u16 = 14;

const WELCOME: u16 = 32;
const DEVICE: u16 = 33;
const RANGE: u16 = 34;
const FUNCTION: u16 = 35;
const BAR: u16 = 36;
const MSI: u16 = 37;
const LINE: u16 = 42;
const READY: u16 = 43;
const ANSWER: u16 = 44;
const DONE: u16 = 45;
const INTERRUPT: u16 = 47;
const SET_LINE: u16 = 48;
const ARM_TIMER: u16 = 49;
const DMA_READ: u16 = 50;
const DMA_WRITE: u16 = 51;
const LOG: u16 = 57;

/// The fields of the machine's frames, in order: n an integer of 53 bits, w an integer of 64, b bytes or text.
/// `plug` and `unplug` are missing: they are for devices that are offered.
const LAYOUTS: [(u16, &str); 13] = [
    (ACK, ""),
    (BYE, "b"),
    (HELLO, "nnwnw"),
    (READ, "nnnnnw"),
    (WRITE, "nnnnwnw"),
    (CANCEL, "n"),
    (TIMER, "nnww"),
    (RESET, "nnw"),
    (SAVE, "nn"),
    (RESTORE, "nnbw"),
    (QUIESCE, "nnn"),
    (RESUME, "nnw"),
    (DMA_DONE, "nnb"),
];

enum Field<'a> {
    Int(u64),
    Bytes(&'a [u8]),
}
use Field::{Bytes, Int};

struct Frame {
    kind: u16,
    ints: Vec<u64>,
    bytes: Vec<u8>,
}

fn broken(why: String) -> Error {
    Error::new(ErrorKind::InvalidData, why)
}

fn word(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

fn encode(kind: u16, fields: &[Field]) -> Vec<u8> {
    let mut frame = vec![0; 8];
    for field in fields {
        match field {
            Int(value) => frame.extend(value.to_le_bytes()),
            Bytes(bytes) => {
                frame.extend((bytes.len() as u64).to_le_bytes());
                frame.extend(*bytes);
                frame.resize(frame.len().next_multiple_of(8), 0);
            }
        }
    }
    let length = (frame.len() as u32).to_le_bytes();
    frame[0..4].copy_from_slice(&length);
    frame[4..6].copy_from_slice(&kind.to_le_bytes());
    frame
}

/// A device model. A session with a machine has one of its own, made by `Default`, in its state at power-on.
pub trait Device {
    /// The device's name, unique in its machine.
    const NAME: &'static str;

    /// Tells the regions, the PCI function and the interrupt lines.
    fn declare(&self, it: &mut Declaration);

    /// The guest reads 1, 2, 4 or 8 bytes of a region. Bits above the size are ignored.
    fn read(&mut self, _host: &mut Host, _region: u64, _offset: u64, _size: u64) -> Result<u64> {
        Ok(0)
    }

    /// The guest writes. Bits above the size are 0.
    fn write(&mut self, _host: &mut Host, _region: u64, _offset: u64, _size: u64, _value: u64) -> Result<()> {
        Ok(())
    }

    /// The guest's clock has reached the deadline of [`Host::arm`]; the timer is off.
    fn timer(&mut self, _host: &mut Host) -> Result<()> {
        Ok(())
    }

    /// The machine is reset: the device returns to its state at power-on. Its timer is off, its lines are still as they were.
    fn reset(&mut self, _host: &mut Host) -> Result<()> {
        Ok(())
    }

    /// Returns the state for a snapshot, except for the timer, which the library saves.
    fn save(&self) -> Vec<u8> {
        Vec::new()
    }

    /// Takes a state of [`Device::save`], perhaps of another program. The timer is armed as it was saved.
    fn restore(&mut self, _host: &mut Host, _state: &[u8]) -> std::result::Result<(), String> {
        Ok(())
    }
}

/// What a device consists of. Numbers of regions and lines are the caller's choice.
pub struct Declaration {
    frames: Vec<u8>,
}

impl Declaration {
    fn add(&mut self, kind: u16, fields: &[Field]) {
        self.frames.extend(encode(kind, fields));
    }

    /// Registers at a fixed guest-physical address. Accesses of up to 8 bytes come as they are.
    pub fn mmio(&mut self, region: u64, base: u64, bytes: u64) {
        self.add(RANGE, &[region, ONLY, 1, base, bytes, 8, 0, 0].map(Int));
    }

    /// Ports, which are accessed by up to 4 bytes.
    pub fn ports(&mut self, region: u64, base: u64, count: u64) {
        self.add(RANGE, &[region, ONLY, 0, base, count, 4, 0, 0].map(Int));
    }

    /// An interrupt line of a device without PCI: on a PC an ISA interrupt or a GSI, on an Arm board 32 + the SPI.
    pub fn line(&mut self, line: u64, irq: u64) {
        self.add(LINE, &[line, ONLY, irq].map(Int));
    }

    /// The PCI function, in a slot of the machine's choice, with the pin INTA. `class` has 24 bits. Comes before its BARs.
    pub fn function(&mut self, vendor: u64, id: u64, class: u64) {
        let numbers = [ONLY, ONLY, 256, vendor, id, 0, class, 0, 0, 1, 0].map(Int);
        let fields: Vec<Field> = numbers.into_iter().chain([Bytes(b"")]).collect();
        self.add(FUNCTION, &fields);
    }

    /// A BAR of 32-bit memory. `bytes` is a power of two.
    pub fn bar(&mut self, region: u64, index: u64, bytes: u64) {
        self.add(BAR, &[region, ONLY, index, 1, bytes, 8, 0, 0, 0].map(Int));
    }

    /// MSI with 1, 2, 4, 8, 16 or 32 vectors.
    pub fn msi(&mut self, vectors: u64) {
        self.add(MSI, &[ONLY, vectors, 0].map(Int));
    }
}

/// The machine, as a device sees it during a call.
pub struct Host {
    stream: UnixStream,
    /// Frames that have come while a transfer was waited for.
    waiting: VecDeque<Frame>,
    now: u64,
    deadline: u64,
}

impl Host {
    /// The guest's clock in nanoseconds from power-on. It stands still during a call, unless it follows the host's.
    pub fn now(&self) -> u64 {
        self.now
    }

    /// The deadline of the timer; [`NEVER`]: it is off.
    pub fn deadline(&self) -> u64 {
        self.deadline
    }

    /// Arms the timer, or turns it off with [`NEVER`].
    pub fn arm(&mut self, deadline: u64) -> Result<()> {
        self.deadline = deadline;
        self.send(ARM_TIMER, &[ONLY, ONLY, deadline].map(Int))
    }

    /// The cause of an interrupt of the PCI function has come, or has gone: MSI goes out, or INTA without it.
    pub fn interrupt(&mut self, vector: u64, level: bool) -> Result<()> {
        self.send(INTERRUPT, &[ONLY, vector, u64::from(level)].map(Int))
    }

    /// Drives a line of [`Declaration::line`].
    pub fn set_line(&mut self, line: u64, level: bool) -> Result<()> {
        self.send(SET_LINE, &[line, u64::from(level)].map(Int))
    }

    /// Shows a line of text where the machine runs.
    pub fn log(&mut self, text: &str) -> Result<()> {
        self.send(LOG, &[Bytes(text.as_bytes())])
    }

    /// Reads guest memory. `None`: some byte is no RAM, the device may not reach it, or there are more than [`MOST_BYTES`].
    pub fn dma_read(&mut self, address: u64, length: usize) -> Result<Option<Vec<u8>>> {
        self.transfer(DMA_READ, address, length, Int(length as u64))
    }

    /// Writes guest memory. False as for [`Host::dma_read`].
    pub fn dma_write(&mut self, address: u64, bytes: &[u8]) -> Result<bool> {
        Ok(self.transfer(DMA_WRITE, address, bytes.len(), Bytes(bytes))?.is_some())
    }

    /// Asks for a transfer, and waits for its answer; other calls wait meanwhile.
    fn transfer(&mut self, kind: u16, address: u64, length: usize, last: Field) -> Result<Option<Vec<u8>>> {
        if length > MOST_BYTES || address >= 1 << 52 {
            return Ok(None);
        }
        self.send(kind, &[Int(1), Int(ONLY), Int(address), last])?;
        loop {
            let frame = self.receive()?;
            if frame.kind == DMA_DONE {
                return Ok((frame.ints[1] == 1).then_some(frame.bytes));
            }
            self.waiting.push_back(frame);
        }
    }

    fn send(&mut self, kind: u16, fields: &[Field]) -> Result<()> {
        self.stream.write_all(&encode(kind, fields))
    }

    fn done(&mut self, call: u64, error: &str, result: &[u8]) -> Result<()> {
        self.send(DONE, &[Int(call), Bytes(error.as_bytes()), Bytes(result)])
    }

    /// Reads the next frame of the stream.
    fn receive(&mut self) -> Result<Frame> {
        let mut header = [0; 8];
        self.stream.read_exact(&mut header)?;
        let length = u32::from_le_bytes(header[0..4].try_into().unwrap()) as usize;
        let kind = u16::from_le_bytes([header[4], header[5]]);
        if length < 8 || length > MOST_FRAME || length % 8 != 0 {
            return Err(broken(format!("a frame of {length} bytes")));
        }
        let mut body = vec![0; length - 8];
        self.stream.read_exact(&mut body)?;
        let layout = LAYOUTS.iter().find(|(each, _)| *each == kind);
        let (_, fields) = layout.ok_or_else(|| broken(format!("a frame of kind {kind}")))?;
        let mut frame = Frame {
            kind,
            ints: vec![],
            bytes: vec![],
        };
        // A hello of another version may have other fields behind its version.
        if kind == HELLO && body.len() >= 8 && word(&body, 0) != VERSION {
            frame.ints.push(word(&body, 0));
            return Ok(frame);
        }
        let mut at = 0;
        for field in fields.bytes() {
            if at + 8 > body.len() {
                return Err(broken(format!("a frame of kind {kind} and {length} bytes lacks fields")));
            }
            let value = word(&body, at);
            at += 8;
            if field != b'w' && value >= 1 << 53 || field == b'b' && value > (body.len() - at) as u64 {
                return Err(broken(format!("{value} in a frame of kind {kind} and {length} bytes")));
            }
            if field != b'b' {
                frame.ints.push(value);
                continue;
            }
            let end = at + value as usize;
            frame.bytes = body[at..end].to_vec();
            at = end.next_multiple_of(8);
            if body[end..at.min(body.len())].iter().any(|&byte| byte != 0) {
                return Err(broken(format!("no zeros behind the bytes of a frame of kind {kind}")));
            }
        }
        if at != body.len() {
            return Err(broken(format!("a frame of kind {kind} has {length} bytes, more than its fields")));
        }
        Ok(frame)
    }
}

fn act<D: Device>(device: &mut D, host: &mut Host, Frame { kind, ints, bytes }: Frame) -> Result<()> {
    let call = ints.first().copied().unwrap_or(0);
    match kind {
        READ | WRITE => {
            let [region, offset, size] = [ints[1], ints[2], ints[3]];
            host.now = ints[ints.len() - 1];
            if ![1, 2, 4, 8].contains(&size) {
                return Err(broken(format!("an access of {size} bytes")));
            }
            let mut value = 0;
            if kind == READ {
                value = device.read(host, region, offset, size)?;
            } else {
                device.write(host, region, offset, size, ints[4])?;
            }
            // Nobody waits for a buffered write.
            if call == 0 {
                Ok(())
            } else {
                host.send(ANSWER, &[call, value].map(Int))
            }
        }
        TIMER => {
            host.now = ints[3];
            // The call may have crossed a frame that has moved the deadline.
            if ints[2] == host.deadline {
                host.deadline = NEVER;
                device.timer(host)?;
            }
            host.done(call, "", &[])
        }
        RESET => {
            (host.now, host.deadline) = (ints[2], NEVER);
            device.reset(host)?;
            host.done(call, "", &[])
        }
        SAVE => {
            let state = [&[STATE_VERSION][..], &host.deadline.to_le_bytes(), &device.save()].concat();
            host.done(call, "", &state)
        }
        RESTORE if bytes.len() < 9 || bytes[0] != STATE_VERSION => host.done(call, "a state of another version", &[]),
        RESTORE => {
            host.now = ints[2];
            if let Err(why) = device.restore(host, &bytes[9..]) {
                return host.done(call, &why, &[]);
            }
            host.arm(word(&bytes, 1))?;
            host.done(call, "", &[])
        }
        QUIESCE | RESUME => host.done(call, "", &[]),
        CANCEL | ACK => Ok(()), // each call is answered before the next frame is read
        _ => Err(broken(format!("a frame of kind {kind} here"))),
    }
}

fn converse<D: Device + Default>(stream: UnixStream) -> Result<()> {
    let mut host = Host {
        stream,
        waiting: VecDeque::new(),
        now: 0,
        deadline: NEVER,
    };
    let mut device = D::default();
    let hello = host.receive()?;
    if hello.kind != HELLO {
        return Err(broken("a first frame that is not hello".into()));
    }
    if hello.ints[0] != VERSION {
        return host.send(BYE, &[Bytes(b"version 5 is spoken here")]);
    }
    host.now = hello.ints[4];
    host.send(WELCOME, &[Int(VERSION), Int(0), Int(0), Int(0), Bytes(D::NAME.as_bytes())])?;
    host.send(DEVICE, &[Int(ONLY), Int(0), Bytes(D::NAME.as_bytes())])?;
    let mut declaration = Declaration { frames: vec![] };
    device.declare(&mut declaration);
    host.stream.write_all(&declaration.frames)?;
    host.send(READY, &[])?;
    loop {
        let frame = match host.waiting.pop_front() {
            Some(frame) => frame,
            None => host.receive()?,
        };
        if frame.kind == BYE {
            return Ok(());
        }
        act(&mut device, &mut host, frame)?;
    }
}

fn session<D: Device + Default>(stream: UnixStream) {
    match converse::<D>(stream) {
        Err(error) if error.kind() != ErrorKind::UnexpectedEof => eprintln!("{}: {error}", D::NAME),
        _ => {} // bye, or the end of the connection
    }
}

/// Serves the machine that has started the program, or those that connect to the Unix socket of the first argument, one after another.
pub fn serve<D: Device + Default>() -> Result<()> {
    if let Ok(fd) = std::env::var("RETRAP_DEVICE_FD") {
        let fd = fd.parse().map_err(|_| broken(format!("RETRAP_DEVICE_FD={fd}")))?;
        session::<D>(unsafe { UnixStream::from_raw_fd(fd) }); // nobody else has this descriptor
        return Ok(());
    }
    let path = std::env::args()
        .nth(1)
        .ok_or_else(|| broken("expected the path of a socket".into()))?;
    for stream in UnixListener::bind(path)?.incoming() {
        session::<D>(stream?);
    }
    Ok(())
}

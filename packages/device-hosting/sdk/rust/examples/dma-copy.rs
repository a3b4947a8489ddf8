// SPDX-License-Identifier: MIT
//! A PCI function (1234:5678) that copies guest memory, by PROTOCOL.md alone: no library is needed. BAR 0:
//!   +0  source (64 bits)   +8  destination (64 bits)   +16 length (32 bits, at most 512 KiB)
//!   +20 write 1: begin     +24 status: 1 busy, 2 done, 4 error; write: the interrupt is taken
//! It takes a nanosecond of the guest's for each byte, and then raises MSI, or INTA without it.
//! rustc --edition 2021 -O dma-copy.rs && retrap run ... --device 'exec:./dma-copy'
use std::collections::VecDeque;
use std::io::{Error, ErrorKind, Read, Result, Write};
use std::os::{fd::FromRawFd, unix::net::{UnixListener, UnixStream}};

// Frames of the machine's, of the server's, and of both.
const HELLO: u16 = 2; const READ: u16 = 3; const WRITE: u16 = 4; const CANCEL: u16 = 5; const TIMER: u16 = 6;
const RESET: u16 = 7; const SAVE: u16 = 10; const RESTORE: u16 = 11; const QUIESCE: u16 = 12;
const RESUME: u16 = 13; const DMA_DONE: u16 = 14; const WELCOME: u16 = 32; const DEVICE: u16 = 33;
const FUNCTION: u16 = 35; const BAR: u16 = 36; const MSI: u16 = 37; const READY: u16 = 43; const ANSWER: u16 = 44;
const DONE: u16 = 45; const INTERRUPT: u16 = 47; const ARM_TIMER: u16 = 49; const DMA_READ: u16 = 50;
const DMA_WRITE: u16 = 51; const ACK: u16 = 1; const BYE: u16 = 15;

/// The fields of the machine's frames, in order: n an integer of 53 bits, w one of 64, b bytes or text.
/// There is no plug and unplug: they are for devices that are offered.
const LAYOUTS: [(u16, &str); 13] = [
    (HELLO, "nnwnw"), (READ, "nnnnnw"), (WRITE, "nnnnwnw"), (CANCEL, "n"), (TIMER, "nnww"), (RESET, "nnw"), (SAVE, "nn"),
    (RESTORE, "nnbw"), (QUIESCE, "nnn"), (RESUME, "nnw"), (DMA_DONE, "nnb"), (ACK, ""), (BYE, "b"),
];

enum Field<'a> { Int(u64), Bytes(&'a [u8]) }
use Field::{Bytes, Int};

struct Frame { kind: u16, ints: Vec<u64>, bytes: Vec<u8> }

fn broken(why: String) -> Error { Error::new(ErrorKind::InvalidData, why) }

fn word(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

struct Server<S: Read + Write> {
    stream: S,
    waiting: VecDeque<Frame>, // what came while a transfer was waited for
    now: u64,
    registers: [u8; 32],
    deadline: u64,
}

const NEVER: u64 = u64::MAX; const MOST: usize = 1 << 19;
const BUSY: u8 = 1; const COPIED: u8 = 2; const FAILED: u8 = 4;

impl<S: Read + Write> Server<S> {
    fn send(&mut self, kind: u16, fields: &[Field]) -> Result<()> {
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
        self.stream.write_all(&frame)
    }

    /// The next frame from the stream.
    fn receive(&mut self) -> Result<Frame> {
        let mut header = [0; 8];
        self.stream.read_exact(&mut header)?;
        let length = u32::from_le_bytes(header[0..4].try_into().unwrap()) as usize;
        let kind = u16::from_le_bytes([header[4], header[5]]);
        if length < 8 || length > 1 << 20 || length % 8 != 0 {
            return Err(broken(format!("a frame of {length} bytes")));
        }
        let mut body = vec![0; length - 8];
        self.stream.read_exact(&mut body)?;
        let layout = LAYOUTS.iter().find(|(each, _)| *each == kind);
        let (_, fields) = layout.ok_or_else(|| broken(format!("a frame of kind {kind}")))?;
        let (mut frame, mut at) = (Frame { kind, ints: vec![], bytes: vec![] }, 0);
        // A hello of another version may have other fields behind its version.
        if kind == HELLO && body.len() >= 8 && word(&body, 0) != 5 {
            frame.ints.push(word(&body, 0));
            return Ok(frame);
        }
        for field in fields.bytes() {
            if at + 8 > body.len() {
                return Err(broken(format!("a frame of kind {kind} and {length} bytes lacks fields")));
            }
            let value = word(&body, at);
            at += 8;
            if field != b'w' && value >= 1 << 53 || field == b'b' && value > (body.len() - at) as u64 {
                return Err(broken(format!("{value} in a frame of kind {kind} and {length} bytes")));
            }
            if field == b'b' {
                let end = at + value as usize;
                frame.bytes = body[at..end].to_vec();
                at = end.next_multiple_of(8);
                if body[end..at.min(body.len())].iter().any(|&byte| byte != 0) {
                    return Err(broken(format!("no zeros behind the bytes of a frame of kind {kind}")));
                }
            } else {
                frame.ints.push(value);
            }
        }
        if at != body.len() {
            return Err(broken(format!("a frame of kind {kind} has {length} bytes, more than its fields")));
        }
        Ok(frame)
    }

    fn done(&mut self, call: u64, error: &str, result: &[u8]) -> Result<()> {
        self.send(DONE, &[Int(call), Bytes(error.as_bytes()), Bytes(result)])
    }

    /// Asks for a transfer, and waits for its answer; other calls wait meanwhile.
    fn transfer(&mut self, kind: u16, address: u64, last: Field) -> Result<Option<Vec<u8>>> {
        self.send(kind, &[Int(1), Int(1), Int(address), last])?;
        loop {
            let frame = self.receive()?;
            if frame.kind == DMA_DONE {
                return Ok((frame.ints[1] == 1).then_some(frame.bytes));
            }
            self.waiting.push_back(frame);
        }
    }

    fn arm(&mut self, deadline: u64) -> Result<()> {
        self.deadline = deadline;
        self.send(ARM_TIMER, &[Int(1), Int(1), Int(deadline)])
    }

    fn write(&mut self, offset: usize, size: usize, value: u64) -> Result<()> {
        if offset == 24 {
            self.registers[24] &= BUSY;
            self.send(INTERRUPT, &[Int(1), Int(0), Int(0)])?;
        } else if offset + size <= 20 {
            self.registers[offset..offset + size].copy_from_slice(&value.to_le_bytes()[..size]);
        } else if offset == 20 && self.registers[24] != BUSY {
            self.registers[24] = BUSY;
            self.arm(self.now + (word(&self.registers, 16) & 0xffff_ffff))?;
        }
        Ok(())
    }

    fn copy(&mut self) -> Result<()> {
        let (from, to) = (word(&self.registers, 0), word(&self.registers, 8));
        let length = word(&self.registers, 16) as u32 as usize;
        let mut copied = false;
        if length <= MOST && from < 1 << 52 && to < 1 << 52 {
            if let Some(bytes) = self.transfer(DMA_READ, from, Int(length as u64))? {
                copied = self.transfer(DMA_WRITE, to, Bytes(&bytes))?.is_some();
            }
        }
        self.registers[24] = if copied { COPIED } else { FAILED };
        self.send(INTERRUPT, &[Int(1), Int(0), Int(1)])
    }

    fn act(&mut self, frame: Frame) -> Result<()> {
        let Frame { kind, ints, bytes } = frame;
        let call = ints.first().copied().unwrap_or(0);
        match kind {
            READ | WRITE => {
                let (region, offset, size) = (ints[1], ints[2] as usize, ints[3] as usize);
                self.now = *ints.last().unwrap();
                let mut value = [0; 8];
                if region != 1 || ![1, 2, 4, 8].contains(&size) {
                    return Err(broken(format!("an access of {size} bytes to region {region}")));
                }
                if kind == WRITE {
                    self.write(offset, size, ints[4])?;
                } else if offset + size <= 32 {
                    value[..size].copy_from_slice(&self.registers[offset..offset + size]);
                }
                self.send(ANSWER, &[Int(call), Int(u64::from_le_bytes(value))])
            }
            TIMER => {
                self.now = ints[3];
                self.deadline = NEVER;
                self.copy()?;
                self.done(call, "", &[])
            }
            RESET => {
                (self.registers, self.deadline) = ([0; 32], NEVER);
                self.done(call, "", &[])
            }
            SAVE => {
                let version = [1];
                self.done(call, "", &[&version[..], &self.registers, &self.deadline.to_le_bytes()].concat())
            }
            RESTORE if bytes.len() != 41 || bytes[0] != 1 => self.done(call, "a state of another version", &[]),
            RESTORE => {
                self.registers.copy_from_slice(&bytes[1..33]);
                self.arm(word(&bytes, 33))?;
                self.done(call, "", &[])
            }
            QUIESCE | RESUME => self.done(call, "", &[]),
            CANCEL | ACK => Ok(()), // each call is answered before the next frame is read
            _ => Err(broken(format!("a frame of kind {kind} here"))),
        }
    }

    fn serve(&mut self) -> Result<()> {
        let hello = self.receive()?;
        if hello.kind != HELLO {
            return Err(broken("a first frame that is not hello".into()));
        }
        if hello.ints[0] != 5 {
            return self.send(BYE, &[Bytes(b"version 5 is spoken here")]);
        }
        self.send(WELCOME, &[Int(5), Int(0), Int(0), Int(0), Bytes(b"dma-copy.rs")])?;
        self.send(DEVICE, &[Int(1), Int(0), Bytes(b"dma-copy")])?;
        let identity = [1, 1, 256, 0x1234, 0x5678, 0, 0x08_8000, 0, 0, 1, 0].map(Int);
        let function: Vec<Field> = identity.into_iter().chain([Bytes(b"")]).collect();
        self.send(FUNCTION, &function)?;
        self.send(BAR, &[1, 1, 0, 1, 4096, 8, 0, 0, 0].map(Int))?;
        self.send(MSI, &[1, 1, 0].map(Int))?;
        self.send(READY, &[])?;
        loop {
            let waited = self.waiting.pop_front();
            let frame = waited.map_or_else(|| self.receive(), Ok)?;
            if frame.kind == BYE {
                return Ok(());
            }
            self.act(frame)?;
        }
    }
}

fn session(stream: UnixStream) {
    let (waiting, registers) = (VecDeque::new(), [0; 32]);
    match (Server { stream, waiting, now: 0, registers, deadline: NEVER }).serve() {
        Err(error) if error.kind() != ErrorKind::UnexpectedEof => eprintln!("dma-copy: {error}"),
        _ => {} // bye, or the end of the connection
    }
}

fn main() -> Result<()> {
    if let Ok(fd) = std::env::var("RETRAP_DEVICE_FD") {
        let fd = fd.parse().map_err(|_| broken(format!("RETRAP_DEVICE_FD={fd}")))?;
        session(unsafe { UnixStream::from_raw_fd(fd) }); // nobody else has this descriptor
        return Ok(());
    }
    let path = std::env::args().nth(1).ok_or_else(|| broken("expected the path of a socket".into()))?;
    for stream in UnixListener::bind(path)?.incoming() {
        session(stream?);
    }
    Ok(())
}

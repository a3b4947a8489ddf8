// SPDX-License-Identifier: MIT
//! A PCI function (1234:5678) that copies guest memory. BAR 0:
//!   +0  source (64 bits)   +8  destination (64 bits)   +16 length (32 bits, at most 512 KiB)
//!   +20 write 1: begin     +24 status: 1 busy, 2 done, 4 error; write: the interrupt is taken
//! It takes a nanosecond of the guest's for each byte, and then raises MSI, or INTA without it.
//! rustc --edition 2021 -O dma-copy.rs && retrap run ... --device 'exec:./dma-copy'
#[path = "../retrap_device.rs"]
mod retrap_device;
use retrap_device::{Declaration, Device, Host, Result};

const BUSY: u8 = 1;
const COPIED: u8 = 2;
const FAILED: u8 = 4;

#[derive(Default)]
struct DmaCopy {
    registers: [u8; 32],
}

impl DmaCopy {
    fn word(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.registers[at..at + 8].try_into().unwrap())
    }

    fn length(&self) -> usize {
        self.word(16) as u32 as usize
    }
}

impl Device for DmaCopy {
    const NAME: &'static str = "dma-copy";

    fn declare(&self, it: &mut Declaration) {
        it.function(0x1234, 0x5678, 0x08_8000);
        it.bar(1, 0, 4096);
        it.msi(1);
    }

    fn read(&mut self, _host: &mut Host, _region: u64, offset: u64, size: u64) -> Result<u64> {
        let (from, to) = (offset as usize, (offset + size) as usize);
        let mut value = [0; 8];
        // A guest may read wherever it likes.
        if to <= self.registers.len() {
            value[..to - from].copy_from_slice(&self.registers[from..to]);
        }
        Ok(u64::from_le_bytes(value))
    }

    fn write(&mut self, host: &mut Host, _region: u64, offset: u64, size: u64, value: u64) -> Result<()> {
        let (from, to) = (offset as usize, (offset + size) as usize);
        if offset == 24 {
            self.registers[24] &= BUSY;
            host.interrupt(0, false)?;
        } else if to <= 20 {
            self.registers[from..to].copy_from_slice(&value.to_le_bytes()[..to - from]);
        } else if offset == 20 && self.registers[24] != BUSY {
            self.registers[24] = BUSY;
            host.arm(host.now() + self.length() as u64)?;
        }
        Ok(())
    }

    fn timer(&mut self, host: &mut Host) -> Result<()> {
        let copied = match host.dma_read(self.word(0), self.length())? {
            Some(bytes) => host.dma_write(self.word(8), &bytes)?,
            None => false,
        };
        self.registers[24] = if copied { COPIED } else { FAILED };
        host.interrupt(0, true)
    }

    fn reset(&mut self, _host: &mut Host) -> Result<()> {
        *self = Self::default();
        Ok(())
    }

    fn save(&self) -> Vec<u8> {
        self.registers.to_vec()
    }

    fn restore(&mut self, _host: &mut Host, state: &[u8]) -> std::result::Result<(), String> {
        self.registers = state.try_into().map_err(|_| format!("a state of {} bytes", state.len()))?;
        Ok(())
    }
}

fn main() -> Result<()> {
    retrap_device::serve::<DmaCopy>()
}

import type { Taskfile } from '../ata/taskfile.ts'

/*
 * Frame information structures, which a host and a drive exchange (Serial ATA 3.0, "FIS types"; AHCI 1.3.1, 4.2.1,
 * "Received FIS Structure").
 */
const REGISTER_TO_HOST = 0x34
const PIO_SETUP = 0x5f
const SET_DEVICE_BITS = 0xa1
const INTERRUPT = 0x40
const TO_HOST = 0x20
export const REGISTER_TO_DEVICE = 0x27

/** Places in the area of received frames. */
export const PIO_SETUP_AT = 0x20
export const REGISTER_AT = 0x40
export const DEVICE_BITS_AT = 0x58

/** Copies a host's frame into the registers. */
export function takeRegisters(frame: Uint8Array, registers: Taskfile): void {
  registers.feature = frame[3]!
  registers.low = frame[4]!
  registers.mid = frame[5]!
  registers.high = frame[6]!
  registers.device = frame[7]!
  registers.previousLow = frame[8]!
  registers.previousMid = frame[9]!
  registers.previousHigh = frame[10]!
  registers.previousFeature = frame[11]!
  registers.count = frame[12]!
  registers.previousCount = frame[13]!
}

function registerFields(registers: Taskfile, type: number, flags: number, status: number): Uint8Array {
  const frame = new Uint8Array(20)
  frame.set([type, flags, status, registers.error, registers.low, registers.mid, registers.high, registers.device])
  frame.set([registers.previousLow, registers.previousMid, registers.previousHigh], 8)
  frame.set([registers.count, registers.previousCount], 12)
  return frame
}

/** The registers of a drive. */
export function registerFrame(registers: Taskfile, interrupt: boolean): Uint8Array {
  return registerFields(registers, REGISTER_TO_HOST, interrupt ? INTERRUPT : 0, registers.status)
}

/** A transfer without DMA is about to move this many bytes. */
export function pioFrame(registers: Taskfile, toHost: boolean, bytes: number, busy: number): Uint8Array {
  const frame = registerFields(registers, PIO_SETUP, INTERRUPT | (toHost ? TO_HOST : 0), registers.status | busy)
  frame[15] = registers.status
  frame[16] = bytes
  frame[17] = bytes >> 8
  return frame
}

/** The end of queued commands: a bit for each slot. */
export function deviceBitsFrame(registers: Taskfile, slots: number): Uint8Array {
  const frame = new Uint8Array(8)
  // Only some bits of the status are sent.
  frame.set([SET_DEVICE_BITS, INTERRUPT, registers.status & 0x77, registers.error])
  new DataView(frame.buffer).setUint32(4, slots, true)
  return frame
}

import { viewed } from '@retrap/device'
import { DM_FIXED, DM_LOWEST } from './apic-registers.ts'
import { checkFunction, checkInteger, regionFor, type StateRegion } from './arguments.ts'
import { Controller, namedWords } from './saved-words.ts'

/** Guest-physical address of the first I/O APIC's register page. */
export const IOAPIC_ADDRESS = 0xfec0_0000
/** Counts the inputs of an I/O APIC, where nothing else is asked for. */
export const IOAPIC_PINS = 24
/** Most inputs of an I/O APIC, the number that Xen's hardware guests have. */
export const MOST_IOAPIC_PINS = 48
/** Counts the bytes of machine memory that an I/O APIC's state takes. */
export const IOAPIC_STATE_BYTES = 512

const IOREGSEL = 0x00
const IOWIN = 0x10
const EOIR = 0x40

/** Low word of a redirection entry. */
const REMOTE_IRR = 1 << 14
const LEVEL = 1 << 15
const MASKED = 1 << 16
const LOGICAL = 1 << 11
/** All but delivery status and remote IRR. */
const ENTRY_WRITABLE = 0x1afff

/* State words: two for each entry, then the registers below. */
const SELECT = 2 * MOST_IOAPIC_PINS
const ID = SELECT + 1
/** Levels of the inputs: two words of bits. */
const LINES = SELECT + 2

/** Sends an interrupt message: delivery mode, vector, destination (8 bits), logical, level. */
export type SendMessage = (
  mode: number,
  vector: number,
  destination: number,
  logical: boolean,
  level: boolean,
) => boolean

/**
 * An I/O APIC of version 0x20 with 24 inputs, or more.
 *
 * Inputs are "asserted" or not: the polarity bit is kept but not applied, for the lines of this machine carry
 * assertion, not volts.
 *
 * Source: Intel 82093AA data sheet, and for the EOI register the 82801 I/O controller hubs' ("I/O APIC").
 */
export class IoApic extends Controller {
  /** Inputs. */
  readonly pins: number
  readonly #words: Int32Array
  readonly #send: SendMessage
  /** Called before an input's level is looked at again. */
  beforeEndOfInterrupt: () => void = () => undefined

  /**
   * @param send - sends an interrupt message; returns whether a local APIC took it
   * @param pins - inputs, 1 to 48
   * @throws IrqchipError `ERR_INVALID` for another number of inputs, or an argument of the wrong type
   */
  constructor(send: SendMessage, state?: StateRegion, pins: number = IOAPIC_PINS) {
    super()
    checkFunction('send', send)
    const { buffer, byteOffset } = regionFor(IOAPIC_STATE_BYTES, state)
    checkInteger('pins', pins, 1, MOST_IOAPIC_PINS)
    this.pins = pins
    const words = new Int32Array(buffer, byteOffset, IOAPIC_STATE_BYTES / 4)
    this.#words = words
    this.#send = send
    this.keeps(
      {
        version: 2,
        entries: Array.from({ length: pins }, (_, pin) => namedWords(words, { low: 0, high: 1 }, 2 * pin)),
        registers: namedWords(words, { select: SELECT, id: ID }),
        lines: viewed(
          () => (words[LINES + 1]! >>> 0) * 2 ** 32 + (words[LINES]! >>> 0),
          (lines) => words.set([lines, Math.floor(lines / 2 ** 32)], LINES),
        ),
      },
      { device: 'I/O APIC', flat: ['registers'] },
    )
    this.reset()
  }

  /** Power-on state. The levels of the inputs are their drivers' business and stay. */
  override reset(): void {
    this.#words.fill(0, 0, LINES)
    for (let pin = 0; pin < this.pins; pin++) this.#words[2 * pin] = MASKED
  }

  /** Reads the register page; 32-bit registers at 0x00 and 0x10. */
  read(offset: number): number {
    const words = this.#words
    if (offset === IOREGSEL) return words[SELECT]!
    if (offset !== IOWIN) return 0
    const select = words[SELECT]!
    switch (select) {
      case 0:
      case 2:
        return words[ID]! >>> 0
      case 1:
        return ((this.pins - 1) << 16) | 0x20
      default:
        return select >= 0x10 && select < 0x10 + 2 * this.pins ? words[select - 0x10]! >>> 0 : 0
    }
  }

  /** Writes the register page. */
  write(offset: number, value: number): void {
    const words = this.#words
    if (offset === IOREGSEL) words[SELECT] = value & 0xff
    else if (offset === EOIR) this.eoi(value & 0xff)
    else if (offset === IOWIN) {
      const select = words[SELECT]!
      if (select === 0) words[ID] = value & 0x0f00_0000
      else if (select >= 0x10 && select < 0x10 + 2 * this.pins) this.#setEntry(select - 0x10, value)
    }
  }

  #setEntry(index: number, value: number): void {
    const words = this.#words
    if ((index & 1) !== 0) {
      words[index] = value & 0xff00_0000
      return
    }
    let entry = (value & ENTRY_WRITABLE) | (words[index]! & REMOTE_IRR)
    // An entry that becomes edge-triggered no longer waits for an EOI; software uses this as an EOI.
    if ((entry & LEVEL) === 0) entry &= ~REMOTE_IRR
    words[index] = entry
    this.#levelPin(index >> 1)
  }

  /** Drives an input. */
  setPin(pin: number, level: boolean): void {
    const bit = 1 << (pin & 31)
    const at = LINES + (pin >>> 5)
    const old = this.#words[at]!
    if (((old & bit) !== 0) === level) return
    this.#words[at] = level ? old | bit : old & ~bit
    if (!level) return
    const entry = this.#words[2 * pin]!
    if (isLevel(entry)) this.#levelPin(pin)
    // An edge on a masked input is lost.
    else if ((entry & MASKED) === 0) this.#deliver(pin, entry)
  }

  /** Sends a level-triggered interrupt while its input is up and no EOI is awaited. */
  #levelPin(pin: number): void {
    const entry = this.#words[2 * pin]!
    if ((entry & (MASKED | REMOTE_IRR)) !== 0 || !isLevel(entry)) return
    if ((this.#words[LINES + (pin >>> 5)]! & (1 << (pin & 31))) === 0) return
    if (this.#deliver(pin, entry)) this.#words[2 * pin]! |= REMOTE_IRR
  }

  #deliver(pin: number, entry: number): boolean {
    const destination = this.#words[2 * pin + 1]! >>> 24
    return this.#send((entry >>> 8) & 7, entry & 0xff, destination, (entry & LOGICAL) !== 0, isLevel(entry))
  }

  /** An EOI for `vector` was broadcast, or written to the EOI register. */
  eoi(vector: number): void {
    this.beforeEndOfInterrupt()
    const words = this.#words
    for (let pin = 0; pin < this.pins; pin++) {
      const entry = words[2 * pin]!
      if ((entry & 0xff) !== vector || (entry & REMOTE_IRR) === 0) continue
      words[2 * pin] = entry & ~REMOTE_IRR
      this.#levelPin(pin)
    }
  }

  /** The local APIC that was to take a level-triggered interrupt may take it now: tries again. */
  retry(): void {
    for (let pin = 0; pin < this.pins; pin++) this.#levelPin(pin)
  }
}

/** The trigger mode counts for fixed and lowest-priority interrupts; the others are edges. */
function isLevel(entry: number): boolean {
  const mode = (entry >>> 8) & 7
  return (entry & LEVEL) !== 0 && (mode === DM_FIXED || mode === DM_LOWEST)
}

/*
 * The serial EEPROM: 64 words, read and written bit by bit over EECD or word by word over EERD.
 *
 * Sources: PCI/PCI-X Family of Gigabit Ethernet Controllers Software Developer's Manual, §5, "EEPROM Interface", §13.4.3,
 * "EEPROM/Flash Control & Data Register", §13.4.4, "EEPROM Read Register"; the data sheet of the 93C46, "Instruction Set".
 */

import { listed, Stateful } from '@retrap/device'

const WORDS = 64
const ADDRESS_BITS = 6
const CHECKSUM_WORD = 0x3f
/** The sum of all words. */
const CHECKSUM = 0xbaba

// EECD.
const SK = 1 << 0
const CS = 1 << 1
const DI = 1 << 2
const DO = 1 << 3
const REQUEST = 1 << 6
const GRANT = 1 << 7
const PRESENT = 1 << 8
/** Bits that keep their written value: clock, select, data in, flash write enable, request. */
const KEPT = SK | CS | DI | 0x30 | REQUEST

// EERD.
const START = 1 << 0
const DONE = 1 << 4

// Instructions behind the start bit.
const EXTENDED = 0
const WRITE = 1
const READ = 2
const ERASE = 3
// The upper two address bits of an extended instruction.
const WRITE_DISABLE = 0
const WRITE_ALL = 1
const ERASE_ALL = 2

/** The shift register at rest, in the order of its list in saved states. */
const IDLE = {
  /** Bits of the instruction shifted in, and their number; a leading 1 is the start bit. */
  in: 0,
  count: 0,
  /** The word being shifted out, and its remaining bits; −1: none. */
  out: -1,
  outBits: 0,
  /** The data line. Ready: a write ends at once. */
  data: 1,
}

/** Initial contents, including the MAC address. */
function contents(address: ArrayLike<number>): Uint16Array {
  const words = new Uint16Array(WORDS)
  for (let i = 0; i < 3; i++) words[i] = address[2 * i]! | (address[2 * i + 1]! << 8)
  // Compatibility: a LAN on a board; then the version of the image.
  words[0x03] = 0x0000
  words[0x05] = 0x3000
  // Initialization control 1: load the IDs from here. Then subsystem, vendor, device.
  words[0x0a] = 0x4408
  words[0x0b] = 0x001e
  words[0x0c] = 0x8086
  words[0x0d] = 0x100e
  words[0x0e] = 0x8086
  words[0x0f] = 0x3040
  words[0x21] = 0x7863
  const sum = words.reduce((total, word) => total + word, 0)
  words[CHECKSUM_WORD] = CHECKSUM - sum
  return words
}

/** A 93C46 EEPROM in its 16-bit organisation. */
export class Eeprom extends Stateful {
  readonly #words = new Uint16Array(WORDS)
  readonly #shift = { ...IDLE }
  readonly #r = this.keeps(
    { words: this.#words, control: 0, readRegister: 0, shift: listed(this.#shift), writable: false },
    { lasting: ['words'] },
  )

  constructor(address: ArrayLike<number>) {
    super()
    this.#words.set(contents(address))
  }

  get macAddress(): Uint8Array {
    return Uint8Array.from({ length: 6 }, (_, i) => this.#words[i >> 1]! >>> (8 * (i & 1)))
  }

  get control(): number {
    const granted = (this.#r.control & REQUEST) === 0 ? 0 : GRANT
    return this.#r.control | granted | PRESENT | (this.#shift.data === 0 ? 0 : DO)
  }

  set control(value: number) {
    const before = this.#r.control
    this.#r.control = value & KEPT
    if ((value & CS) === 0) Object.assign(this.#shift, IDLE)
    else if ((value & SK) !== 0 && (before & SK) === 0) this.#clock((value & DI) === 0 ? 0 : 1)
  }

  get readRegister(): number {
    return this.#r.readRegister
  }

  set readRegister(value: number) {
    if ((value & START) === 0) return
    const word = this.#words[(value >>> 8) & (WORDS - 1)]!
    this.#r.readRegister = ((word << 16) | (value & 0xff00) | DONE) >>> 0
  }

  /** A rising edge of the clock. */
  #clock(bit: 0 | 1): void {
    if (this.#shift.out >= 0) {
      this.#shiftOut()
      return
    }
    if (this.#shift.count === 0 && bit === 0) return
    this.#shift.in = (this.#shift.in << 1) | bit
    this.#shift.count++
    if (this.#shift.count >= 3 + ADDRESS_BITS) this.#execute()
  }

  #shiftOut(): void {
    if (this.#shift.outBits === 0) {
      // Reading continues with the next word.
      this.#shift.out = (this.#shift.out + 1) & (WORDS - 1)
      this.#shift.outBits = 16
    }
    this.#shift.outBits--
    this.#shift.data = (this.#words[this.#shift.out]! >>> this.#shift.outBits) & 1
  }

  #execute(): void {
    const dataBits = this.#shift.count - 3 - ADDRESS_BITS
    const instruction = this.#shift.in >>> dataBits
    const code = (instruction >>> ADDRESS_BITS) & 3
    const address = instruction & (WORDS - 1)
    const extended = address >>> (ADDRESS_BITS - 2)
    const takesData = code === WRITE || (code === EXTENDED && extended === WRITE_ALL)
    if (takesData && dataBits < 16) return
    if (code === READ) {
      this.#shift.out = address
      this.#shift.outBits = 16
      // A dummy bit comes first.
      this.#shift.data = 0
      return
    }
    const value = code === WRITE || (code === EXTENDED && extended === WRITE_ALL) ? this.#shift.in & 0xffff : 0xffff
    if (code === WRITE || code === ERASE) this.#put(address, address + 1, value)
    else if (extended === WRITE_ALL || extended === ERASE_ALL) this.#put(0, WORDS, value)
    else this.#r.writable = extended !== WRITE_DISABLE
    this.#shift.count = 0
    this.#shift.in = 0
  }

  #put(from: number, to: number, value: number): void {
    if (this.#r.writable) this.#words.fill(value, from, to)
  }
}

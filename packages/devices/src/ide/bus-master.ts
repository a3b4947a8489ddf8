import { type Dma, Stateful } from '@retrap/device'

const COMMAND = 0
const STATUS = 2
const TABLE = 4

const START = 0x01
const TO_MEMORY = 0x08
const ACTIVE = 0x01
const ERROR = 0x02
const INTERRUPT = 0x04
/** Two bits that drivers keep notes in: whether each drive does DMA. */
const DRIVE_BITS = 0x60

const ENTRY_BYTES = 8
const LONGEST = 0x1_0000
/** Most entries read at a time: one for each page of a drive's buffer, plus one for an unaligned start. */
const MOST_ENTRIES = 17

/**
 * One channel's bus master: moves a drive's data between its buffer and guest memory, as a table of the guest's says. Bytes
 * are moved only inside `move`, and only while the guest has it started.
 *
 * An entry must not cross a boundary of 64 KiB. An entry that does continues behind it, as in QEMU: EDK II's driver,
 * with which OVMF boots, makes such entries.
 *
 * Source: Programming Interface for Bus Master IDE Controller 1.0; Intel 82371SB data sheet (290550), "Bus Master IDE".
 */
export class BusMaster extends Stateful {
  readonly #dma: Dma
  readonly #started: () => void
  readonly #r = this.keeps({
    command: 0,
    status: 0,
    table: 0,
    /** Guest-physical address of the next entry of the table. */
    next: 0,
    /** Guest-physical address of the next byte. */
    address: 0,
    /** Bytes left of the present entry. */
    left: 0,
    /** Whether the present entry ends the table. */
    last: false,
  })
  readonly #entries = new Uint8Array(MOST_ENTRIES * ENTRY_BYTES)
  readonly #entryView = new DataView(this.#entries.buffer)
  /** Offset in {@link BusMaster.#entries} of the next entry. */
  #entryAt = 0
  /** Offset after the entries that were read; equal to the next entry's offset if all are used. */
  #entriesEnd = 0

  /** @param started - called when the guest starts the transfer */
  constructor(dma: Dma, started: () => void) {
    super()
    this.#dma = dma
    this.#started = started
  }

  /** Reads a byte of the eight registers. */
  read(offset: number): number {
    if (offset === COMMAND) return this.#r.command
    if (offset === STATUS) return this.#r.status
    return offset >= TABLE ? (this.#r.table >>> (8 * (offset - TABLE))) & 0xff : 0
  }

  /** Writes a byte. */
  write(offset: number, value: number): void {
    if (offset === COMMAND) this.#setCommand(value)
    else if (offset === STATUS) {
      // Error and interrupt are cleared by ones.
      this.#r.status = (this.#r.status & ~DRIVE_BITS & ~(value & (ERROR | INTERRUPT))) | (value & DRIVE_BITS)
    } else if (offset >= TABLE) {
      const shift = 8 * (offset - TABLE)
      this.#r.table = ((this.#r.table & ~(0xff << shift)) | (value << shift)) & ~3
    }
  }

  #setCommand(value: number): void {
    const before = this.#r.command
    this.#r.command = value & (START | TO_MEMORY)
    if ((value & START) === 0) this.#r.status &= ~ACTIVE
    else if ((before & START) === 0) {
      this.#r.status |= ACTIVE
      this.#r.next = this.#r.table >>> 0
      this.#r.left = 0
      this.#r.last = false
      this.#started()
    }
  }

  /** The drive's interrupt line has risen. */
  interrupted(): void {
    this.#r.status |= INTERRUPT
  }

  /**
   * Moves bytes of a drive's buffer.
   *
   * @returns number of bytes moved: fewer than requested if the transfer is stopped, at the end of the table, or on an error
   */
  move(bytes: Uint8Array, toMemory: boolean): number {
    let done = 0
    // Drop entries read ahead: the guest may have written the table since.
    this.#entryAt = this.#entriesEnd
    while (done < bytes.length && (this.#r.status & ACTIVE) !== 0) {
      if (((this.#r.command & TO_MEMORY) !== 0) !== toMemory || (this.#r.left === 0 && !this.#load())) {
        this.#fail()
        break
      }
      const length = Math.min(this.#r.left, bytes.length - done)
      const part = bytes.subarray(done, done + length)
      if (!(toMemory ? this.#dma.write(this.#r.address, part) : this.#dma.read(this.#r.address, part))) {
        this.#fail()
        break
      }
      done += length
      this.#r.address += length
      this.#r.left -= length
      if (this.#r.left === 0 && this.#r.last) this.#r.status &= ~ACTIVE
    }
    return done
  }

  #fail(): void {
    this.#r.status = (this.#r.status & ~ACTIVE) | ERROR
  }

  /** Takes the next entry of the table. @returns false: it is not in RAM, or reaches beyond 4 GiB */
  #load(): boolean {
    if (this.#entryAt === this.#entriesEnd && !this.#readEntries(MOST_ENTRIES) && !this.#readEntries(1)) return false
    const at = this.#entryAt
    this.#entryAt += ENTRY_BYTES
    this.#r.next = (this.#r.next + ENTRY_BYTES) % 2 ** 32
    const control = this.#entryView.getUint32(at + 4, true)
    this.#r.address = (this.#entryView.getUint32(at, true) & ~1) >>> 0
    // 0 stands for 64 KiB.
    this.#r.left = control & 0xfffe || LONGEST
    this.#r.last = control >>> 31 !== 0
    return this.#r.address + this.#r.left <= 2 ** 32
  }

  /** Reads entries of the table. @returns false: some are not in RAM below 4 GiB */
  #readEntries(count: number): boolean {
    const bytes = count * ENTRY_BYTES
    if (this.#r.next + bytes > 2 ** 32 || !this.#dma.read(this.#r.next, this.#entries.subarray(0, bytes))) return false
    this.#entryAt = 0
    this.#entriesEnd = bytes
    return true
  }
}

import { type StatePart, viewed, type Word64 } from '@retrap/device'
import { checkMethod, checkObject, IrqchipError, regionFor, type StateRegion } from '../arguments.ts'
import { bitOf, Controller } from '../saved-words.ts'
import { identification, IIDR } from './frames.ts'
import { isWord } from './interrupt-table.ts'
import { ItsCommands } from './its-commands.ts'
import { DONE, ENTRY_BYTES, ItsTables, STALL } from './its-tables.ts'
import { GicV3, type GicFrame } from './gicv3.ts'
import { checkMemory, type GicMemory } from './lpis.ts'

/** Counts the bytes of machine memory that the state of an {@link Its} takes. */
export const ITS_STATE_BYTES = 64

const GITS_CTLR = 0x00
const GITS_IIDR = 0x04
const GITS_TYPER = 0x08
const GITS_CBASER = 0x80
const GITS_CWRITER = 0x88
const GITS_CREADR = 0x90
const GITS_BASER0 = 0x100
const GITS_BASER1 = 0x108

/** GITS_CTLR: enabled, and while no command is being performed quiescent. */
const ENABLED = 1
const QUIESCENT = -0x8000_0000
/**
 * GITS_TYPER: physical LPIs; ITT entries of 8 bytes; 16 bits of EventID (ID_bits) and DeviceID (Devbits). The high word:
 * 16 bits of ICID (CIDbits), which is what limits them (CIL).
 */
const TYPER_LO = 1 | ((ENTRY_BYTES - 1) << 4) | (15 << 8) | (15 << 13)
const TYPER_HI = 0x1f
/** GITS_BASER, high word, without type and entry size, which are fixed. */
const BASER_BITS = ~((7 << 24) | (31 << 16))
const BASER_DEVICES = (1 << 24) | ((ENTRY_BYTES - 1) << 16)
const BASER_COLLECTIONS = (4 << 24) | ((ENTRY_BYTES - 1) << 16)
/** GITS_BASER.Page_Size, low word: 64 KiB. */
const BASER_LARGEST_PAGES = 2 << 8
/** Writable bits of GITS_CBASER. */
const CBASER_LO = 0xffff_fcff
const CBASER_HI = 0xf8ef_ffff
const CBASER_VALID = QUIESCENT
/** Offset in the command queue. */
const OFFSET_BITS = 0xf_ffe0
/** GITS_CREADR.Stalled, GITS_CWRITER.Retry. */
const STALLED = 1
const RETRY = 1
const COMMAND_BYTES = 32
/** Commands that are performed at once; some count more often. */
const SLICE = 64

/** Word of GITS_CTLR in the state. */
const CONTROL = 0
/** Words of other registers, by their names in saved states. */
const W = {
  queueLo: 1,
  queueHi: 2,
  write: 3,
  read: 4,
  devicesLo: 5,
  devicesHi: 6,
  collectionsLo: 7,
  collectionsHi: 8,
} as const
/** Bits of each word that can be written. */
const WRITABLE = [ENABLED, CBASER_LO, CBASER_HI, OFFSET_BITS, OFFSET_BITS | STALLED, -1, BASER_BITS, -1, BASER_BITS]
/** Word at each offset of a base register. */
const BASES: Readonly<Record<number, number>> = {
  [GITS_CBASER]: W.queueLo,
  [GITS_CBASER + 4]: W.queueHi,
  [GITS_BASER0]: W.devicesLo,
  [GITS_BASER0 + 4]: W.devicesHi,
  [GITS_BASER1]: W.collectionsLo,
  [GITS_BASER1 + 4]: W.collectionsHi,
}

/** Options of an {@link Its}. */
export interface ItsOptions {
  /** The GIC, which must have LPIs. */
  readonly gic: GicV3
  /** Guest memory, where the tables and the command queue lie. */
  readonly memory: GicMemory
  /** Calls back a little later: a long queue is worked through in slices. */
  later(callback: () => void): void
  /** `ITS_STATE_BYTES` of machine memory, zeroed; default a new buffer. */
  readonly state?: StateRegion
}

/**
 * An interrupt translation service: turns the events of devices, which are message-signalled interrupts, into LPIs.
 *
 * Tables and command queue lie in guest memory and are never trusted. A command with an error is ignored; a command
 * whose queue or table is in no memory stalls the queue (GITS_CREADR.Stalled) until the guest writes GITS_CWRITER.Retry.
 * While the ITS is enabled GITS_BASER<n> and GITS_CBASER cannot be written. Collections name vCPUs by number (PTA = 0).
 *
 * Source: Arm IHI 0069, chapter 5; 12.18 and 12.19 "The ITS register descriptions".
 */
export class Its extends Controller implements GicFrame {
  readonly #words: Int32Array
  readonly #memory: GicMemory
  readonly #commands: ItsCommands
  readonly #later: (callback: () => void) => void
  readonly #bytes = new Uint8Array(COMMAND_BYTES)
  readonly #command = new Int32Array(this.#bytes.buffer)
  #isScheduled = false

  /** @throws IrqchipError `ERR_INVALID` for a wrong argument, and a GIC without LPIs */
  constructor(options: ItsOptions) {
    super()
    checkObject('options', options)
    const { gic, memory } = options
    if (!(gic instanceof GicV3) || gic.lpis === undefined) {
      throw new IrqchipError('ERR_INVALID', 'gic is no GicV3 with LPIs: give it `memory`')
    }
    checkMemory(memory)
    checkMethod(options, 'later')
    const state = regionFor(ITS_STATE_BYTES, options.state)
    const words = new Int32Array(state.buffer, state.byteOffset, ITS_STATE_BYTES / 4)
    this.#words = words
    const register = (index: number): StatePart =>
      viewed(
        () => words[index]! >>> 0,
        (word) => this.#set(index, word),
      )
    // The mappings are in the guest's tables, and no part of the state.
    this.keeps(
      {
        version: 1,
        enabled: bitOf(words, CONTROL, ENABLED),
        ...Object.fromEntries(Object.entries(W).map(([name, index]) => [name, register(index)])),
      },
      // Queued commands are performed later.
      { device: 'ITS', settled: () => this.#isBusy() && this.#schedule() },
    )
    this.#memory = memory
    this.#later = (callback) => options.later(callback)
    const bases = {
      get devicesLo(): number {
        return words[W.devicesLo]!
      },
      get devicesHi(): number {
        return words[W.devicesHi]!
      },
      get collectionsLo(): number {
        return words[W.collectionsLo]!
      },
      get collectionsHi(): number {
        return words[W.collectionsHi]!
      },
    }
    this.#commands = new ItsCommands(new ItsTables(memory), gic.lpis, bases, gic.cpus)
    this.reset()
  }

  /**
   * Power-on state. The manual leaves most fields unknown. Guests that probe for page sizes read the same value as with QEMU
   * and KVM.
   */
  override reset(): void {
    this.#words.fill(0)
    this.#words[W.devicesLo] = BASER_LARGEST_PAGES
    this.#words[W.collectionsLo] = BASER_LARGEST_PAGES
    this.#words[W.devicesHi] = BASER_DEVICES
    this.#words[W.collectionsHi] = BASER_COLLECTIONS
  }

  /**
   * A device's message: a write of `event` to GITS_TRANSLATER.
   *
   * @param device - DeviceID: the requester ID of PCI
   * @returns whether it is the event of an interrupt
   */
  translate(device: number, event: number): boolean {
    return (this.#words[CONTROL]! & ENABLED) !== 0 && this.#commands.signal(device, event, true) === DONE
  }

  /** Reads the control frame; 0 in the translation frame. */
  read(offset: number, size: number): number {
    if (!isWord(offset, size)) return 0
    switch (offset) {
      case GITS_CTLR:
        return ((this.#words[CONTROL]! & ENABLED) | (this.#isBusy() ? 0 : QUIESCENT)) >>> 0
      case GITS_IIDR:
        return IIDR
      case GITS_TYPER:
        return TYPER_LO
      case GITS_TYPER + 4:
        return TYPER_HI
      case GITS_CWRITER:
        return this.#words[W.write]!
      case GITS_CREADR:
        return this.#words[W.read]!
      default: {
        const index = BASES[offset]
        return index === undefined ? identification(offset, size, 0x94) : this.#words[index]! >>> 0
      }
    }
  }

  /** Writes the control frame. A message in the translation frame has no device here: see `translate`. */
  write(offset: number, size: number, value: number): void {
    if (!isWord(offset, size)) return
    const words = this.#words
    const enabled = (words[CONTROL]! & ENABLED) !== 0
    switch (offset) {
      case GITS_CTLR:
        words[CONTROL] = value & ENABLED
        this.#perform()
        return
      case GITS_CWRITER:
        words[W.write] = value & OFFSET_BITS
        if ((value & RETRY) !== 0) words[W.read]! &= ~STALLED
        this.#perform()
        return
      default: {
        const index = BASES[offset]
        if (index === undefined || enabled) return
        this.#set(index, value)
        // A new queue begins at its first command.
        if (index === W.queueLo || index === W.queueHi) words[W.read] = 0
      }
    }
  }

  /** Sets the bits of a word that can be written. */
  #set(index: number, value: number): void {
    const writable = WRITABLE[index]!
    this.#words[index] = (value & writable) | (this.#words[index]! & ~writable)
  }

  /** Reads 8 bytes of the control frame. */
  read64(offset: number, into: Word64): void {
    const is64 = (offset & 7) === 0 && offset >= GITS_TYPER && offset <= GITS_BASER1
    into.lo = is64 ? this.read(offset, 4) : 0
    into.hi = is64 ? this.read(offset + 4, 4) : 0
  }

  /** Writes 8 bytes of the control frame. */
  write64(offset: number, lo: number, hi: number): void {
    if ((offset & 7) !== 0 || offset < GITS_CBASER || offset > GITS_BASER1) return
    this.write(offset, 4, lo)
    this.write(offset + 4, 4, hi)
  }

  /** Whether queued commands can be executed. */
  #isBusy(): boolean {
    const words = this.#words
    if ((words[CONTROL]! & ENABLED) === 0 || (words[W.queueHi]! & CBASER_VALID) === 0) return false
    // An offset that is not in the queue has no commands before it.
    return words[W.write]! < this.#queueBytes() && (words[W.read]! & STALLED) === 0 && words[W.read] !== words[W.write]
  }

  #queueBytes(): number {
    return ((this.#words[W.queueLo]! & 0xff) + 1) * 0x1000
  }

  /** Performs commands, as many as may be performed at once. */
  #perform(): void {
    const words = this.#words
    const base = (words[W.queueHi]! & 0xf_ffff) * 2 ** 32 + ((words[W.queueLo]! & 0xffff_f000) >>> 0)
    for (let left = SLICE; this.#isBusy();) {
      if (left <= 0) {
        this.#schedule()
        return
      }
      const at = words[W.read]!
      if (!this.#memory.read(base + at, this.#bytes) || this.#commands.perform(this.#command) === STALL) {
        words[W.read] = at | STALLED
        return
      }
      left -= this.#commands.costOf(this.#command)
      words[W.read] = (at + COMMAND_BYTES) % this.#queueBytes()
    }
  }

  #schedule(): void {
    if (this.#isScheduled) return
    this.#isScheduled = true
    this.#later(() => {
      this.#isScheduled = false
      this.#perform()
    })
  }
}

import type { DebugPlaces } from '@retrap/engine'
import { AccessKind, accessTag, type AccessLog } from '@retrap/replay'
import type { MachineMemory } from '@retrap/memory'
import { highWord } from './device-access.ts'
import { SLOW_PARTS_SHIFT, SLOW_PROBE, SLOW_WRITE, type CpuHost, type Translation } from '../state/host.ts'
import { STATUS_DONE, STATUS_RETRY, S_ELEMENT, S_DATA, STATUS_RESTART } from '../state/state-layout.ts'

/** Memory accesses in a logged pass: each is recorded, or answered from its record. */
export class LoggedAccess {
  readonly #host: CpuHost
  readonly #log: AccessLog
  readonly #plain: PlainMemory
  readonly #places: DebugPlaces
  readonly #u32: Uint32Array

  /** @param u32 - the state area */
  constructor(host: CpuHost, log: AccessLog, plain: PlainMemory, places: DebugPlaces, u32: Uint32Array) {
    this.#host = host
    this.#log = log
    this.#plain = plain
    this.#places = places
    this.#u32 = u32
  }

  /** The tag of an access of the current instruction: its element, and the part of it, in bytes. */
  tag(at: number): number {
    return accessTag(0, (this.#u32[S_ELEMENT >>> 2]! << 6) | at)
  }

  /** Makes the access to one piece within a page; `at` is its offset in S_DATA. */
  perform(t: Translation, at: number, size: number, flags: number): number {
    if ((flags & SLOW_PROBE) !== 0) return STATUS_DONE
    const write = (flags & SLOW_WRITE) !== 0
    const log = this.#log
    const { data } = this.#plain
    // The route that the first pass took stands, whatever the p2m says by now.
    const kind = log.nextKind()
    const device = kind >= 0 ? kind === AccessKind.MMIO_READ || kind === AccessKind.MMIO_WRITE : t.ma < 0
    if (device) return this.#performDevice(t.gpa, at, size, flags)
    const rom = write && (kind >= 0 ? kind === AccessKind.ROM_WRITE : !t.writable)
    const index = log.access(
      rom ? AccessKind.ROM_WRITE : write ? AccessKind.WRITE : AccessKind.READ,
      t.gpa >>> 0,
      highWord(t.gpa),
      size,
      this.tag(at),
    )
    if (write) {
      log.setBytes(index, data, at)
      log.complete(index)
      return STATUS_DONE
    }
    if (log.state(index) === STATUS_RESTART) {
      this.#plain.load(t.ma, at, size)
      log.overlayOwnWrites(t.gpa >>> 0, highWord(t.gpa), size, data, at)
      log.setBytes(index, data, at)
      log.complete(index)
    } else log.copyBytes(index, data, at)
    return STATUS_DONE
  }

  /** A device operand: pushes and pops one by one, else the largest natural pieces of up to 8 bytes. */
  #performDevice(gpa: number, at: number, size: number, flags: number): number {
    const write = (flags & SLOW_WRITE) !== 0
    const part = (flags >>> SLOW_PARTS_SHIFT) & 7
    for (let done = 0; done < size;) {
      let piece = part === 0 ? 8 : 1 << part
      while (piece > size - done || ((gpa + done) % piece !== 0 && piece > 1 && size !== piece)) piece >>= 1
      const offset = part !== 0 && write ? size - piece - done : done
      const status = this.#performPiece(gpa + offset, at + offset, piece, write)
      if (status !== STATUS_DONE) return status
      done += piece
    }
    return STATUS_DONE
  }

  #performPiece(address: number, at: number, size: number, write: boolean): number {
    const log = this.#log
    const host = this.#host
    const { data } = this.#plain
    const kind = write ? AccessKind.MMIO_WRITE : AccessKind.MMIO_READ
    const index = log.access(kind, address >>> 0, highWord(address), size, this.tag(at))
    const state = log.state(index)
    if (state !== STATUS_DONE) {
      if (write) log.setBytes(index, data, at)
      let status: number
      if (state === STATUS_RETRY) status = host.answer()
      else if (write) status = host.physicalWrite(address, size, log.dataLo(index), log.dataHi(index), true)
      else status = host.physicalRead(address, size, host.record, true)
      if (status === STATUS_RETRY) log.wait(index)
      if (status !== STATUS_DONE) return status
      if (!write) log.setData(index, host.record.lo, host.record.hi)
      log.complete(index)
    }
    if (this.#places.mmio) this.#places.note('mmio', address, size, write, log.dataLo(index), log.dataHi(index))
    if (!write) log.copyBytes(index, data, at)
    return STATUS_DONE
  }

  /** Performs the writes that the pass held, now that its instruction has retired. */
  commit(): void {
    this.#log.forEachHeldWrite((lo, hi, size, bytes, offset, rom) => {
      const gpa = hi * 0x1_0000_0000 + (lo >>> 0)
      if (rom) {
        this.#storeToRom(gpa, size, bytes, offset)
        return
      }
      const ma = this.#host.ramAddress(gpa)
      // An address that is no writable RAM any more ignores the store.
      if (ma < 0) return
      const { data } = this.#plain
      for (let i = 0; i < size; i++) data[i] = bytes[offset + i]!
      this.#plain.store(ma, 0, size)
    })
  }

  /** Tells the board of a store to ROM in pieces of up to 8 bytes. */
  #storeToRom(gpa: number, size: number, bytes: Uint8Array, at: number): void {
    for (let done = 0; done < size;) {
      let piece = 8
      while (piece > size - done) piece >>= 1
      this.#host.romWrite?.(gpa + done, piece, wordAt(bytes, at + done, piece), wordAt(bytes, at + done + 4, piece - 4))
      done += piece
    }
  }
}

/** Little-endian, of up to four bytes. */
function wordAt(bytes: Uint8Array, at: number, size: number): number {
  let word = 0
  for (let i = Math.min(size, 4) - 1; i >= 0; i--) word = (word << 8) | bytes[at + i]!
  return word >>> 0
}

/** Copies between machine memory and S_DATA, where the data of an access lies; 8 aligned bytes at once. */
export class PlainMemory {
  readonly #memory: MachineMemory
  /** Machine address of S_DATA. */
  readonly #ma: number
  /** S_DATA as bytes. */
  readonly data: Uint8Array

  /** @param state - machine address of the state */
  constructor(memory: MachineMemory, state: number) {
    this.#memory = memory
    this.#ma = state + S_DATA
    this.data = new Uint8Array(memory.buffer, this.#ma, 64)
  }

  /** Reads RAM into S_DATA, from byte `at` on. */
  load(ma: number, at: number, size: number): void {
    this.#memory.copyOnce(ma, this.#ma + at, size)
  }

  /** Writes bytes of S_DATA to RAM; what has been decoded of them is dropped. */
  store(ma: number, at: number, size: number): void {
    this.#memory.copyOnce(this.#ma + at, ma, size)
    this.#memory.noteStore(ma, size)
  }
}

import { CodeFetch } from '@retrap/engine'
import type { CodeCache } from '@retrap/engine'
import type { MachineMemory } from '@retrap/memory'
import { AccessKind, accessTag } from '@retrap/replay'
import type { AccessLog } from '@retrap/replay'
import { X86CodeSpace } from './access/code-space.ts'
import type { CpuCore } from './cpu-core.ts'
import type { CpuHost, Translation, Words } from './state/host.ts'
import * as R from './state/record.ts'
import { VECTOR_GP } from './state/vectors.ts'
import * as S from './state/state-layout.ts'
import { newTranslation } from './access/translation.ts'

/**
 * Finds the record of the instruction at RIP: the engine's look-up, and what it leaves to the instruction set, such as
 * instructions that are executed alone and bytes near a segment's end or outside RAM.
 */
export class InstructionFetch {
  /** The engine's look-up: imports of generated code. */
  readonly code: CodeFetch<Translation>
  readonly #memory: MachineMemory
  readonly #host: CpuHost
  /** Machine address of the state. */
  readonly #state: number
  readonly #u32: Uint32Array
  readonly #cache: CodeCache
  readonly #space: X86CodeSpace
  readonly #translation: Translation = newTranslation()
  readonly #words: Words = { lo: 0, hi: 0 }
  readonly #fetchBytes = new Uint8Array(32)

  constructor({ memory, state, tlb, mode, debug }: CpuCore, host: CpuHost, cache: CodeCache) {
    this.#memory = memory
    this.#host = host
    this.#state = state
    this.#u32 = memory.u32.subarray(state >>> 2)
    this.#cache = cache
    this.#space = new X86CodeSpace(this.#u32, host, tlb, mode, debug)
    this.code = new CodeFetch(memory, state, S.STATE_LAYOUT, cache, tlb, this.#space)
  }

  /** Linear address of RIP, as words; they are overwritten by the next look-up. */
  current(): Readonly<Words> {
    this.#linearRip()
    return this.#words
  }

  #linearRip(): void {
    const rip = this.#u32[S.S_RIP >>> 2]!
    const base = this.#u32[(S.S_SEGMENTS + S.SEG_BYTES * S.CS + S.SEG_BASE) >>> 2]!
    if (this.#u32[S.S_MODE >>> 2] === S.MODE_64) {
      this.#words.lo = rip
      this.#words.hi = this.#u32[(S.S_RIP >>> 2) + 1]!
    } else {
      this.#words.lo = (rip + base) >>> 0
      this.#words.hi = 0
    }
  }

  /** Copies the record of the instruction at RIP to where nothing else overwrites it, followed by a stop. */
  pinCurrent(): number {
    this.#linearRip()
    const { lo, hi } = this.#words
    const record = this.#fetchOne(lo, hi)
    if (record === 0) return this.#u32[S.S_FETCH_STATUS >>> 2]!
    this.pin(record)
    return S.STATUS_DONE
  }

  /**
   * The same in a logged pass, byte by byte.
   *
   * @returns STATUS_DONE, STATUS_FAULT, STATUS_RETRY
   */
  pinLogged(log: AccessLog): number {
    this.#linearRip()
    const { lo, hi } = this.#words
    const record = this.#fetchBytewise(lo, hi, log)
    if (record === 0) return this.#u32[S.S_FETCH_STATUS >>> 2]!
    this.pin(record)
    return S.STATUS_DONE
  }

  /** Has the instructions that follow the pinned one come after it. */
  followPinned(): void {
    this.#memory.u16[(this.#state + S.S_PINNED + R.RECORD_BYTES + R.R_OP) >>> 1] = R.OP_CONTINUE
  }

  pin(given: number): void {
    const at = this.#state + S.S_PINNED
    const { u8, u16, u32 } = this.#memory
    const record = u16[(given + R.R_OP) >>> 1] === R.OP_UNIT ? u32[(given + R.R_DISP) >>> 2]! : given
    if (record !== at) {
      let from = (u16[(record + R.R_OP) >>> 1] === R.OP_CROSS ? record + R.RECORD_BYTES : record) >>> 2
      let to = at >>> 2
      for (const end = to + (R.RECORD_BYTES >>> 2); to < end; to++, from++) u32[to] = u32[from]!
      // Its own walks may have changed the page that it lies in, even its bytes: it is executed as it was fetched. (The
      // SDM leaves open when a processor sees that; vol. 3A, "Self-Modifying Code", is about stores.)
      u16[(at + R.R_OP) >>> 1]! &= R.OP_BITS
      // A link would lead on past the one instruction that is to be executed.
      if ((u8[at + R.R_SEGMENT]! & R.SEGMENT_LINK) !== 0) u32[(at + R.R_DISP) >>> 2] = 0
    }
    const next = at + R.RECORD_BYTES
    u16[(next + R.R_OP) >>> 1] = R.OP_LEAVE
    u16[(next + R.R_OFFSET) >>> 1] = u16[(at + R.R_OFFSET) >>> 1]! + u8[at + R.R_LENGTH]!
  }

  /** For a single instruction, in places where generated code does not run freely. */
  #fetchOne(lo: number, hi: number): number {
    this.#space.alone = true
    const record = this.code.fetchOne(lo, hi)
    this.#space.alone = false
    if (record !== 0 || this.#u32[S.S_FETCH_STATUS >>> 2] !== S.STATUS_STEP) return record
    return this.#fetchBytewise(lo, hi)
  }

  /**
   * Byte by byte, with the segment limit and devices looked at for each: near a segment's end, or outside RAM.
   *
   * @param log - of a logged pass: bytes are read once
   */
  #fetchBytewise(lo: number, hi: number, log: AccessLog | null = null): number {
    const u32 = this.#u32
    const mode = this.#space.modeAt(lo)
    const base = u32[(S.S_SEGMENTS + S.SEG_BYTES * S.CS + S.SEG_BASE) >>> 2]!
    const limit = u32[(S.S_SEGMENTS + S.SEG_BYTES * S.CS + S.SEG_LIMIT) >>> 2]!
    const bytes = this.#fetchBytes
    const at = this.#state + S.S_PINNED
    this.code.leaveAt(lo, hi)
    const t = this.#translation
    const offset = lo & 0xfff
    let count = 0
    // Bytes of RAM may be read ahead; a device, or a page that may be one, is asked for no more than is needed.
    const careful = log !== null
    for (; count < 15; count++) {
      const byteLo = (lo + count) >>> 0
      const byteHi = byteLo < lo && (mode & S.MODE_64) !== 0 ? (hi + 1) >>> 0 : hi
      const needed = careful || (byteLo & 0xfff) === 0
      if (needed && count > 0 && this.#isWhole(at, bytes, count, mode, offset)) return at
      const beyond = (mode & S.MODE_64) === 0 && (byteLo - base) >>> 0 > limit
      let status = beyond
        ? this.#space.fault(byteLo, byteHi, VECTOR_GP, 0)
        : this.#space.translate(byteLo, byteHi, t, log)
      if (status === S.STATUS_DONE) {
        if (log !== null) {
          status = this.#loggedByte(log, byteLo, byteHi, count)
          bytes[count] = this.#words.lo
          if (status === S.STATUS_RETRY) {
            u32[S.S_FETCH_STATUS >>> 2] = status
            return 0
          }
        } else if (t.ma >= 0) bytes[count] = this.#memory.u8[t.ma]!
        // Even a fast device is not asked: a later byte, or the instruction's data, may belong to a slow one.
        else status = S.STATUS_RESTART
      }
      if (status !== S.STATUS_DONE) {
        // The bytes so far may be an instruction already; only one that needs the missing byte faults.
        if (count === 0 || !this.#isWhole(at, bytes, count, mode, offset)) {
          u32[S.S_FETCH_STATUS >>> 2] = status
          return 0
        }
        this.#space.dropFault()
        return at
      }
    }
    this.#cache.decodeBytes(at, bytes, count, mode, offset)
    return at
  }

  /** Whether the bytes up to here are an instruction, or can be none; if so, the record of that is at `at`. */
  #isWhole(at: number, bytes: Uint8Array, count: number, mode: number, offset: number): boolean {
    return this.#cache.decodeBytes(at, bytes, count, mode, offset) <= count
  }

  /** One instruction byte in a logged pass, at what was just translated; it is then in `#words`. */
  #loggedByte(log: AccessLog, lo: number, hi: number, position: number): number {
    const t = this.#translation
    const known = log.nextKind()
    const device = known >= 0 ? known === AccessKind.MMIO_READ : t.ma < 0
    const gpaHi = Math.floor(t.gpa / 0x1_0000_0000)
    const index = device
      ? log.access(AccessKind.MMIO_READ, t.gpa >>> 0, gpaHi, 1, accessTag(0, position))
      : log.access(AccessKind.FETCH, lo, hi, 1, accessTag(0, position))
    if (log.state(index) !== S.STATUS_DONE) {
      let byte = 0
      if (device) {
        const host = this.#host
        const isAsked = log.state(index) === S.STATUS_RETRY
        const status = isAsked ? host.answer() : host.physicalRead(t.gpa, 1, host.record, true)
        if (status === S.STATUS_RETRY) log.wait(index)
        if (status !== S.STATUS_DONE) return status
        byte = host.record.lo
      } else byte = this.#memory.u8[t.ma]!
      log.setData(index, byte, 0)
      log.complete(index)
    }
    this.#words.lo = log.dataLo(index)
    return S.STATUS_DONE
  }
}

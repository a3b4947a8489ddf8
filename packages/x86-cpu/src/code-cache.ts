import { FRAME_DECODED, PAGE_BYTES } from '@retrap/memory'
import { DECODED, Instruction, REASON_TOO_LONG, TRUNCATED, codeInfo, decodeInto } from '@retrap/x86-decoder'
import type { CodeInfo } from '@retrap/x86-decoder'
import type { MachineMemory } from '@retrap/memory'
import type { Lowering } from './lower.ts'
import {
  OP_CONTINUE,
  OP_CROSS,
  OP_DEAD,
  OP_SYSTEM,
  RECORD_BYTES,
  R_DISP,
  R_FUNCTION,
  R_IMM,
  R_LENGTH,
  R_OFFSET,
  R_OP,
} from './record.ts'
import { MODE_16, MODE_32 } from './state-layout.ts'

/** The decoder counts in 31 bits, and so past the end of a page that ends at 2 GiB. */
const HALF = 0x7fff_f000
/** A slot for each byte offset: the machine address of the record that starts there, or 0. */
const SLOT_BYTES = PAGE_BYTES * 4
/** What is told apart of a frame where it is written: 64 lines of 64 bytes. */
const LINE_SHIFT = 6
/** Bytes that may say that there is no instruction. */
const LONGEST = 15
/**
 * Writes beside a frame's code that leave it alone. Each takes the slow way, so a frame that has become data, or is
 * written more than it is executed, is to lose its code after all.
 */
const SPARED_WRITES = 256
/** Instructions decoded at once. Most of what follows a branch is never executed. */
const RUN_LIMIT = 32

/** Who is told when records move. */
export interface CodeCacheClient {
  /** All records are gone: forget where code pages are. */
  flushExecute(): void
  /** The frame holds code from now on: its writes must be seen. */
  dropWritable(frameMa: number): void
}

/** Indices of TypeScript handlers. */
export interface ExceptionHandlers {
  /** Raises #UD. */
  readonly undefined: number
  /** Raises #GP: more than 15 bytes. */
  readonly tooLong: number
}

/** The decoded instructions of one frame in one mode. */
export class CodePage {
  /** Machine frame. */
  readonly frame: number
  /** Mode that the code was decoded for: `MODE_*`. */
  readonly mode: number
  /** Machine address of the slot table. */
  readonly slots: number
  /**
   * Runs of records, three numbers each: machine address of the first, how many, and the slot of another page that leads
   * to them (an instruction that began there and ends here), or 0.
   */
  readonly runs: number[] = []
  /** Which lines hold bytes that have been decoded: 31:0 and 63:32. */
  linesLow = 0
  /** Lines of the page with code, high half of the bits. */
  linesHigh = 0
  constructor(frame: number, mode: number, slots: number) {
    this.frame = frame
    this.mode = mode
    this.slots = slots
  }

  /** Bytes have been decoded. @param end - exclusive; what lies beyond the page is another's */
  mark(start: number, end: number): void {
    const last = Math.min(end, PAGE_BYTES) - 1
    for (let line = start >>> LINE_SHIFT; line <= last >>> LINE_SHIFT; line++) {
      if (line < 32) this.linesLow |= 1 << line
      else this.linesHigh |= 1 << (line - 32)
    }
  }

  /** Whether a write to these bytes may have changed what was decoded. */
  holds(first: number, last: number): boolean {
    for (let line = first >>> LINE_SHIFT; line <= last >>> LINE_SHIFT; line++) {
      if ((((line < 32 ? this.linesLow : this.linesHigh) >>> (line & 31)) & 1) !== 0) return true
    }
    return false
  }
}

/**
 * Decoded instructions, cached per frame and mode, in an arena of machine memory. All vCPUs of a machine share one: records
 * name registers relative to the state.
 *
 * A write to a frame with code kills that frame's records, if it is near what has been decoded: each becomes OP_DEAD, so
 * that a run in the middle of being executed looks its next instruction up anew. When the arena is full everything is dropped.
 */
export class CodeCache {
  readonly #memory: MachineMemory
  /** Machine memory from {@link HALF} on. */
  readonly #upperHalf: Uint8Array
  readonly #lowering: Lowering
  readonly #handlers: ExceptionHandlers
  readonly #decoderOptions: number
  readonly #start: number
  readonly #end: number
  #next: number
  readonly #pages = new Map<number, CodePage>()
  readonly #clients: CodeCacheClient[] = []
  readonly #insn = new Instruction()
  readonly #crossing = new Uint8Array(32)
  /** Writes beside the code of a frame, since it was decoded. */
  readonly #spared = new Map<number, number>()
  /** Statistics. */
  decoded = 0
  /** Times that everything was dropped. */
  flushes = 0
  /** Pages whose records were dropped because code was written. */
  invalidations = 0

  /**
   * @internal
   * @param bytes - size of the arena
   * @param handlers - what stands for bytes that are no instruction
   * @param decoderOptions - option bits of `decodeInto`: what bytes mean to the engine's processor
   */
  constructor(
    memory: MachineMemory,
    lowering: Lowering,
    bytes: number,
    handlers: ExceptionHandlers,
    decoderOptions: number,
  ) {
    this.#memory = memory
    this.#upperHalf = memory.u8.subarray(HALF)
    this.#lowering = lowering
    this.#handlers = handlers
    this.#decoderOptions = decoderOptions
    this.#start = memory.allocate(bytes, 64, 'decoded instructions')
    this.#end = this.#start + bytes
    this.#next = this.#start
    memory.onCodeWrite((frame, first, last) => this.#written(frame, first, last))
  }

  /** Adds a vCPU whose TLB drops writable entries of frames with code. */
  addClient(client: CodeCacheClient): void {
    this.#clients.push(client)
  }

  /** The page of a frame, made if need be. From now on, writes to the frame are seen. */
  page(frame: number, mode: number): CodePage {
    const key = frame * 4 + mode
    let page = this.#pages.get(key)
    if (page === undefined) {
      if (this.#next + SLOT_BYTES > this.#end) this.flush()
      page = new CodePage(frame, mode, this.#next)
      this.#memory.u32.fill(0, page.slots >>> 2, (page.slots + SLOT_BYTES) >>> 2)
      this.#next += SLOT_BYTES
      this.#pages.set(key, page)
    }
    const { codeBits } = this.#memory
    if ((codeBits[frame]! & FRAME_DECODED) === 0) {
      codeBits[frame]! |= FRAME_DECODED
      for (const client of this.#clients) client.dropWritable(frame * PAGE_BYTES)
    }
    return page
  }

  /** Drops everything. */
  flush(): void {
    for (const page of this.#pages.values()) this.#memory.codeBits[page.frame]! &= ~FRAME_DECODED
    this.#pages.clear()
    this.#spared.clear()
    this.#next = this.#start
    this.flushes++
    for (const client of this.#clients) client.flushExecute()
  }

  /** Bytes of a frame with code have been written. */
  #written(frame: number, first: number, last: number): void {
    if ((this.#memory.codeBits[frame]! & FRAME_DECODED) === 0) return
    for (let mode = 0; mode < 3; mode++) {
      if (this.#pages.get(frame * 4 + mode)?.holds(first, last) === true) {
        this.invalidateFrame(frame)
        return
      }
    }
    const spared = (this.#spared.get(frame) ?? 0) + 1
    if (spared > SPARED_WRITES) this.invalidateFrame(frame)
    else this.#spared.set(frame, spared)
  }

  /** The bytes of a frame have changed: its records, in all modes, are dead. */
  invalidateFrame(frame: number): void {
    const { u16, u32, codeBits } = this.#memory
    this.invalidations++
    this.#spared.delete(frame)
    for (let mode = 0; mode < 3; mode++) {
      const page = this.#pages.get(frame * 4 + mode)
      if (page === undefined) continue
      u32.fill(0, page.slots >>> 2, (page.slots + SLOT_BYTES) >>> 2)
      for (let i = 0; i < page.runs.length; i += 3) {
        const first = page.runs[i] as number
        const count = page.runs[i + 1] as number
        const slot = page.runs[i + 2] as number
        if (slot !== 0 && u32[slot >>> 2] === first) u32[slot >>> 2] = 0
        for (let n = 0; n < count; n++) u16[(first + n * RECORD_BYTES + R_OP) >>> 1]! |= OP_DEAD
      }
      page.runs.length = 0
      page.linesLow = 0
      page.linesHigh = 0
    }
    // Execute tables may go on pointing to the slot tables, which are empty: the next fetch marks the frame again.
    codeBits[frame]! &= ~FRAME_DECODED
  }

  /**
   * The record of the instruction at an offset of a page, decoding it and what follows.
   *
   * @returns its machine address, or 0 if the instruction crosses into the next page: then {@link CodeCache.crossing}
   */
  record(page: CodePage, offset: number): number {
    const known = this.#memory.u32[(page.slots >>> 2) + offset] as number
    return known !== 0 ? known : this.#decodeRun(page, offset)
  }

  #reserve(records: number): boolean {
    if (this.#next + records * RECORD_BYTES <= this.#end) return true
    this.flush()
    return false
  }

  #decodeRun(given: CodePage, start: number): number {
    let page = given
    // A flush forgets the page that was asked for; ask again.
    if (!this.#reserve(RUN_LIMIT + 1)) page = this.page(given.frame, given.mode)
    const { u32 } = this.#memory
    const insn = this.#insn
    const bits = page.mode === MODE_16 ? 16 : page.mode === MODE_32 ? 32 : 64
    const upper = page.frame * PAGE_BYTES >= HALF
    const bytes = upper ? this.#upperHalf : this.#memory.u8
    const frame = page.frame * PAGE_BYTES - (upper ? HALF : 0)
    const first = this.#next
    const slots = page.slots >>> 2
    let at = first
    let offset = start
    let ended = false
    for (let n = 0; n < RUN_LIMIT && offset < PAGE_BYTES; n++) {
      if (u32[slots + offset] !== 0) break
      const status = decodeInto(bytes, frame + offset, frame + PAGE_BYTES, bits | this.#decoderOptions, insn)
      if (status === TRUNCATED) break
      if (status === DECODED) {
        const { op } = this.#lowering.write(at, insn, offset)
        ended = endsRun(codeInfo(insn.code), op)
      } else {
        this.#writeException(at, offset)
        page.mark(offset, offset + LONGEST)
        ended = true
      }
      u32[slots + offset] = at
      this.decoded++
      at += RECORD_BYTES
      offset += status === DECODED ? insn.length : 1
      if (ended) break
    }
    // The instruction at `start` itself crosses the page.
    if (at === first) return 0
    page.mark(start, offset)
    this.#writePseudo(at, OP_CONTINUE, offset)
    at += RECORD_BYTES
    page.runs.push(first, (at - first) / RECORD_BYTES, 0)
    this.#next = at
    return first
  }

  /**
   * The record of an instruction that lies in two pages: a check that the second is still mapped, the instruction, and
   * what goes on after it. Each of the two frames kills it.
   */
  crossing(page: CodePage, offset: number, second: CodePage): number {
    // The two pages' bytes, side by side.
    const head = PAGE_BYTES - offset
    const { u8, u32, i32 } = this.#memory
    if (this.#next + 3 * RECORD_BYTES > this.#end) return 0
    const bytes = this.#crossing
    for (let i = 0; i < head; i++) bytes[i] = u8[page.frame * PAGE_BYTES + offset + i] as number
    for (let i = head; i < 16; i++) bytes[i] = u8[second.frame * PAGE_BYTES + i - head] as number
    const first = this.#next
    this.#writePseudo(first, OP_CROSS, offset)
    i32[(first + R_DISP) >>> 2] = second.slots
    this.decodeBytes(first + RECORD_BYTES, bytes, 16, page.mode, offset)
    const length = u8[first + RECORD_BYTES + R_LENGTH] as number
    this.#writePseudo(first + 2 * RECORD_BYTES, OP_CONTINUE, offset + length)
    this.#next = first + 3 * RECORD_BYTES
    page.mark(offset, PAGE_BYTES)
    second.mark(0, LONGEST)
    page.runs.push(first, 3, 0)
    second.runs.push(first, 3, page.slots + 4 * offset)
    u32[(page.slots >>> 2) + offset] = first
    this.decoded++
    return first
  }

  /** Whether an OP_CROSS record was made from this second page. */
  crossesInto(record: number, second: CodePage): boolean {
    const { u16, i32 } = this.#memory
    // The walk to the second page may have killed it.
    return u16[(record + R_OP) >>> 1] === OP_CROSS && (i32[(record + R_DISP) >>> 2] as number) >>> 0 === second.slots
  }

  /** An OP_CROSS record whose second page has become another: dead, and not found by its slot any more. */
  dropCrossing(page: CodePage, record: number): void {
    const { u16, u32 } = this.#memory
    u32[(page.slots >>> 2) + (u16[(record + R_OFFSET) >>> 1] as number)] = 0
    for (let n = 0; n < 3; n++) u16[(record + n * RECORD_BYTES + R_OP) >>> 1]! |= OP_DEAD
  }

  /**
   * Decodes one instruction from bytes that are not a page's, into a record outside the cache.
   *
   * @returns its length; more than `count` if it needs further bytes; 1 for what is no instruction, and raises #UD or #GP
   */
  decodeBytes(at: number, bytes: Uint8Array, count: number, mode: number, offset: number): number {
    const insn = this.#insn
    const bits = mode === MODE_16 ? 16 : mode === MODE_32 ? 32 : 64
    const status = decodeInto(bytes, 0, count, bits | this.#decoderOptions, insn)
    if (status !== DECODED) {
      this.#writeException(at, offset)
      return status === TRUNCATED ? count + 1 : 1
    }
    this.#lowering.write(at, insn, offset)
    return insn.length
  }

  /** For what `#insn` could not be decoded from. */
  #writeException(at: number, offset: number): void {
    const { u8, u16 } = this.#memory
    this.#clear(at)
    u16[(at + R_OP) >>> 1] = OP_SYSTEM
    u16[(at + R_OFFSET) >>> 1] = offset
    u16[(at + R_FUNCTION) >>> 1] =
      this.#insn.reason === REASON_TOO_LONG ? this.#handlers.tooLong : this.#handlers.undefined
    u8[at + R_LENGTH] = 1
  }

  #writePseudo(at: number, op: number, offset: number): void {
    const { u16 } = this.#memory
    this.#clear(at)
    u16[(at + R_OP) >>> 1] = op
    u16[(at + R_OFFSET) >>> 1] = offset
  }

  #clear(at: number): void {
    const { u32 } = this.#memory
    for (let i = at >>> 2; i < (at + R_IMM + 8) >>> 2; i++) u32[i] = 0
  }

  /** Bytes of the arena in use. */
  get usedBytes(): number {
    return this.#next - this.#start
  }
}

/** What never falls through to the next instruction; what follows is more often data or padding than code. */
function endsRun(info: CodeInfo, op: number): boolean {
  switch (info.flow) {
    case 'jump':
    case 'indirect-jump':
    case 'return':
    case 'exception':
      return true
    default:
      return op === OP_SYSTEM && info.mnemonic === 'HLT'
  }
}

import { PAGE_BYTES } from '@retrap/memory'
import { SLOW_IMPLICIT, SLOW_PARTS_SHIFT, SLOW_PROBE, SLOW_STACK, SLOW_WRITE } from '../state/host.ts'
import { VECTOR_GP, VECTOR_SS, VECTOR_UD } from '../state/vectors.ts'
import * as S from '../state/state-layout.ts'
import { R_LENGTH } from '../state/record.ts'
import { CR4_LA57, RSP } from '../state/architecture.ts'
import type { Iterations } from './cpu.ts'
import { Registers } from './registers.ts'
import { BLOCK_BYTES, WriteQueue } from './write-queue.ts'
import { S_PENDING_DEBUG, S_PENDING_FAULT } from '../state/system-state.ts'

/** Thrown to end an instruction before it has changed anything; never leaves `HandlerPath` and event delivery. */
export class Abandon extends Error {
  status: number = S.STATUS_FAULT
}

/** The word that {@link System.poison} writes. */
const POISON = 0xffff_ffff

/** Return to virtual-8086 mode has the longest frame. */
const FRAME_VALUES = 9

/**
 * One vCPU as system instructions see it: its state by offset, and memory by the rules that let an instruction be
 * abandoned at any access.
 *
 * Reads happen at once. Writes are checked at once, in the order in which the processor makes them, and made by
 * {@link commit}; reads see those that wait. Whatever cannot go on throws {@link abandon}, so a handler changes
 * registers, flags and segments only after `commit`, its last access.
 */
export class System extends Registers {
  /** The result of the last read, zero-extended; both unsigned. */
  lo = 0
  hi = 0
  /** The result of {@link linear}; both unsigned. */
  linLo = 0
  linHi = 0
  /** EXT bit of error codes: 1 while an event from outside the program is delivered. */
  ext = 0
  /** The result of {@link readFrame}. */
  readonly frameLo: Uint32Array = new Uint32Array(FRAME_VALUES)
  readonly frameHi: Uint32Array = new Uint32Array(FRAME_VALUES)
  /** The request of a string handler to {@link Cpu.repeat}. */
  readonly iterations: Iterations = { port: 0, otherLo: 0, otherHi: 0, lo: 0, hi: 0, flags: 0, count: 0, down: false }
  readonly abandoned: Abandon = new Abandon('an instruction was abandoned')
  readonly #queue = new WriteQueue()

  /** Overwrites what one handler leaves for the next: see `X86EngineOptions.poison`. */
  poison(): void {
    this.lo = this.hi = this.linLo = this.linHi = POISON
    this.frameLo.fill(POISON)
    this.frameHi.fill(POISON)
    const { iterations } = this
    iterations.port = iterations.flags = iterations.count = POISON
    iterations.otherLo = iterations.otherHi = iterations.lo = iterations.hi = POISON
  }

  // ---------------------------------------------------------------- outcome

  /** Raises an exception with an error code; nothing may have changed. `ext` is added. */
  raise(vector: number, errorCode: number): never {
    this.set(S.S_FAULT_VECTOR, vector)
    this.set(S.S_FAULT_ERROR, errorCode | this.ext)
    this.set(S.S_FAULT_HAS_ERROR, 1)
    return this.abandon(S.STATUS_FAULT)
  }

  /** Raises an exception that has no error code. */
  raisePlain(vector: number): never {
    this.set(S.S_FAULT_VECTOR, vector)
    this.set(S.S_FAULT_ERROR, 0)
    this.set(S.S_FAULT_HAS_ERROR, 0)
    return this.abandon(S.STATUS_FAULT)
  }

  undefinedOpcode(): never {
    return this.raisePlain(VECTOR_UD)
  }

  abandon(status: number): never {
    this.dropWrites()
    this.abandoned.status = status
    throw this.abandoned
  }

  /** Goes on if an access is done, else ends the instruction with its status. */
  check(status: number): void {
    if (status === S.STATUS_DONE) return
    if (status === S.STATUS_FAULT && this.ext !== 0) {
      const vector = this.get(S.S_FAULT_VECTOR)
      if (vector === VECTOR_GP || vector === VECTOR_SS) this.set(S.S_FAULT_ERROR, this.get(S.S_FAULT_ERROR) | this.ext)
    }
    this.abandon(status)
  }

  requireCpl0(): void {
    if (this.cpl !== 0) this.raise(VECTOR_GP, 0)
  }

  /** RIP of the following instruction, into `lo` and `hi`. */
  nextRip(record: number): void {
    const length = this.cpu.memory.u8[record + R_LENGTH]!
    const lo = this.get(S.S_RIP) + length
    this.lo = lo >>> 0
    this.hi = this.mode64 ? (this.get(S.S_RIP + 4) + (lo > 0xffff_ffff ? 1 : 0)) >>> 0 : 0
  }

  /** Counts iterations of a repeated instruction, or work that lasts as long, and takes them from the turn's budget. */
  countIterations(count: number): void {
    this.set(S.S_ITERATIONS, this.get(S.S_ITERATIONS) + count)
    this.set(S.S_BUDGET, this.get(S.S_BUDGET) - count)
  }

  /** Status of an instruction that has retired and set RIP: something may have to happen before the next one. */
  retired(): number {
    const wanted =
      this.get(S.S_SHADOW) !== 0 ||
      this.get(S_PENDING_DEBUG) !== 0 ||
      this.get(S_PENDING_FAULT) !== 0 ||
      (this.get(S.S_EVENTS) !== 0 && (this.get(S.S_EFLAGS) & S.FLAG_IF) !== 0) ||
      (this.get(S.S_EVENTS) & ~1) !== 0 ||
      (this.get(S.S_EFLAGS) & S.FLAG_TF) !== 0
    return wanted ? S.STATUS_EXIT : S.STATUS_JUMP
  }

  /** For instructions that fall through to the next one after a change of mode or of what interrupts them. */
  retireNext(record: number): number {
    this.advance(record)
    return this.retired()
  }

  // ---------------------------------------------------------------- memory

  /** Reads 1 to 8 bytes at a linear address into `lo` and `hi`. `flags`: SLOW_STACK, SLOW_IMPLICIT. */
  read(lo: number, hi: number, size: number, flags: number): void {
    this.check(this.cpu.access(lo, hi, size | flags))
    this.#takeData(size)
    if (this.#queue.count !== 0) this.#overlay(lo, hi, size)
  }

  /** The same for one of several elements, which the log tells apart by their numbers. */
  readElement(lo: number, hi: number, size: number, element: number): void {
    this.set(S.S_ELEMENT, element)
    const status = this.cpu.access(lo, hi, size)
    this.set(S.S_ELEMENT, 0)
    this.check(status)
    this.#takeData(size)
  }

  readValue(lo: number, hi: number, size: number, flags: number): number {
    this.read(lo, hi, size, flags)
    return this.lo
  }

  /** Reads of descriptor tables and task-state segments. */
  readSystem(lo: number, hi: number, size: number): number {
    this.read(lo, hi, size, SLOW_IMPLICIT)
    return this.lo
  }

  #takeData(size: number): void {
    const word = this.get(S.S_DATA)
    if (size === 8) {
      this.lo = word
      this.hi = this.get(S.S_DATA + 4)
      return
    }
    this.hi = 0
    this.lo = size === 4 ? word : size === 2 ? word & 0xffff : size === 1 ? word & 0xff : word & 0xff_ffff
  }

  /** Replaces those bytes of the last read that a queued write will change. */
  #overlay(lo: number, hi: number, size: number): void {
    for (let i = 0; i < size; i++) {
      const at = (lo + i) >>> 0
      const byte = this.#queue.byteAt(at, (hi + (at < lo >>> 0 ? 1 : 0)) >>> 0)
      if (byte < 0) continue
      const shift = (i & 3) * 8
      if (i < 4) this.lo = ((this.lo & ~(0xff << shift)) | (byte << shift)) >>> 0
      else this.hi = ((this.hi & ~(0xff << shift)) | (byte << shift)) >>> 0
    }
  }

  /** Checks a write of 1 to 8 bytes and queues it. */
  write(lo: number, hi: number, size: number, dataLo: number, dataHi: number, flags: number): void {
    this.check(this.cpu.access(lo, hi, size | flags | SLOW_WRITE | SLOW_PROBE))
    this.#queue.add(lo, hi, size | flags, dataLo, dataHi)
  }

  /**
   * Queues the write of up to 64 bytes within one page, if all of them can be written now and no such write waits
   * already.
   *
   * @returns false if not; the caller then writes piece by piece, and meets the fault in its proper order
   */
  writeBlock(lo: number, hi: number, size: number, bytes: Uint8Array, from: number, flags: number): boolean {
    if (this.#queue.blockQueued || size > BLOCK_BYTES || (lo & (PAGE_BYTES - 1)) + size > PAGE_BYTES) return false
    const status = this.cpu.access(lo, hi, size | flags | SLOW_WRITE | SLOW_PROBE)
    if (status === S.STATUS_FAULT) return false
    this.check(status)
    this.#queue.addBlock(lo, hi, size | flags, bytes, from)
    return true
  }

  writeSystem(lo: number, hi: number, size: number, dataLo: number): void {
    this.write(lo, hi, size, dataLo, 0, SLOW_IMPLICIT)
  }

  /** Makes the queued writes, in order. */
  commit(): void {
    const queue = this.#queue
    for (let entry = 0; entry < queue.count; entry++) {
      if (queue.isBlock(entry)) this.u8.set(queue.block, S.S_DATA)
      else this.set64(S.S_DATA, queue.dataLo(entry), queue.dataHi(entry))
      this.check(this.cpu.access(queue.addressLo(entry), queue.addressHi(entry), queue.flags(entry)))
    }
    this.dropWrites()
  }

  /** Forgets queued writes: an event's delivery starts again as another event's. */
  dropWrites(): void {
    this.#queue.clear()
  }

  /**
   * Linear address of `size` bytes at an offset of a segment, into `linLo` and `linHi`. Outside 64-bit mode limit and
   * rights are checked; canonical form is checked by the access.
   */
  linear(segment: number, offsetLo: number, offsetHi: number, size: number, write: boolean): void {
    if (this.mode64) {
      if (segment >= S.FS) {
        const base = (S.S_SEGMENTS + segment * S.SEG_BYTES + S.SEG_BASE) >>> 2
        const lo = this.u32[base]! + (offsetLo >>> 0)
        this.linLo = lo >>> 0
        this.linHi = (this.u32[base + 1]! + offsetHi + (lo > 0xffff_ffff ? 1 : 0)) >>> 0
      } else {
        this.linLo = offsetLo >>> 0
        this.linHi = offsetHi >>> 0
      }
      return
    }
    const first = offsetLo >>> 0
    const last = first + size - 1
    const right = write ? S.SEG_CAN_WRITE : S.SEG_CAN_READ
    if (
      first < this.segmentField(segment, S.SEG_LOW) ||
      last > this.segmentField(segment, S.SEG_HIGH) ||
      (this.segmentField(segment, S.SEG_RIGHTS) & right) === 0
    ) {
      this.raise(segment === S.SS ? VECTOR_SS : VECTOR_GP, 0)
    }
    this.linLo = (this.segmentField(segment, S.SEG_BASE) + first) >>> 0
    this.linHi = 0
  }

  /** Reads a memory operand at its effective linear address plus a distance. */
  readAt(lo: number, hi: number, distance: number, size: number): number {
    const at = (lo + distance) >>> 0
    return this.readValue(at, this.carryHi(lo, hi, distance), size, 0)
  }

  writeAt(lo: number, hi: number, distance: number, size: number, dataLo: number, dataHi = 0): void {
    const at = (lo + distance) >>> 0
    this.write(at, this.carryHi(lo, hi, distance), size, dataLo, dataHi, 0)
  }

  /** High word of address + distance; outside IA-32e mode linear addresses wrap at 4 GiB. */
  carryHi(lo: number, hi: number, distance: number): number {
    if (!this.longMode) return 0
    return ((lo >>> 0) + distance > 0xffff_ffff ? hi + 1 : hi) >>> 0
  }

  /** Whether the 64-bit address with this high word is canonical: bits 63:47 are equal, 63:56 with CR4.LA57. */
  isCanonical(hi: number): boolean {
    return isSignExtended(hi, (this.get(S.S_CR4) & CR4_LA57) === 0 ? 16 : 7)
  }

  /**
   * The same for registers that hold an address (descriptor-table bases, MSRs), where the processor's width decides
   * rather than CR4.LA57 (SDM vol. 1, "Canonical Addressing").
   */
  isCanonicalBase(hi: number): boolean {
    return isSignExtended(hi, this.cpu.processor.canonicalShift)
  }

  // ---------------------------------------------------------------- stack

  /** Low word of the stack pointer, as wide as the stack segment says. */
  get stackPointer(): number {
    const value = this.gpr(RSP)
    return this.stackAddressSize === 2 ? value & 0xffff : value
  }

  /** Sets the part of RSP that the stack segment uses. */
  setStackPointer(size: number, lo: number, hi: number): void {
    this.setGpr(RSP, size, lo, hi)
  }

  /** Reads `size` bytes at `distance` above the stack pointer, as POP does. */
  readStack(distance: number, size: number): void {
    const width = this.stackAddressSize
    const sum = this.gpr(RSP) + distance
    if (width === 8) {
      this.linear(S.SS, sum >>> 0, this.gprHi(RSP) + (sum > 0xffff_ffff ? 1 : 0), size, false)
    } else {
      this.linear(S.SS, width === 2 ? sum & 0xffff : sum >>> 0, 0, size, false)
    }
    this.read(this.linLo, this.linHi, size, SLOW_STACK)
  }

  /**
   * Reads `count` values of `size` bytes from the top of the stack, the last pushed first, into `frameLo` and `frameHi`.
   * They come in one access where they lie in one page, which is then the only one that can be missing.
   */
  readFrame(count: number, size: number): void {
    const bytes = count * size
    const width = this.stackAddressSize
    const top = width === 2 ? this.gpr(RSP) & 0xffff : this.gpr(RSP)
    if (bytes <= BLOCK_BYTES && top + bytes <= (width === 2 ? 0x1_0000 : 0x1_0000_0000)) {
      this.linear(S.SS, top, width === 8 ? this.gprHi(RSP) : 0, bytes, false)
      // Misaligned values are read one by one: each may be an alignment check.
      if ((this.linLo & (PAGE_BYTES - 1)) + bytes <= PAGE_BYTES && (this.linLo & (size - 1)) === 0) {
        this.check(this.cpu.access(this.linLo, this.linHi, bytes | SLOW_STACK | partsOf(size)))
        for (let i = 0; i < count; i++) {
          const at = S.S_DATA + i * size
          this.frameLo[i] = size === 2 ? this.u16[at >>> 1]! : this.get(at)
          this.frameHi[i] = size === 8 ? this.get(at + 4) : 0
        }
        return
      }
    }
    for (let i = 0; i < count; i++) {
      this.readStack(i * size, size)
      this.frameLo[i] = this.lo
      this.frameHi[i] = this.hi
    }
  }

  /** Moves the stack pointer up by `bytes`; after the last access. */
  releaseStack(bytes: number): void {
    const width = this.stackAddressSize
    const sum = this.gpr(RSP) + bytes
    const carry = sum > 0xffff_ffff ? 1 : sum < 0 ? -1 : 0
    this.setGpr(RSP, width, sum >>> 0, (this.gprHi(RSP) + carry) >>> 0)
  }
}

function isSignExtended(hi: number, shift: number): boolean {
  return (hi << shift) >> shift === (hi | 0)
}

/** Flags of an access that is several pushes or pops of `size` bytes. */
export function partsOf(size: number): number {
  return (31 - Math.clz32(size)) << SLOW_PARTS_SHIFT
}

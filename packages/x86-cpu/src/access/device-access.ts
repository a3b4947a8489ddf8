import type { DebugPlaces } from '@retrap/engine'
import { PAGE_BYTES } from '@retrap/memory'
import { AccessKind } from '@retrap/replay'
import {
  SLOW_DIRECT,
  SLOW_IMPLICIT,
  SLOW_MODIFY,
  SLOW_PROBE,
  SLOW_STACK,
  SLOW_WRITE,
  type CpuHost,
  type RegisterPage,
  type Words,
} from '../state/host.ts'
import type { Pass } from './pass.ts'
import * as S from '../state/state-layout.ts'
import type { DataBreakpoints } from '../system/breakpoints.ts'

/** The flags that select an access's rights and its route to a device. */
const DEVICE_KIND = SLOW_WRITE | SLOW_MODIFY | SLOW_IMPLICIT | SLOW_STACK | SLOW_PROBE

/** Words of S_DATA. */
const DATA = S.S_DATA >>> 2

/** Addresses of a page that are kept; a device has few registers that are asked for all the time. */
const KEPT = 64

/**
 * The guest-physical addresses of a page. V8 makes an object of a number above 2^31 for each call that it is an argument of;
 * one that lies in an array of objects is one already, and is handed on as it is.
 */
class PageAddresses {
  #page = 0
  /** Which offset each kept address has; −1 none. */
  readonly #offsets = new Int32Array(KEPT).fill(-1)
  readonly #addresses: unknown[] = new Array<unknown>(KEPT).fill(null)

  /** @param gpa - of the page's first byte */
  setPage(gpa: number): void {
    if (gpa === this.#page) return
    this.#page = gpa
    this.#offsets.fill(-1)
  }

  at(offset: number): number {
    const i = (offset >>> 2) % KEPT
    if (this.#offsets[i] !== offset) this.#keep(i, offset)
    return this.#addresses[i] as number
  }

  #keep(i: number, offset: number): void {
    this.#offsets[i] = offset
    this.#addresses[i] = this.#page + offset
  }
}

/**
 * Accesses to devices that are the last thing that can fail in their instruction: made at once, or sent and waited for in
 * place. The page of the last one is remembered, as a TLB remembers RAM.
 */
export class DeviceAccess {
  readonly #host: CpuHost
  readonly #pass: Pass
  readonly #breakpoints: DataBreakpoints
  readonly #places: DebugPlaces
  readonly #u32: Uint32Array
  readonly #words: Words = { lo: 0, hi: 0 }
  #lastChanges = -1
  #lastSet = -1
  /** Linear address without its 12 low bits, low word; and the high word, signed. */
  #lastPage = -1
  #lastHi = 0
  #lastKind = 0
  /** Guest-physical addresses, by offset in their page, of accesses for which {@link isAgain} holds. */
  readonly lastGpas: PageAddresses = new PageAddresses()
  readonly #registers: RegisterPage = { ma: 0, storedLo: 0, storedHi: 0 }

  /** @param u32 - the state area */
  constructor(host: CpuHost, pass: Pass, breakpoints: DataBreakpoints, places: DebugPlaces, u32: Uint32Array) {
    this.#host = host
    this.#pass = pass
    this.#breakpoints = breakpoints
    this.#places = places
    this.#u32 = u32
    u32[S.S_REGISTER_SET >>> 2] = 0
  }

  /**
   * Whether an access is to the device page of the last one, and made in the same way: with all that a TLB entry would
   * have stood for. Guests ask one device again and again, and a walk takes longer than most devices.
   *
   * @param lo - and `hi`: signed, as they come from WebAssembly
   */
  isAgain(lo: number, hi: number, flags: number): boolean {
    return (
      lo >>> 12 === this.#lastPage &&
      hi === this.#lastHi &&
      (flags & DEVICE_KIND) === this.#lastKind &&
      this.#lastChanges === this.#u32[S.S_TLB_CHANGES >>> 2] &&
      (lo & (PAGE_BYTES - 1)) + (flags & 0xff) <= PAGE_BYTES &&
      this.#u32[S.S_TLB >>> 2] === this.#lastSet
    )
  }

  /** Remembers the page of an access, for {@link isAgain}. */
  remember(lo: number, hi: number, flags: number, gpa: number): void {
    // A breakpoint's accesses are looked at one by one. Enabling one flushes the TLB, which ends what is remembered.
    if (this.#breakpoints.enabled || this.#stopsInPage(gpa)) return
    this.#lastChanges = this.#u32[S.S_TLB_CHANGES >>> 2]!
    // The TLB set that generated code uses stands for the mode, and for a logged pass.
    this.#lastSet = this.#u32[S.S_TLB >>> 2]!
    this.#lastPage = lo >>> 12
    this.#lastHi = hi | 0
    this.#lastKind = flags & DEVICE_KIND
    this.lastGpas.setPage(gpa - (gpa % PAGE_BYTES))
    if (this.#lastKind === 0) this.#rememberRegisters(gpa)
  }

  /** Whether a debugger stops at some of the page: its accesses are looked at one by one as well. */
  #stopsInPage(gpa: number): boolean {
    return this.#places.mmio && this.#places.matches('mmio', gpa - (gpa % PAGE_BYTES), PAGE_BYTES)
  }

  /** Has generated code read registers of the page by itself, where it has such. */
  #rememberRegisters(gpa: number): void {
    const registers = this.#registers
    if (this.#host.registerPage?.(gpa, registers) !== true) return
    const u32 = this.#u32
    u32[S.S_REGISTER_PAGE >>> 2] = this.#lastPage << 12
    u32[(S.S_REGISTER_PAGE >>> 2) + 1] = this.#lastHi
    u32[S.S_REGISTER_SET >>> 2] = this.#lastSet
    u32[S.S_REGISTER_CHANGES >>> 2] = this.#lastChanges
    u32[S.S_REGISTER_WORDS >>> 2] = registers.ma
    u32[S.S_REGISTER_MASK >>> 2] = registers.storedLo
    u32[(S.S_REGISTER_MASK >>> 2) + 1] = registers.storedHi
  }

  /** Makes an access that is direct (see {@link isDirect}). @returns a status */
  make(gpa: number, flags: number): number {
    return this.#followed((flags & SLOW_WRITE) !== 0 ? this.write(gpa, flags) : this.read(gpa, flags))
  }

  // Reads and writes are apart, so that V8 inlines each to its end.

  /**
   * Makes a direct read, and leaves the answer in S_DATA. {@link make} looks for the device's attention afterwards; the
   * quick way leaves that to generated code.
   *
   * @returns a status
   */
  read(gpa: number, flags: number): number {
    const size = flags & 0xff
    const words = this.#words
    const status = this.#host.physicalRead(gpa, size, words, false)
    if (status === S.STATUS_RETRY) this.#pass.sent(AccessKind.MMIO_READ, gpa, highWord(gpa), size, 0, 0)
    // After another status than STATUS_DONE nothing reads them.
    this.#u32[DATA] = words.lo
    this.#u32[DATA + 1] = words.hi
    return status
  }

  /** {@link read} for a write of what is in S_DATA. */
  write(gpa: number, flags: number): number {
    const size = flags & 0xff
    const u32 = this.#u32
    const hi = size === 8 ? u32[DATA + 1]! : 0
    const lo = lowWord(u32[DATA]!, size)
    const status = this.#host.physicalWrite(gpa, size, lo, hi, false)
    if (status === S.STATUS_RETRY) this.#pass.sent(AccessKind.MMIO_WRITE, gpa, highWord(gpa), size, lo, hi)
    return status
  }

  /**
   * The status of an instruction whose access has ended with a status. Where the device may have raised an event or changed
   * the map, the instruction retires alone: both precede the next instruction, which generated code would run on to.
   */
  #followed(status: number): number {
    // An instruction that is executed alone is left anyway.
    if (status !== S.STATUS_DONE || this.#u32[S.S_ATTENTION >>> 2] === 0 || this.#u32[S.S_LOGGED >>> 2] !== 0)
      return status
    this.#pass.answered()
    return S.STATUS_RETRY
  }

  /** Stores to ROM, which no instruction waits for. @returns a status */
  storeToRom(gpa: number, size: number): number {
    const hi = size === 8 ? this.#u32[DATA + 1]! : 0
    this.#host.romWrite?.(gpa, size, lowWord(this.#u32[DATA]!, size), hi)
    return this.#followed(S.STATUS_DONE)
  }

  /**
   * Looks for the answer of the device that a pass has stopped at. With STATUS_DONE, the instruction is to be executed: its
   * access, which is its only one, finds the answer.
   */
  answer(): number {
    const { record } = this.#host
    const status = this.#host.answer()
    if (status !== S.STATUS_DONE) return status
    if (this.#pass.waitsForData) {
      this.#u32[DATA] = record.lo
      this.#u32[DATA + 1] = record.hi
    }
    if (this.#places.mmio || this.#places.ports) this.#noteAnswered()
    this.#pass.answered()
    return status
  }

  /** Tells a debugger, who may have come while the device took its time, of the access that is in the log. */
  #noteAnswered(): void {
    const { log } = this.#pass
    const { pending } = log
    const kind = log.kind(pending)
    const write = kind === AccessKind.MMIO_WRITE || kind === AccessKind.PORT_WRITE
    const place = kind === AccessKind.MMIO_WRITE || kind === AccessKind.MMIO_READ ? 'mmio' : 'port'
    if (!(place === 'mmio' ? this.#places.mmio : this.#places.ports)) return
    const at = log.addressHi(pending) * 0x1_0000_0000 + log.addressLo(pending)
    const { lo, hi } = write ? { lo: log.dataLo(pending), hi: log.dataHi(pending) } : this.#host.record
    this.#places.note(place, at, log.size(pending), write, lo, hi)
  }
}

/** An access of up to 8 bytes that is the last thing that its instruction can fail of, and more than a look at rights. */
export function isDirect(flags: number): boolean {
  const size = flags & 0xff
  return (flags & (SLOW_DIRECT | SLOW_PROBE)) === SLOW_DIRECT && size <= 8 && (size & (size - 1)) === 0
}

/** The value that an access of 1, 2, 4 or 8 bytes has in the low word. */
export function lowWord(value: number, size: number): number {
  return size === 1 ? value & 0xff : size === 2 ? value & 0xffff : value >>> 0
}

/** The high word of a guest-physical address. */
export function highWord(gpa: number): number {
  return gpa < 0x1_0000_0000 ? 0 : Math.floor(gpa / 0x1_0000_0000)
}

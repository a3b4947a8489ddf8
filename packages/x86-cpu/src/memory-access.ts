import { PAGE_BYTES } from '@retrap/memory'
import type { MachineMemory } from '@retrap/memory'
import { ACCESS_AC, ACCESS_IMPLICIT, ACCESS_READ, ACCESS_USER, ACCESS_WRITE } from '@retrap/paging'
import { AccessKind, AccessState, accessTag } from '@retrap/replay'
import type { AccessLog } from '@retrap/replay'
import type { AccessMode } from './access-mode.ts'
import type { CpuHost, Translation, Words } from './host.ts'
import type { Pass } from './pass.ts'
import type { DataBreakpoints } from './system/breakpoints.ts'
import { REPEAT_FILL, REPEAT_MOVE } from './system/cpu.ts'
import {
  SLOW_DIRECT,
  SLOW_IMPLICIT,
  SLOW_MODIFY,
  SLOW_PARTS_SHIFT,
  SLOW_PROBE,
  SLOW_STACK,
  SLOW_WRITE,
} from './access-flags.ts'
import { VECTOR_AC, VECTOR_GP, VECTOR_PF, VECTOR_SS } from './vectors.ts'
import {
  FLAG_AC,
  MODE_64,
  STATUS_ASK,
  STATUS_DONE,
  STATUS_FAULT,
  STATUS_RESTART,
  STATUS_RETRY,
  S_CPL,
  S_CR0,
  S_CR4,
  S_DATA,
  S_EFER,
  S_EFLAGS,
  S_ELEMENT,
  S_FAULT_ADDRESS,
  S_FAULT_ERROR,
  S_FAULT_HAS_ERROR,
  S_FAULT_VECTOR,
  S_LOGGED,
  S_MODE,
  S_TLB,
  S_TLB_MISSES,
} from './state-layout.ts'
import { TLB_READ, TLB_WRITE } from './tlb.ts'
import type { Tlb } from './tlb.ts'
import { CR0_AM, CR4_LA57, EFER_LMA } from './system/architecture.ts'

/** Operand of the tag of a request for several iterations, with the bytes of an element. */
const REPEAT_OPERAND = 0x80
const PORT_KINDS: readonly number[] = [AccessKind.PORT_READ, AccessKind.PORT_WRITE]
const MMIO_KINDS: readonly number[] = [AccessKind.MMIO_READ, AccessKind.MMIO_WRITE]

/** What {@link MemoryAccess} works with: parts of one vCPU. */
export interface MemoryAccessParts {
  readonly memory: MachineMemory
  readonly host: CpuHost
  readonly tlb: Tlb
  readonly pass: Pass
  readonly mode: AccessMode
  readonly breakpoints: DataBreakpoints
  /** Machine address of the state. */
  readonly state: number
}

/** What of an access's flags its rights, and its way to a device, depend on. */
const DEVICE_KIND = SLOW_WRITE | SLOW_MODIFY | SLOW_IMPLICIT | SLOW_STACK | SLOW_PROBE

export function newTranslation(): Translation {
  return { gpa: 0, ma: -1, writable: false, cacheable: false, global: false, pageBytes: PAGE_BYTES, errorCode: 0 }
}

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
    if (this.#offsets[i] !== offset) {
      this.#offsets[i] = offset
      this.#addresses[i] = this.#page + offset
    }
    return this.#addresses[i] as number
  }
}

/**
 * Memory and port accesses that generated code does not finish by itself: TLB misses, page-crossing accesses, devices,
 * frames with decoded code, and everything in a logged pass.
 */
export class MemoryAccess {
  readonly #memory: MachineMemory
  readonly #host: CpuHost
  readonly #tlb: Tlb
  readonly #pass: Pass
  readonly #log: AccessLog
  readonly #mode: AccessMode
  readonly #breakpoints: DataBreakpoints
  readonly #u32: Uint32Array
  readonly #data: Uint8Array
  readonly #first = newTranslation()
  readonly #second = newTranslation()
  readonly #words: Words = { lo: 0, hi: 0 }
  /** Words that S_DATA starts with. */
  readonly #dataWord: number
  // The page of the last access to a device: what TLB entries are for RAM.
  #deviceChanges = -1
  #deviceSet = -1
  /** Linear address without its 12 low bits, low word; and the high word, signed. */
  #devicePage = -1
  #deviceHi = 0
  #deviceKind = 0
  readonly #devicePageGpas = new PageAddresses()
  /** Some data breakpoint is enabled. */
  dataBreakpoints = false
  /** An operand's address was not canonical; whoever takes the fault clears it. */
  nonCanonical = false

  constructor({ memory, host, tlb, pass, mode, breakpoints, state }: MemoryAccessParts) {
    this.#memory = memory
    this.#host = host
    this.#tlb = tlb
    this.#pass = pass
    this.#log = pass.log
    this.#mode = mode
    this.#breakpoints = breakpoints
    this.#u32 = new Uint32Array(memory.buffer, state, 0x400)
    this.#data = new Uint8Array(memory.buffer, state + S_DATA, 64)
    this.#dataWord = S_DATA >>> 2
  }

  /** {@link access} for those who have not looked into the TLB yet. */
  systemAccess(lo: number, hi: number, flags: number): number {
    const size = flags & 0xff
    const set = (flags & SLOW_IMPLICIT) === 0 ? this.#mode.fillSet : this.#mode.implicitSet
    if (set < 0 || this.dataBreakpoints || (lo & 0xfff) + size > PAGE_BYTES) return this.access(lo, hi, flags)
    const write = (flags & SLOW_WRITE) !== 0
    const page = this.#tlb.lookup(set, write || (flags & SLOW_MODIFY) !== 0 ? TLB_WRITE : TLB_READ, lo, hi)
    if (page < 0) return this.access(lo, hi, flags)
    if ((flags & SLOW_PROBE) !== 0) return STATUS_DONE
    const ma = page + (lo & 0xfff)
    if (write) this.#store(ma, this.#data, 0, size)
    else this.#copy(ma, 0, size)
    return STATUS_DONE
  }

  /**
   * {@link access} for generated code.
   *
   * @param lo - and `hi`: signed, as they come from WebAssembly. A number above 2^31 would be an allocation
   */
  generatedAccess(lo: number, hi: number, flags: number): number {
    if (!this.#isLastDevice(lo, hi, flags)) return this.access(lo >>> 0, hi >>> 0, flags)
    this.#u32[S_TLB_MISSES >>> 2]!++
    // As a TLB would have it: no walk, and none to log.
    if (!isDirect(flags)) return STATUS_RESTART
    const status = this.#direct(this.#devicePageGpas.at(lo & 0xfff), flags, true)
    return status === STATUS_ASK ? STATUS_RESTART : status
  }

  /** One linear access; see `Cpu.access`. */
  access(lo: number, hi: number, flags: number): number {
    const size = flags & 0xff
    const u32 = this.#u32
    u32[S_TLB_MISSES >>> 2]!++
    if (
      (u32[S_EFER >>> 2]! & EFER_LMA) !== 0 &&
      !canonical(lo, hi, size, (u32[S_CR4 >>> 2]! & CR4_LA57) === 0 ? 16 : 7)
    ) {
      this.nonCanonical = (flags & SLOW_IMPLICIT) === 0
      return this.#raise((flags & SLOW_STACK) !== 0 ? VECTOR_SS : VECTOR_GP, 0)
    }
    if (
      u32[S_CPL >>> 2] === 3 &&
      (flags & SLOW_IMPLICIT) === 0 &&
      (lo & (size - 1)) !== 0 &&
      (u32[S_EFLAGS >>> 2]! & FLAG_AC) !== 0 &&
      (u32[S_CR0 >>> 2]! & CR0_AM) !== 0
    ) {
      if (misaligned(lo, size)) return this.#raise(VECTOR_AC, 0)
    }
    // A breakpoint's trap follows the instruction: one that runs among others starts again, alone, in a logged pass.
    if (this.dataBreakpoints && (flags & SLOW_IMPLICIT) === 0 && u32[S_LOGGED >>> 2] === 0) {
      if (this.#breakpoints.matches(lo, hi, size, (flags & (SLOW_WRITE | SLOW_MODIFY)) !== 0)) return STATUS_RESTART
    }
    const access = this.#rights(flags)
    const head = PAGE_BYTES - (lo & 0xfff)
    // An access that crosses a page: both are translated before either is touched.
    let status = this.#translate(lo, hi, access, this.#first)
    if (status !== STATUS_DONE) return status
    if (size > head) {
      const next = (lo + head) | 0
      // Linear addresses of 32 bits wrap. Descriptor tables have 64-bit ones in all of IA-32e mode.
      const wide =
        u32[S_MODE >>> 2] === MODE_64 || ((flags & SLOW_IMPLICIT) !== 0 && (u32[S_EFER >>> 2]! & EFER_LMA) !== 0)
      status = this.#translate(next >>> 0, next === 0 && wide ? hi + 1 : hi, access, this.#second)
      if (status !== STATUS_DONE) return status
      // A device in either half: nothing may have been stored by the time the logged pass starts.
      const write = (flags & SLOW_WRITE) !== 0
      if (u32[S_LOGGED >>> 2] !== 1 && (isSpecial(this.#first, write) || isSpecial(this.#second, write)))
        return STATUS_RESTART
      status = this.#perform(this.#first, 0, head, flags)
      if (status !== STATUS_DONE) return status
      status = this.#perform(this.#second, head, size - head, flags)
    } else {
      status = this.#perform(this.#first, 0, size, flags)
      if (status === STATUS_DONE || status === STATUS_ASK) this.#fill(lo, hi, access, flags)
      if (status === STATUS_ASK) return this.#ask(lo, hi, access, flags)
    }
    if (status === STATUS_DONE && this.dataBreakpoints && (flags & (SLOW_PROBE | SLOW_IMPLICIT)) === 0) {
      this.#breakpoints.note(lo, hi, size, (flags & SLOW_WRITE) !== 0)
    }
    return status
  }

  /** `ACCESS_*` of an access. */
  #rights(flags: number): number {
    const u32 = this.#u32
    let access = (flags & (SLOW_WRITE | SLOW_MODIFY)) === 0 ? ACCESS_READ : ACCESS_WRITE
    if ((flags & SLOW_IMPLICIT) !== 0) access |= ACCESS_IMPLICIT
    else if (u32[S_CPL >>> 2] === 3) access |= ACCESS_USER
    if ((u32[S_EFLAGS >>> 2]! & FLAG_AC) !== 0) access |= ACCESS_AC
    return access
  }

  /**
   * Asks a device that takes its time, for an instruction whose only access this is and that can then not fail: the pass
   * becomes a logged one where it stands. What such a pass would have logged by now is this access's walk; so the walk is
   * made again, logged, and then the access. (The page of the last device is found without a walk.)
   *
   * @returns STATUS_RETRY: `answer` is next; STATUS_DONE if there is an answer; STATUS_RESTART, with nothing done, if it
   *   cannot be
   */
  #ask(lo: number, hi: number, access: number, flags: number): number {
    const t = this.#first
    const log = this.#log
    if (this.dataBreakpoints) return STATUS_RESTART
    log.begin()
    const walked = this.#host.translate(lo, hi, access, t, log)
    // The page was a device's a moment ago. What else it may be by now, or a fault, is for a pass from the beginning.
    if (walked !== STATUS_DONE || t.ma >= 0) {
      log.cancel()
      return STATUS_RESTART
    }
    return this.#askAt(t.gpa, flags)
  }

  #askAt(gpa: number, flags: number): number {
    const log = this.#log
    const size = flags & 0xff
    const write = (flags & SLOW_WRITE) !== 0
    const lo32 = write ? masked(this.#u32[this.#dataWord] as number, size) : 0
    const hi32 = write && size === 8 ? (this.#u32[this.#dataWord + 1] as number) : 0
    const index = log.access(
      write ? AccessKind.MMIO_WRITE : AccessKind.MMIO_READ,
      gpa >>> 0,
      high(gpa),
      size,
      this.#tag(0),
    )
    if (write) log.setData(index, lo32, hi32)
    const status = this.#makeAsked(gpa, size, write, lo32, hi32)
    if (status === STATUS_RETRY) {
      log.wait(index)
      this.#pass.askedAccess(gpa, size, write)
    } else log.cancel()
    if (status === STATUS_DONE && !write) this.#takeWords()
    return status
  }

  #makeAsked(gpa: number, size: number, write: boolean, lo: number, hi: number): number {
    return write
      ? this.#host.physicalWrite(gpa, size, lo, hi, true, false)
      : this.#host.physicalRead(gpa, size, this.#words, true, false)
  }

  #takeWords(): void {
    this.#u32[this.#dataWord] = this.#words.lo
    this.#u32[this.#dataWord + 1] = this.#words.hi
  }

  /**
   * Looks for the answer of the device that a pass has stopped at. With STATUS_DONE, the instruction is to be executed:
   * its access finds the answer. That is all that a replay would do: the walk, of which every read is in the log, would
   * lead to the same address, which is that of the access in the log.
   */
  answer(): number {
    const log = this.#log
    const { gpa, size, write } = this.#pass
    const status = write
      ? this.#makeAsked(gpa, size, true, log.dataLo(log.pending), log.dataHi(log.pending))
      : this.#makeAsked(gpa, size, false, 0, 0)
    if (status !== STATUS_DONE) return status
    if (!write) this.#takeWords()
    this.#pass.answered()
    return status
  }

  /**
   * Whether an access is to the device page of the last one, in the same way: with all that a TLB entry would have stood
   * for. Devices are asked again and again, and a walk takes longer than most of them.
   */
  #isLastDevice(lo: number, hi: number, flags: number): boolean {
    return (
      lo >>> 12 === this.#devicePage &&
      hi === this.#deviceHi &&
      (flags & DEVICE_KIND) === this.#deviceKind &&
      this.#deviceChanges === this.#tlb.changes &&
      (lo & 0xfff) + (flags & 0xff) <= PAGE_BYTES &&
      !this.dataBreakpoints &&
      this.#u32[S_TLB >>> 2] === this.#deviceSet
    )
  }

  /** A guest-physical access of up to 8 bytes, data in S_DATA. Never faults. */
  accessPhysical(gpa: number, flags: number): number {
    const translation = this.#first
    translation.gpa = gpa
    translation.ma = this.#host.ramAddress(gpa)
    translation.writable = translation.ma >= 0
    return this.#perform(translation, 0, flags & 0xff, flags)
  }

  /** IN and OUT; see `Cpu.port`. */
  port(port: number, flags: number): number {
    const size = flags & 0xff
    const write = (flags & SLOW_WRITE) !== 0
    if (this.#u32[S_LOGGED >>> 2] !== 1) {
      if ((flags & SLOW_DIRECT) === 0) return STATUS_RESTART
      const value = masked(this.#u32[this.#dataWord] as number, size)
      const status = write
        ? this.#host.portWrite(port, size, value, false, false)
        : this.#host.portRead(port, size, this.#words, false, false)
      if (status === STATUS_DONE && !write) this.#u32[this.#dataWord] = this.#words.lo
      return status === STATUS_ASK ? STATUS_RESTART : status
    }
    const log = this.#log
    const index = log.access(write ? AccessKind.PORT_WRITE : AccessKind.PORT_READ, port, 0, size, accessTag(0))
    if (log.state(index) !== AccessState.COMPLETE) {
      if (write && log.state(index) === AccessState.NEW) log.setData(index, this.#u32[this.#dataWord] as number, 0)
      const status = write
        ? this.#host.portWrite(port, size, log.dataLo(index), true, false)
        : this.#host.portRead(port, size, this.#words, true, false)
      if (status === STATUS_RETRY) {
        log.wait(index)
        return STATUS_RETRY
      }
      if (status !== STATUS_DONE) return status
      if (!write) log.setData(index, this.#words.lo, 0)
      log.complete(index)
    }
    if (!write) this.#u32[this.#dataWord] = log.dataLo(index)
    return STATUS_DONE
  }

  /** Several iterations of a string instruction as one request; see `Cpu.repeat`. */
  repeat(
    port: number,
    otherLo: number,
    otherHi: number,
    lo: number,
    hi: number,
    flags: number,
    count: number,
    down: boolean,
  ): number {
    const host = this.#host
    if (host.repeat === undefined || this.#u32[S_LOGGED >>> 2] !== 1 || this.dataBreakpoints) return 0
    const size = flags & 0xff
    const write = (flags & SLOW_WRITE) !== 0
    const log = this.#log
    const tag = log.nextTag()
    // What the first pass has found out stands.
    const recorded = tag >= 0
    if (recorded && tag >>> 16 !== (REPEAT_OPERAND | size)) return 0
    const iterations = recorded ? tag & 0xffff : count
    const user = this.#u32[S_CPL >>> 2] === 3 ? ACCESS_USER : 0
    const ac = (this.#u32[S_EFLAGS >>> 2]! & FLAG_AC) !== 0
    if (user !== 0 && ac && (this.#u32[S_CR0 >>> 2]! & CR0_AM) !== 0) return 0
    const rights = user | (ac ? ACCESS_AC : 0)
    let status: number
    let address = port
    let device = true
    if (port === REPEAT_MOVE) {
      status = this.#translate(otherLo, otherHi, ACCESS_READ | rights, this.#second)
      if (status !== STATUS_DONE) return -status
    }
    status = this.#translate(lo, hi, (write ? ACCESS_WRITE : ACCESS_READ) | rights, this.#first)
    if (status !== STATUS_DONE) return -status
    let gpa = this.#first.gpa
    let toDevice = !write
    if (port < 0) {
      // Which side the device is: the kind of the record, if there is one.
      toDevice = port === REPEAT_FILL || (recorded ? log.nextKind() === AccessKind.MMIO_WRITE : this.#first.ma < 0)
      const other = port === REPEAT_FILL ? 0 : this.#second.ma
      device = recorded || this.#first.ma < 0 !== other < 0
      address = toDevice ? this.#first.gpa : this.#second.gpa
      if (toDevice) gpa = port === REPEAT_FILL ? -1 : this.#second.gpa
    }
    const memory = toDevice && port === REPEAT_MOVE ? this.#second : this.#first
    const backed = port === REPEAT_FILL || (memory.ma >= 0 && (toDevice || memory.writable))
    if (!recorded && (!device || !backed)) return 0
    const kinds = port < 0 ? MMIO_KINDS : PORT_KINDS
    const kind = kinds[toDevice ? 1 : 0] as number
    const index = log.access(kind, address >>> 0, high(address), size, accessTag(REPEAT_OPERAND | size, iterations))
    if (log.state(index) === AccessState.COMPLETE) return 0
    this.#words.lo = otherLo
    this.#words.hi = otherHi
    status = host.repeat(port >= 0, toDevice, address, size, iterations, down, gpa, this.#words)
    if (status === STATUS_RETRY) log.wait(index)
    else log.complete(index)
    return status === STATUS_DONE ? this.#words.lo : -status
  }

  /** Performs the writes that a logged pass held, now that its instruction has retired. */
  commit(): void {
    this.#log.forEachHeldWrite((lo, hi, size, bytes, offset, rom) => {
      const gpa = hi * 0x1_0000_0000 + (lo >>> 0)
      if (rom) {
        this.#storeToRom(gpa, size, bytes, offset)
        return
      }
      const ma = this.#host.ramAddress(gpa)
      // What is not writable RAM any more swallows the store.
      if (ma >= 0) this.#store(ma, bytes, offset, size)
    })
  }

  /** The board hears of it in pieces of up to 8 bytes. */
  #storeToRom(gpa: number, size: number, bytes: Uint8Array, at: number): void {
    for (let done = 0; done < size;) {
      let piece = 8
      while (piece > size - done) piece >>= 1
      this.#host.romWrite?.(gpa + done, piece, wordAt(bytes, at + done, piece), wordAt(bytes, at + done + 4, piece - 4))
      done += piece
    }
  }

  #translate(lo: number, hi: number, access: number, into: Translation): number {
    const logged = this.#u32[S_LOGGED >>> 2] === 1
    const status = this.#host.translate(lo, hi, access, into, logged ? this.#log : null)
    if (status !== STATUS_FAULT) return status
    // A page fault drops what the TLB has of the page (SDM vol. 3A, "Operations that Invalidate TLBs …").
    this.#tlb.invalidatePage(lo, hi)
    this.#u32[S_FAULT_ADDRESS >>> 2] = lo
    this.#u32[(S_FAULT_ADDRESS >>> 2) + 1] = hi
    return this.#raise(VECTOR_PF, into.errorCode)
  }

  #raise(vector: number, errorCode: number): number {
    this.#u32[S_FAULT_VECTOR >>> 2] = vector
    this.#u32[S_FAULT_ERROR >>> 2] = errorCode
    this.#u32[S_FAULT_HAS_ERROR >>> 2] = 1
    return STATUS_FAULT
  }

  /** One piece within a page; `at` is its offset in S_DATA. */
  #perform(t: Translation, at: number, size: number, flags: number): number {
    if (this.#u32[S_LOGGED >>> 2] === 1) return this.#performLogged(t, at, size, flags)
    const write = (flags & SLOW_WRITE) !== 0
    if (t.ma >= 0 && (!write || t.writable)) {
      if ((flags & SLOW_PROBE) !== 0) return STATUS_DONE
      if (write) this.#store(t.ma, this.#data, at, size)
      else this.#copy(t.ma, at, size)
      return STATUS_DONE
    }
    if (!isDirect(flags) || size !== (flags & 0xff)) return STATUS_RESTART
    if (t.ma < 0) return this.#direct(t.gpa, flags, false)
    // No device, and nothing to wait for.
    const hi = size === 8 ? (this.#u32[this.#dataWord + 1] as number) : 0
    this.#host.romWrite?.(t.gpa, size, masked(this.#u32[this.#dataWord] as number, size), hi)
    return STATUS_DONE
  }

  /**
   * An access to a device that is the last thing that its instruction can fail of.
   *
   * @param mayWait - see `CpuHost`
   */
  #direct(gpa: number, flags: number, mayWait: boolean): number {
    const size = flags & 0xff
    if ((flags & SLOW_WRITE) === 0) {
      const status = this.#host.physicalRead(gpa, size, this.#words, false, mayWait)
      if (status === STATUS_RETRY) this.#wait(gpa, size, false, 0, 0)
      else this.#takeWords()
      return status
    }
    const lo = masked(this.#u32[this.#dataWord] as number, size)
    const hi = size === 8 ? (this.#u32[this.#dataWord + 1] as number) : 0
    const status = this.#host.physicalWrite(gpa, size, lo, hi, false, mayWait)
    if (status === STATUS_RETRY) this.#wait(gpa, size, true, lo, hi)
    return status
  }

  /** The access has been sent, and that is all of the first pass: it goes into the log. */
  #wait(gpa: number, size: number, write: boolean, lo: number, hi: number): void {
    const kind = write ? AccessKind.MMIO_WRITE : AccessKind.MMIO_READ
    this.#log.beginWaiting(kind, gpa >>> 0, high(gpa), size, this.#tag(0), lo, hi)
    this.#pass.askedAccess(gpa, size, write)
  }

  #copy(ma: number, at: number, size: number): void {
    const u8 = this.#memory.u8
    const data = this.#data
    for (let i = 0; i < size; i++) data[at + i] = u8[ma + i] as number
  }

  #store(ma: number, bytes: Uint8Array, at: number, size: number): void {
    const u8 = this.#memory.u8
    for (let i = 0; i < size; i++) u8[ma + i] = bytes[at + i] as number
    if (this.#memory.codeBits[ma >>> 12] !== 0) this.#memory.noteWrite(ma, size)
  }

  /** What tells apart the accesses of one instruction: the element, and the part of it in bytes. */
  #tag(at: number): number {
    return accessTag(0, ((this.#u32[S_ELEMENT >>> 2] as number) << 6) | at)
  }

  #performLogged(t: Translation, at: number, size: number, flags: number): number {
    if ((flags & SLOW_PROBE) !== 0) return STATUS_DONE
    const write = (flags & SLOW_WRITE) !== 0
    const log = this.#log
    // The route that the first pass took stands, whatever the p2m says by now.
    const kind = log.nextKind()
    const device = kind >= 0 ? kind === AccessKind.MMIO_READ || kind === AccessKind.MMIO_WRITE : t.ma < 0
    if (device) return this.#performDevice(t.gpa, at, size, flags)
    const rom = write && (kind >= 0 ? kind === AccessKind.ROM_WRITE : !t.writable)
    const index = log.access(
      rom ? AccessKind.ROM_WRITE : write ? AccessKind.WRITE : AccessKind.READ,
      t.gpa >>> 0,
      high(t.gpa),
      size,
      this.#tag(at),
    )
    if (write) {
      log.setBytes(index, this.#data, at)
      log.complete(index)
      return STATUS_DONE
    }
    if (log.state(index) === AccessState.NEW) {
      this.#copy(t.ma, at, size)
      log.overlayOwnWrites(t.gpa >>> 0, high(t.gpa), size, this.#data, at)
      log.setBytes(index, this.#data, at)
      log.complete(index)
    } else log.copyBytes(index, this.#data, at)
    return STATUS_DONE
  }

  /** A device operand in a logged pass: pushes and pops one by one, else the largest natural pieces of up to 8 bytes. */
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
    const kind = write ? AccessKind.MMIO_WRITE : AccessKind.MMIO_READ
    const index = log.access(kind, address >>> 0, high(address), size, this.#tag(at))
    if (log.state(index) !== AccessState.COMPLETE) {
      if (write && log.state(index) === AccessState.NEW) log.setBytes(index, this.#data, at)
      const status = write
        ? this.#host.physicalWrite(address, size, log.dataLo(index), log.dataHi(index), true, false)
        : this.#host.physicalRead(address, size, this.#words, true, false)
      if (status === STATUS_RETRY) log.wait(index)
      if (status !== STATUS_DONE) return status
      if (!write) log.setData(index, this.#words.lo, this.#words.hi)
      log.complete(index)
    }
    if (!write) log.copyBytes(index, this.#data, at)
    return STATUS_DONE
  }

  /** Puts what was found into the TLB, where it may be kept. */
  #fill(lo: number, hi: number, access: number, flags: number): void {
    const t = this.#first
    if (!t.cacheable) return
    const set = (flags & SLOW_IMPLICIT) === 0 ? this.#mode.fillSet : this.#mode.implicitSet
    if (t.ma < 0) {
      if (set < 0 || (flags & SLOW_IMPLICIT) !== 0) return
      this.#deviceChanges = this.#tlb.changes
      // What generated code looks into says in which mode it runs, and whether in a logged pass.
      this.#deviceSet = this.#u32[S_TLB >>> 2] as number
      this.#devicePage = lo >>> 12
      this.#deviceHi = hi | 0
      this.#deviceKind = flags & DEVICE_KIND
      this.#devicePageGpas.setPage(t.gpa - (t.gpa % PAGE_BYTES))
      return
    }
    if (set < 0 || (this.dataBreakpoints && this.#breakpoints.watches(lo, hi))) return
    const page = t.ma & ~0xfff
    if ((access & ACCESS_WRITE) === 0) this.#tlb.fill(set, TLB_READ, lo, hi, page >>> 0, t.global, t.pageBytes)
    else if (t.writable && this.#memory.codeBits[page >>> 12] === 0) {
      this.#tlb.fill(set, TLB_WRITE, lo, hi, page >>> 0, t.global, t.pageBytes)
    }
  }
}

/** An access of up to 8 bytes that is the last thing that its instruction can fail of, and no more than asks for rights. */
function isDirect(flags: number): boolean {
  const size = flags & 0xff
  return (flags & (SLOW_DIRECT | SLOW_PROBE)) === SLOW_DIRECT && size <= 8 && (size & (size - 1)) === 0
}

/** An access that is not plainly one of RAM: a device, or a store to ROM. */
function isSpecial(t: Translation, write: boolean): boolean {
  return t.ma < 0 || (write && !t.writable)
}

/** Little-endian, of up to four bytes. */
function wordAt(bytes: Uint8Array, at: number, size: number): number {
  let word = 0
  for (let i = Math.min(size, 4) - 1; i >= 0; i--) word = (word << 8) | (bytes[at + i] as number)
  return word >>> 0
}

function high(gpa: number): number {
  return gpa < 0x1_0000_0000 ? 0 : Math.floor(gpa / 0x1_0000_0000)
}

function masked(value: number, size: number): number {
  return size === 1 ? value & 0xff : size === 2 ? value & 0xffff : value >>> 0
}

/** Alignment that AC checks: the access's size, but 8 for operands of 10 and more bytes that have no alignment of their own. */
function misaligned(lo: number, size: number): boolean {
  return size <= 8 && (size & (size - 1)) === 0 && (lo & (size - 1)) !== 0
}

/**
 * Canonical form of the first and the last byte's address (SDM vol. 1, "Canonical Addressing").
 *
 * @param shift - unused upper bits: 16, or 7 with CR4.LA57
 */
function canonical(lo: number, hi: number, size: number, shift: number): boolean {
  if ((hi << shift) >> shift !== (hi | 0)) return false
  const last = lo + size - 1
  if (last <= 0xffff_ffff) return true
  const next = (hi + 1) | 0
  return (next << shift) >> shift === next
}

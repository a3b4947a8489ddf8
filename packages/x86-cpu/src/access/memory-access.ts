import type { StoreWatch, Tlb, DebugPlaces } from '@retrap/engine'
import { type Neighbour, PAGE_BYTES } from '@retrap/memory'
import { ACCESS_WRITE } from '@retrap/paging'
import type { AccessMode } from './access-mode.ts'
import * as host from '../state/host.ts'
import { type Translation } from '../state/host.ts'
import { type DeviceAccess, isDirect } from './device-access.ts'
import type { LoggedAccess, PlainMemory } from './logged-access.ts'
import * as S from '../state/state-layout.ts'
import { CR0_AM, CR4_LA57, EFER_LMA } from '../state/architecture.ts'
import type { DataBreakpoints } from '../system/breakpoints.ts'
import { type LinearTranslation, newTranslation } from './translation.ts'
import { VECTOR_AC, VECTOR_GP, VECTOR_SS } from '../state/vectors.ts'

const STORES = host.SLOW_WRITE | host.SLOW_MODIFY
/** Bits of an access that is plainly one of RAM: a store or the probe for one, or the load of an instruction that stores. */
const PLAIN =
  0xff | STORES | host.SLOW_STACK | host.SLOW_DIRECT | host.SLOW_PROBE | host.SLOW_LOCKED | (7 << host.SLOW_PARTS_SHIFT)

/** The parts of one vCPU that {@link MemoryAccess} works with. */
export interface MemoryAccessParts {
  readonly tlb: Tlb
  readonly mode: AccessMode
  readonly translation: LinearTranslation
  readonly plain: PlainMemory
  readonly logged: LoggedAccess
  readonly device: DeviceAccess
  readonly breakpoints: DataBreakpoints
  readonly places: DebugPlaces
  /** The state area. */
  readonly u32: Uint32Array
  readonly counts: { exclusive: number }
}

/**
 * Memory accesses that generated code does not finish by itself: TLB misses, page-crossing accesses, devices, frames with
 * decoded code, and everything in a logged pass.
 */
export class MemoryAccess {
  readonly #tlb: Tlb
  readonly #mode: AccessMode
  readonly #translation: LinearTranslation
  readonly #plain: PlainMemory
  readonly #logged: LoggedAccess
  readonly #device: DeviceAccess
  readonly #breakpoints: DataBreakpoints
  readonly #places: DebugPlaces
  readonly #u32: Uint32Array
  readonly #first = newTranslation()
  readonly #second = newTranslation()
  /**
   * {@link access} for generated code, which counts it. An access to the page of the last device, or a store beside code, is
   * made as a TLB would have it: without a walk, and with none to log.
   *
   * It is an arrow function, which WebAssembly calls without another function in between. `lo` and `hi` are signed, as
   * they come from there: a number above 2^31 would be an allocation.
   *
   * @returns a status. On that way generated code makes STATUS_RETRY of STATUS_DONE where the device has asked for
   *   attention, whose answer it then has; see `slowAccess` in `semantics/library.ts`
   */
  readonly generatedAccess = (lo: number, hi: number, flags: number): number => {
    const device = this.#device
    if (!device.isAgain(lo, hi, flags)) {
      const { neighbour } = this
      if (neighbour !== undefined && (flags & host.SLOW_LOCKED) !== 0)
        return this.#lockedAccess(neighbour, lo >>> 0, hi >>> 0, flags)
      const ma = this.#findBeside(lo, hi, flags)
      if (ma === 0) return this.access(lo >>> 0, hi >>> 0, flags)
      this.#u32[S.S_MADE_AGAIN >>> 2] = 0
      const size = flags & 0xff
      if ((flags & host.SLOW_PROBE) !== 0) return S.STATUS_DONE
      if ((flags & host.SLOW_WRITE) !== 0) this.#plain.store(ma, 0, size)
      else this.#plain.load(ma, 0, size)
      return S.STATUS_DONE
    }
    if (!isDirect(flags)) return S.STATUS_RESTART
    const gpa = device.lastGpas.at(lo & (PAGE_BYTES - 1))
    return (flags & host.SLOW_WRITE) !== 0 ? device.write(gpa, flags) : device.read(gpa, flags)
  }
  /** An operand's address was not canonical; the executor clears it when it takes the fault. */
  nonCanonical = false
  /** Called for stores to some of machine memory; null: nothing observes it. */
  stores: StoreWatch | null = null
  /** This thread, where others execute at the same time. */
  neighbour: Neighbour | undefined = undefined
  /** How often a locked instruction has had them all wait. */
  readonly #counts: { exclusive: number }
  /** The next piece of RAM is read while no other thread executes. */
  #excludes = false

  constructor(parts: MemoryAccessParts) {
    this.#tlb = parts.tlb
    this.#mode = parts.mode
    this.#translation = parts.translation
    this.#plain = parts.plain
    this.#logged = parts.logged
    this.#device = parts.device
    this.#breakpoints = parts.breakpoints
    this.#places = parts.places
    this.#u32 = parts.u32
    this.#counts = parts.counts
  }

  /** {@link access}, and what a locked instruction needs: see {@link host.SLOW_LOCKED}. */
  #lockedAccess(neighbour: Neighbour, lo: number, hi: number, flags: number): number {
    if ((flags & host.SLOW_WRITE) !== 0) {
      const status = this.access(lo, hi, flags)
      // A logged pass holds its write until it has ended.
      if (this.#u32[S.S_LOGGED >>> 2] !== 1) neighbour.endExclusive()
      return status
    }
    const isLogged = this.#u32[S.S_LOGGED >>> 2] === 1
    if (!isLogged) {
      const status = this.access(lo, hi, flags)
      if (status !== S.STATUS_DONE || this.#isFound(lo, hi, flags & 0xff)) return status
    }
    this.#excludes = true
    const status = this.access(lo, hi, flags)
    this.#excludes = false
    // Generated code exchanges the operand after all.
    if (!isLogged && this.#isFound(lo, hi, flags & 0xff)) neighbour.endExclusive()
    return status
  }

  /** Whether generated code finds an operand, to exchange it in one operation. */
  #isFound(lo: number, hi: number, size: number): boolean {
    const set = this.#u32[S.S_LOGGED >>> 2] === 1 ? -1 : this.#mode.fillSet
    return size <= 8 && (lo & (size - 1)) === 0 && set >= 0 && this.#tlb.lookup(set, S.TLB_WRITE_OFFSET, lo, hi) >= 0
  }

  /** {@link access} for callers that have not looked into the TLB yet. */
  systemAccess(lo: number, hi: number, flags: number): number {
    const size = flags & 0xff
    const set = (flags & host.SLOW_IMPLICIT) === 0 ? this.#mode.fillSet : this.#mode.implicitSet
    const isLogged = this.#u32[S.S_LOGGED >>> 2] === 1
    if (set < 0 || isLogged || this.#breakpoints.enabled || (lo & (PAGE_BYTES - 1)) + size > PAGE_BYTES)
      return this.#missed(lo, hi, flags)
    const write = (flags & host.SLOW_WRITE) !== 0
    const page = this.#tlb.lookup(
      set,
      write || (flags & host.SLOW_MODIFY) !== 0 ? S.TLB_WRITE_OFFSET : S.TLB_READ,
      lo,
      hi,
    )
    const ma = page < 0 ? this.#findBeside(lo | 0, hi | 0, flags) : page + (lo & (PAGE_BYTES - 1))
    if (ma === 0) return this.#missed(lo, hi, flags)
    if ((flags & host.SLOW_PROBE) !== 0) return S.STATUS_DONE
    if (write) this.#plain.store(ma, 0, size)
    else this.#plain.load(ma, 0, size)
    return S.STATUS_DONE
  }

  /**
   * Finds where an access goes that stores to a page with decoded code, or will: DOS programs and boot sectors have stack, data and
   * code in one page. A watched store is told apart by a logged pass.
   *
   * @param lo - and `hi`: signed, as they come from WebAssembly
   * @returns a machine address; 0 for any other access
   */
  #findBeside(lo: number, hi: number, flags: number): number {
    const offset = lo & (PAGE_BYTES - 1)
    if ((flags & ~PLAIN) !== 0 || (flags & STORES) === 0 || offset + (flags & 0xff) > PAGE_BYTES) return 0
    // The TLB set that generated code uses stands for the mode, and for a logged pass.
    const page = this.stores === null ? this.#tlb.findSeen(this.#u32[S.S_TLB >>> 2]!, lo, hi) : 0
    return page === 0 ? 0 : page + offset
  }

  #missed(lo: number, hi: number, flags: number): number {
    this.#u32[S.S_TLB_MISSES >>> 2]!++
    return this.access(lo, hi, flags)
  }

  /** One linear access; see `Cpu.access`. */
  access(lo: number, hi: number, flags: number): number {
    const size = flags & 0xff
    const u32 = this.#u32
    u32[S.S_MADE_AGAIN >>> 2] = 0
    if (
      (u32[S.S_EFER >>> 2]! & EFER_LMA) !== 0 &&
      !canonical(lo, hi, size, (u32[S.S_CR4 >>> 2]! & CR4_LA57) === 0 ? 16 : 7)
    ) {
      this.nonCanonical = (flags & host.SLOW_IMPLICIT) === 0
      return this.#translation.raise((flags & host.SLOW_STACK) !== 0 ? VECTOR_SS : VECTOR_GP, 0)
    }
    if (
      u32[S.S_CPL >>> 2] === 3 &&
      (flags & host.SLOW_IMPLICIT) === 0 &&
      (lo & (size - 1)) !== 0 &&
      (u32[S.S_EFLAGS >>> 2]! & S.FLAG_AC) !== 0 &&
      (u32[S.S_CR0 >>> 2]! & CR0_AM) !== 0
    ) {
      if (misaligned(lo, size)) return this.#translation.raise(VECTOR_AC, 0)
    }
    // A breakpoint's trap follows the instruction, which starts again in a logged pass.
    if (this.#breakpoints.enabled && (flags & host.SLOW_IMPLICIT) === 0 && u32[S.S_LOGGED >>> 2] !== 1) {
      if (this.#breakpoints.matches(lo, hi, size, (flags & (host.SLOW_WRITE | host.SLOW_MODIFY)) !== 0))
        return S.STATUS_RESTART
    }
    const access = this.#translation.rights(flags)
    const set = (flags & host.SLOW_IMPLICIT) === 0 ? this.#mode.fillSet : this.#mode.implicitSet
    const head = PAGE_BYTES - (lo & (PAGE_BYTES - 1))
    // An access that crosses a page: both are translated before either is touched.
    let status = this.#translation.translate(lo, hi, access, this.#first, set)
    if (status === S.STATUS_RESTART && size <= head && this.#first.ma >= 0) this.#fill(set, lo, hi, access, flags)
    if (status !== S.STATUS_DONE) return status
    if (size > head) {
      const next = (lo + head) | 0
      // Linear addresses of 32 bits wrap. Descriptor tables have 64-bit ones in all of IA-32e mode.
      const wide =
        u32[S.S_MODE >>> 2] === S.MODE_64 ||
        ((flags & host.SLOW_IMPLICIT) !== 0 && (u32[S.S_EFER >>> 2]! & EFER_LMA) !== 0)
      status = this.#translation.translate(next >>> 0, next === 0 && wide ? hi + 1 : hi, access, this.#second, set)
      if (status !== S.STATUS_DONE) return status
      // A device in either half: nothing may have been stored by the time the logged pass starts.
      const write = (flags & host.SLOW_WRITE) !== 0
      if (u32[S.S_LOGGED >>> 2] !== 1 && (isSpecial(this.#first, write) || isSpecial(this.#second, write)))
        return S.STATUS_RESTART
      if (
        this.stores !== null &&
        (this.#meets(this.#first, head, flags) || this.#meets(this.#second, size - head, flags))
      )
        return S.STATUS_RESTART
      status = this.#perform(this.#first, 0, head, flags)
      if (status !== S.STATUS_DONE) return status
      status = this.#perform(this.#second, head, size - head, flags)
    } else {
      if (this.stores !== null && this.#meets(this.#first, size, flags)) return S.STATUS_RESTART
      const { changes } = this.#tlb
      status = this.#perform(this.#first, 0, size, flags)
      // The device may have changed the map: the translation is of before.
      if ((status === S.STATUS_DONE || status === S.STATUS_RETRY) && changes === this.#tlb.changes)
        this.#fill(set, lo, hi, access, flags)
    }
    if (
      status === S.STATUS_DONE &&
      this.#breakpoints.enabled &&
      (flags & (host.SLOW_PROBE | host.SLOW_IMPLICIT)) === 0
    ) {
      this.#breakpoints.note(lo, hi, size, (flags & host.SLOW_WRITE) !== 0)
    }
    return status
  }

  /** Translates one byte as a load of it would; with STATUS_DONE, `locatedGpa` and `locatedMa` say where it is. */
  locate(lo: number, hi: number): number {
    const flags = 1 | host.SLOW_PROBE
    const status = this.access(lo, hi, flags)
    const isWalked = status !== S.STATUS_DONE || this.#first.gpa >= 0
    return isWalked ? status : this.#translation.translate(lo, hi, this.#translation.rights(flags), this.#first, -1)
  }

  /** Guest-physical address that {@link MemoryAccess.locate} has found. */
  get locatedGpa(): number {
    return this.#first.gpa
  }

  /** Machine address; -1 where it is not RAM. */
  get locatedMa(): number {
    return this.#first.ma
  }

  /** A guest-physical access of up to 8 bytes, data in S_DATA. Never faults. */
  accessPhysical(gpa: number, flags: number): number {
    const status = this.#translation.physical(gpa, flags, this.#first)
    return status === S.STATUS_DONE ? this.#perform(this.#first, 0, flags & 0xff, flags) : status
  }

  /** Reports a store that is watched. @returns whether its instruction is to start again first, in a logged pass */
  #meets({ ma }: Translation, size: number, flags: number): boolean {
    if ((flags & (host.SLOW_WRITE | host.SLOW_MODIFY)) === 0 || ma < 0 || !this.stores!.matches(ma, size)) return false
    if (this.#u32[S.S_LOGGED >>> 2] === 0) return true
    if ((flags & host.SLOW_WRITE) !== 0 && (flags & host.SLOW_PROBE) === 0) this.stores!.met()
    return false
  }

  /** One piece within a page; `at` is its offset in S_DATA. */
  #perform(t: Translation, at: number, size: number, flags: number): number {
    if (this.#excludes && t.ma >= 0) {
      if (this.neighbour!.beginExclusive()) this.#counts.exclusive++
      this.#excludes = false
    }
    if (this.#u32[S.S_LOGGED >>> 2] === 1) return this.#logged.perform(t, at, size, flags)
    const write = (flags & host.SLOW_WRITE) !== 0
    if (t.ma >= 0 && (!write || t.writable)) {
      if ((flags & host.SLOW_PROBE) !== 0) return S.STATUS_DONE
      if (write) this.#plain.store(t.ma, at, size)
      else this.#plain.load(t.ma, at, size)
      return S.STATUS_DONE
    }
    if (!isDirect(flags) || size !== (flags & 0xff)) return S.STATUS_RESTART
    if (t.ma >= 0) return this.#device.storeToRom(t.gpa, size)
    // A debugger's stop comes after the instruction, which is executed alone.
    if (this.#places.mmio && this.#places.matches('mmio', t.gpa, size)) return S.STATUS_RESTART
    return this.#device.make(t.gpa, flags)
  }

  /** Puts what was found into the TLB, where it may be kept. */
  #fill(set: number, lo: number, hi: number, access: number, flags: number): void {
    const t = this.#first
    const isLogged = this.#u32[S.S_LOGGED >>> 2] === 1
    // A further pass has walked tables as the first one has found them.
    if (!t.cacheable || (isLogged && this.#translation.isRepeated)) return
    if (t.ma < 0) {
      if (set < 0 || isLogged || (flags & host.SLOW_IMPLICIT) !== 0) return
      this.#device.remember(lo, hi, flags, t.gpa)
      return
    }
    if (set < 0 || (this.#breakpoints.enabled && this.#breakpoints.watches(lo, hi))) return
    const page = t.ma & ~0xfff
    if ((access & ACCESS_WRITE) === 0) this.#tlb.fill(set, S.TLB_READ, lo, hi, page >>> 0, t)
    else if (t.writable) this.#tlb.fill(set, S.TLB_WRITE_OFFSET, lo, hi, page >>> 0, t)
  }
}

/** An access that is not plainly one of RAM: a device, or a store to ROM. */
function isSpecial(t: Translation, write: boolean): boolean {
  return t.ma < 0 || (write && !t.writable)
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

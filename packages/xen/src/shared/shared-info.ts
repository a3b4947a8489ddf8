import { Stateful, viewed } from '@retrap/device'
import { type MachineMemory, PAGE_BYTES } from '@retrap/memory'
import { MOST_VCPU_INFO_BYTES, type SharedLayout, type SharedLayouts, X86_LAYOUTS } from './shared-layouts.ts'

const UPCALL_PENDING = 0
const UPCALL_MASK = 1

/** A guest's wall-clock time at system time 0. */
export interface WallClock {
  readonly seconds: number
  readonly nanoseconds: number
}

/** The guest's RAM, as saved places of `vcpu_info` name it. */
export interface SharedRam {
  /** Guest-physical address of a machine address. */
  gpaOf(ma: number): number
  /** Takes a reference to the frame of a vCPU's `vcpu_info`. @returns the machine address of the `vcpu_info` */
  hold(vcpu: number, gpa: number): number
}

/* Places of a `vcpu_info` in saved states: its own place in the page; at offset n of the page −4096 − n; or the hypervisor's own. */
const IN_PAGE = -1
const OWN = -2

/**
 * The page that a guest shares with the hypervisor: event bits, wall clock, and each vCPU's `vcpu_info` until the guest
 * has given that a place elsewhere.
 *
 * All of it can be written by the guest at any time: nothing here trusts what it reads.
 */
export class SharedInfo extends Stateful {
  /** Machine frame of the page. */
  readonly mfn: number
  readonly #memory: MachineMemory
  readonly #page: number
  /** MA of each vCPU's `vcpu_info`. */
  readonly #vcpuInfo: number[]
  /** MA of the first of those that are the hypervisor's own: of vCPUs without a place in the page, and of any that lost theirs. */
  readonly #spare: number
  readonly #r
  readonly #layouts: SharedLayouts
  #layout: SharedLayout

  /** @param ram - the guest's RAM, for saved states; default none */
  constructor(
    memory: MachineMemory,
    vcpus: number,
    wallClock: WallClock,
    layouts: SharedLayouts = X86_LAYOUTS,
    ram?: SharedRam,
  ) {
    super()
    this.#memory = memory
    this.#page = memory.allocate(PAGE_BYTES, PAGE_BYTES, 'Xen shared info')
    this.mfn = this.#page / PAGE_BYTES
    this.#spare = memory.allocate(vcpus * MOST_VCPU_INFO_BYTES, 64, 'Xen vcpu_info')
    this.#vcpuInfo = Array.from({ length: vcpus }, () => 0)
    this.#layouts = layouts
    this.#layout = layouts.native
    // The shared page itself is saved with Xen's pages.
    this.#r = this.keeps({
      version: 2,
      longMode: viewed(
        () => this.#layout === layouts.native,
        (isLong) => (this.#layout = isLong ? layouts.native : layouts.compat),
      ),
      wallClock,
      vcpuInfo: {
        save: () => this.#vcpuInfo.map((ma, vcpu) => this.#placeOf(vcpu, ma) ?? ram?.gpaOf(ma)),
        restore: (places: readonly number[]) => {
          for (const [vcpu, place] of places.entries())
            this.#vcpuInfo[vcpu] = place >= 0 ? ram!.hold(vcpu, place) : this.#at(vcpu, place)
        },
      },
      // The hypervisor's own, 64 bytes for each vCPU.
      own: {
        save: () => memory.read(this.#spare, vcpus * MOST_VCPU_INFO_BYTES),
        restore: (bytes: Uint8Array) => memory.write(this.#spare, bytes),
      },
    })
    this.reset()
  }

  /** Power-on: the page is as new, and nothing is registered. */
  override reset(): void {
    const { u8 } = this.#memory
    u8.fill(0, this.#page, this.#page + PAGE_BYTES)
    this.#memory.noteWrite(this.#page, PAGE_BYTES)
    this.#layout = this.#layouts.native
    const { placedVcpus, vcpuInfoBytes } = this.#layout
    for (let vcpu = 0; vcpu < this.#vcpuInfo.length; vcpu++) {
      const at = vcpu < placedVcpus ? this.#page + vcpu * vcpuInfoBytes : this.#spareOf(vcpu)
      this.#vcpuInfo[vcpu] = at
      u8.fill(0, at, at + vcpuInfoBytes)
    }
    this.#writeWallClock()
  }

  #spareOf(vcpu: number): number {
    return this.#spare + vcpu * MOST_VCPU_INFO_BYTES
  }

  /** Bytes of a `vcpu_info`. */
  get vcpuInfoBytes(): number {
    return this.#layout.vcpuInfoBytes
  }

  /** Ports that there can be: the first is 0, which is invalid. */
  get ports(): number {
    return this.#layout.ports
  }

  /**
   * Takes the layout of the guest's present mode, where drivers begin: when the page is mapped and when the
   * callback is set. The page's contents are not converted.
   */
  latch(longMode: boolean): void {
    this.#layout = longMode ? this.#layouts.native : this.#layouts.compat
    this.#writeWallClock()
  }

  /** Moves the wall clock by nanoseconds: the guest finds another version of it. */
  moveWallClock(ns: number): void {
    const { seconds, nanoseconds } = this.#r.wallClock
    const carried = Math.floor((nanoseconds + ns) / 1e9)
    this.#r.wallClock = { seconds: seconds + carried, nanoseconds: nanoseconds + ns - carried * 1e9 }
    this.#writeWallClock()
  }

  #writeWallClock(): void {
    const { wallClock, wallClockHi } = this.#layout
    const { seconds, nanoseconds } = this.#r.wallClock
    const { u32, i32 } = this.#memory
    const at = (this.#page + wallClock) >>> 2
    // An odd version says that an update is under way.
    Atomics.store(i32, at, (u32[at]! + 1) | 1)
    u32[at + 1] = seconds >>> 0
    u32[at + 2] = nanoseconds
    u32[(this.#page + wallClockHi) >>> 2] = Math.floor(seconds / 2 ** 32)
    Atomics.store(i32, at, u32[at]! + 1)
    this.#memory.noteWrite(this.#page, PAGE_BYTES)
  }

  // ---------------------------------------------------------------- vcpu_info

  /** MA of a vCPU's `vcpu_info`. */
  vcpuInfo(vcpu: number): number {
    return this.#vcpuInfo[vcpu]!
  }

  /** MA of a vCPU's `vcpu_time_info`. */
  vcpuTime(vcpu: number): number {
    return this.vcpuInfo(vcpu) + this.#layout.time
  }

  /** Whether a machine address is in the page itself. */
  inPage(ma: number): boolean {
    return ma >= this.#page && ma < this.#page + PAGE_BYTES
  }

  /** Lets a vCPU be interrupted by event channels: SCHEDOP_block. */
  unmaskUpcalls(vcpu: number): void {
    const ma = this.vcpuInfo(vcpu) + UPCALL_MASK
    this.#memory.u8[ma] = 0
    this.#memory.noteWrite(ma, 1)
  }

  /** Moves a vCPU's `vcpu_info` with its contents to another address. */
  moveVcpuInfo(vcpu: number, ma: number): void {
    const { u8, i32 } = this.#memory
    const old = this.vcpuInfo(vcpu)
    u8.copyWithin(ma, old, old + this.vcpuInfoBytes)
    this.#vcpuInfo[vcpu] = ma
    // Bits that others have set meanwhile must not get lost: a guest copes with looking at all of them once.
    Atomics.store(i32, (ma + this.#layout.selector) >>> 2, -1)
    if (this.#layout === this.#layouts.native) Atomics.store(i32, (ma + this.#layout.selector + 4) >>> 2, -1)
    this.#memory.noteWrite(ma, this.vcpuInfoBytes)
  }

  /** The frame of a vCPU's `vcpu_info` is no longer the guest's: what is in it is kept out of its sight. */
  withdrawVcpuInfo(vcpu: number): void {
    const { u8 } = this.#memory
    const old = this.vcpuInfo(vcpu)
    const spare = this.#spareOf(vcpu)
    u8.copyWithin(spare, old, old + this.vcpuInfoBytes)
    this.#vcpuInfo[vcpu] = spare
  }

  /** The saved place of a `vcpu_info`; undefined: in the guest's RAM. */
  #placeOf(vcpu: number, ma: number): number | undefined {
    if (!this.inPage(ma)) return ma === this.#spareOf(vcpu) ? OWN : undefined
    const offset = ma - this.#page
    return offset === vcpu * this.#layout.vcpuInfoBytes ? IN_PAGE : -PAGE_BYTES - offset
  }

  #at(vcpu: number, place: number): number {
    if (place === OWN) return this.#spareOf(vcpu)
    return this.#page + (place <= -PAGE_BYTES ? -PAGE_BYTES - place : vcpu * this.#layout.vcpuInfoBytes)
  }

  /** Gives the pages back: the end of the domain. */
  free(): void {
    this.#memory.free(this.#page)
    this.#memory.free(this.#spare)
  }

  // ---------------------------------------------------------------- bits

  #set(ma: number, bit: number): boolean {
    const at = ma + 4 * (bit >>> 5)
    const mask = 1 << (bit & 31)
    const old = Atomics.or(this.#memory.i32, at >>> 2, mask)
    this.#memory.noteWrite(at, 4)
    return (old & mask) !== 0
  }

  #clear(ma: number, bit: number): boolean {
    const at = ma + 4 * (bit >>> 5)
    const mask = 1 << (bit & 31)
    const old = Atomics.and(this.#memory.i32, at >>> 2, ~mask)
    this.#memory.noteWrite(at, 4)
    return (old & mask) !== 0
  }

  #test(ma: number, bit: number): boolean {
    return (Atomics.load(this.#memory.i32, (ma + 4 * (bit >>> 5)) >>> 2) & (1 << (bit & 31))) !== 0
  }

  /** @returns whether the port was already pending */
  setPending(port: number): boolean {
    return this.#set(this.#page + this.#layout.pending, port)
  }

  clearPending(port: number): void {
    this.#clear(this.#page + this.#layout.pending, port)
  }

  pending(port: number): boolean {
    return this.#test(this.#page + this.#layout.pending, port)
  }

  masked(port: number): boolean {
    return this.#test(this.#page + this.#layout.mask, port)
  }

  /** @returns whether the port was masked */
  unmask(port: number): boolean {
    return this.#clear(this.#page + this.#layout.mask, port)
  }

  /** Sets the bit that leads a vCPU to a port. @returns whether it was set */
  select(vcpu: number, port: number): boolean {
    return this.#set(this.vcpuInfo(vcpu) + this.#layout.selector, port >>> this.#layout.wordShift)
  }

  /** @returns whether an upcall was already pending */
  setUpcallPending(vcpu: number): boolean {
    const at = this.vcpuInfo(vcpu) + UPCALL_PENDING
    const old = Atomics.exchange(this.#memory.u8, at, 1)
    this.#memory.noteWrite(at, 1)
    return old !== 0
  }

  upcallPending(vcpu: number): boolean {
    return Atomics.load(this.#memory.u8, this.vcpuInfo(vcpu) + UPCALL_PENDING) !== 0
  }
}

/** Makes the accesses of one instruction: each is translated, logged, and made once. */
import { ARM_WALK_OK, ArmPagingContext, ArmWalkResult, walkArm } from '@retrap/paging'
import {
  AccessKind,
  type AccessLog,
  accessTag,
  LoggedTables,
  type AccessStatus,
  STATUS_DONE,
  STATUS_FAULT,
  STATUS_RETRY,
  STATUS_UNHANDLED,
  STATUS_RESTART,
} from '@retrap/replay'
import type { DeviceOrder } from './serialise.ts'
import { MAX_TRANSFER } from './transfer.ts'
import { type ArmWorld, Region } from './world.ts'

/**
 * The kind of a row of an instruction's accesses. Bit 0: it writes; the bits above are the operand, which tells the accesses
 * of one instruction apart together with the element.
 */
export const Row = {
  LOAD: 0,
  STORE: 1,
  /** Writes where, or after, the instruction has read. */
  STORE_BACK: 3,
} as const

/** A value of `Row`. */
export type Row = (typeof Row)[keyof typeof Row]

const NO_LOCK = -1

/** One instruction's accesses. Made once per vCPU. */
export class AccessPath {
  /** Bytes of the instruction's elements, in memory order. */
  readonly data: Uint8Array
  /** Address at which the last step failed. */
  faultLo: number
  faultHi: number
  readonly walk: ArmWalkResult
  /** Outcome of the last walk, `ARM_WALK_*`: a fault after a successful walk is an alignment fault. */
  walked: number
  readonly context: ArmPagingContext
  readonly #log: AccessLog
  readonly #world: ArmWorld
  readonly #order: DeviceOrder
  readonly #vcpu: number
  readonly #tables: LoggedTables
  // The pages of the instruction: their address, IPA and type.
  readonly #pageLo: number[]
  readonly #pageHi: number[]
  readonly #pageIpa: number[]
  readonly #pageDevice: boolean[]
  readonly #pageAccess: number[]
  #pages: number
  #aarch32: boolean
  /** The row of accesses that is being made. */
  #row: Row
  /** Record of the log whose device has answered with an external abort; -1 if none has. */
  failed: number
  #lock: number
  #hold: boolean

  constructor(log: AccessLog, world: ArmWorld, order: DeviceOrder, vcpu: number) {
    this.data = new Uint8Array(MAX_TRANSFER)
    this.faultLo = 0
    this.faultHi = 0
    this.walk = new ArmWalkResult()
    this.walked = ARM_WALK_OK
    this.context = new ArmPagingContext()
    this.#log = log
    this.#world = world
    this.#order = order
    this.#vcpu = vcpu
    this.#tables = new LoggedTables(log, world.tables)
    this.#pageLo = [0, 0, 0]
    this.#pageHi = [0, 0, 0]
    this.#pageIpa = [0, 0, 0]
    this.#pageDevice = [false, false, false]
    this.#pageAccess = [0, 0, 0]
    this.#pages = 0
    this.#aarch32 = false
    this.#row = Row.LOAD
    this.failed = -1
    this.#lock = NO_LOCK
    this.#hold = false
  }

  /** Starts a pass: nothing is translated yet. */
  begin(aarch32: boolean): void {
    this.#pages = 0
    this.#aarch32 = aarch32
    this.walked = ARM_WALK_OK
  }

  /** Lock held between passes, for saving; -1: none. */
  get heldLock(): number {
    return this.#lock
  }

  /** Takes the lock that a saved instruction held. */
  restoreLock(lock: number): boolean {
    if (lock !== NO_LOCK && !this.#order.tryLock(lock, this.#vcpu)) return false
    this.#lock = lock
    return true
  }

  /** Called when the instruction has ended, for any reason. */
  release(): void {
    this.#unlock()
    this.#hold = false
    this.failed = -1
  }

  #unlock(): void {
    if (this.#lock !== NO_LOCK) this.#order.unlock(this.#lock, this.#vcpu)
    this.#lock = NO_LOCK
  }

  /** Keeps others from the address until the end of the instruction. */
  hold(): void {
    this.#hold = true
  }

  /**
   * Translates every page of a range, so that faults occur before any effect.
   *
   * @param access - `ARM_` bits
   */
  translate(lo: number, hi: number, bytes: number, access: number): AccessStatus {
    const pages = Math.floor(((lo & 0xfff) + bytes - 1) / 4096) + 1
    let pageLo = (lo & ~0xfff) >>> 0
    let pageHi = hi
    for (let page = 0; page < pages; page++) {
      // Cached per kind of access: a copy may read and write one page.
      const known = this.#find(pageLo, pageHi)
      if (known < 0 || this.#pageAccess[known] !== access) {
        const at = page === 0 ? lo : pageLo
        const step = this.#translatePage(at, pageHi, access)
        if (step !== STATUS_DONE) return step
      }
      pageLo += 4096
      if (pageLo > 0xffff_ffff) {
        pageLo = 0
        pageHi = this.#aarch32 ? 0 : (pageHi + 1) >>> 0
      }
    }
    return STATUS_DONE
  }

  #translatePage(lo: number, hi: number, access: number): AccessStatus {
    this.#log.beginWalk()
    const outcome = walkArm(this.context, this.#tables, lo, hi, access, this.walk)
    this.faultLo = lo
    this.faultHi = hi
    this.walked = outcome
    if (outcome !== ARM_WALK_OK) return STATUS_FAULT
    const known = this.#find((lo & ~0xfff) >>> 0, hi)
    const page = known < 0 ? this.#pages++ : known
    this.#pageLo[page] = (lo & ~0xfff) >>> 0
    this.#pageHi[page] = hi
    this.#pageIpa[page] = this.walk.ipa - (lo & 0xfff)
    this.#pageDevice[page] = this.walk.device
    this.#pageAccess[page] = access
    return STATUS_DONE
  }

  #find(pageLo: number, pageHi: number): number {
    for (let page = 0; page < this.#pages; page++) {
      if (this.#pageLo[page] === pageLo && this.#pageHi[page] === pageHi) return page
    }
    return -1
  }

  /** Returns the IPA of a translated address; -1 if it was not translated. */
  ipaOf(lo: number, hi: number): number {
    const page = this.#find((lo & ~0xfff) >>> 0, hi)
    return page < 0 ? -1 : this.#pageIpa[page]! + (lo & 0xfff)
  }

  /** Whether the guest maps an address that has been translated as Device memory. */
  isDevicePage(lo: number, hi: number): boolean {
    return this.#pageDevice[this.#find((lo & ~0xfff) >>> 0, hi)] ?? false
  }

  /** Makes the accesses of a row of elements, the lowest address first, from or to `data`. */
  transfer(row: Row, lo: number, hi: number, elementSize: number, elements: number, dataAt: number = 0): AccessStatus {
    this.#row = row
    let at = lo
    let atHi = hi
    for (let element = 0; element < elements; element++) {
      const step = this.#element(at, atHi, elementSize, element, dataAt + element * elementSize)
      if (step !== STATUS_DONE) return step
      at += elementSize
      if (at > 0xffff_ffff) {
        at -= 2 ** 32
        atHi = this.#aarch32 ? 0 : (atHi + 1) >>> 0
      }
    }
    return STATUS_DONE
  }

  /** Accesses one element: at once if aligned, quadwords in two halves; over a device byte by byte if misaligned. */
  #element(lo: number, hi: number, size: number, element: number, dataAt: number): AccessStatus {
    const unit = size === 16 ? 8 : size
    if (lo % unit === 0) return this.#pieces(lo, hi, size, unit, element, dataAt)
    const inRam = this.#isRam(lo, hi) && this.#isRam(lo + size - 1, hi)
    if (inRam && (lo & 0xfff) + size <= 4096 && size <= 8)
      return this.#piece(lo, hi, size, this.#tag(element, 0), dataAt)
    if (!inRam && this.#pageDevice[this.#find((lo & ~0xfff) >>> 0, hi)] === true) {
      this.faultLo = lo
      this.faultHi = hi
      return STATUS_FAULT
    }
    return this.#pieces(lo, hi, size, 1, element, dataAt)
  }

  #pieces(lo: number, hi: number, size: number, unit: number, element: number, dataAt: number): AccessStatus {
    for (let offset = 0; offset < size; offset += unit) {
      const at = lo + offset
      const wrapped = at > 0xffff_ffff
      const atHi = wrapped ? (this.#aarch32 ? 0 : (hi + 1) >>> 0) : hi
      const step = this.#piece(at >>> 0, atHi, unit, this.#tag(element, offset), dataAt + offset)
      if (step !== STATUS_DONE) return step
    }
    return STATUS_DONE
  }

  #tag(element: number, offset: number): number {
    return accessTag(this.#row >> 1, element * 16 + offset)
  }

  #isRam(lo: number, hi: number): boolean {
    const ipa = this.ipaOf(lo >>> 0, lo > 0xffff_ffff ? (hi + 1) >>> 0 : hi)
    return this.#world.region(ipa >>> 0, Math.floor(ipa / 2 ** 32), (this.#row & 1) !== 0) === Region.RAM
  }

  /** One access. */
  #piece(lo: number, hi: number, size: number, tag: number, dataAt: number): AccessStatus {
    const write = (this.#row & 1) !== 0
    const ipa = this.ipaOf(lo, hi)
    const ipaLo = ipa >>> 0
    const ipaHi = Math.floor(ipa / 2 ** 32)
    const log = this.#log
    this.faultLo = lo
    this.faultHi = hi
    // The kind of the address was decided when the access was recorded.
    const device = log.replaying ? log.nextKind() >= AccessKind.MMIO_READ : this.#region(ipaLo, ipaHi, write)
    if (device === undefined) return STATUS_UNHANDLED
    if (device) return this.device(write, ipaLo, ipaHi, size, tag, dataAt)
    const index = log.access(write ? AccessKind.WRITE : AccessKind.READ, ipaLo, ipaHi, size, tag)
    if (write) log.setBytes(index, this.data, dataAt)
    else if (log.state(index) === STATUS_RESTART) {
      this.#world.readRam(ipaLo, ipaHi, size, log.bytes, log.dataOffset(index))
    }
    log.complete(index)
    if (!write) log.copyBytes(index, this.data, dataAt)
    return STATUS_DONE
  }

  /** Whether the address is a device's; undefined: unmapped. */
  #region(ipaLo: number, ipaHi: number, write: boolean): boolean | undefined {
    const region = this.#world.region(ipaLo, ipaHi, write)
    return region === Region.NONE ? undefined : region === Region.DEVICE
  }

  /** Makes one device access. */
  device(write: boolean, ipaLo: number, ipaHi: number, size: number, tag: number, dataAt: number): AccessStatus {
    const log = this.#log
    if (!log.replaying && !this.lockAddress(ipaLo, ipaHi)) return STATUS_RETRY
    const index = log.access(write ? AccessKind.MMIO_WRITE : AccessKind.MMIO_READ, ipaLo, ipaHi, size, tag)
    if (index === this.failed) return STATUS_UNHANDLED
    if (log.state(index) === STATUS_RETRY) return STATUS_RETRY
    if (log.state(index) === STATUS_RESTART) {
      if (write) log.setBytes(index, this.data, dataAt)
      const answer = this.#world.device(log, index)
      if (answer === STATUS_RETRY) {
        log.wait(index)
        return answer
      }
      if (answer === STATUS_UNHANDLED) {
        log.complete(index)
        return answer
      }
      this.answered(index)
    }
    // The lock was held since the request, so that a saved instruction includes it; atomics hold it to their end.
    if (!this.#hold) this.#unlock()
    if (!write) log.copyBytes(index, this.data, dataAt)
    return STATUS_DONE
  }

  /** Completes an access that a device has done. */
  answered(index: number): void {
    const log = this.#log
    log.complete(index)
    if (log.kind(index) === AccessKind.MMIO_WRITE) {
      this.#order.stored(this.#vcpu, log.addressLo(index), log.addressHi(index), log.size(index))
    }
  }

  /** Takes the lock of an address. @returns false if another access holds it */
  lockAddress(ipaLo: number, ipaHi: number): boolean {
    const lock = this.#order.lockOf(ipaLo, ipaHi)
    if (lock === this.#lock) return true
    if (!this.#order.tryLock(lock, this.#vcpu)) return false
    this.#lock = lock
    return true
  }
}

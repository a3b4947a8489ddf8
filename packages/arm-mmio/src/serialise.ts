/** Makes accesses of several vCPUs to one device indivisible. */

import { requireCount, requireObject } from './checks.ts'

/** More than any machine has. */
const MAX_VCPUS = 1 << 16

/** Number of locks of one domain. An access holds the lock of its address. */
export const LOCKS = 64
/** Words of one vCPU's monitor: size (0 = open), low and high word of the IPA. */
const MONITOR_WORDS = 3

/** Bytes of storage that {@link DeviceOrder} needs for a number of vCPUs. */
export function deviceOrderBytes(vcpus: number): number {
  requireCount(vcpus, 'the number of vCPUs', 1, MAX_VCPUS)
  return (LOCKS + vcpus * MONITOR_WORDS) * 4
}

/** Bytes of a device that a load-exclusive has marked. */
export interface DeviceMonitor {
  /** Low word of their intermediate physical address. */
  readonly ipaLo: number
  /** High word. */
  readonly ipaHi: number
  /** Number of the bytes. */
  readonly size: number
}

/**
 * Order among the vCPUs of a domain: atomics exclude all other accesses to their address from their read to their write,
 * and the exclusive monitors of emulated addresses. May live in shared memory; all zero is a fresh one.
 *
 * Source: Arm ARM (DDI 0487), "Synchronization and semaphores".
 */
export class DeviceOrder {
  readonly #words: Int32Array
  readonly #vcpus: number

  /**
   * @param vcpus - number of vCPUs
   * @param storage - {@link deviceOrderBytes} bytes from `byteOffset` on, a multiple of 4
   */
  constructor(
    vcpus: number,
    storage: ArrayBuffer | SharedArrayBuffer = new ArrayBuffer(deviceOrderBytes(vcpus)),
    byteOffset: number = 0,
  ) {
    const bytes = deviceOrderBytes(vcpus)
    requireObject(storage, 'the storage', 'ERR_OPTION')
    requireCount(storage.byteLength, 'the length of the storage', bytes, Number.MAX_SAFE_INTEGER)
    requireCount(byteOffset, 'the offset', 0, storage.byteLength - bytes)
    requireCount(byteOffset % 4, 'the offset modulo 4', 0, 0)
    this.#words = new Int32Array(storage, byteOffset, LOCKS + vcpus * MONITOR_WORDS)
    this.#vcpus = vcpus
  }

  /** Number of the lock of an address: one for each 64 bytes, shared by many. */
  lockOf(ipaLo: number, ipaHi: number): number {
    return ((ipaLo >>> 6) ^ (ipaLo >>> 12) ^ ipaHi) & (LOCKS - 1)
  }

  /**
   * Takes a lock.
   *
   * @returns false if another access holds the lock
   */
  tryLock(lock: number, vcpu: number): boolean {
    const holder = Atomics.compareExchange(this.#words, lock, 0, vcpu + 1)
    return holder === 0 || holder === vcpu + 1
  }

  /** Releases a lock that `lock` took for this vCPU. */
  unlock(lock: number, vcpu: number): void {
    Atomics.compareExchange(this.#words, lock, vcpu + 1, 0)
  }

  /** A load-exclusive has retired. */
  setMonitor(vcpu: number, ipaLo: number, ipaHi: number, size: number): void {
    const at = LOCKS + vcpu * MONITOR_WORDS
    this.#words[at + 1] = ipaLo
    this.#words[at + 2] = ipaHi
    Atomics.store(this.#words, at, size)
  }

  /** Whether a store-exclusive may succeed: same address, same size. */
  monitorMatches(vcpu: number, ipaLo: number, ipaHi: number, size: number): boolean {
    const at = LOCKS + vcpu * MONITOR_WORDS
    return (
      Atomics.load(this.#words, at) === size &&
      this.#words[at + 1] === (ipaLo | 0) &&
      this.#words[at + 2] === (ipaHi | 0)
    )
  }

  /** CLREX, ERET, an exception, or the store-exclusive itself. */
  clearMonitor(vcpu: number): void {
    Atomics.store(this.#words, LOCKS + vcpu * MONITOR_WORDS, 0)
  }

  /** Whether a vCPU's monitor has marked a range. */
  isMarked(vcpu: number): boolean {
    return Atomics.load(this.#words, LOCKS + vcpu * MONITOR_WORDS) !== 0
  }

  /** Returns the marked range of a vCPU's monitor, for a snapshot; null: none. No access is under way. */
  saveMonitor(vcpu: number): DeviceMonitor | null {
    const at = LOCKS + vcpu * MONITOR_WORDS
    const size = Atomics.load(this.#words, at)
    if (size === 0) return null
    return { ipaLo: this.#words[at + 1]! >>> 0, ipaHi: this.#words[at + 2]! >>> 0, size }
  }

  /** Restores the marked address of a vCPU's monitor. */
  restoreMonitor(vcpu: number, monitor: DeviceMonitor | null): void {
    if (monitor === null) this.clearMonitor(vcpu)
    else this.setMonitor(vcpu, monitor.ipaLo, monitor.ipaHi, monitor.size)
  }

  /** Opens all other monitors that overlap a store to an emulated address. */
  stored(vcpu: number, ipaLo: number, ipaHi: number, size: number): void {
    for (let other = 0; other < this.#vcpus; other++) {
      const at = LOCKS + other * MONITOR_WORDS
      const marked = Atomics.load(this.#words, at)
      if (other === vcpu || marked === 0 || this.#words[at + 2] !== (ipaHi | 0)) continue
      const start = this.#words[at + 1]! >>> 0
      if (start < (ipaLo >>> 0) + size && ipaLo >>> 0 < start + marked) Atomics.store(this.#words, at, 0)
    }
  }
}

/** A small Arm world: identity-mapped Normal memory, RAM, and a window that is a device. */
import { AccessKind, type AccessLog } from '@retrap/replay'
import * as mmio from '@retrap/arm-mmio'

/** Where the device window is. */
export const DEVICE_BASE = 0x1000_0000
export const DEVICE_BYTES = 0x2000
/** Where code is, and the tables. */
export const CODE_BASE = 0x40_0000
export const TABLE_BASE = 0x2000
/** Short descriptors, for AArch32. */
export const SHORT_TABLE_BASE = 0x8000
const RAM_BYTES = 0x48_0000

/** One access that a device saw. */
export interface SeenAccess {
  readonly write: boolean
  readonly offset: number
  readonly data: string
}

export type FlatVcpu = ReturnType<typeof mmio.createArmVcpu>

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

/** RAM below 4.5 MiB, the device window, nothing else. */
export class FlatWorld implements mmio.ArmWorld {
  readonly ram: Uint8Array
  readonly contents: Uint8Array
  readonly seen: SeenAccess[]
  /** Put every access off. */
  late: boolean
  readonly view: DataView

  constructor() {
    this.ram = new Uint8Array(RAM_BYTES)
    this.contents = new Uint8Array(DEVICE_BYTES)
    this.seen = []
    this.late = false
    this.view = new DataView(this.ram.buffer)
    // Level 1, 4K granule, 39 bits of address: the first gigabyte, Normal, for EL0 too.
    this.view.setBigUint64(TABLE_BASE, 0x441n, true)
    // Sections: read and written by everyone, Normal, domain 0.
    for (let section = 0; section < 4096; section++) {
      this.view.setUint32(SHORT_TABLE_BASE + section * 4, section * 0x10_0000 + 0x1c0e, true)
    }
  }

  /** A vCPU at an A64 instruction, or at the first of several. */
  at64(words: number | readonly number[], address: number = CODE_BASE): FlatVcpu {
    for (const [index, word] of [words].flat().entries()) this.view.setUint32(address + index * 4, word, true)
    const vcpu = flatVcpu(false)
    vcpu.pc[0] = address
    return vcpu
  }

  /** A vCPU at an A32 instruction. */
  at32(word: number, pstate: number = 0x10): FlatVcpu {
    this.view.setUint32(CODE_BASE, word, true)
    return Object.assign(flatVcpu(true), { pstate })
  }

  /** A vCPU at Thumb halfwords. */
  atThumb(...halfwords: number[]): FlatVcpu {
    halfwords.forEach((halfword, index) => this.view.setUint16(CODE_BASE + index * 2, halfword, true))
    return Object.assign(flatVcpu(true), { pstate: 0x30 })
  }

  readonly tables: mmio.ArmWorld['tables'] = {
    read32: (gpa, into) => this.#table(gpa, into, 4),
    read64: (gpa, into) => this.#table(gpa, into, 8),
    compareExchange32: () => true,
    compareExchange64: () => true,
  }

  #table(gpa: number, into: Uint32Array, bytes: number): boolean {
    if (gpa + bytes > RAM_BYTES) return false
    into[0] = this.view.getUint32(gpa, true)
    into[1] = bytes === 8 ? this.view.getUint32(gpa + 4, true) : 0
    return true
  }

  region(ipaLo: number, ipaHi: number): mmio.Region {
    if (ipaHi !== 0) return mmio.Region.NONE
    if (ipaLo < RAM_BYTES) return mmio.Region.RAM
    return ipaLo >= DEVICE_BASE && ipaLo < DEVICE_BASE + DEVICE_BYTES ? mmio.Region.DEVICE : mmio.Region.NONE
  }

  readRam(ipaLo: number, _ipaHi: number, size: number, into: Uint8Array, offset: number): void {
    into.set(this.ram.subarray(ipaLo, ipaLo + size), offset)
  }

  writeRam(ipaLo: number, _ipaHi: number, size: number, from: Uint8Array, offset: number): void {
    this.ram.set(from.subarray(offset, offset + size), ipaLo)
  }

  device(log: AccessLog, index: number): mmio.AccessStatus {
    if (this.late) return mmio.STATUS_RETRY
    this.perform(log, index)
    return mmio.STATUS_DONE
  }

  /** What the device does. */
  perform(log: AccessLog, index: number): void {
    const offset = log.addressLo(index) - DEVICE_BASE
    const size = log.size(index)
    const write = log.kind(index) === AccessKind.MMIO_WRITE
    if (write) log.copyBytes(index, this.contents, offset)
    else log.setBytes(index, this.contents, offset)
    this.seen.push({ write, offset, data: hex(this.contents.subarray(offset, offset + size)) })
  }
}

/** A vCPU at EL0 (AArch64) or in User mode, with the world's tables on. */
export function flatVcpu(aarch32: boolean): FlatVcpu {
  const vcpu = mmio.createArmVcpu(0)
  vcpu.pstate = aarch32 ? 0x10 : 0
  Object.assign(
    vcpu.system,
    aarch32
      ? { aarch64: false, sctlr: 1, ttbr0Lo: SHORT_TABLE_BASE, dacr: 1 }
      : { sctlr: 1, tcrLo: 25, ttbr0Lo: TABLE_BASE, mairLo: 0xff },
  )
  vcpu.pc[0] = CODE_BASE
  return vcpu
}

/** An abort without valid syndrome at an address. */
export function abortAt(address: number, write: boolean): mmio.ArmAbort {
  const esr = 0x24 * 2 ** 26 + (1 << 25) + (write ? 1 << 6 : 0) + 7
  return {
    esr: esr >>> 0,
    hsr: false,
    farLo: address >>> 0,
    farHi: 0,
    hpfarLo: ((address >>> 12) << 4) >>> 0,
    hpfarHi: 0,
  }
}

/** An order for one vCPU. */
export const soleOrder = (): mmio.DeviceOrder => new mmio.DeviceOrder(1)

/** The parts of a vCPU that tests compare. */
export function snapshot(vcpu: mmio.ArmVcpu): string {
  return [
    hex(new Uint8Array(vcpu.x.buffer)),
    hex(new Uint8Array(vcpu.sp.buffer)),
    hex(new Uint8Array(vcpu.v.buffer)),
    vcpu.pc.join(),
    vcpu.pstate.toString(16),
  ].join(' ')
}

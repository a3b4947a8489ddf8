import { describe, expect, test as base } from 'vitest'
import { FLAG_IF, FLAG_RF, S_CR2, S_EFLAGS, S_XMM } from '../src/state/state-layout.ts'
import { BareCpu, CODE, PAGE_TABLE, slowDevice } from './support/bare-cpu.ts'

/** vpgatherdd ymm0, [rbx + ymm1 * 4], ymm2 */
const VPGATHERDD = [0xc4, 0xe2, 0x6d, 0x90, 0x04, 0x8b]
/** vmaskmovps [rbx], ymm2, ymm0 */
const VMASKMOVPS_STORE = [0xc4, 0xe2, 0x6d, 0x2e, 0x03]
/** vmaskmovps ymm0, ymm2, [rbx] */
const VMASKMOVPS_LOAD = [0xc4, 0xe2, 0x6d, 0x2c, 0x03]
const HLT = 0xf4

const HANDLER = 0x4000
const IRQ = 0x40
const PF = 14
/** What handlers do ends with a write to this port. */
const PORT = 0x80
const DEVICE = 0x2_0000
const DATA = 0x6_0000
const NOTHING = 0x7_0000

const ALL = [-1, -1, -1, -1, -1, -1, -1, -1]
/** Elements that count from a number. */
const from = (first: number): number[] => ALL.map((_, i) => first + i)

class VectorCpu extends BareCpu {
  constructor(code: readonly number[]) {
    super()
    this.enableState(7)
    this.load(CODE, [...code, HLT])
    // Nothing lies here.
    this.write64(PAGE_TABLE + 8 * (NOTHING >>> 12), 0n)
    for (const vector of [IRQ, PF]) this.vector(vector, HANDLER)
  }

  /** Doublewords of a YMM register. */
  vectorOf(register: number): number[] {
    return Array.from({ length: 8 }, (_, i) => this.cpu.i32[(S_XMM + 64 * register + 4 * i) >>> 2] as number)
  }

  setVector(register: number, values: readonly number[]): void {
    for (const [i, value] of values.entries()) this.cpu.i32[(S_XMM + 64 * register + 4 * i) >>> 2] = value
  }

  /** The eight elements lie at these addresses. */
  gatherFrom(addresses: readonly number[], mask: readonly number[] = ALL): void {
    this.setVector(0, from(100))
    const indices = addresses.map((address) => (address - DATA) / 4)
    this.setVector(1, indices)
    this.setVector(2, mask)
    this.setRegister('rbx', DATA)
  }

  /** A handler that does `what`, takes the error code off the stack if there is one, and returns. */
  onEvent(errorCode: boolean, what: () => void): void {
    this.host.ports.set(PORT, { read: () => 0n, write: () => (what(), true) })
    this.load(HANDLER, [0xe6, PORT, ...(errorCode ? [0x48, 0x83, 0xc4, 8] : []), 0x48, 0xcf])
  }

  /** A page whose doublewords are their addresses, each read answered at its second asking. */
  slowDevice(gfn: number): void {
    const late = slowDevice((offset) => BigInt(gfn * 0x1000 + offset))
    this.host.devices.set(gfn, { ...late, write: () => true })
  }

  /** Runs until something other than a device that takes its time ends it. @returns how often it was blocked */
  finish(whileBlocked: (count: number) => void = () => undefined): number {
    for (let blocked = 0; ; blocked++) {
      const { reason } = this.run()
      if (reason !== 'blocked') {
        expect(reason).toBe('hlt')
        return blocked
      }
      whileBlocked(blocked)
    }
  }

  reads(): string[] {
    return this.host.seen.filter((access) => access.startsWith('mmio'))
  }
}

const test = base.extend('pc', () => new VectorCpu(VPGATHERDD))

describe('gathers (SDM vol. 2C, "VPGATHERDD/VPGATHERQD")', () => {
  test('each element is one device read, of equal indices too', ({ pc }) => {
    const addresses = [0, 1, 2, 3, 3, 3, 3, 7].map((page) => DEVICE + 0x1000 * page + 8 * page)
    for (let page = 0; page < 8; page++) pc.slowDevice((DEVICE >>> 12) + page)
    pc.gatherFrom(addresses)
    expect(pc.finish()).toBe(8)
    expect(pc.vectorOf(0)).toEqual(addresses)
    expect(pc.vectorOf(2)).toEqual([0, 0, 0, 0, 0, 0, 0, 0])
    expect(pc.reads()).toEqual(addresses.map((address) => `mmio read ${(address & 0xfff).toString(16)}/4`))
    // The gather, once, and HLT.
    expect(pc.cpu.retired).toBe(2)
  })

  test('an interrupt that comes meanwhile ends it after the element that was asked for', ({ pc }) => {
    pc.slowDevice(DEVICE >>> 12)
    const addresses = [0, 4, 8, 12, 16, 20, 24, 28].map((offset) => DEVICE + offset)
    pc.gatherFrom(addresses)
    pc.cpu.u32[S_EFLAGS >>> 2]! |= FLAG_IF
    let interrupted: number[][] = []
    let flags = 0
    pc.onEvent(false, () => {
      interrupted = [pc.vectorOf(0), pc.vectorOf(2)]
      flags = pc.read32(Number(pc.register('rsp')) + 16)
      expect(pc.read64(Number(pc.register('rsp')))).toBe(BigInt(CODE))
    })
    // Element 4 is being waited for.
    pc.finish((count) => count === 4 && pc.interrupt(IRQ))
    expect(interrupted).toEqual([
      [...addresses.slice(0, 5), 105, 106, 107],
      [0, 0, 0, 0, 0, -1, -1, -1],
    ])
    // It was in the middle of an instruction.
    expect(flags & FLAG_RF).toBe(FLAG_RF)
    expect(pc.vectorOf(0)).toEqual(addresses)
    expect(pc.reads()).toHaveLength(8)
  })

  test('an interrupt that is held off does not end it', ({ pc }) => {
    pc.slowDevice(DEVICE >>> 12)
    pc.gatherFrom(ALL.map((_, i) => DEVICE + 4 * i))
    pc.finish((count) => count === 4 && pc.interrupt(IRQ))
    expect(pc.cpu.retired).toBe(2)
    expect(pc.reads()).toHaveLength(8)
  })

  test('a fault leaves what lies below it done, and none of it is read again', ({ pc }) => {
    pc.slowDevice(DEVICE >>> 12)
    pc.write32(DATA, 77)
    // The mask's other bits do not count; the fault finds every element of it all ones or all zeros.
    pc.gatherFrom(
      [DEVICE, DEVICE + 4, DATA, NOTHING + 8, NOTHING + 12, DEVICE + 8, DEVICE + 12, DATA],
      [-1, -1, 0x8000_0000, -1, 0x7fff_ffff, 0x8000_0001, -1, 0],
    )
    let faulted: number[][] = []
    pc.onEvent(true, () => {
      faulted = [pc.vectorOf(0), pc.vectorOf(2)]
      expect(pc.cpu.u32[S_CR2 >>> 2]).toBe(NOTHING + 8)
      pc.write64(PAGE_TABLE + 8 * (NOTHING >>> 12), BigInt(DATA | 7))
      pc.write32(DATA + 8, 88)
    })
    pc.finish()
    expect(faulted).toEqual([
      [DEVICE, DEVICE + 4, 77, 103, 104, 105, 106, 107],
      [0, 0, 0, -1, 0, -1, -1, 0],
    ])
    expect(pc.vectorOf(0)).toEqual([DEVICE, DEVICE + 4, 77, 88, 104, DEVICE + 8, DEVICE + 12, 107])
    expect(pc.vectorOf(2)).toEqual([0, 0, 0, 0, 0, 0, 0, 0])
    expect(pc.reads()).toEqual([0, 4, 8, 12].map((offset) => `mmio read ${offset.toString(16)}/4`))
  })

  test('two reads of one place are two reads: what another vCPU writes between them shows, and is replayed', ({
    pc,
  }) => {
    pc.slowDevice(DEVICE >>> 12)
    pc.write32(DATA, 1)
    pc.gatherFrom([DATA, DEVICE, DATA, DEVICE + 4, DATA, DATA, DATA, DATA])
    // At once for the first device element, later for the second.
    pc.finish((count) => pc.write32(DATA, 2 + count))
    expect(pc.vectorOf(0)).toEqual([1, DEVICE, 2, DEVICE + 4, 3, 3, 3, 3])
  })

  test('elements that the mask leaves out are not accessed', ({ pc }) => {
    pc.write32(DATA + 4, 5)
    pc.gatherFrom([NOTHING, DATA + 4, NOTHING, DEVICE, NOTHING, NOTHING, NOTHING, NOTHING], [0, -1, 0, 0, 0, 0, 0, 0])
    pc.host.devices.set(DEVICE >>> 12, { read: () => undefined, write: () => false })
    expect(pc.finish()).toBe(0)
    expect(pc.vectorOf(0)).toEqual([100, 5, 102, 103, 104, 105, 106, 107])
  })
})

describe('masked moves (SDM vol. 2C, "VMASKMOV")', () => {
  test('what the mask leaves out is neither accessed nor able to fault', () => {
    const pc = new VectorCpu(VMASKMOVPS_LOAD)
    const at = NOTHING - 12
    for (let i = 0; i < 3; i++) pc.write32(at + 4 * i, 10 + i)
    pc.setVector(2, [-1, 0, -1, 0, 0, 0, 0, 0])
    pc.setRegister('rbx', at)
    pc.finish()
    expect(pc.vectorOf(0)).toEqual([10, 0, 12, 0, 0, 0, 0, 0])
  })

  test('a store that faults has stored nothing', () => {
    const pc = new VectorCpu(VMASKMOVPS_STORE)
    const at = NOTHING - 12
    pc.setVector(0, from(10))
    pc.setVector(2, [-1, 0, -1, 0, -1, 0, 0, 0])
    pc.setRegister('rbx', at)
    let before: number[] = []
    pc.onEvent(true, () => {
      before = [0, 4, 8].map((offset) => pc.read32(at + offset))
      expect(pc.cpu.u32[S_CR2 >>> 2]).toBe(at + 16)
      pc.write64(PAGE_TABLE + 8 * (NOTHING >>> 12), BigInt(DATA | 7))
    })
    pc.finish()
    expect(before).toEqual([0, 0, 0])
    expect([0, 4, 8].map((offset) => pc.read32(at + offset))).toEqual([10, 0, 12])
    expect([0, 4, 8].map((offset) => pc.read32(DATA + offset))).toEqual([0, 14, 0])
  })

  test('a device sees an access for each element', () => {
    const pc = new VectorCpu([...VMASKMOVPS_STORE, ...VMASKMOVPS_LOAD])
    pc.slowDevice(DEVICE >>> 12)
    pc.setVector(0, from(16))
    pc.setVector(2, [-1, -1, 0, 0, 0, 0, 0, -1])
    pc.setRegister('rbx', DEVICE)
    pc.finish()
    expect(pc.reads()).toEqual([
      'mmio write 0/4=10',
      'mmio write 4/4=11',
      'mmio write 1c/4=17',
      'mmio read 0/4',
      'mmio read 4/4',
      'mmio read 1c/4',
    ])
    expect(pc.vectorOf(0)).toEqual([DEVICE, DEVICE + 4, 0, 0, 0, 0, 0, DEVICE + 28])
  })
})

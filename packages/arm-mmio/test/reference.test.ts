/** The scenarios that the reference asks for, by number and name. */
import { beforeEach, describe, expect, test } from 'vitest'
import { AccessKind } from '@retrap/replay'
import * as mmio from '../src/index.ts'
import { aarch32Register, itState, withItState } from '../src/vcpu.ts'
import { abortAt, CODE_BASE, DEVICE_BASE, FlatWorld, flatVcpu, TABLE_BASE } from './support/flat-world.ts'

type Vcpu = ReturnType<typeof flatVcpu>

let world: FlatWorld
let order: mmio.DeviceOrder

beforeEach(() => {
  world = new FlatWorld()
  order = new mmio.DeviceOrder(2)
})

/** A valid syndrome. */
function syndrome(write: boolean, register: number, sizeLog2: number, more: number = 0): number {
  return (
    (0x24 * 2 ** 26 + (1 << 25) + (1 << 24) + (sizeLog2 << 22) + (register << 16) + (write ? 1 << 6 : 0) + 7 + more) >>>
    0
  )
}

const withEsr = (abort: mmio.ArmAbort, esr: number): mmio.ArmAbort => ({ ...abort, esr })

/** Handles an abort to its end, with whatever the device needs. */
function finish(
  vcpu: Vcpu,
  abort: mmio.ArmAbort,
  options: ConstructorParameters<typeof mmio.ArmEmulator>[3] = {},
): mmio.AccessStatus {
  const emulator = new mmio.ArmEmulator(vcpu, world, order, options)
  let outcome = emulator.handle(abort)
  while (outcome === mmio.STATUS_RETRY) {
    world.perform(emulator.log, emulator.log.pending)
    emulator.answer()
    outcome = emulator.resume()
  }
  return outcome
}

const setDevice = (offset: number, ...bytes: number[]): void => world.contents.set(bytes, offset)

describe('test cases that the reference implies', () => {
  describe('1. T16 LDRSH, POP, LDM at ISV=0: PC+2, IT advanced mid-block', () => {
    test('LDRSH', () => {
      // ldrsh r0, [r1, r2], the second of four instructions of an IT block
      const vcpu = world.atThumb(0x5e88)
      vcpu.x[2] = DEVICE_BASE
      vcpu.x[4] = 4
      setDevice(4, 0xfe, 0xff)
      vcpu.pstate = withItState(vcpu.pstate, 0b1110_0110)
      expect(finish(vcpu, abortAt(DEVICE_BASE + 4, false))).toBe(mmio.STATUS_DONE)
      expect(vcpu.x[0]).toBe(0xffff_fffe)
      expect(vcpu.pc[0]).toBe(CODE_BASE + 2)
      expect(itState(vcpu.pstate)).toBe(0b1110_1100)
    })

    test('POP and LDM', () => {
      // pop {r0, r1}
      const vcpu = world.atThumb(0xbc03)
      vcpu.x[26] = DEVICE_BASE + 16
      setDevice(16, 1, 0, 0, 0, 2, 0, 0, 0)
      vcpu.pstate = withItState(vcpu.pstate, 0b1110_1000)
      expect(finish(vcpu, abortAt(DEVICE_BASE + 16, false))).toBe(mmio.STATUS_DONE)
      expect([vcpu.x[0], vcpu.x[2], vcpu.x[26], vcpu.pc[0]]).toEqual([1, 2, DEVICE_BASE + 24, CODE_BASE + 2])
      // The last instruction of a block ends it.
      expect(itState(vcpu.pstate)).toBe(0)
      // ldm r2!, {r0, r1}
      const other = world.atThumb(0xca03)
      other.x[4] = DEVICE_BASE + 16
      expect(finish(other, abortAt(DEVICE_BASE + 16, false))).toBe(mmio.STATUS_DONE)
      expect([other.x[0], other.x[2], other.x[4], other.pc[0]]).toEqual([1, 2, DEVICE_BASE + 24, CODE_BASE + 2])
    })

    test('POP to PC interworks', () => {
      // pop {r0, pc}
      const vcpu = world.atThumb(0xbd01)
      vcpu.x[26] = DEVICE_BASE
      setDevice(0, 1, 0, 0, 0, 0x00, 0x80, 0x40, 0)
      expect(finish(vcpu, abortAt(DEVICE_BASE, false))).toBe(mmio.STATUS_DONE)
      expect(vcpu.pc[0]).toBe(0x40_8000)
      expect(vcpu.pstate & 0x20).toBe(0)
    })
  })

  describe('2. LDRSB W against X', () => {
    test.each([
      ['w0', 0x39c0_0020, 0],
      ['x0', 0x3980_0020, 0xffff_ffff],
    ])('%s, decoded', (_name, word, high) => {
      const vcpu = world.at64(word)
      vcpu.x[2] = DEVICE_BASE
      vcpu.x[1] = 0x1234
      setDevice(0, 0x80)
      expect(finish(vcpu, abortAt(DEVICE_BASE, false))).toBe(mmio.STATUS_DONE)
      expect([vcpu.x[0], vcpu.x[1]]).toEqual([0xffff_ff80, high])
    })

    test.each([
      ['32 bits', 0, 0],
      ['64 bits', 1 << 15, 0xffff_ffff],
    ])('%s, by the syndrome', (_name, sf, high) => {
      const vcpu = flatVcpu(false)
      setDevice(0, 0x80)
      expect(finish(vcpu, withEsr(abortAt(DEVICE_BASE, false), syndrome(false, 0, 0, (1 << 21) + sf)))).toBe(
        mmio.STATUS_DONE,
      )
      expect([vcpu.x[0], vcpu.x[1]]).toEqual([0xffff_ff80, high])
    })
  })

  test('3. STR XZR; LDR to XZR', () => {
    const vcpu = flatVcpu(false)
    vcpu.sp.fill(0xdead_beef)
    setDevice(8, 1, 2, 3, 4, 5, 6, 7, 8)
    expect(finish(vcpu, withEsr(abortAt(DEVICE_BASE + 8, false), syndrome(false, 31, 3, 1 << 15)))).toBe(
      mmio.STATUS_DONE,
    )
    expect([...vcpu.x, ...vcpu.sp]).toEqual([...new Uint32Array(62), ...new Uint32Array(4).fill(0xdead_beef)])
    expect(finish(vcpu, withEsr(abortAt(DEVICE_BASE + 8, true), syndrome(true, 31, 3, 1 << 15)))).toBe(mmio.STATUS_DONE)
    expect(world.seen).toEqual([
      { write: false, offset: 8, data: '0102030405060708' },
      { write: true, offset: 8, data: '0000000000000000' },
    ])
    expect(vcpu.pc[0]).toBe(CODE_BASE + 8)
  })

  test.each([
    ['EL1h', 0x3c5, 2],
    ['EL1t', 0x3c4, 0],
  ])('4. LDR X1, [SP], #8 at %s', (_name, pstate, at) => {
    const vcpu = world.at64(0xf840_87e1)
    vcpu.pstate = pstate
    // EL1 executes, so the page must not be writable for EL0.
    world.view.setBigUint64(TABLE_BASE, 0x401n, true)
    vcpu.sp[at] = DEVICE_BASE + 8
    vcpu.sp[2 - at] = 0x7777
    setDevice(8, 1, 0, 0, 0, 2, 0, 0, 0)
    expect(finish(vcpu, abortAt(DEVICE_BASE + 8, false))).toBe(mmio.STATUS_DONE)
    expect([vcpu.x[2], vcpu.x[3], vcpu.sp[at], vcpu.sp[2 - at]]).toEqual([1, 2, DEVICE_BASE + 16, 0x7777])
  })

  test('5. AArch32: FIQ r9 decoded, IRQ LR by SRT 16', () => {
    const vcpu = flatVcpu(true)
    vcpu.pstate = 0x12
    // In a syndrome of ESR_EL2, register 16 is LR_irq already: it is not banked twice.
    setDevice(0, 0x55, 0, 0, 0, 0, 0, 0, 0, 0x55, 0, 0, 0)
    expect(finish(vcpu, withEsr(abortAt(DEVICE_BASE + 8, false), syndrome(false, 16, 2)))).toBe(mmio.STATUS_DONE)
    expect([vcpu.x[32], vcpu.x[28]]).toEqual([0x55, 0])
    // ldr r9, [r0], #4 in FIQ mode: software decoding banks.
    const fiq = flatVcpu(true)
    fiq.pstate = 0x11
    world.view.setUint32(CODE_BASE, 0xe490_9004, true)
    fiq.x[0] = DEVICE_BASE
    expect(finish(fiq, abortAt(DEVICE_BASE, false))).toBe(mmio.STATUS_DONE)
    expect([fiq.x[aarch32Register(1, 9) * 2], fiq.x[18], fiq.x[0]]).toEqual([0x55, 0, DEVICE_BASE + 4])
    // HSR counts as the mode does.
    const hsr = flatVcpu(true)
    hsr.pstate = 0x11
    expect(finish(hsr, { ...withEsr(abortAt(DEVICE_BASE + 8, false), syndrome(false, 9, 2)), hsr: true })).toBe(
      mmio.STATUS_DONE,
    )
    expect([hsr.x[50], hsr.x[18]]).toEqual([0x55, 0])
  })

  test('6. Big-endian LDP: each register swaps by itself', () => {
    // ldp w0, w1, [x2]
    const vcpu = world.at64(0x2940_0440)
    Object.assign(vcpu.system, { sctlr: 1 | (1 << 24) })
    vcpu.x[4] = DEVICE_BASE
    setDevice(0, 1, 2, 3, 4, 5, 6, 7, 8)
    expect(finish(vcpu, abortAt(DEVICE_BASE, false))).toBe(mmio.STATUS_DONE)
    expect([vcpu.x[0], vcpu.x[2]]).toEqual([0x0102_0304, 0x0506_0708])
    expect(world.seen.map(({ offset }) => offset)).toEqual([0, 4])
  })

  test('7. LDP crossing RAM and device; the second access aborts', () => {
    // ldp x0, x1, [x2, #-8]!, the second doubleword past the end of the device
    const vcpu = world.at64(0xa9ff_8440)
    const last = DEVICE_BASE + 0x2000
    vcpu.x[4] = last
    vcpu.x[0] = 0x1111
    expect(finish(vcpu, abortAt(last - 8, false))).toBe(mmio.STATUS_FAULT)
    // The device was read, and that stands; registers and base have not changed, and the guest takes an external abort.
    expect(world.seen).toHaveLength(1)
    expect([vcpu.x[0], vcpu.x[4]]).toEqual([0x1111, last])
    expect(vcpu.exception.esrEl1 & 0x3f).toBe(0x10)
    expect(vcpu.exception.esrEl1 >>> 26).toBe(0x24)
    expect(vcpu.exception.farLo).toBe(last)
    expect(vcpu.exception.elrLo).toBe(CODE_BASE)
  })

  test('8. STXR after another vCPU has stored', () => {
    // ldxr w0, [x2]; stxr w1, w0, [x2]
    const vcpu = world.at64(0x885f_7c40)
    vcpu.x[4] = DEVICE_BASE
    expect(finish(vcpu, abortAt(DEVICE_BASE, false))).toBe(mmio.STATUS_DONE)
    world.view.setUint32(CODE_BASE + 4, 0x8801_7c40, true)
    const other = world.at64(0xb900_0040, CODE_BASE + 0x100)
    Object.assign(other, { id: 1 })
    other.x[4] = DEVICE_BASE
    expect(finish(other, abortAt(DEVICE_BASE, true))).toBe(mmio.STATUS_DONE)
    world.seen.length = 0
    expect(finish(vcpu, abortAt(DEVICE_BASE, true))).toBe(mmio.STATUS_DONE)
    expect(vcpu.x[2]).toBe(1)
    expect(world.seen).toEqual([])
    // With the pair undisturbed the store is made, and the status is 0.
    vcpu.pc[0] = CODE_BASE
    finish(vcpu, abortAt(DEVICE_BASE, false))
    expect(finish(vcpu, abortAt(DEVICE_BASE, true))).toBe(mmio.STATUS_DONE)
    expect(vcpu.x[2]).toBe(0)
    expect(world.seen.map(({ write }) => write)).toEqual([false, true])
  })

  describe('9. The code page between trap and fetch', () => {
    test('unmapped: the guest tries again, and nothing has happened', () => {
      const vcpu = world.at64(0xf840_8441)
      vcpu.x[4] = DEVICE_BASE
      world.view.setBigUint64(TABLE_BASE, 0n, true)
      expect(finish(vcpu, abortAt(DEVICE_BASE, false))).toBe(mmio.STATUS_RESTART)
      expect([world.seen.length, vcpu.pc[0], vcpu.x[4]]).toEqual([0, CODE_BASE, DEVICE_BASE])
    })

    test.each([
      ['a load from elsewhere', 0xf840_8461],
      ['a store', 0xf800_8441],
      ['no load or store of that size', 0x3900_0041],
    ])('now holds %s: the guest tries again', (_name, word) => {
      const vcpu = world.at64(word)
      vcpu.x[4] = DEVICE_BASE
      vcpu.x[6] = DEVICE_BASE + 0x100
      expect(finish(vcpu, abortAt(DEVICE_BASE, false))).toBe(mmio.STATUS_RESTART)
      expect([world.seen.length, vcpu.pc[0]]).toEqual([0, CODE_BASE])
    })

    test('now holds another load that would fault the same: it is the one to be executed', () => {
      // ldr x1, [x2], #8 became ldrb w1, [x2], #8: the hardware would trap in it too.
      const vcpu = world.at64(0x3840_8441)
      vcpu.x[4] = DEVICE_BASE
      setDevice(0, 9, 9, 9, 9)
      expect(finish(vcpu, abortAt(DEVICE_BASE, false))).toBe(mmio.STATUS_DONE)
      expect([vcpu.x[2], vcpu.x[4]]).toEqual([9, DEVICE_BASE + 8])
    })
  })

  test('10. Pre-indexed LDR replayed: the base moves once, the device is read once', () => {
    const vcpu = world.at64(0xf840_8c41)
    vcpu.x[4] = DEVICE_BASE
    world.late = true
    expect(finish(vcpu, abortAt(DEVICE_BASE + 8, false))).toBe(mmio.STATUS_DONE)
    expect([vcpu.x[4], world.seen.length, vcpu.pc[0]]).toEqual([DEVICE_BASE + 8, 1, CODE_BASE + 4])
  })

  test('11. S1PTW into a device: an external abort', () => {
    const vcpu = world.at64(0xf940_0041)
    const abort = withEsr(abortAt(DEVICE_BASE, false), (abortAt(DEVICE_BASE, false).esr | (1 << 7)) >>> 0)
    expect(finish(vcpu, abort)).toBe(mmio.STATUS_FAULT)
    expect(world.seen).toEqual([])
    // The table's page is RAM again: nothing has happened.
    const repaired = { ...abort, hpfarLo: (TABLE_BASE >>> 12) << 4 }
    expect(finish(world.at64(0xf940_0041), repaired)).toBe(mmio.STATUS_RESTART)
  })

  test('12. LDXP loads both; CASP with an odd register is no instruction', () => {
    // ldxp x0, x1, [x2]
    const vcpu = world.at64(0xc87f_0440)
    vcpu.x[4] = DEVICE_BASE + 16
    setDevice(16, 1, 0, 0, 0, 0, 0, 0, 0, 2)
    expect(finish(vcpu, abortAt(DEVICE_BASE + 16, false))).toBe(mmio.STATUS_DONE)
    expect([vcpu.x[0], vcpu.x[2]]).toEqual([1, 2])
    // casp x1, x2, x4, x5, [x2]
    const odd = world.at64(0x4821_7c44)
    odd.x[4] = DEVICE_BASE + 16
    const emulator = new mmio.ArmEmulator(odd, world, order, { undecodable: 'report' })
    expect(emulator.handle(abortAt(DEVICE_BASE + 16, false))).toBe(mmio.STATUS_UNHANDLED)
    expect(emulator.reason).toBe('instruction')
    expect(finish(world.at64(0x4821_7c44), abortAt(DEVICE_BASE + 16, false))).toBe(mmio.STATUS_FAULT)
  })

  test('13. DC ZVA stores zeros, and faults on Device memory; DC IVAC does nothing', () => {
    // dc zva, x2
    const vcpu = world.at64(0xd50b_7422)
    vcpu.x[4] = DEVICE_BASE + 0x48
    world.contents.fill(0xff)
    expect(finish(vcpu, abortAt(DEVICE_BASE + 0x48, true))).toBe(mmio.STATUS_DONE)
    expect(world.seen.map(({ offset, data }) => `${offset.toString(16)} ${data}`)).toEqual(
      [0x40, 0x48, 0x50, 0x58, 0x60, 0x68, 0x70, 0x78].map((offset) => `${offset.toString(16)} 0000000000000000`),
    )
    const device = world.at64(0xd50b_7422)
    Object.assign(device.system, { mairLo: 0 })
    device.x[4] = DEVICE_BASE + 0x48
    expect(finish(device, abortAt(DEVICE_BASE + 0x48, true))).toBe(mmio.STATUS_FAULT)
    expect(device.exception.esrEl1 & 0x3f).toBe(0x21)
    world.seen.length = 0
    const maintenance = world.at64(0xd508_7622)
    maintenance.x[4] = DEVICE_BASE
    const abort = abortAt(DEVICE_BASE, true)
    expect(finish(maintenance, withEsr(abort, (abort.esr | (1 << 8)) >>> 0))).toBe(mmio.STATUS_DONE)
    expect([world.seen.length, maintenance.pc[0]]).toEqual([0, CODE_BASE + 4])
  })

  describe('14. A T32 instruction across two pages', () => {
    // ldr.w r0, [r1], #4
    const halfwords = [0xf851, 0x0b04] as const

    test('is fetched from both', () => {
      const vcpu = flatVcpu(true)
      vcpu.pstate = 0x30
      vcpu.pc[0] = CODE_BASE + 0xffe
      world.view.setUint16(CODE_BASE + 0xffe, halfwords[0], true)
      world.view.setUint16(CODE_BASE + 0x1000, halfwords[1], true)
      vcpu.x[2] = DEVICE_BASE
      setDevice(0, 7, 0, 0, 0)
      world.late = true
      expect(finish(vcpu, abortAt(DEVICE_BASE, false))).toBe(mmio.STATUS_DONE)
      expect([vcpu.x[0], vcpu.x[2], vcpu.pc[0]]).toEqual([7, DEVICE_BASE + 4, CODE_BASE + 0x1002])
    })

    test('whose second page is gone is executed again by the guest', () => {
      const vcpu = flatVcpu(true)
      vcpu.pstate = 0x30
      // The last halfword of RAM: nothing is behind it.
      vcpu.pc[0] = 0x48_0000 - 2
      world.view.setUint16(0x48_0000 - 2, halfwords[0], true)
      vcpu.x[2] = DEVICE_BASE
      expect(finish(vcpu, abortAt(DEVICE_BASE, false))).toBe(mmio.STATUS_RESTART)
    })
  })
})

describe('several vCPUs', () => {
  test('an atomic holds its address from its read to its write', () => {
    // ldadd w0, w1, [x2] on one vCPU, str w0, [x2] on the other
    const first = world.at64(0xb820_0041)
    first.x[4] = DEVICE_BASE
    first.x[0] = 5
    setDevice(0, 10, 0, 0, 0)
    world.late = true
    const atomic = new mmio.ArmEmulator(first, world, order)
    expect(atomic.handle(abortAt(DEVICE_BASE, true))).toBe(mmio.STATUS_RETRY)
    const second = world.at64(0xb900_0040, CODE_BASE + 0x100)
    Object.assign(second, { id: 1 })
    second.x[4] = DEVICE_BASE
    const store = new mmio.ArmEmulator(second, world, order)
    // Nothing has happened to it: it may take interrupts and come back.
    expect(store.handle(abortAt(DEVICE_BASE, true))).toBe(mmio.STATUS_RESTART)
    expect(atomic.log.kind(atomic.log.pending)).toBe(AccessKind.MMIO_READ)
    world.perform(atomic.log, atomic.log.pending)
    atomic.answer()
    expect(atomic.resume()).toBe(mmio.STATUS_RETRY)
    expect(store.handle(abortAt(DEVICE_BASE, true))).toBe(mmio.STATUS_RESTART)
    world.perform(atomic.log, atomic.log.pending)
    atomic.answer()
    expect(atomic.resume()).toBe(mmio.STATUS_DONE)
    expect([first.x[2], world.contents[0]]).toEqual([10, 15])
    world.late = false
    expect(store.handle(abortAt(DEVICE_BASE, true))).toBe(mmio.STATUS_DONE)
    expect(world.contents[0]).toBe(0)
  })

  test('an instruction that has begun waits for the atomic of another', () => {
    // stp w0, w1, [x2] across two locks, the second held by an atomic
    const vcpu = world.at64(0x2900_0440)
    vcpu.x[4] = DEVICE_BASE + 0x3c
    const holder = order.lockOf(DEVICE_BASE + 0x40, 0)
    expect(order.tryLock(holder, 1)).toBe(true)
    const emulator = new mmio.ArmEmulator(vcpu, world, order)
    expect(emulator.handle(abortAt(DEVICE_BASE + 0x3c, true))).toBe(mmio.STATUS_RETRY)
    expect(emulator.resume()).toBe(mmio.STATUS_RETRY)
    expect(emulator.log.pending).toBe(-1)
    order.unlock(holder, 1)
    expect(emulator.resume()).toBe(mmio.STATUS_DONE)
    expect(world.seen.map(({ offset }) => offset)).toEqual([0x3c, 0x40])
  })
})

describe('what is between trap and completion', () => {
  // ldp x0, x1, [x2], #16
  const word = 0xa8c1_0440

  test('is plain data that another process can go on with', () => {
    world.late = true
    const vcpu = world.at64(word)
    vcpu.x[4] = DEVICE_BASE
    setDevice(0, 1, 0, 0, 0, 0, 0, 0, 0, 2)
    const emulator = new mmio.ArmEmulator(vcpu, world, order)
    expect(emulator.handle(abortAt(DEVICE_BASE, false))).toBe(mmio.STATUS_RETRY)
    world.perform(emulator.log, emulator.log.pending)
    emulator.answer()
    expect(emulator.resume()).toBe(mmio.STATUS_RETRY)
    const saved = structuredClone(emulator.save())
    emulator.cancel()
    const other = new mmio.ArmEmulator(vcpu, world, order)
    other.restore(JSON.parse(JSON.stringify(saved)) as typeof saved)
    world.perform(other.log, other.log.pending)
    other.answer()
    expect(other.resume()).toBe(mmio.STATUS_DONE)
    expect([vcpu.x[0], vcpu.x[2], vcpu.x[4]]).toEqual([1, 2, DEVICE_BASE + 16])
    expect(world.seen).toHaveLength(2)
  })

  test('is forgotten by cancel, and a late answer is the callers to drop', () => {
    world.late = true
    const vcpu = world.at64(word)
    vcpu.x[4] = DEVICE_BASE
    const emulator = new mmio.ArmEmulator(vcpu, world, order)
    emulator.handle(abortAt(DEVICE_BASE, false))
    expect(emulator.cancel()).toBe(true)
    expect(() => emulator.answer()).toThrow(expect.objectContaining({ code: 'ERR_STATE' }))
    expect(emulator.handle(abortAt(DEVICE_BASE, false))).toBe(mmio.STATUS_RETRY)
  })

  test('an abort that a device answers later is taken by the guest', () => {
    world.late = true
    const vcpu = world.at64(word)
    vcpu.x[4] = DEVICE_BASE
    const emulator = new mmio.ArmEmulator(vcpu, world, order)
    emulator.handle(abortAt(DEVICE_BASE, false))
    emulator.answer(true)
    expect(emulator.resume()).toBe(mmio.STATUS_FAULT)
    expect(vcpu.exception.farLo).toBe(DEVICE_BASE)
    expect(vcpu.x[4]).toBe(DEVICE_BASE)
  })
})

test('a device that reports an abort at once', () => {
  const vcpu = world.at64(0xf940_0041)
  vcpu.x[4] = DEVICE_BASE
  const failing = Object.assign(Object.create(world) as FlatWorld, { device: () => mmio.STATUS_UNHANDLED })
  const emulator = new mmio.ArmEmulator(vcpu, failing, order)
  expect(emulator.handle(abortAt(DEVICE_BASE, false))).toBe(mmio.STATUS_FAULT)
  expect(vcpu.exception.esrEl1 & 0x3f).toBe(0x10)
})

test('what stage 2 has repaired is left to the processor', () => {
  const vcpu = world.at64(0xf940_0041)
  vcpu.x[4] = DEVICE_BASE
  const repaired = Object.assign(Object.create(world) as FlatWorld, { region: () => mmio.Region.RAM })
  expect(new mmio.ArmEmulator(vcpu, repaired, order).handle(abortAt(DEVICE_BASE, false))).toBe(mmio.STATUS_RESTART)
})

/** What a hostile reading of the sources found, each against the manual. */
import { beforeEach, describe, expect, test } from 'vitest'
import { decodeLoadStoreThumb, LoadStore } from '@retrap/arm-decoder'
import * as mmio from '../src/index.ts'
import { abortAt, CODE_BASE, DEVICE_BASE, FlatWorld, flatVcpu, soleOrder, TABLE_BASE } from './support/flat-world.ts'

type Vcpu = ReturnType<typeof flatVcpu>

let world: FlatWorld

beforeEach(() => {
  world = new FlatWorld()
})

const mapping = (block: bigint): void => world.view.setBigUint64(TABLE_BASE, block, true)

/** Saves, forgets, and takes up in another emulator. */
function move(emulator: mmio.ArmEmulator, vcpu: Vcpu, order: mmio.DeviceOrder): mmio.ArmEmulator {
  const saved = JSON.parse(JSON.stringify(emulator.save())) as ReturnType<mmio.ArmEmulator['save']>
  emulator.cancel()
  const other = new mmio.ArmEmulator(vcpu, world, order)
  other.restore(saved)
  return other
}

describe('a saved instruction', () => {
  test('whose device then fails reports the address of that access', () => {
    world.late = true
    // ldp x0, x1, [x2], #16
    const vcpu = world.at64(0xa8c1_0440)
    vcpu.x[4] = DEVICE_BASE
    const order = soleOrder()
    const first = new mmio.ArmEmulator(vcpu, world, order)
    first.handle(abortAt(DEVICE_BASE, false))
    world.perform(first.log, first.log.pending)
    first.answer()
    expect(first.resume()).toBe(mmio.STATUS_RETRY)
    const other = move(first, vcpu, order)
    other.answer(true)
    expect(other.resume()).toBe(mmio.STATUS_FAULT)
    expect(vcpu.exception.farLo).toBe(DEVICE_BASE + 8)
    expect(vcpu.exception.esrEl1 & 0x3f).toBe(0x10)
  })

  test('that is an atomic keeps its address from the read to the write', () => {
    world.late = true
    // ldadd x0, x1, [x2]
    const vcpu = world.at64(0xf820_0041)
    vcpu.x[4] = DEVICE_BASE
    const order = new mmio.DeviceOrder(2)
    const first = new mmio.ArmEmulator(vcpu, world, order)
    expect(first.handle(abortAt(DEVICE_BASE, false))).toBe(mmio.STATUS_RETRY)
    const other = move(first, vcpu, order)
    world.perform(other.log, other.log.pending)
    other.answer()
    const lock = order.lockOf(DEVICE_BASE, 0)
    expect(order.tryLock(lock, 1)).toBe(false)
    expect(other.resume()).toBe(mmio.STATUS_RETRY)
    world.perform(other.log, other.log.pending)
    other.answer()
    expect(other.resume()).toBe(mmio.STATUS_DONE)
    expect(order.tryLock(lock, 1)).toBe(true)
  })
})

describe('the lock in a saved instruction', () => {
  // ldadd x0, x1, [x2]
  const begun = (order: mmio.DeviceOrder): { vcpu: Vcpu; saved: ReturnType<mmio.ArmEmulator['save']> } => {
    world.late = true
    const vcpu = world.at64(0xf820_0041)
    vcpu.x[4] = DEVICE_BASE
    const emulator = new mmio.ArmEmulator(vcpu, world, order)
    expect(emulator.handle(abortAt(DEVICE_BASE, false))).toBe(mmio.STATUS_RETRY)
    const saved = emulator.save()
    emulator.cancel()
    return { vcpu, saved }
  }

  test('may be -1, for none', () => {
    const order = new mmio.DeviceOrder(2)
    const { vcpu, saved } = begun(order)
    const other = new mmio.ArmEmulator(vcpu, world, order)
    other.restore({ ...saved, lock: -1 })
    expect(other.save().lock).toBe(-1)
    expect(order.tryLock(saved.lock, 1)).toBe(true)
  })

  test.each([-2, 64, 1.5, Number.NaN, 'x', undefined])('is no lock if it is %s', (lock) => {
    const order = new mmio.DeviceOrder(2)
    const { vcpu, saved } = begun(order)
    const other = new mmio.ArmEmulator(vcpu, world, order)
    expect(() => other.restore({ ...saved, lock: lock as number })).toThrow(
      expect.objectContaining({ code: 'ERR_SAVED' }),
    )
    expect(other.active).toBe(false)
  })

  test('stays with another vCPU that holds it', () => {
    const order = new mmio.DeviceOrder(2)
    const { vcpu, saved } = begun(order)
    expect(order.tryLock(saved.lock, 1)).toBe(true)
    const other = new mmio.ArmEmulator(vcpu, world, order)
    expect(() => other.restore(saved)).toThrow(expect.objectContaining({ code: 'ERR_SAVED' }))
    other.cancel()
    expect(order.tryLock(saved.lock, 0)).toBe(false)
  })
})

describe('rights', () => {
  // ldtr x0, [x1] at EL1; the page is EL1's alone.
  test.each([
    ['PSTATE.UAO gives unprivileged instructions the rights of EL1', 1 << 23, mmio.STATUS_DONE],
    ['without it they have those of EL0: the guest takes its own fault', 0, mmio.STATUS_RESTART],
  ])('%s', (_name, uao, expected) => {
    const vcpu = world.at64(0xf840_0820)
    mapping(0x401n)
    vcpu.pstate = 0x3c5 | uao
    vcpu.x[2] = DEVICE_BASE
    expect(new mmio.ArmEmulator(vcpu, world, soleOrder()).handle(abortAt(DEVICE_BASE, false))).toBe(expected)
  })

  test('a copy within one page needs the right to write it', () => {
    // cpyfm [x0]!, [x1]!, x2!
    const vcpu = world.at64(0x1941_0440)
    mapping(0x4c1n)
    vcpu.pstate = 1 << 29
    vcpu.x[0] = DEVICE_BASE + 0x100
    vcpu.x[2] = DEVICE_BASE
    vcpu.x[4] = 8
    const emulator = new mmio.ArmEmulator(vcpu, world, soleOrder(), { copyOption: 'B' })
    expect(emulator.handle(abortAt(DEVICE_BASE, false))).toBe(mmio.STATUS_FAULT)
    expect(vcpu.exception.esrEl1 & 0x7f).toBe(0x4d)
    expect(world.seen).toEqual([])
  })
})

describe('returns from exceptions are not for User mode, whose code may be swapped after the trap', () => {
  test.each([
    ['rfeia r0', 0xf890_0a00, false],
    ['ldmia r0, {r1, pc}^', 0xe8d0_8002, false],
    ['srsia sp, #19', 0xf8cd_0513, true],
  ])('%s', (_text, word, write) => {
    const run = (mode: number): { outcome: mmio.AccessStatus; vcpu: Vcpu } => {
      world.view.setUint32(CODE_BASE, word, true)
      const vcpu = flatVcpu(true)
      vcpu.pstate = 0x10 | mode
      vcpu.x[0] = DEVICE_BASE
      // SP_svc.
      vcpu.x[38] = DEVICE_BASE
      // SPSR_svc: User.
      vcpu.spsr[0] = 0x10
      new DataView(world.contents.buffer).setUint32(4, 0x1d3, true)
      const outcome = new mmio.ArmEmulator(vcpu, world, soleOrder()).handle(abortAt(DEVICE_BASE, write))
      return { outcome, vcpu }
    }
    const user = run(0)
    expect(user.outcome).toBe(mmio.STATUS_RESTART)
    expect([user.vcpu.pstate, user.vcpu.pc[0]]).toEqual([0x10, CODE_BASE])
    expect(world.seen).toEqual([])
    expect(run(3).outcome).toBe(mmio.STATUS_DONE)
    expect(world.seen).toHaveLength(2)
  })
})

describe('syndromes', () => {
  const withEsr = (abort: mmio.ArmAbort, bits: number): mmio.ArmAbort => ({ ...abort, esr: (abort.esr | bits) >>> 0 })

  test('a table in no memory is an external abort on the walk, at its level', () => {
    mapping(0x1000_0003n)
    const vcpu = world.at64(0xf940_0041)
    const abort = withEsr(abortAt(DEVICE_BASE, false), 1 << 7)
    expect(new mmio.ArmEmulator(vcpu, world, soleOrder()).handle(abort)).toBe(mmio.STATUS_FAULT)
    // Level 1 is RAM, and names level 2, which is the device's.
    expect(vcpu.exception.esrEl1 & 0x3f).toBe(0x16)
  })

  test('an unaligned access is taken apart even where the syndrome is valid', () => {
    // ldr w1, [x2]
    const vcpu = world.at64(0xb940_0041)
    vcpu.x[4] = DEVICE_BASE + 0xffe
    world.contents.set([1, 2, 3, 4], 0xffe)
    const abort = withEsr(abortAt(DEVICE_BASE + 0xffe, false), (1 << 24) | (2 << 22) | (1 << 16))
    expect(new mmio.ArmEmulator(vcpu, world, soleOrder()).handle(abort)).toBe(mmio.STATUS_DONE)
    expect(vcpu.x[2]).toBe(0x0403_0201)
    expect(world.seen.map(({ offset }) => offset)).toEqual([0xffe, 0xfff, 0x1000, 0x1001])
  })

  test('an instruction that loads from elsewhere does not explain an abort near address 0', () => {
    const vcpu = world.at64(0xf940_0041)
    vcpu.x[4] = DEVICE_BASE
    // A permission fault has no HPFAR that would tell.
    const abort = { ...abortAt(4, false), esr: ((0x24 << 26) | (1 << 25) | 0x0f) >>> 0 }
    expect(new mmio.ArmEmulator(vcpu, world, soleOrder()).handle(abort)).toBe(mmio.STATUS_RESTART)
    expect(world.seen).toEqual([])
  })
})

test('LDRSH of PC without writeback is a hint in T32', () => {
  expect(decodeLoadStoreThumb(0xf930, 0xfc34, new LoadStore())).toBe(false)
  expect(decodeLoadStoreThumb(0xf930, 0x1c34, new LoadStore())).toBe(true)
})

import { defineDevice } from '@retrap/device'
import { OwnTime } from '@retrap/tooling/processor-time'
import { describe, expect, test } from 'vitest'
import type { ArmDomain } from '../../src/arm/index.ts'
import { RealClock } from '../../src/index.ts'
import { DEVICE, domainWith, HVC, ITS, load, movk, movz, OFF, put, RAM, run, WFI } from '../support/arm-guest.ts'

const VECTORS = 0x800
/** VBAR_EL1 is where `withVectors` puts what tells of an exception. */
const SET_VECTORS = [...load(2, RAM + VECTORS), 0xd518_c002]

/** A domain where an exception ends the program: x4 = ESR_EL1, x5 = FAR_EL1, x6 = ELR_EL1. */
function withVectors(...program: number[]): ArmDomain {
  const domain = domainWith([...SET_VECTORS, ...program])
  for (let vector = 0; vector < 16; vector++) {
    put(domain, VECTORS + 0x80 * vector, [0xd538_5204, 0xd538_6005, 0xd538_4026, ...OFF])
  }
  return domain
}

const x = (domain: ArmDomain, register: number): bigint => domain.vcpus[0]!.processor.registers.x(register)
const put64 = (domain: ArmDomain, offset: number, value: bigint): void =>
  put(domain, offset, [Number(value & 0xffff_ffffn), Number(value >> 32n)])

/** Where `turnOnMmu` puts the tables; what it maps at `MAPPED`. */
const [LEVEL_1, LEVEL_2, LEVEL_3, FRAME, OTHER] = [0x10000, 0x11000, 0x12000, 0x20000, 0x21000]
const MAPPED = 0x8000_0000

/** Turns the MMU on: 39 bits of address, the first 2 GiB as they are. The upper byte of an address is a tag. */
function turnOnMmu(domain: ArmDomain, level2 = RAM + LEVEL_2): void {
  put64(domain, LEVEL_1, 0x405n)
  put64(domain, LEVEL_1 + 8, 0x4000_0701n)
  put64(domain, LEVEL_1 + 16, BigInt(level2) | 3n)
  put64(domain, LEVEL_2, BigInt(RAM + LEVEL_3) | 3n)
  put64(domain, LEVEL_3, BigInt(RAM + FRAME) | 0x703n)
  const { registers } = domain.vcpus[0]!.processor
  registers.set('mair_el1', 0x00ffn)
  registers.set('ttbr0_el1', BigInt(RAM + LEVEL_1))
  registers.set('tcr_el1', 25n | (25n << 16n) | (1n << 23n) | (2n << 32n) | (1n << 37n))
  registers.set('sctlr_el1', 0x30d0_0801n)
}

/** A device that counts how often it is asked. */
function attachCounter(domain: ArmDomain): () => number {
  let asked = 0
  domain.attach(
    defineDevice({
      name: 'counter',
      mmio: { base: DEVICE, size: 0x1000 },
      read: () => ++asked,
      write: () => void ++asked,
    }),
  )
  return () => asked
}

/** Arm ARM (DDI 0487), "Address tagging": the operand of a TLBI has no tag, and is about the page whatever the tag. */
test.each([0, 0x5a])('TLBI drops a page that was accessed with the tag %i', async (tag) => {
  const domain = withVectors(
    ...load(1, MAPPED),
    movk(1, tag << 8, 48),
    0xf940_0029, // ldr x9, [x1]
    ...load(3, RAM + LEVEL_3),
    ...load(4, RAM + OTHER + 0x703),
    0xf900_0064, // str x4, [x3]
    0xd503_3f9f, // dsb sy
    ...load(6, MAPPED >>> 12),
    0xd508_8326, // tlbi vae1is, x6
    0xd503_3f9f, // dsb sy
    0xd503_3fdf, // isb
    0xf940_002a, // ldr x10, [x1]
    ...OFF,
  )
  put64(domain, FRAME, 1n)
  put64(domain, OTHER, 2n)
  turnOnMmu(domain)
  expect(await run(domain)).toBe('power-off')
  expect([x(domain, 9), x(domain, 10)]).toEqual([1n, 2n])
})

test('a vCPU that waits does so no more after a reset', async () => {
  const domain = domainWith([WFI, 0x17ff_ffff], 1, new RealClock(() => performance.now() * 1e6))
  expect(await run(domain, 50)).toBe('stopped')
  put(domain, 0, OFF)
  domain.reset()
  domain.vcpus[0]!.start(BigInt(RAM), 0n)
  expect(await run(domain)).toBe('power-off')
})

/** Arm ARM (DDI 0487) D2.12: it is one instruction for a debugger, whoever has executed it. */
test.each([
  ['a load of a device', 0xb940_0023, 0xce00_0022n],
  ['an SMC', 0xd400_0003, 0xce00_0022n],
  ['NOP', 0xd503_201f, 0xcf00_0022n],
])('software step ends behind %s', async (_name, instruction, syndrome) => {
  const domain = withVectors(
    ...load(1, DEVICE),
    movz(0, 0x8000, 16), // SMCCC_VERSION
    0xd510_109f, // msr oslar_el1, xzr
    movz(9, 0x2001),
    0xd510_0249, // msr mdscr_el1, x9: KDE, SS
    ...load(9, RAM + 0x400),
    0xd518_4029, // msr elr_el1, x9
    ...load(9, 0x20_0005),
    0xd518_4009, // msr spsr_el1, x9: SS, EL1h
    0xd69f_03e0, // eret
  )
  put(domain, 0x400, [instruction, movz(11, 1), ...OFF])
  attachCounter(domain)
  expect(await run(domain)).toBe('power-off')
  expect([x(domain, 4), x(domain, 6), x(domain, 11)]).toEqual([syndrome, BigInt(RAM + 0x404), 0n])
})

describe('PSCI', () => {
  const ALL = 0xffff_ffff_ffff_ffffn
  const [NOT_SUPPORTED, INVALID_PARAMETERS, INVALID_ADDRESS] = [ALL, ALL - 1n, ALL - 8n]
  const ON = 0xc400_0003n
  const INFO = 0xc400_0004n
  test.each([
    [ON, 1n, ALL & ~3n, INVALID_ADDRESS],
    [ON, 1n, 1n << 63n, INVALID_ADDRESS],
    [ON, 1n, 1n << 48n, INVALID_ADDRESS],
    [ON, 1n, BigInt(DEVICE), INVALID_ADDRESS],
    [ON, 1n, BigInt(RAM + 2), INVALID_ADDRESS],
    [ON, ALL, BigInt(RAM), INVALID_PARAMETERS],
    [ON, 2n, BigInt(RAM), INVALID_PARAMETERS],
    [INFO, 1n, ALL, INVALID_PARAMETERS],
    [INFO, ALL, 0n, INVALID_PARAMETERS],
    [ALL, ALL, ALL, NOT_SUPPORTED],
  ])('a call of %i with %i and %i', async (...call) => {
    const domain = domainWith([HVC, 0xaa00_03e5, ...OFF], 2) // mov x5, x0
    call.slice(0, 3).forEach((value, i) => domain.vcpus[0]!.processor.registers.setX(i, value))
    expect(await run(domain)).toBe('power-off')
    expect(x(domain, 5)).toBe(call[3])
  })

  test('a vCPU that is started again has its timer off', async () => {
    const on = [movz(0, 0xc400, 16), movk(0, 3), movz(1, 1), ...load(2, RAM + 0x200), HVC]
    // AFFINITY_INFO until it says that the other one is off.
    const wait = [movz(0, 0xc400, 16), movk(0, 4), movz(1, 1), movz(2, 0), HVC, 0xf100_041f, 0x54ff_ff41]
    const domain = domainWith([...on, ...wait, ...on, ...wait, ...OFF], 2)
    put(domain, 0x200, [
      ...load(1, RAM + 0x900),
      0xf940_002c, // ldr x12, [x1]
      0x9100_058c, // add x12, x12, #1
      0xf900_002c, // str x12, [x1]
      0xd53b_e32b, // mrs x11, cntv_ctl_el0
      0xf900_042b, // str x11, [x1, #8]
      movz(3, 1),
      0xd51b_e323, // msr cntv_ctl_el0, x3
      movz(0, 0x8400, 16),
      movk(0, 2),
      HVC,
    ])
    expect(await run(domain)).toBe('power-off')
    const words = new BigUint64Array(2)
    domain.guestMemory.read(RAM + 0x900, new Uint8Array(words.buffer))
    expect([...words]).toEqual([2n, 0n])
  })
})

describe('where there is only a device', () => {
  test('code ends with an external abort', async () => {
    const domain = withVectors(...load(1, DEVICE), 0xd61f_0020) // br x1
    const asked = attachCounter(domain)
    expect(await run(domain)).toBe('power-off')
    expect([x(domain, 4), x(domain, 6), asked()]).toEqual([0x8600_0010n, BigInt(DEVICE), 0])
  })

  test('a table ends with an external abort of the walk', async () => {
    const domain = withVectors(...load(1, MAPPED), 0xf940_0029)
    const asked = attachCounter(domain)
    turnOnMmu(domain, DEVICE)
    expect(await run(domain)).toBe('power-off')
    expect([x(domain, 4), asked()]).toEqual([0x9600_0016n, 0])
  })
})

test.each([
  ['in no memory', 0x0a00_0000],
  ['that are undefined themselves', RAM + 0x1000],
])('vectors %s keep a vCPU busy, and not the host', async (_name, vectors) => {
  const domain = domainWith([...load(1, vectors), 0xd518_c001, 0])
  const time = new OwnTime()
  expect(await run(domain, 100)).toBe('stopped')
  expect(time.milliseconds()).toBeLessThan(2000)
})

test('a long queue of the interrupt translation service leaves what else is due its turn', () => {
  const domain = domainWith(OFF)
  const { dispatch, timers, clock } = domain
  /** GITS_CREADR, in commands. */
  const performed = (): number => {
    dispatch.mmioReadOrSend(0, ITS + 0x90, 4)
    return dispatch.lo / 32
  }
  // 500 commands of SYNC, of 512 that there is room for.
  const queue = new Uint32Array(4096)
  for (let i = 0; i < queue.length; i += 8) queue[i] = 5
  domain.guestMemory.write(RAM + 0x10000, new Uint8Array(queue.buffer))
  dispatch.mmioWrite(ITS + 0x80, 8, RAM + 0x10003, 0x8000_0000)
  dispatch.mmioWrite(ITS, 4, 1, 0)
  dispatch.mmioWrite(ITS + 0x88, 4, 500 * 32, 0)
  const atOnce = performed()
  timers.expire()
  expect([atOnce, performed()]).toEqual([64, 64])
  clock.advance(10_000_000)
  timers.expire()
  expect(performed()).toBe(128)
})

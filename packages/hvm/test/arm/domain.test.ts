import { setTimeout } from 'node:timers/promises'
import { defineDevice } from '@retrap/device'
import { describe, expect, test } from 'vitest'
import { DEVICE, domainWith, HVC, ldr, load, movk, movz, OFF, put, RAM, WFI } from '../support/arm-guest.ts'

describe.each([
  ['at once', <T>(value: T): T => value],
  ['later', async <T>(value: T): Promise<T> => setTimeout(2, value)],
])('a device that answers %s', (_name, answer) => {
  test('is read and written by every kind of access, once each', async () => {
    const seen: string[] = []
    const program = [
      movz(9, 0x30, 16),
      0xd518_1049, // msr cpacr_el1, x9
      movz(1, DEVICE >>> 16, 16),
      movz(2, 0x1234),
      0xb900_0022, // str w2, [x1]
      0xb841_0423, // ldr w3, [x1], #16
      0xa940_1424, // ldp x4, x5, [x1]
      0x3cc1_0420, // ldr q0, [x1], #16
      0xb862_0026, // ldadd w2, w6, [x1]
      0x885f_7c27, // ldxr w7, [x1]
      0x8808_7c22, // stxr w8, w2, [x1]
      ...OFF,
    ]
    const domain = domainWith(program)
    domain.attach(
      defineDevice({
        name: 'counter',
        mmio: { base: DEVICE, size: 0x1000 },
        read(offset, size) {
          seen.push(`r${offset}:${size}`)
          return answer(seen.length)
        },
        write(offset, size, value) {
          seen.push(`w${offset}:${size}=${value}`)
          return answer(undefined)
        },
      }),
    )
    expect(await domain.run()).toEqual({ reason: 'power-off' })
    expect(seen).toEqual([
      'w0:4=4660',
      'r0:4',
      'r16:4',
      'r20:4',
      'r24:4',
      'r28:4',
      'r16:4',
      'r20:4',
      'r24:4',
      'r28:4',
      'r32:4',
      'w32:4=4671',
      'r32:4',
      'w32:4=4660',
    ])
    const { registers } = domain.vcpus[0]!.processor
    expect([3, 4, 5, 6, 7, 8, 1].map((n) => registers.x(n))).toEqual([
      2n,
      17179869187n,
      25769803781n,
      11n,
      13n,
      0n,
      150994976n,
    ])
  })
})

test.each([
  ['none', 0, () => 7],
  ['one that answers at once', DEVICE, () => 7],
  ['one that answers later', DEVICE, () => setTimeout(2, 7)],
])('a turn is as long as any other when it has waited for a device: %s', async (_name, base, read) => {
  const program = [...load(1, base || RAM), ldr(2, 1, 0), 0x1400_0000] // b .
  const domain = domainWith(program)
  domain.attach(defineDevice({ name: 'answers', mmio: { base: DEVICE, size: 0x1000 }, read, write() {} }))
  domain.timers.create(() => domain.stop({ reason: 'stopped' })).armAfter(1)
  await domain.run()
  expect(domain.clock.now()).toBe(10_000)
})

test.each<[string, readonly number[], bigint]>([
  ['nothing in between', [], 0n],
  ['CLREX', [0xd503_3f5f], 1n],
  // adr x9, .+20; msr elr_el1, x9; mov x9, #0x3c5; msr spsr_el1, x9; eret
  ['a return from an exception', [0x1000_00a9, 0xd518_4029, movz(9, 0x3c5), 0xd518_4009, 0xd69f_03e0], 1n],
  ['a load-exclusive from RAM', [movz(10, RAM >>> 16, 16), 0x885f_7d4b], 1n],
  ['a store of its own to the device', [0xb900_0422], 0n],
])('a store-exclusive to a device after %s', async (_name, between, status) => {
  const program = [movz(1, DEVICE >>> 16, 16), movz(2, 5), 0x885f_7c27, ...between, 0x8808_7c22, ...OFF]
  const domain = domainWith(program)
  const written: number[] = []
  const write = (offset: number): void => void written.push(offset)
  domain.attach(defineDevice({ name: 'lock', mmio: { base: DEVICE, size: 0x1000 }, read: () => 1, write }))
  expect(await domain.run()).toEqual({ reason: 'power-off' })
  expect(domain.vcpus[0]!.processor.registers.x(8)).toBe(status)
  expect(written.includes(0)).toBe(status === 0n)
})

test('a vCPU is started by PSCI, and the machine goes off when it says so', async () => {
  const entry = 0x100
  const program = [
    movz(0, 0xc400, 16),
    movk(0, 3, 0),
    movz(1, 1),
    movz(2, RAM >>> 16, 16),
    movk(2, entry, 0),
    movz(3, 77),
    HVC,
    WFI,
    0x17ff_ffff, // b .-4
  ]
  const domain = domainWith(program, 2)
  // The other one: x5 = x0, then off.
  put(domain, entry, [0xaa00_03e5, ...OFF])
  expect(await domain.run()).toEqual({ reason: 'power-off' })
  expect(domain.vcpus[1]!.processor.registers.x(5)).toBe(77n)
  expect(domain.vcpus[0]!.processor.registers.x(0)).toBe(0n)
})

test('interrupts reach a vCPU that is on, without a word of the guest to its redistributor; none that is off', async () => {
  const entry = 0x200
  // w10 to w12 = GICR_WAKER (IHI 0069) of vCPU 0, of vCPU 1 before it is on, and after it has been.
  const waker = 0x080a_0014
  const look = [...load(8, waker), 0xb940_010a, ...load(9, waker + 0x2_0000), 0xb940_012b]
  const start = [movz(0, 0xc400, 16), movk(0, 3), movz(1, 1), ...load(2, RAM + entry), HVC]
  // AFFINITY_INFO until it is off again.
  const wait = [movz(0, 0xc400, 16), movk(0, 4), movz(1, 1), movz(2, 0), HVC, 0xf100_041f, 0x54ff_ff41]
  const domain = domainWith([...look, ...start, ...wait, 0xb940_012c, ...OFF], 2)
  // The other one: w13 = GICR_WAKER of its own, then CPU_OFF.
  put(domain, entry, [...load(9, waker + 0x2_0000), 0xb940_012d, movz(0, 0x8400, 16), movk(0, 2), HVC])
  expect(await domain.run()).toEqual({ reason: 'power-off' })
  const [first, second] = domain.vcpus.map(({ processor }) => processor.registers)
  expect([10, 11, 12].map((n) => first!.x(n))).toEqual([0n, 6n, 6n])
  expect(second!.x(13)).toBe(0n)
})

test('what nothing answers is an external abort', async () => {
  const vectors = 0x800
  const program = [movz(1, 0x0a00, 16), movz(2, RAM >>> 16, 16), movk(2, vectors, 0), 0xd518_c002, 0xb940_0023]
  const domain = domainWith(program)
  // At the vector of EL1h: x4 = ESR_EL1, x5 = FAR_EL1, off.
  put(domain, vectors + 0x200, [0xd538_5204, 0xd538_6005, ...OFF])
  expect(await domain.run()).toEqual({ reason: 'power-off' })
  const { registers } = domain.vcpus[0]!.processor
  expect([registers.x(4), registers.x(5)]).toEqual([0x9600_0010n, 0x0a00_0000n])
})

test('with stage 1 off, as firmware begins, an access that is not aligned faults', async () => {
  const vectors = 0x800
  // ldrh w7, [x1]; ldr w6, [x1]
  const unaligned = [movz(1, RAM >>> 16, 16), movk(1, 0xc02), 0x7940_0027, 0xb940_0026]
  const program = [movz(2, RAM >>> 16, 16), movk(2, vectors, 0), 0xd518_c002, ...unaligned]
  const domain = domainWith(program)
  // At the vector of EL1h: x4 = ESR_EL1, x5 = FAR_EL1, off.
  put(domain, vectors + 0x200, [0xd538_5204, 0xd538_6005, ...OFF])
  put(domain, 0xc00, [0x4433_2211])
  expect(await domain.run()).toEqual({ reason: 'power-off' })
  const { registers } = domain.vcpus[0]!.processor
  expect([registers.x(4), registers.x(5)]).toEqual([0x9600_0021n, 0x4000_0c02n])
  // The halfword is aligned.
  expect([registers.x(6), registers.x(7)]).toEqual([0n, 0x4433n])
})

test('WFE waits for the store of another vCPU to what LDAXR has marked', async () => {
  const entry = 0x100
  const program = [
    movz(0, 0xc400, 16),
    movk(0, 3, 0),
    movz(1, 1),
    movz(2, RAM >>> 16, 16),
    movk(2, entry, 0),
    HVC,
    movz(6, RAM >>> 16, 16),
    movk(6, 0x800, 0),
    0x885f_fcc5, // ldaxr w5, [x6]
    0x3500_0065, // cbnz w5, .+12
    0xd503_205f, // wfe
    0x17ff_fffd, // b .-12
    ...OFF,
  ]
  const domain = domainWith(program, 2)
  // The other one counts to 100,000, and stores.
  const other = [movz(6, RAM >>> 16, 16), movk(6, 0x800, 0), movz(7, 1, 16), 0xf100_04e7, 0x54ff_ffe1, 0xb900_00c7]
  other.push(movz(7, 1), 0xb900_00c7, WFI, 0x17ff_ffff)
  put(domain, entry, other)
  expect(await domain.run()).toEqual({ reason: 'power-off' })
  expect(domain.vcpus[0]!.processor.registers.x(5)).toBe(1n)
})

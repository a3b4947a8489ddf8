import { expect, test } from 'vitest'
import type { ArmDomain } from '../../src/arm/index.ts'
import { domainWith as domainOf, HVC, ldr, load, movk, movz, OFF, put, RAM, str } from '../support/arm-guest.ts'

const DISTRIBUTOR = 0x0800_0000
const INTERFACE = 0x0801_0000
const MESSAGES = { base: 0x0802_0000, first: 80, count: 4 }

const domainWith = (program: readonly number[], vcpus: number): ArmDomain =>
  domainOf(program, vcpus, undefined, {
    version: 2,
    distributor: DISTRIBUTOR,
    cpuInterface: INTERFACE,
    messages: MESSAGES,
  })

const REGISTERS = [...load(1, DISTRIBUTOR), ...load(2, INTERFACE)]

test('each vCPU sees its own registers of a GICv2, and ID_AA64PFR0_EL1 says that there are no others', async () => {
  const second = 0x100
  const program = [
    ...REGISTERS,
    movz(3, 1),
    str(3, 1, 0), // GICD_CTLR
    ldr(10, 1, 0x800), // GICD_ITARGETSR0
    0xd538_040b, // mrs x11, id_aa64pfr0_el1
    movz(0, 0xc400, 16),
    movk(0, 3, 0),
    movz(1, 1),
    movz(2, RAM >>> 16, 16),
    movk(2, second, 0),
    HVC,
    ...REGISTERS,
    ...load(3, (2 << 16) | 5),
    str(3, 1, 0xf00), // GICD_SGIR: 5, to the second
    ...load(20, RAM + 0x800),
    ldr(13, 20, 0),
    0x34ff_ffed, // cbz w13, .-4
    ...OFF,
  ]
  const domain = domainWith(program, 2)
  put(domain, second, [
    ...REGISTERS,
    movz(3, 0xf0),
    str(3, 2, 4), // GICC_PMR
    movz(3, 1),
    str(3, 2, 0), // GICC_CTLR
    ldr(3, 2, 0xc), // GICC_IAR
    0x710f_fc7f, // cmp w3, #1023
    0x54ff_ffc0, // b.eq .-8
    0xaa03_03ee, // mov x14, x3
    ldr(15, 1, 0x800),
    ...load(20, RAM + 0x800),
    str(15, 20, 0),
    0xd503_207f, // wfi
    0x17ff_ffff, // b .-4
  ])
  expect(await domain.run()).toEqual({ reason: 'power-off' })
  const [x, y] = domain.vcpus.map(({ processor }) => processor.registers)
  expect([x!.x(10), y!.x(15)]).toEqual([0x0101_0101n, 0x0202_0202n])
  expect(y!.x(14)).toBe(5n)
  // Advanced SIMD and GIC, fields of four bits.
  expect([(x!.x(11) >> 20n) & 15n, (x!.x(11) >> 24n) & 15n]).toEqual([1n, 0n])
})

test('a message is an interrupt of the frame, and no other', async () => {
  const frame = 0x0802_0000
  const program = [
    ...REGISTERS,
    // GICD_ICFGR5: 80 to 95 are edge-triggered. A level would not stay.
    ...load(3, 0xaaaa_aaaa),
    str(3, 1, 0xc14),
    ...load(4, frame),
    ldr(10, 4, 8), // MSI_TYPER
    movz(3, 82),
    str(3, 4, 0x40), // MSI_SETSPI_NS
    movz(3, 84),
    str(3, 4, 0x40),
    ldr(11, 1, 0x208), // GICD_ISPENDR2: 64 to 95
    ...OFF,
  ]
  const domain = domainWith(program, 1)
  domain.architecture.signalMsi(frame + 0x44, 81, 0)
  expect(await domain.run()).toEqual({ reason: 'power-off' })
  const { registers } = domain.vcpus[0]!.processor
  expect(registers.x(10)).toBe(BigInt((80 << 16) | 4))
  expect(registers.x(11)).toBe(1n << 18n)
})

test('more than eight vCPUs are refused', () => {
  expect(() => domainWith([], 9)).toThrow(/cpus is 9: expected an integer from 1 to 8/)
})

/** PSCI's CPU_SUSPEND, with a state, an entry point and a context. */
const suspend = (state: number, entry: number, context: number): number[] => [
  movz(0, 0xc400, 16),
  movk(0, 1, 0),
  ...load(1, state),
  ...load(2, entry),
  movz(3, context),
  HVC,
]

test('CPU_SUSPEND waits for an interrupt, and goes on or starts again', async () => {
  const [second, again, flag] = [0x200, 0x400, RAM + 0x800]
  const bases = [...load(21, DISTRIBUTOR), ...load(22, INTERFACE), ...load(20, flag)]
  /** Waits until the flag has a value; then sends an interrupt, after some time. */
  const afterFlag = (value: number, intid: number): number[] => [
    ldr(13, 20, 0),
    (0x7100_001f | (value << 10) | (13 << 5)) >>> 0, // cmp w13, #value
    0x54ff_ffc1, // b.ne .-8
    movz(14, 500),
    0xf100_05ce, // subs x14, x14, #1
    0x54ff_ffe1, // b.ne .-4
    ...load(3, (2 << 16) | intid),
    str(3, 21, 0xf00),
  ]
  const begin = [movz(0, 0xc400, 16), movk(0, 3, 0), movz(1, 1), ...load(2, RAM + second), HVC]
  const enable = [...bases, movz(3, 1), str(3, 21, 0)]
  const program = [
    ...begin,
    ...enable,
    ...afterFlag(1, 5),
    ...afterFlag(2, 6),
    ldr(13, 20, 0),
    0x7100_0dbf,
    0x54ff_ffc1,
  ]
  const domain = domainWith([...program, ...OFF], 2)
  const raise = (value: number): number[] => [movz(3, value), str(3, 20, 0)]
  put(domain, second, [
    ...bases,
    ...[movz(3, 0xf0), str(3, 22, 4), movz(3, 1), str(3, 22, 0)],
    // A level of power that there is not; then a state that keeps everything.
    ...suspend(0x0100_0000, 0, 0),
    str(0, 20, 16),
    ...raise(1),
    ...suspend(0, 0, 0),
    str(0, 20, 20),
    ...[ldr(11, 22, 0xc), str(11, 22, 0x10), str(11, 20, 24)],
    // No code there; then one that keeps nothing.
    ...suspend(0x1_0000, 0x1000, 0),
    str(0, 20, 28),
    ...raise(2),
    ...suspend(0x1_0000, RAM + again, 0x55),
    0x1400_0000, // b .
  ])
  put(domain, again, [0xaa00_03e5, ...bases, ldr(15, 22, 0xc), ...raise(3), 0xd503_207f, 0x17ff_ffff])
  expect(await domain.run()).toEqual({ reason: 'power-off' })
  const { registers } = domain.vcpus[1]!.processor
  const noted = new Int32Array(4)
  domain.guestMemory.read(flag + 16, new Uint8Array(noted.buffer))
  // INVALID_PARAMETERS; SUCCESS, and the interrupt; INVALID_ADDRESS.
  expect([...noted]).toEqual([-2, 0, 5, -9])
  expect([registers.x(5), registers.x(15)]).toEqual([0x55n, 6n])
})

test('the interrupt that is next can be asked for, and nothing changes', async () => {
  const program = [
    ...REGISTERS,
    movz(3, 1),
    str(3, 1, 0), // GICD_CTLR
    str(3, 2, 0), // GICC_CTLR
    movz(3, 0xf0),
    str(3, 2, 4), // GICC_PMR
    ...load(3, (1 << 16) | 5),
    str(3, 1, 0xf00), // GICD_SGIR: 5, to itself
    ...OFF,
  ]
  const domain = domainWith(program, 1)
  const { gic } = domain.architecture
  expect(gic.highestPending(0)).toBe(1023)
  expect(await domain.run()).toEqual({ reason: 'power-off' })
  expect([gic.highestPending(0), gic.highestPending(0), gic.wires.irqPending(0)]).toEqual([5, 5, true])
})

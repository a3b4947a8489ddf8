// What plain JavaScript may hand over by mistake: the answer is an ArmMmioError, and never an error of the engine's.
import { expect, test } from 'vitest'
import * as mmio from '../src/index.ts'

const JUNK: readonly unknown[] = [
  null,
  Number.NaN,
  1.5,
  -1,
  2 ** 60,
  'x',
  {},
  [],
  true,
  () => 0,
  Symbol('s'),
  10n ** 30n,
]

type Anything = (...args: readonly unknown[]) => unknown
const world = {} as never

function strange(what: string, run: () => unknown): string[] {
  try {
    run()
  } catch (error) {
    if (!(error instanceof mmio.ArmMmioError)) return [`${what}: ${String(error)}`]
  }
  return []
}

test('junk is a mistake of the caller', () => {
  const order = new mmio.DeviceOrder(1)
  const make = (options: unknown): mmio.ArmEmulator =>
    new mmio.ArmEmulator(mmio.createArmVcpu(), world, order, options as never)
  const found = JUNK.flatMap((junk) => [
    ...[mmio.decodeAbortSyndrome, mmio.describeSyndrome, mmio.encodeAbortSyndrome, mmio.deviceOrderBytes].flatMap(
      (run) => [
        ...strange(run.name, () => (run as Anything)(junk)),
        ...strange(run.name, () => (run as Anything)(undefined)),
        ...strange(run.name, () => (run as Anything)(0x9380_0007, junk)),
      ],
    ),
    ...strange('DeviceOrder', () => new mmio.DeviceOrder(junk as never)),
    ...strange('storage', () => new mmio.DeviceOrder(1, junk as never)),
    ...strange('offset', () => new mmio.DeviceOrder(1, new ArrayBuffer(4096), junk as never)),
    ...strange('vcpu', () => new mmio.ArmEmulator(null as never, junk as never, junk as never)),
    ...strange('world', () => new mmio.ArmEmulator(mmio.createArmVcpu(), null as never, junk as never)),
    ...strange('options', () => make(junk)),
    ...['zeroBlockBytes', 'undecodable', 'copyOption'].flatMap((name) => strange(name, () => make({ [name]: junk }))),
    ...strange('restore', () => make({}).restore(junk as never)),
  ])
  expect(found).toEqual([])
  expect(() => make({ copyOption: 'C' })).toThrow('copyOption is "C"')
  expect(() => new mmio.DeviceOrder(2, new ArrayBuffer(4))).toThrow(expect.objectContaining({ code: 'ERR_OPTION' }))
  expect(() => make({}).handle(null as never)).toThrow(expect.objectContaining({ code: 'ERR_SYNDROME' }))
})

test('a block of DC ZVA has 16 to 2048 bytes, a power of two (DDI 0487, DCZID_EL0: BS is 0010 to 1001)', () => {
  const accepts = (zeroBlockBytes: number): boolean => {
    try {
      return (
        new mmio.ArmEmulator(mmio.createArmVcpu(), world, new mmio.DeviceOrder(1), { zeroBlockBytes }) instanceof
        mmio.ArmEmulator
      )
    } catch {
      return false
    }
  }
  const sizes = Array.from({ length: 5000 }, (_, bytes) => bytes).filter(accepts)
  expect(sizes).toEqual([16, 32, 64, 128, 256, 512, 1024, 2048])
})

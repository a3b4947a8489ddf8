import { TestDisk, turn } from '@retrap/device-test'
import { UsbKeyboard, UsbPointer, UsbStorage } from '../../src/index.ts'
import { DATA, XhciDriver } from './xhci-driver.ts'

const INPUT = { connect: () => {}, ready: () => {} }
/** TRBs that one access may lead to: a batch, its longest transfer, and contexts. */
const MOST_READS = 20_000

/** Registers, rings and contexts at random: nothing throws, and work is bounded. @returns what went wrong, or null */
export async function hostileCase(choose: (bound: number) => number, steps: number): Promise<string | null> {
  const keyboard = new UsbKeyboard({ input: INPUT })
  const devices = [
    new UsbStorage({ medium: new TestDisk(1 << 16) }),
    keyboard,
    new UsbPointer({ kind: 'tablet', input: INPUT }),
  ]
  const driver = new XhciDriver(devices)
  const { machine } = driver
  const slots: number[] = []
  const begin = (): void => {
    driver.start()
    slots.length = 0
    for (const [port, speed] of [
      [1, 4],
      [6, 1],
    ] as const) {
      const slot = driver.address(port, speed)
      driver.configure(slot)
      driver.addEndpoint(slot, 3, 6)
      driver.addEndpoint(slot, 4, 2)
      slots.push(slot)
    }
  }
  begin()
  const places = [0x1000, 0x2000, 0x3000, 0x4000, 0x6000, 0x8400, 0x8800, 0x2_1000, 0x2_3000, 0x2_4000, DATA]
  const word = (): number => {
    const kind = choose(6)
    if (kind === 0) return choose(2 ** 32)
    if (kind === 1) return places[choose(places.length)]! + 16 * choose(32) + choose(2)
    if (kind === 2) return choose(0x2_0000)
    if (kind === 3) return (choose(40) << 10) | choose(0x400) | (choose(32) << 16)
    return kind === 4 ? 1 << choose(31) : choose(64)
  }
  const registers = [0x40, 0x44, 0x58, 0x5c, 0x70, 0x78, 0x1020, 0x1024, 0x1028, 0x1030, 0x1038, 0x103c]
  const acts: readonly (() => void)[] = [
    () => {
      const at = places[choose(places.length)]! + 4 * choose(256)
      machine.view.setUint32(at, word(), true)
    },
    () => {
      // A TRB of a known type with a cycle that may be right
      const at = places[choose(places.length)]! + 16 * choose(32)
      for (let i = 0; i < 3; i++) machine.view.setUint32(at + 4 * i, word(), true)
      const flags = choose(0x400) & ~0x10
      machine.view.setUint32(at + 12, ((1 + choose(24)) << 10) | flags | (choose(3) << 24) | (choose(8) << 16), true)
    },
    () => machine.write(0x2000 + 4 * choose(4), choose(8)),
    () => machine.write(0x2000 + 4 * (1 + choose(2)), 3 + choose(2)),
    () => machine.write(registers[choose(registers.length)]!, word()),
    () => machine.write(0x440 + 16 * choose(8), word()),
    () => machine.write(4 * choose(0x1000), word()),
    () => void machine.read(4 * choose(0x1000)),
    () => machine.advance(choose(1_000_000)),
    () => void keyboard.input([{ kind: 'key', usage: 4 + choose(100), down: choose(2) === 0 }]),
    () => void driver.events(),
  ]
  for (let i = 0; i < steps; i++) {
    const before = machine.reads
    acts[choose(acts.length)]!()
    if (machine.reads - before > MOST_READS) return `step ${i}: ${machine.reads - before} reads of guest memory`
    // oxlint-disable-next-line no-await-in-loop -- what devices answer comes in between
    if (choose(8) === 0) await turn()
    if (choose(60) === 0) {
      const state: unknown = structuredClone(driver.model.save())
      driver.model.restore(state)
      driver.model.resume()
    }
    if (choose(100) !== 0) continue
    // However it was left, a reset makes it work again.
    machine.write(0x2000 + 4 * 65, 0)
    try {
      begin()
    } catch (error) {
      return `step ${i}: after a reset: ${String(error)}`
    }
  }
  return null
}

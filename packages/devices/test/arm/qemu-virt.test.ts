import { hasProgram, skipNote } from '@retrap/tooling/skip'
import { slicedSeed } from '@retrap/tooling/slice'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { fwCfgInMemory, Pl011, Pl031, Pl061 } from '../../src/arm/index.ts'
import { FwCfg } from '../../src/index.ts'
import { FakeMachine } from '../support/fake-machine.ts'
import { QemuVirt } from '@retrap/tooling/qtest'

const available = hasProgram('qemu-system-aarch64')
const note = skipNote(available, 'there is no qemu-system-aarch64')

const UART = 0x0900_0000
const RTC = 0x0901_0000
const FW_CFG = 0x0902_0000
const GPIO = 0x0903_0000
const EPOCH = Date.UTC(2026, 0, 1) / 1000

/** A register, the bits that a guest may write, and the bits of a read that have to agree. */
interface Register {
  readonly at: number
  readonly write?: number
  readonly read?: number
}

/** What a test does to both boards. */
interface Step {
  readonly text: string
  readonly ours: (machine: FakeMachine) => unknown
  readonly theirs: (qemu: QemuVirt) => Promise<unknown>
}

const load = (gpa: number, mask = 0xffff_ffff): Step => ({
  text: `load ${gpa.toString(16)}`,
  ours: (machine) => (machine.load(gpa) & mask) >>> 0,
  theirs: async (qemu) => ((await qemu.read(gpa, 4)) & mask) >>> 0,
})
const store = (gpa: number, value: number): Step => ({
  text: `store ${gpa.toString(16)} ${value.toString(16)}`,
  ours: (machine) => machine.store(gpa, value),
  theirs: (qemu) => qemu.write(gpa, 4, value),
})

/** Random reads and writes of registers. */
function accesses(base: number, registers: readonly Register[]): fc.Arbitrary<Step> {
  const values = fc.oneof(fc.constantFrom(0, 0xffff_ffff), fc.integer({ min: 0, max: 0xffff_ffff }))
  return fc.tuple(fc.constantFrom(...registers), values, fc.boolean()).map(([{ at, write, read }, value, isWrite]) => {
    if (isWrite && write !== undefined) return store(base + at, (value & write) >>> 0)
    return load(base + at, read)
  })
}

/** QEMU's board and ours agree at each of 5000 random steps. */
async function compare(qemu: QemuVirt, ours: FakeMachine, step: fc.Arbitrary<Step>, seed: number): Promise<void> {
  const steps = fc.sample(step, { numRuns: 5000, seed })
  const theirs = await Promise.all(steps.map((each) => each.theirs(qemu)))
  steps.forEach((each, i) => {
    const before = steps.slice(Math.max(0, i - 20), i).map(({ text }) => text)
    const got = each.ours(ours)
    if (got !== theirs[i]) expect.unreachable(`${each.text}: ${got}, QEMU ${theirs[i]}, after ${before.join(', ')}`)
  })
}

const identification: Register[] = Array.from({ length: 8 }, (_, i) => ({ at: 0xfe0 + 4 * i, write: 0xff }))

describe.skipIf(!available)(`the devices of QEMU's virt${note}`, () => {
  const seed = slicedSeed(1)
  const run = async (check: (qemu: QemuVirt) => Promise<void>): Promise<void> => {
    const rtc = ['-rtc', 'base=2026-01-01T00:00:00,clock=vm']
    const qemu = new QemuVirt('-serial', 'null', ...rtc, '-fw_cfg', 'name=opt/text,string=abcdefghijklm')
    try {
      await check(qemu)
    } finally {
      await qemu.stop()
    }
  }

  test('the PL011 answers as QEMU’s', async () => {
    const ours = new FakeMachine(new Pl011({ base: UART, irq: 33 }))
    // QEMU 7.2 has no modem inputs and no loopback (DDI 0183, "UARTCR"), which are left out here.
    const registers: Register[] = [
      { at: 0x00, write: 0xff },
      { at: 0x04, write: 0xff },
      { at: 0x18, read: 0x0f8 },
      { at: 0x20, write: 0xff },
      { at: 0x24, write: 0xffff },
      { at: 0x28, write: 0x3f },
      { at: 0x2c, write: 0xfe },
      { at: 0x2c, write: 0xff },
      { at: 0x30, write: 0xff07 },
      { at: 0x34, write: 0x3f },
      { at: 0x38, write: 0x7ff },
      { at: 0x3c },
      { at: 0x40 },
      { at: 0x44, write: 0x7ff },
      { at: 0x48, write: 0x7 },
      ...identification,
    ]
    await run((qemu) => compare(qemu, ours, accesses(UART, registers), seed))
  })

  test('the PL031 answers as QEMU’s', async () => {
    const ours = new FakeMachine(new Pl031({ base: RTC, irq: 34, epochSeconds: EPOCH }))
    const registers: Register[] = [
      { at: 0x00 },
      { at: 0x04, write: 0xffff_ffff },
      { at: 0x08, write: 0xffff_ffff },
      // Small numbers meet one another: the alarm comes.
      { at: 0x04, write: 0x7 },
      { at: 0x08, write: 0x7 },
      { at: 0x0c, write: 1 },
      { at: 0x10, write: 1 },
      { at: 0x14 },
      { at: 0x18 },
      { at: 0x1c, write: 1 },
      ...identification,
    ]
    await run((qemu) => compare(qemu, ours, accesses(RTC, registers), seed))
  })

  test('the PL061 answers as QEMU’s', async () => {
    const gpio = new Pl061({ base: GPIO, irq: 39 })
    const ours = new FakeMachine(gpio)
    // QEMU keeps a level's interrupt after the level has gone (DDI 0190, "GPIOIC": it "has no effect" on levels), and the
    // level of a line that was an output when the line becomes an input: sense and direction stay.
    const registers: Register[] = [
      ...[0x004, 0x0fc, 0x208, 0x3fc].map((at) => ({ at, write: 0xff })),
      { at: 0x400 },
      { at: 0x404 },
      { at: 0x408, write: 0xff },
      { at: 0x40c, write: 0xff },
      { at: 0x410, write: 0xff },
      { at: 0x414 },
      { at: 0x418 },
      { at: 0x41c, write: 0xff },
      { at: 0x420, write: 0xff },
      ...identification,
    ]
    const inputs = fc
      .tuple(fc.constantFrom(0, 1, 2, 3, 6), fc.constantFrom(0 as const, 1 as const))
      .map(([line, level]): Step => ({
        text: `line ${line} ${level}`,
        ours: () => gpio.setInput(line, level === 1),
        theirs: (qemu) => qemu.setGpio(line, level),
      }))
    const step = fc.oneof({ arbitrary: accesses(GPIO, registers), weight: 6 }, { arbitrary: inputs, weight: 1 })
    await run(async (qemu) => {
      ours.store(GPIO + 0x400, 0xb0)
      await qemu.write(GPIO + 0x400, 4, 0xb0)
      await compare(qemu, ours, step, seed)
    })
  })

  test('fw_cfg in memory answers as QEMU’s', async () => {
    const text = Uint8Array.from('abcdefghijklm', (c) => c.charCodeAt(0))
    const ours = new FakeMachine(new FwCfg({ place: fwCfgInMemory(FW_CFG), files: { 'opt/text': { bytes: text } } }))
    await run(async (qemu) => {
      const file = await qemuFile(qemu, 'opt/text')
      await qemu.write(FW_CFG + 8, 2, 0)
      const select = fc.constantFrom(0x0000, 0x0100, 0x3412, 0x2000).map((key): Step => ({
        text: `select ${key.toString(16)}`,
        ours: (machine) => machine.store(FW_CFG + 8, key, 2),
        theirs: (board) => board.write(FW_CFG + 8, 2, key === 0x2000 ? ((file & 0xff) << 8) | (file >> 8) : key),
      }))
      const read = fc
        .tuple(fc.constantFrom(0, 0x10), fc.constantFrom(1 as const, 2 as const, 4 as const, 8 as const))
        .map(([at, size]): Step => ({
          text: `read ${at.toString(16)} ${size}`,
          ours: (machine) => (size === 8 ? machine.load64(FW_CFG + at) : machine.load(FW_CFG + at, size)),
          theirs: (board) => (size === 8 ? board.read64(FW_CFG + at) : board.read(FW_CFG + at, size)),
        }))
      await compare(qemu, ours, fc.oneof(select, read), seed)
    })
  })
})

/** Key of a file in QEMU's directory. */
async function qemuFile(qemu: QemuVirt, name: string): Promise<number> {
  await qemu.write(FW_CFG + 8, 2, 0x1900)
  const bytes = async (count: number): Promise<number[]> =>
    Promise.all(Array.from({ length: count }, () => qemu.read(FW_CFG, 1)))
  const [, , high, low] = await bytes(4)
  for (let left = (high! << 8) | low!; left > 0; left--) {
    const entry = await bytes(64)
    const text = String.fromCharCode(...entry.slice(8)).replace(/\0.*$/, '')
    if (text === name) return (entry[4]! << 8) | entry[5]!
  }
  throw new Error(`QEMU has no ${name}`)
}

/** A domain whose vCPUs are of another instruction set than x86. */
import { defineDevice, type DeviceModel, type InterruptLine, type Timer } from '@retrap/device'
import { MachineMemory } from '@retrap/memory'
import { INVALID_MFN, P2mEntry } from '@retrap/p2m'
import { describe, expect, test } from 'vitest'
import { DeterministicClock, Domain } from '../src/index.ts'
import { TestSleeper } from './support/guest.ts'
import { assemble, Op, ToyArchitecture, type ToyVcpu } from './support/toy-cpu.ts'

const SENSOR = 0x8000_0000
const EXIT = 0x8000_1000
const TIMER = 0x8000_2000
const RESULT = 0x8000

/** A sensor whose readings take host time, a port that ends the domain, and a timer that interrupts. */
function devices(stop: (code: number) => void): DeviceModel[] {
  let reading = 40
  let timer: Timer
  let now: () => number = () => 0
  let line: InterruptLine
  return [
    defineDevice({
      name: 'sensor',
      mmio: { base: SENSOR, size: 4 },
      read: () => new Promise((resolve) => void setTimeout(resolve, 1, reading++)),
    }),
    defineDevice({ name: 'exit', mmio: { base: EXIT, size: 4 }, write: (_offset, _size, code) => stop(code) }),
    defineDevice({
      name: 'timer',
      mmio: { base: TIMER, size: 4 },
      attach: (context) => {
        line = context.interruptLine(0)
        now = () => context.clock.now()
        timer = context.timer(() => line.pulse())
      },
      write: (_offset, _size, ns) => timer.arm(now() + ns),
    }),
  ]
}

function make(vcpus: number, ...programs: readonly (readonly (readonly [number, number])[])[]) {
  const memory = MachineMemory.create({ bytes: 4 << 20 })
  const domain = new Domain<ToyVcpu, ToyArchitecture>(
    { memory, vcpus, clock: new DeterministicClock(), sleeper: new TestSleeper() },
    (each) => new ToyArchitecture(each, vcpus),
  )
  domain.p2m.populate(0, 16)
  for (const model of devices((code) => domain.stop({ reason: 'debug-exit', code }))) domain.attach(model)
  domain.reset()
  for (const [id, program] of programs.entries()) {
    domain.guestMemory.load(id * 0x1000, assemble(...program))
    ;(domain.vcpus[id] as ToyVcpu).cpu.pc = id * 0x1000
  }
  const read = (gpa: number): number => {
    const bytes = new Uint8Array(4)
    domain.guestMemory.read(gpa, bytes)
    return new DataView(bytes.buffer).getUint32(0, true)
  }
  return { domain, memory, read }
}

describe('a domain of another instruction set', () => {
  test('its vCPU waits for a device that takes its time, and for a timer', async () => {
    const { domain, read } = make(1, [
      [Op.ADD, 50_000],
      [Op.STORE, TIMER],
      [Op.WAIT, 15],
      // The interrupt goes on here.
      [Op.LOAD, SENSOR],
      [Op.ADD, 2],
      [Op.STORE, RESULT],
      [Op.STORE, EXIT],
    ])
    expect(await domain.run()).toEqual({ reason: 'debug-exit', code: 42 })
    expect(read(RESULT)).toBe(42)
    expect(domain.clock.now()).toBeGreaterThanOrEqual(50_000)
    expect(domain.clock.now()).toBeLessThan(51_000)
    const [vcpu] = domain.vcpus
    expect(vcpu?.cpu.retired).toBe(8)
    expect(vcpu?.turns).toBeGreaterThan(2)
    expect(domain.exits['waits for an interrupt']).toBe(1)
  })

  test('several vCPUs share the memory, and one that waits lets the others go on', async () => {
    const sum = (from: number): readonly (readonly [number, number])[] => [
      [Op.LOAD, SENSOR],
      [Op.STORE, RESULT + from],
      [Op.WAIT, 0],
    ]
    const { domain, read } = make(
      3,
      [
        [Op.ADD, 60_000_000],
        [Op.STORE, TIMER],
        [Op.WAIT, 15],
        [Op.STORE, EXIT],
      ],
      sum(4),
      sum(8),
    )
    expect(await domain.run()).toEqual({ reason: 'debug-exit', code: 60_000_000 })
    expect([read(RESULT + 4), read(RESULT + 8)].sort()).toEqual([40, 41])
  })

  test('a second-level fault populates RAM on demand', async () => {
    const { domain, read } = make(1, [
      [Op.ADD, 7],
      [Op.STORE, 0x20_0000],
      [Op.LOAD, 0x20_0000],
      [Op.STORE, EXIT],
    ])
    domain.p2m.onDemand.mark(0x200, 1)
    domain.p2m.onDemand.setCache(1)
    expect(await domain.run()).toEqual({ reason: 'debug-exit', code: 7 })
    expect(read(0x20_0000)).toBe(7)
  })

  test('RAM that is taken away in the middle of an instruction is acknowledged by every device model', async () => {
    const { domain, memory } = make(1, [
      [Op.LOAD, SENSOR],
      [Op.STORE, EXIT],
    ])
    const told: string[] = []
    domain.attach({ name: 'card', attach: () => undefined, invalidate: () => void told.push('card') })
    const free = memory.frames.freeFrames
    const run = domain.run()
    await domain.changeMemory((p2m) => {
      const entry = new P2mEntry()
      p2m.lookup(9, entry)
      expect(entry.mfn).not.toBe(INVALID_MFN)
      p2m.remove(9, entry.mfn)
    })
    expect(told).toEqual(['card'])
    expect(memory.frames.freeFrames).toBe(free + 1)
    expect(await run).toEqual({ reason: 'debug-exit', code: 40 })
  })

  test('a snapshot brings its vCPU between two instructions', async () => {
    const { domain } = make(1, [
      [Op.LOAD, SENSOR],
      [Op.STORE, EXIT],
    ])
    const [vcpu] = domain.vcpus
    expect(vcpu?.cpu.run(10)).toEqual({ reason: 'blocked' })
    await domain.settle(1000)
    expect([vcpu?.cpu.busy, vcpu?.cpu.accumulator, vcpu?.cpu.retired]).toEqual([false, 40, 1])
  })
})

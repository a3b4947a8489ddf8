import type { AccessSize, DeviceModel } from '@retrap/device'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { fwCfgInMemory, Pl011, Pl031, Pl061 } from '../../src/arm/index.ts'
import { FwCfg } from '../../src/index.ts'
import { FakeMachine } from '../support/fake-machine.ts'

const BASE = 0x0900_0000

interface Subject {
  readonly name: string
  readonly bytes: number
  readonly make: () => DeviceModel
}

const SUBJECTS: readonly Subject[] = [
  {
    name: 'PL011',
    bytes: 0x1000,
    make: () => {
      const send = (bytes: Uint8Array): boolean => bytes[0]! % 3 !== 0
      return new Pl011({
        base: BASE,
        irq: 33,
        stream: { send, connect: (client) => client.receive(new Uint8Array(99)) },
      })
    },
  },
  { name: 'PL031', bytes: 0x1000, make: () => new Pl031({ base: BASE, irq: 33, epochSeconds: 5 }) },
  { name: 'PL061', bytes: 0x1000, make: () => new Pl061({ base: BASE, irq: 33 }) },
  {
    name: 'fw_cfg',
    bytes: 0x18,
    make: () => new FwCfg({ place: fwCfgInMemory(BASE), files: { a: { bytes: new Uint8Array(100), writable: true } } }),
  },
]

test.each(SUBJECTS)('whatever a guest does to a $name, a restored one goes on in the same way', ({ make, bytes }) => {
  const step = fc.record({
    at: fc.oneof(fc.nat(Math.min(bytes, 0x50) - 4), fc.nat(bytes - 4)),
    size: fc.constantFrom<AccessSize>(1, 2, 4),
    value: fc.oneof(fc.nat(255), fc.integer({ min: 0, max: 0xffff_ffff })),
    kind: fc.constantFrom('read', 'write', 'write', 'time'),
  })
  const steps = fc.array(step, { maxLength: 80, size: 'max' })
  const run = (machine: FakeMachine, sequence: readonly (typeof step extends fc.Arbitrary<infer T> ? T : never)[]) =>
    sequence.map(({ at, size, value, kind }) => {
      if (kind === 'time') machine.advance(value)
      else if (kind === 'write') machine.store(BASE + at, value % 2 ** (8 * size), size)
      return [machine.load(BASE + at, size), machine.line(33).level]
    })
  fc.assert(
    fc.property(steps, steps, (before, after) => {
      const model = make()
      const machine = new FakeMachine(model)
      run(machine, before)
      const other = make()
      const restored = new FakeMachine(other)
      restored.time = machine.time
      restored.ram.set(machine.ram)
      void other.restore!(JSON.parse(JSON.stringify(model.save!())))
      expect(JSON.stringify(other.save!())).toBe(JSON.stringify(model.save!()))
      expect(run(restored, after)).toEqual(run(machine, after))
    }),
    { numRuns: 300 },
  )
})

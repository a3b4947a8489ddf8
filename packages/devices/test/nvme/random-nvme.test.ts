import fc from 'fast-check'
import { slicedCount } from '@retrap/tooling/slice'
import { test } from 'vitest'
import { ADMIN_SUBMISSIONS, DATA, IO_SUBMISSIONS, LISTS, NvmeMachine } from '../support/nvme-machine.ts'
import { TestMedium } from '../support/test-medium.ts'

const near = fc.constantFrom(0, 1, 2, 7, 8, 9, 15, 16, 17, 0x3ff, 0x400, 0xffff, 0xffff_ffff, 0x8000_0000)
const word = fc.oneof(near, fc.nat({ max: 0xffff_ffff }))
const address = fc.oneof(
  fc.constantFrom(DATA, DATA + 8, LISTS, LISTS + 0xff8, 0, 0x17_f000, 0xffff_f000),
  fc.nat({ max: 0x17_ffff }).map((at) => at - (at % 4)),
)
const command = fc.record({
  opcode: fc.oneof(fc.constantFrom(0, 1, 2, 4, 5, 6, 8, 9, 10, 12), fc.nat({ max: 255 })),
  flags: fc.constantFrom(0, 0, 0, 0x40, 1),
  namespace: fc.constantFrom(1, 1, 1, 0, 2, 0xffff_ffff),
  prp1: address,
  prp2: address,
  words: fc.array(word, { maxLength: 6 }),
})
const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('submit' as const), queue: fc.constantFrom(0, 1), command }) },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('register' as const), offset: fc.nat({ max: 0x20 }), value: word }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('doorbell' as const), index: fc.nat({ max: 20 }), value: word }),
  },
  { weight: 1, arbitrary: fc.constant({ kind: 'start' as const }) },
  { weight: 3, arbitrary: fc.constant({ kind: 'pass' as const }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'look' as const }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'hold' as const }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'scribble' as const }) },
)

test('no guest makes it throw or hang, and a reset ends all that it does', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40, size: 'max' }), fc.nat(), async (steps, seed) => {
      const medium = new TestMedium(16 * 512, 2048 * 512)
      const nvme = new NvmeMachine(medium)
      nvme.enable()
      let random = seed | 1
      for (const one of steps) {
        if (one.kind === 'submit') nvme.submit(one.queue as 0 | 1, one.command)
        else if (one.kind === 'register') nvme.write(4 * one.offset, one.value)
        else if (one.kind === 'doorbell') nvme.write(0x1000 + 4 * one.index, one.value)
        else if (one.kind === 'start') nvme.enable()
        else if (one.kind === 'look') nvme.completions(1)
        else if (one.kind === 'hold') medium.hold = true
        else if (one.kind === 'scribble') {
          for (let at = 0; at < 1024; at++) {
            random = (Math.imul(random, 1664525) + 1013904223) | 0
            nvme.machine.ram[(at & 1 ? ADMIN_SUBMISSIONS : IO_SUBMISSIONS) + at] = random >>> 24
          }
        } else await nvme.pass()
      }
      await medium.release()
      nvme.model.reset()
      for (let i = 0; i < 3; i++) await nvme.pass()
      const image = nvme.machine.ram.slice()
      for (let i = 0; i < 3; i++) await nvme.pass()
      if (nvme.read(0x1c) !== 0) throw new Error('not at rest after the reset')
      if (Buffer.compare(image, nvme.machine.ram) !== 0) throw new Error('written after the reset')
    }),
    { numRuns: slicedCount(60, 4) },
  )
})

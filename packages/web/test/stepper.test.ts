/** A single step on a host that has no processor for the Worker at the time. */
import { setImmediate as turn } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { type SteppedLife, Stepper } from '../src/worker/stepper.ts'

/** A life whose machine executes its instruction by `step`, and runs until it is stopped. */
function life(step: () => Promise<void>): SteppedLife {
  const tool = { cpus: 1, stop: async () => {}, step, resume: () => {} }
  const machine = { debugger: async () => tool } as unknown as ReturnType<SteppedLife['powered']>
  return { rest: async () => {}, go: () => new Promise(() => {}), powered: () => machine }
}

test('it is executed, although the process stands still meanwhile', async () => {
  const stepper = new Stepper(
    life(async () => {
      await turn()
      for (const end = performance.now() + 400; performance.now() < end;);
      for (let i = 0; i < 20; i++) await turn()
    }),
  )
  expect(await stepper.step(0)).toBe(true)
})

test('it is not, where the machine waits for something', async () => {
  const stepper = new Stepper(life(() => new Promise(() => {})))
  expect(await stepper.step(0)).toBe(false)
})

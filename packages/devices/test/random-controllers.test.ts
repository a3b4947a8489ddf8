import fc from 'fast-check'
import { slicedCount } from '@retrap/tooling/slice'
import { describe, expect, test } from 'vitest'
import { holds } from './support/holds.ts'
import { RandomAhci } from './support/random-ahci.ts'
import { RandomIde } from './support/random-ide.ts'

describe.each([
  { name: 'IDE', make: (isWatched: boolean) => new RandomIde(isWatched) },
  { name: 'AHCI', make: () => new RandomAhci() },
])('a controller of $name', ({ make }) => {
  test('whatever a guest does: nothing throws, no byte lands where it may not, work is bounded', () =>
    holds(slicedCount(60, 4), async (choose) => {
      const board = make(true)
      for (let i = 0; i < 60; i++) {
        if (choose(10) === 0) board.disk.hold = true
        else if (choose(5) === 0) await board.disk.release()
        await board.act(choose)
      }
      await board.disk.release()
      return board.violation
    }))

  test('that was saved and restored elsewhere goes on as the first one does', async () => {
    const numbersOfAct = fc.array(fc.nat(), { minLength: 400, maxLength: 400, size: 'max' })
    await fc.assert(
      fc.asyncProperty(numbersOfAct, fc.nat(25), async (numbers, first) => {
        let at = 0
        const choose = (bound: number): number => (numbers[at++ % numbers.length] ?? 0) % bound
        const one = make(false)
        for (let i = 0; i < first; i++) await one.act(choose)
        await one.controller.model.quiesce()
        const two = make(false)
        two.controller.machine.time = one.controller.machine.time
        two.controller.machine.ram.set(one.controller.machine.ram)
        if (one instanceof RandomAhci && two instanceof RandomAhci) two.controller.config.set(one.controller.config)
        two.disk.bytes.set(one.disk.bytes)
        two.cd.bad = one.cd.bad
        two.disk.bad = one.disk.bad
        // Of two kinds of controllers, each of its own.
        const restore = two.controller.model.restore.bind(two.controller.model) as (state: unknown) => void
        restore(structuredClone(one.controller.model.save()))
        one.controller.model.resume()
        two.controller.model.resume()
        const from = at
        const goOn = async (board: RandomIde | RandomAhci): Promise<unknown[]> => {
          at = from
          const seen: unknown[] = [board.observed()]
          for (let i = 0; i < 12; i++) {
            seen.push(await board.act(choose), board.observed())
          }
          return [
            seen,
            ...[board.controller.machine.ram, board.disk.bytes].map((bytes) => Buffer.from(bytes).toString('latin1')),
          ]
        }
        const [expected, got] = [await goOn(one), await goOn(two)]
        expect(got[0]).toEqual(expected[0])
        expect(got[1] === expected[1] && got[2] === expected[2]).toBe(true)
      }),
      { numRuns: slicedCount(60, 4) },
    )
  })
})

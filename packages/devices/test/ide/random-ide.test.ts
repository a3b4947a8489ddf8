import fc from 'fast-check'
import { slicedCount } from '@retrap/tooling/slice'
import { expect, test } from 'vitest'
import { RandomIde } from '../support/random-ide.ts'

test('whatever a guest does: nothing throws, no byte lands outside the table’s entries, work is bounded', async () => {
  await fc.assert(
    fc.asyncProperty(fc.infiniteStream(fc.nat()), async (stream) => {
      const choose = (bound: number): number => (stream.next().value as number) % bound
      const board = new RandomIde(true)
      for (let i = 0; i < 60; i++) {
        if (choose(10) === 0) board.disk.hold = true
        else if (choose(5) === 0) await board.disk.release()
        await board.act(choose)
      }
      await board.disk.release()
      expect(board.violation).toBe(undefined)
    }),
    { numRuns: slicedCount(60, 4) },
  )
})

test('a controller that was saved and restored elsewhere goes on as the first one does', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.nat(), { minLength: 400, maxLength: 400, size: 'max' }),
      fc.nat(25),
      async (numbers, first) => {
        let at = 0
        const choose = (bound: number): number => (numbers[at++ % numbers.length] ?? 0) % bound
        const one = new RandomIde(false)
        for (let i = 0; i < first; i++) {
          await one.act(choose)
        }
        await one.ide.model.quiesce()
        const two = new RandomIde(false)
        two.ide.machine.time = one.ide.machine.time
        two.ide.machine.ram.set(one.ide.machine.ram)
        two.disk.bytes.set(one.disk.bytes)
        two.cd.bad = one.cd.bad
        two.disk.bad = one.disk.bad
        two.ide.model.restore(structuredClone(one.ide.model.save()))
        one.ide.model.resume()
        two.ide.model.resume()
        const from = at
        const goOn = async (board: RandomIde): Promise<unknown[]> => {
          at = from
          const seen: unknown[] = [board.observed()]
          for (let i = 0; i < 12; i++) {
            seen.push(await board.act(choose))
          }
          return [
            seen,
            Buffer.from(board.ide.machine.ram).toString('latin1'),
            Buffer.from(board.disk.bytes).toString('latin1'),
          ]
        }
        const expected = await goOn(one)
        const got = await goOn(two)
        expect(got[0]).toEqual(expected[0])
        expect(got[1] === expected[1] && got[2] === expected[2]).toBe(true)
      },
    ),
    { numRuns: slicedCount(60, 4) },
  )
})

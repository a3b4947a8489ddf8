import fc from 'fast-check'
import { slicedCount } from '@retrap/tooling/slice'
import { expect, test } from 'vitest'
import { RandomAhci } from './support/random-ahci.ts'

test('whatever a guest does to AHCI: nothing throws, no byte is moved while it is stopped, work is bounded', async () => {
  await fc.assert(
    fc.asyncProperty(fc.infiniteStream(fc.nat()), async (stream) => {
      const choose = (bound: number): number => (stream.next().value as number) % bound
      const board = new RandomAhci()
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
    fc.asyncProperty(fc.array(fc.nat(), { minLength: 400, maxLength: 400 }), fc.nat(25), async (numbers, first) => {
      let at = 0
      const choose = (bound: number): number => (numbers[at++ % numbers.length] ?? 0) % bound
      const one = new RandomAhci()
      for (let i = 0; i < first; i++) {
        await one.act(choose)
      }
      await one.ahci.model.quiesce()
      const two = new RandomAhci()
      two.ahci.machine.time = one.ahci.machine.time
      two.ahci.machine.ram.set(one.ahci.machine.ram)
      two.ahci.config.set(one.ahci.config)
      two.disk.bytes.set(one.disk.bytes)
      two.cd.bad = one.cd.bad
      two.disk.bad = one.disk.bad
      two.ahci.model.restore(structuredClone(one.ahci.model.save()))
      one.ahci.model.resume()
      two.ahci.model.resume()
      const from = at
      const goOn = async (board: RandomAhci): Promise<unknown[]> => {
        at = from
        const seen: unknown[] = [board.observed()]
        for (let i = 0; i < 12; i++) {
          await board.act(choose)
          seen.push(board.observed())
        }
        return [seen, Buffer.from(board.ahci.machine.ram), Buffer.from(board.disk.bytes)]
      }
      const expected = await goOn(one)
      const got = await goOn(two)
      expect(got[0]).toEqual(expected[0])
      expect([1, 2].every((i) => Buffer.compare(got[i] as Buffer, expected[i] as Buffer) === 0)).toBe(true)
    }),
    { numRuns: slicedCount(40, 4) },
  )
})

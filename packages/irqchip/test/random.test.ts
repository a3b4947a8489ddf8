import { SLICE_REPEAT, slicedCount, slicedSeed } from '@retrap/tooling/slice'
import { expect, test } from 'vitest'
import { runSoak } from '@retrap/tooling/soak'
import { makeFabric } from './machine.ts'
import { soak } from './soak/irqchip.soak.ts'

test('three processors and their I/O APIC agree with a naive model, and none misses its wake-up', async () => {
  const { violations, smallest } = await runSoak(soak, { count: slicedCount(500, 4), seed: slicedSeed(1) })
  expect([violations, smallest], SLICE_REPEAT).toEqual([0, undefined])
})

// Data sheets give these values as those after power-on; a change of what is saved shows in the file.
test('interrupt controllers that nobody has touched have their state after power-on', async () => {
  const { fabric } = makeFabric({ cpus: 2 }, false)
  const { localApics, ...others } = fabric.save()
  const all = { ...others, ...Object.fromEntries((localApics as object[]).map((each, i) => [`local APIC ${i}`, each])) }
  const lines = Object.entries(all).map(([name, state]) => `${name} ${JSON.stringify(state)}\n`)
  await expect(lines.join('')).toMatchFileSnapshot('fresh-controllers.txt')
})

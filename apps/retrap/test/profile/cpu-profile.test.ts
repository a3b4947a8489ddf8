import { Session } from 'node:inspector/promises'
import { expect, test } from 'vitest'
import { CpuProfileBuilder } from '../../src/machine/profile/guest-profile.ts'

/** Names and types of all that a value has, of lists that of their elements. */
function shapeOf(value: unknown): unknown {
  if (Array.isArray(value)) return [...new Set(value.map((element) => JSON.stringify(shapeOf(element))))].sort()
  if (typeof value !== 'object' || value === null) return typeof value
  return Object.fromEntries(
    Object.entries(value)
      .filter(([name]) => name !== 'positionTicks' && name !== 'deoptReason')
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, member]) => [name, shapeOf(member)]),
  )
}

function built(): CpuProfileBuilder {
  const builder = new CpuProfileBuilder()
  const main = builder.child(1, 'main', 'kernel')
  const leaf = builder.child(main, 'leaf', 'kernel')
  builder.add(main, 1_000_400)
  builder.add(leaf, 400)
  builder.add(leaf, 300)
  builder.add(main, 2_000_000)
  return builder
}

test('a profile has the members of those that V8 writes', async () => {
  const session = new Session()
  session.connect()
  await session.post('Profiler.enable')
  await session.post('Profiler.start')
  for (const until = performance.now() + 30; performance.now() < until;) Math.sqrt(until)
  const { profile } = await session.post('Profiler.stop')
  session.disconnect()
  // Node has `children` only where there are some.
  const withChildren = { ...profile, nodes: profile.nodes.map((node) => ({ ...node, children: node.children ?? [0] })) }
  const nodes = built()
    .build()
    .nodes.map((node) => ({ ...node, children: [...node.children, 0] }))
  expect(shapeOf({ ...built().build(), nodes })).toEqual(shapeOf(withChildren))
})

test('each sample lasts until the next one, and rounding does not add up', () => {
  const { nodes, samples, timeDeltas, startTime, endTime } = built().build()
  expect(samples).toEqual([2, 3, 3, 2])
  expect(timeDeltas).toEqual([0, 1000, 1, 0])
  expect([startTime, endTime]).toEqual([1_000_000, 1_003_001])
  expect(nodes.map(({ id, hitCount, children }) => [id, hitCount, children])).toEqual([
    [1, 0, [2]],
    [2, 2, [3]],
    [3, 2, []],
  ])
})

test('a function has a node for each caller and file, and one for each alone', () => {
  const builder = new CpuProfileBuilder()
  const a = builder.child(1, 'f', '')
  expect(builder.child(1, 'f', '')).toBe(a)
  const others = [builder.child(1, 'f', 'kernel'), builder.child(a, 'f', ''), builder.child(1, 'g', '')]
  expect(new Set([a, ...others]).size).toBe(4)
})

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { flowGraph } from '../src/flow-graph.ts'

/** Dominance by its definition: a block dominates another if every path to that one leads through it. */
function dominates(successors: readonly (readonly number[])[], above: number, below: number): boolean {
  if (above === below) return true
  const seen = new Set<number>(above === 0 ? [] : [0])
  for (const block of seen) for (const to of successors[block] ?? []) if (to !== above) seen.add(to)
  return !seen.has(below)
}

const graphs = fc.integer({ min: 1, max: 12 }).chain((count) =>
  fc.array(fc.array(fc.integer({ min: 0, max: count - 1 }), { maxLength: 3 }), {
    minLength: count,
    maxLength: count,
  }),
)

describe('a flow graph', () => {
  test('tells loops, merges and irreducible edges apart, as dominance defines them', () => {
    fc.assert(
      fc.property(graphs, (successors) => {
        const graph = flowGraph(successors)
        const reached = new Set([0])
        for (const block of reached) for (const to of successors[block] ?? []) reached.add(to)
        expect(new Set(graph.order)).toEqual(reached)
        for (const from of reached) {
          for (const to of successors[from] ?? []) {
            const forward = graph.position[from]! < graph.position[to]!
            expect(graph.isBack(from, to)).toBe(!forward && dominates(successors, to, from))
            expect(graph.isIrreducible(from, to)).toBe(!forward && !dominates(successors, to, from))
          }
        }
        for (const block of reached) {
          const edges = [...reached].flatMap((from) =>
            (successors[from] ?? []).filter((to) => to === block).map(() => from),
          )
          const forward = edges.filter((from) => graph.position[from]! < graph.position[block]!)
          expect(graph.isMerge[block]).toBe(forward.length > 1)
          expect(graph.isLoop[block]).toBe(edges.some((from) => graph.isBack(from, block)))
        }
      }),
    )
  })

  test('has each block below its nearest dominator', () => {
    fc.assert(
      fc.property(graphs, (successors) => {
        const graph = flowGraph(successors)
        for (const above of graph.order) {
          for (const child of graph.children[above] ?? []) {
            expect(dominates(successors, above, child)).toBe(true)
            const others = graph.order.filter((block) => block !== child && dominates(successors, block, child))
            expect(others.every((block) => dominates(successors, block, above))).toBe(true)
          }
        }
        expect(
          graph.order.slice(1).every((block) => graph.children.filter((list) => list.includes(block)).length === 1),
        ).toBe(true)
      }),
    )
  })
})

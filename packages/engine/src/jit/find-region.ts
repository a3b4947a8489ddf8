import { flowGraph } from '../flow-graph.ts'
import { RegionDiscovery } from './region-discovery.ts'
import type { RegionSources } from './region-discovery.ts'
import { fallsThrough, isStraight } from './region.ts'
import type { Region, RegionBlock, RegionInstruction } from './region.ts'

/** Calls of a region that a return is assumed to come from, whether it has been seen to or not. */
const MOST_RETURNS = 6

/**
 * Finds the code that belongs to an entry.
 *
 * @param entry - its offset in its page
 * @returns undefined where the interpreter executes the first instruction
 */
export function findRegion<Form>(entry: number, sources: RegionSources<Form>): Region<Form> | undefined {
  const discovery = new RegionDiscovery(sources)
  discovery.run(entry)
  const { instructions } = discovery
  const first = instructions.get(entry)
  if (first === undefined || first.flow === 'leave') return undefined
  const starts = new Set([entry])
  const returnSites: number[] = []
  const isInside = (at: number): boolean => instructions.has(at)
  for (const insn of instructions.values()) {
    const { target, flow, next } = insn
    for (const at of discovery.computedTargets(insn)) if (isInside(at)) starts.add(at)
    if (target !== undefined && isInside(target)) starts.add(target)
    if (flow === 'branch' && isInside(next)) starts.add(next)
    if (flow === 'call' && isInside(next)) {
      starts.add(next)
      if (target !== undefined && isInside(target)) returnSites.push(next)
    }
  }
  const numbers = new Map([...starts].map((at, i) => [at, i]))
  const computedOf = (insn: RegionInstruction<Form>): readonly number[] => {
    const seen = discovery.computedTargets(insn).filter(isInside)
    const likely = insn.flow === 'return' ? returnSites.slice(0, MOST_RETURNS) : []
    return [...new Set([...seen, ...likely])].map((at) => numbers.get(at)!)
  }
  const blocks = [...starts].map((start): RegionBlock<Form> => {
    const list: RegionInstruction<Form>[] = []
    for (let at = start; ;) {
      const insn = instructions.get(at)!
      list.push(insn)
      at = insn.next
      if (!isStraight(insn.flow) || numbers.has(at) || !instructions.has(at)) break
    }
    const last = list.at(-1)!
    const falls = fallsThrough(last.flow)
    return {
      instructions: list,
      next: falls ? numbers.get(last.next) : undefined,
      target: last.target === undefined ? undefined : numbers.get(last.target),
      computed: computedOf(last),
    }
  })
  const graph = flowGraph(
    blocks.map(({ next, target, computed }) => [next, target, ...computed].filter((block) => block !== undefined)),
  )
  return { blocks, graph, pages: discovery.pages, instructionCount: instructions.size }
}

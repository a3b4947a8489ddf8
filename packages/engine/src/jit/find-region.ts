import { flowGraph } from '../flow-graph.ts'
import { RegionDiscovery } from './region-discovery.ts'
import type { RegionSources } from './region-discovery.ts'
import { fallsThrough, isStraight } from './region.ts'
import type { Region, RegionBlock, RegionInstruction } from './region.ts'

const NONE: readonly number[] = []
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
  const { starts, returnSites } = blockStarts(entry, discovery)
  const numbers = new Map<number, number>()
  for (let i = 0; i < starts.length; i++) numbers.set(starts[i]!, i)
  const computedOf = (insn: RegionInstruction<Form>): readonly number[] => {
    if (insn.flow !== 'return' && insn.flow !== 'indirect') return NONE
    const seen = discovery.computedTargets(insn).filter((at) => instructions.has(at))
    const likely = insn.flow === 'return' ? returnSites.slice(0, MOST_RETURNS) : NONE
    return [...new Set([...seen, ...likely])].map((at) => numbers.get(at)!)
  }
  const blocks = starts.map((start): RegionBlock<Form> => {
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
    blocks.map(({ next, target, computed }) => {
      const successors = [...computed]
      if (target !== undefined) successors.unshift(target)
      if (next !== undefined) successors.unshift(next)
      return successors
    }),
  )
  return { blocks, graph, pages: discovery.pages, instructionCount: instructions.size }
}

/** Where blocks begin, the entry first, and where calls within the region return to. */
function blockStarts<Form>(
  entry: number,
  discovery: RegionDiscovery<Form>,
): { readonly starts: readonly number[]; readonly returnSites: readonly number[] } {
  const { instructions } = discovery
  const known = new Set<number>([entry])
  const starts = [entry]
  const returnSites: number[] = []
  const add = (at: number): void => {
    if (known.has(at) || !instructions.has(at)) return
    known.add(at)
    starts.push(at)
  }
  // oxlint-disable-next-line unicorn/no-array-for-each -- an iterator makes an object for each of many instructions
  instructions.forEach((insn) => {
    const { target, flow, next } = insn
    if (isStraight(flow)) return
    for (const at of discovery.computedTargets(insn)) add(at)
    if (target !== undefined) add(target)
    if (flow === 'branch' || flow === 'call') add(next)
    if (flow === 'call' && target !== undefined && instructions.has(next) && instructions.has(target))
      returnSites.push(next)
  })
  return { starts, returnSites }
}

import { flowGraph } from '../flow-graph.ts'
import { NO_TARGET } from './found-code.ts'
import type { FoundCode } from './found-code.ts'
import { fallsThrough, isStraight } from './region.ts'
import type { Region, RegionBlock, RegionInstruction } from './region.ts'

/** Makes a region of the code that belongs to a place. */
export function regionOf<Form>(found: FoundCode<Form>): Region<Form> {
  // Blocks by the numbers of the instructions that they begin with.
  const numbers = new Map<number, number>()
  found.eachStart((start) => {
    if (!numbers.has(start)) numbers.set(start, numbers.size)
  })
  const returnSites = found.returnSites()
  const blockAt = (at: number): number | undefined => numbers.get(found.numberAt(at))
  const blocks = Array.from(numbers.keys(), (start): RegionBlock<Form> => {
    const instructions: RegionInstruction<Form>[] = []
    let last = start
    for (let i = start; ;) {
      last = i
      instructions.push(instructionOf(found, i))
      i = found.numberAt(found.next[i]!)
      if (!isStraight(found.flow[last]!) || i < 0 || numbers.has(i)) break
    }
    const target = found.target[last]!
    return {
      instructions,
      next: fallsThrough(found.flow[last]!) ? blockAt(found.next[last]!) : undefined,
      target: target === NO_TARGET ? undefined : blockAt(target),
      computed: found.comparedTargets(last, returnSites).map((number) => numbers.get(number)!),
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
  return { blocks, graph, pages: [...found.pages], instructionCount: found.count }
}

function instructionOf<Form>(found: FoundCode<Form>, i: number): RegionInstruction<Form> {
  const target = found.target[i]!
  return {
    at: found.at[i]!,
    record: found.record[i]!,
    page: found.pages[found.page[i]!]!,
    flow: found.flow[i]!,
    form: found.form[i],
    next: found.next[i]!,
    target: target === NO_TARGET ? undefined : target,
    crosses: found.crosses[i]!,
  }
}

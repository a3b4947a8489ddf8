/**
 * Control flow of a region, in the order in which structured code needs it.
 *
 * Structured code comes from the dominator tree: a block is nested in the block that dominates it, a block where several
 * forward edges meet follows a Wasm block that those edges leave, and a block that a back edge leads to begins a Wasm loop
 * (N. Ramsey, "Beyond Relooper: recursive translation of unstructured control flow to structured control flow", 2022).
 */
export interface FlowGraph {
  /** Blocks that can be reached, in reverse postorder: the entry first. */
  readonly order: readonly number[]
  /** Position of each block in `order`; -1 for unreachable ones. */
  readonly position: Int32Array
  /** Blocks whose immediate dominator is the block, in reverse postorder. */
  readonly children: readonly (readonly number[])[]
  /** Whether several forward edges meet at the block. */
  readonly isMerge: readonly boolean[]
  /** Whether a back edge leads to the block. */
  readonly isLoop: readonly boolean[]
  /** Whether the edge goes back to a block that dominates its source. */
  isBack(from: number, to: number): boolean
  /** Whether the edge enters a loop at its side: no structured code has it. */
  isIrreducible(from: number, to: number): boolean
}

/**
 * Finds dominators and loops.
 *
 * @param successors - of each block, by number, one for each edge; block 0 is the entry
 */
export function flowGraph(successors: readonly (readonly number[])[]): FlowGraph {
  const count = successors.length
  const order = reversePostorder(successors)
  const position = new Int32Array(count).fill(-1)
  for (const [i, block] of order.entries()) position[block] = i
  const predecessors: number[][] = Array.from({ length: count }, () => [])
  for (const block of order) {
    for (const to of successors[block]!) predecessors[to]!.push(block)
  }
  const dominator = dominators(order, position, predecessors)
  const dominates = (above: number, below: number): boolean => {
    let block = below
    while (position[block]! > position[above]!) block = dominator[block]!
    return block === above
  }
  const isForward = (from: number, to: number): boolean => position[from]! < position[to]!
  const isBack = (from: number, to: number): boolean => !isForward(from, to) && dominates(to, from)
  const children: number[][] = Array.from({ length: count }, () => [])
  for (const block of order.slice(1)) children[dominator[block]!]!.push(block)
  return {
    order,
    position,
    children,
    isMerge: predecessors.map((from, to) => from.filter((block) => isForward(block, to)).length > 1),
    isLoop: predecessors.map((from, to) => from.some((block) => isBack(block, to))),
    isBack,
    isIrreducible: (from, to) => !isForward(from, to) && !dominates(to, from),
  }
}

function reversePostorder(successors: readonly (readonly number[])[]): number[] {
  const seen = new Uint8Array(successors.length)
  const order: number[] = []
  const path: { block: number; next: number }[] = [{ block: 0, next: 0 }]
  seen[0] = 1
  while (path.length > 0) {
    const top = path.at(-1)!
    const to = successors[top.block]![top.next++]
    if (to === undefined) {
      order.push(top.block)
      path.pop()
    } else if (seen[to] === 0) {
      seen[to] = 1
      path.push({ block: to, next: 0 })
    }
  }
  return order.toReversed()
}

/** Immediate dominators, by iteration in reverse postorder (K. Cooper, T. Harvey, K. Kennedy, "A Simple, Fast Dominance Algorithm"). */
function dominators(
  order: readonly number[],
  position: Int32Array,
  predecessors: readonly (readonly number[])[],
): Int32Array {
  const dominator = new Int32Array(position.length).fill(-1)
  const entry = order[0]!
  dominator[entry] = entry
  const common = (first: number, second: number): number => {
    let [a, b] = [first, second]
    while (a !== b) {
      if (position[a]! > position[b]!) a = dominator[a]!
      else b = dominator[b]!
    }
    return a
  }
  for (let changed = true; changed;) {
    changed = false
    for (const block of order.slice(1)) {
      let found = -1
      for (const from of predecessors[block]!) {
        if (dominator[from] === -1) continue
        found = found === -1 ? from : common(found, from)
      }
      if (dominator[block] === found) continue
      dominator[block] = found
      changed = true
    }
  }
  return dominator
}

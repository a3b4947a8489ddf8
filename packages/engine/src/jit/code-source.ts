import { type MachineMemory, PAGE_BYTES } from '@retrap/memory'
import type { CodeCache } from '../code-cache.ts'
import { RECORD_BYTES } from '../record.ts'
import { codeKey, type CodeBranch, type CodeInstructions, type CodeSource, type StateAssumption } from './unit-code.ts'
import { type FoundCode, NO_TARGET } from './found-code.ts'
import type { MemorySites, MissAction } from './memory-sites.ts'

/** A unit's module in the binary format. */
export interface EmittedUnit {
  readonly module: Uint8Array
  /** Position in the module where the code ends of which notes were taken, and bytes of that code. */
  readonly codeEnd: number
  readonly codeBytes: number
  /** Positions of the instructions whose records are the unit's words after its pages'. */
  readonly recordPositions: readonly number[]
  /** The unit's assumptions about the state. */
  readonly assumptions: readonly StateAssumption[]
}

/**
 * Describes compiled code.
 *
 * @param instructions - what {@link copyInstructions} returned before the code was compiled
 * @param emitted - what was made of it
 */
export function codeSource<Form>(
  found: FoundCode<Form>,
  instructions: CodeInstructions,
  { recordPositions, assumptions }: EmittedUnit,
  targetsOf: (branch: number) => readonly number[],
  sites: MemorySites,
): CodeSource {
  const { pages } = found
  const first = pages[0]!.page
  let actions: Map<number, MissAction> | undefined
  for (let i = 0; i < found.count; i++) {
    const action = sites.actionOf(found.record[i]! - (found.crosses[i] === 0 ? 0 : RECORD_BYTES))
    if (action !== 'count') (actions ??= new Map<number, MissAction>()).set(found.at[i]!, action)
  }
  // Code that control does not reach, and instructions that functions execute, have no exit that notes their targets.
  let branches: CodeBranch[] | undefined
  for (const at of recordPositions) {
    const i = found.numberAt(at)
    const flow = found.flow[i]!
    if (flow !== 'indirect' && flow !== 'return') continue
    const { delta } = pages[found.page[i]!]!
    branches ??= []
    branches.push({ at, delta, isReturn: flow === 'return', targets: targetsOf(found.record[i]!) })
  }
  const offset = found.at[0]!
  const { from, bytes } = instructions
  const number = instructions.at.indexOf(offset)
  return {
    key: codeKey(first.mode, offset, bytes, from[number]!, from[number + 1]!),
    mode: first.mode,
    offset,
    assumptions,
    deltas: pages.map(({ delta }) => delta),
    instructions,
    recordPositions,
    branches: branches ?? NO_BRANCHES,
    actions: actions ?? NO_ACTIONS,
  }
}

const NO_BRANCHES: readonly CodeBranch[] = []
const NO_ACTIONS: ReadonlyMap<number, MissAction> = new Map()

/**
 * Copies the bytes of instructions that are to be compiled. Compiled code is described by the copy alone: other threads may write
 * the bytes in memory, and of that a notice comes later, if it comes before the code is kept.
 *
 * @returns undefined where the bytes have changed since they were decoded
 */
export function copyInstructions<Form>(
  { u8 }: MachineMemory,
  cache: CodeCache,
  found: FoundCode<Form>,
): CodeInstructions | undefined {
  const { at, next, page, pages, count } = found
  let size = 0
  for (let i = 0; i < count; i++) size += next[i]! - at[i]!
  const instructions = { at: new Int32Array(count), from: new Uint32Array(count + 1), bytes: new Uint8Array(size) }
  const order = found.inOrder()
  let to = 0
  for (let n = 0; n < count; n++) {
    const i = order[n]!
    instructions.at[n] = at[i]!
    const own = pages[page[i]!]!
    for (let position = at[i]!; position < next[i]!; position++) {
      const offset = position & (PAGE_BYTES - 1)
      const { frame } = (
        position - offset === own.delta ? own : pages.find(({ delta }) => delta === position - offset)!
      ).page
      instructions.bytes[to++] = u8[frame * PAGE_BYTES + offset]!
    }
    instructions.from[n + 1] = to
    // The interpreter executes the others, whatever they are.
    if (found.flow[i] === 'leave') continue
    const bytes = instructions.bytes.subarray(instructions.from[n], to)
    if (!cache.isDecodedFrom(found.record[i]!, bytes, own.page.mode, found.target[i] !== NO_TARGET)) return undefined
  }
  return instructions
}

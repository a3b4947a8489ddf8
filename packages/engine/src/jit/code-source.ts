import { type MachineMemory, PAGE_BYTES } from '@retrap/memory'
import { RECORD_BYTES } from '../record.ts'
import {
  type JitTier,
  codeKey,
  type CodeBranch,
  type CodeInstructions,
  type CodeSource,
  type StateAssumption,
} from './unit-code.ts'
import type { FoundCode } from './found-code.ts'
import type { MemorySites, MissAction } from './memory-sites.ts'

/** A unit's module in the binary format. */
export interface EmittedUnit {
  readonly module: Uint8Array
  /** Position in the module where the code ends of which notes were taken, and bytes of that code. */
  readonly codeEnd: number
  readonly codeBytes: number
  /** Positions of the instructions whose records are the unit's words after its pages'. */
  readonly recordPositions: readonly number[]
  /** Positions of further instructions by which the code may be entered, by their numbers from 1 on. */
  readonly entries: readonly number[]
  /** The unit's assumptions about the state. */
  readonly assumptions: readonly StateAssumption[]
}

/** Describes compiled code. @param emitted - what was made of it */
export function codeSource<Form>(
  memory: MachineMemory,
  found: FoundCode<Form>,
  tier: JitTier,
  { recordPositions, entries, assumptions }: EmittedUnit,
  targetsOf: (branch: number) => readonly number[],
  sites: MemorySites,
): CodeSource {
  const { pages } = found
  const first = pages[0]!.page
  const order = found.inOrder()
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
  return {
    key: codeKey(memory, first, offset, found.next[0]! - offset),
    mode: first.mode,
    tier,
    offset,
    assumptions,
    deltas: pages.map(({ delta }) => delta),
    instructions: instructionsOf(memory, found, order),
    recordPositions,
    entries,
    branches: branches ?? NO_BRANCHES,
    actions: actions ?? NO_ACTIONS,
  }
}

const NO_BRANCHES: readonly CodeBranch[] = []
const NO_ACTIONS: ReadonlyMap<number, MissAction> = new Map()

function instructionsOf<Form>(
  { u8 }: MachineMemory,
  { at, next, page, pages, count }: FoundCode<Form>,
  order: Uint8Array,
): CodeInstructions {
  let size = 0
  for (let i = 0; i < count; i++) size += next[i]! - at[i]!
  const instructions = { at: new Int32Array(count), from: new Uint32Array(count + 1), bytes: new Uint8Array(size) }
  let to = 0
  for (let n = 0; n < count; n++) {
    const i = order[n]!
    instructions.at[n] = at[i]!
    const { delta } = pages[page[i]!]!
    for (let position = at[i]!; position < next[i]!; position++) {
      const offset = position & (PAGE_BYTES - 1)
      const own =
        position - offset === delta ? pages[page[i]!]! : pages.find((each) => each.delta === position - offset)!
      instructions.bytes[to++] = u8[own.page.frame * PAGE_BYTES + offset]!
    }
    instructions.from[n + 1] = to
  }
  return instructions
}

import type { MachineMemory } from '@retrap/memory'
import { PAGE_BYTES } from '@retrap/memory'
import type { CodePage } from '../code-page.ts'
import { computedBranches } from './computed-targets.ts'
import type { MemorySites, MissAction } from './memory-sites.ts'
import { firstRecord } from './region.ts'
import type { Region } from './region.ts'
import { codeKey } from './unit-code.ts'
import type { EmittedUnit } from './unit-compiler.ts'
import type { CodeInstruction, CodeSource } from './unit-code.ts'

/** Describes the code of a region. @param emitted - what was made of it */
export function codeSource<Form>(
  memory: MachineMemory,
  first: CodePage,
  { blocks, pages }: Region<Form>,
  { recordPositions, isFor }: EmittedUnit,
  targetsOf: (branch: number) => readonly number[],
  sites: MemorySites,
): CodeSource {
  const all = blocks.flatMap(({ instructions }) => instructions)
  const frames = new Map(pages.map(({ delta, page }) => [delta, page.frame]))
  const byteAt = (at: number): number => {
    const offset = at & (PAGE_BYTES - 1)
    return memory.u8[frames.get(at - offset)! * PAGE_BYTES + offset]!
  }
  const instructions = all.map(({ at, next }) => ({
    at,
    bytes: Uint8Array.from({ length: next - at }, (_, i) => byteAt(at + i)),
  }))
  const actions = all.map((insn): [number, MissAction] => [insn.at, sites.actionOf(firstRecord(insn))])
  const [{ at: offset, bytes }] = instructions as [CodeInstruction]
  return {
    key: codeKey(memory, first, offset, bytes.length),
    mode: first.mode,
    offset,
    isFor,
    deltas: pages.map(({ delta }) => delta),
    instructions,
    recordPositions,
    // Blocks that control does not reach, and instructions that functions execute, have no exit that notes their targets.
    branches: [...computedBranches(blocks)]
      .filter(([, { at }]) => recordPositions.includes(at))
      .map(([record, branch]) => ({ ...branch, targets: targetsOf(record) })),
    actions: new Map(actions.filter(([, action]) => action !== 'count')),
  }
}

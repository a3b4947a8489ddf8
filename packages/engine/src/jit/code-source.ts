import type { MachineMemory } from '@retrap/memory'
import { PAGE_BYTES } from '@retrap/memory'
import type { CodePage } from '../code-page.ts'
import { computedBranches } from './computed-targets.ts'
import type { MemorySites, MissAction } from './memory-sites.ts'
import { firstRecord } from './region.ts'
import type { Region, RegionPage } from './region.ts'
import { codeKey } from './unit-code.ts'
import type { EmittedUnit } from './unit-compiler.ts'
import type { CodeInstructions, CodeSource } from './unit-code.ts'

/** Describes the code of a region. @param emitted - what was made of it */
export function codeSource<Form>(
  memory: MachineMemory,
  first: CodePage,
  { blocks, pages }: Region<Form>,
  { recordPositions, isFor }: EmittedUnit,
  targetsOf: (branch: number) => readonly number[],
  sites: MemorySites,
): CodeSource {
  const all = blocks.flatMap(({ instructions }) => instructions).sort((a, b) => a.at - b.at)
  const actions = new Map<number, MissAction>()
  const instructions: CodeInstructions = {
    at: new Int32Array(all.length),
    from: new Uint32Array(all.length + 1),
    bytes: new Uint8Array(all.reduce((bytes, { at, next }) => bytes + next - at, 0)),
  }
  let size = 0
  for (let i = 0; i < all.length; i++) {
    const insn = all[i]!
    instructions.at[i] = insn.at
    for (let at = insn.at; at < insn.next; at++) instructions.bytes[size++] = byteAt(memory, pages, insn.page, at)
    instructions.from[i + 1] = size
    const action = sites.actionOf(firstRecord(insn))
    if (action !== 'count') actions.set(insn.at, action)
  }
  const { at: offset, next } = blocks[0]!.instructions[0]!
  const noted = new Set(recordPositions)
  return {
    key: codeKey(memory, first, offset, next - offset),
    mode: first.mode,
    offset,
    isFor,
    deltas: pages.map(({ delta }) => delta),
    instructions,
    recordPositions,
    // Blocks that control does not reach, and instructions that functions execute, have no exit that notes their targets.
    branches: [...computedBranches(blocks)]
      .filter(([, { at }]) => noted.has(at))
      .map(([record, branch]) => ({ ...branch, targets: targetsOf(record) })),
    actions,
  }
}

/** The byte at a position. @param page - of the first byte of its instruction */
function byteAt({ u8 }: MachineMemory, pages: readonly RegionPage[], page: RegionPage, at: number): number {
  const delta = at - (at & (PAGE_BYTES - 1))
  const own = delta === page.delta ? page : pages.find((each) => each.delta === delta)!
  return u8[own.page.frame * PAGE_BYTES + (at & (PAGE_BYTES - 1))]!
}

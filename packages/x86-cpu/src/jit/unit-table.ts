import { TLB_EXECUTE, UnitTable } from '@retrap/engine'
import type { CpuCore } from '../cpu-core.ts'
import type { InterpreterExports } from '../interpreter.ts'

/**
 * Returns the table of the units that a vCPU may enter, with the imports that `importLibrary` declares.
 *
 * @param system - executes the instruction of a record by a handler, as the interpreter imports it
 */
export function unitTable(
  core: CpuCore,
  interpreter: InterpreterExports,
  system: (fn: number, record: number) => number,
): UnitTable {
  const { table, flags, checkSegment, slowAccess } = interpreter
  return new UnitTable({
    state: core.state,
    table,
    imports: { memory: core.memory.memory, flags, checkSegment, slowAccess, system },
    executeSlots: (lo, hi) => core.tlb.lookup(core.mode.executeSet, TLB_EXECUTE, lo, hi),
  })
}

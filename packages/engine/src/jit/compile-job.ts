import type { MachineMemory } from '@retrap/memory'
import type { InterpreterCode } from '../interpreter.ts'
import { OP_BITS, R_FUNCTION, R_OP, RECORD_BYTES } from '../record.ts'
import type { CodeLists } from './code-list.ts'
import type { CompiledInstructionSet } from './instruction-set.ts'
import type { MemorySites, MissAction } from './memory-sites.ts'
import type { FoundCode } from './region-discovery.ts'
import type { CodeInstructions } from './unit-code.ts'

/**
 * Code to be compiled, as data of its own: later writes of the guest or a processor do not change it, and another thread can
 * compile it. The lists are by instruction.
 */
export interface CompileJob<Form> extends CodeLists<Form> {
  /** Mode of the code. */
  readonly mode: number
  /** Entry of the function by which units of the mode are left. */
  readonly leaveEntry: number
  /** Whether the offset of each instruction's code is wanted. */
  readonly isNoted: boolean
  /** Positions of the pages, the place's own first. */
  readonly deltas: readonly number[]
  /** The instructions' bytes, by which the code is described. */
  readonly instructions: CodeInstructions
  /** The beginning of the state, with all fields that may be assumed. */
  readonly state: Uint8Array
  readonly records: Uint8Array
  /** Not zero: the instruction lies in two pages. */
  readonly crosses: Uint8Array
  /** Not zero: the interpreter's function of the form is called. */
  readonly called: Uint8Array
  /** Actions where a page is not in the TLB. */
  readonly actions: readonly MissAction[]
}

/** The parts that jobs are made with. */
interface JobParts<Form> {
  readonly memory: MachineMemory
  readonly code: InterpreterCode<Form>
  readonly instructionSet: CompiledInstructionSet<Form>
  readonly sites: MemorySites
}

/** Makes a job of the instructions at a place. @param state - machine address of the state whose fields may be assumed */
export function jobOf<Form>(
  found: FoundCode<Form>,
  { memory: { u8, u16 }, code, instructionSet, sites }: JobParts<Form>,
  state: number,
  rest: Pick<CompileJob<Form>, 'leaveEntry' | 'isNoted' | 'instructions'>,
): CompileJob<Form> {
  const { count, pages } = found
  const records = new Uint8Array(count * RECORD_BYTES)
  const crosses = new Uint8Array(count)
  const called = new Uint8Array(count)
  const actions: MissAction[] = []
  for (let i = 0; i < count; i++) {
    const record = found.record[i]!
    const form = found.form[i]
    records.set(u8.subarray(record, record + RECORD_BYTES), i * RECORD_BYTES)
    const isCrossing = found.crosses[i] !== 0
    crosses[i] = isCrossing ? 1 : 0
    // Accesses are counted by the record that the interpreter begins an instruction with.
    actions.push(sites.actionOf(isCrossing ? record - RECORD_BYTES : record))
    const bytes = code.functionBytes(u16[(record + R_OP) >>> 1]! & OP_BITS, u16[(record + R_FUNCTION) >>> 1]!)
    called[i] = form !== undefined && bytes > 0 && instructionSet.isCalled(form, bytes) ? 1 : 0
  }
  return {
    ...rest,
    mode: pages[0]!.page.mode,
    deltas: pages.map(({ delta }) => delta),
    state: u8.slice(state, state + instructionSet.assumedBytes),
    records,
    at: found.at.slice(0, count),
    next: found.next.slice(0, count),
    target: found.target.slice(0, count),
    page: found.page.slice(0, count),
    flow: found.flow.slice(0, count),
    form: found.form.slice(0, count),
    computed: found.computed.slice(0, count),
    crosses,
    called,
    actions,
  }
}

import type { FunctionTable } from '@retrap/engine'
import type { CpuCore } from './cpu-core.ts'
import type { InstructionFetch } from './instruction-fetch.ts'
import type { NumericError } from './numeric-error.ts'
import type { QuickPort } from './quick-port.ts'

/** Functions of the generated module. */
export interface InterpreterExports {
  run(state: number, record: number): number
  address(state: number, record: number, sizeAndFlags: number): number
  /** Deliver the event at `EVENT_*` in usual cases: STATUS_JUMP, or STATUS_HANDLER where nothing has changed. */
  deliver32(state: number, record: number, tlb: number): number
  deliver64(state: number, record: number, tlb: number): number
  /** What units call. */
  readonly flags: (...operands: never[]) => unknown
  readonly slowAccess: (...operands: never[]) => unknown
  readonly checkSegment: (...operands: never[]) => unknown
  /** Functions of forms, then units. */
  readonly table: FunctionTable
}

/** What an {@link Executor} runs: the parts of one vCPU. */
export interface ExecutorParts {
  readonly core: CpuCore
  readonly interpreter: InterpreterExports
  readonly fetch: InstructionFetch
  readonly quickPort: QuickPort
  readonly numericError: NumericError
}

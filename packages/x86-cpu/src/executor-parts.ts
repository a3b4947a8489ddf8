import type { Turn } from '@retrap/engine'
import type { MachineMemory } from '@retrap/memory'
import type { AccessMode } from './access-mode.ts'
import type { CpuHost } from './host.ts'
import type { DeviceAccess } from './device-access.ts'
import type { InstructionFetch } from './instruction-fetch.ts'
import type { LoggedAccess } from './logged-access.ts'
import type { MemoryAccess } from './memory-access.ts'
import type { NumericError } from './numeric-error.ts'
import type { OutsideEvents } from './outside-events.ts'
import type { Pass } from './pass.ts'
import type { QuickPort } from './quick-port.ts'
import type { System } from './system/system.ts'

/** What is used of a `WebAssembly.Table`, whose type exists only where lib.dom does. */
export interface FunctionTable {
  readonly length: number
  grow(entries: number): number
  set(entry: number, value: unknown): void
}

/** Functions of the generated module. */
export interface InterpreterExports {
  run(state: number, record: number): number
  address(state: number, record: number, sizeAndFlags: number): number
  /** What units call. */
  readonly flags: (...operands: never[]) => unknown
  readonly checkSegment: (...operands: never[]) => unknown
  /** Functions of forms, then units. */
  readonly table: FunctionTable
}

/** How much an executor has done, by kind. */
export interface ExecutionCounts {
  /** Instructions executed by TypeScript handlers. */
  systemCalls: number
  /** Exceptions that instructions raised. */
  faults: number
  /** External interrupts delivered. */
  interrupts: number
  /** Instructions that waited or needed a logged pass. */
  loggedPasses: number
  /** Instructions executed one by one. */
  steps: number
}

/** What an {@link Executor} runs: the parts of one vCPU. */
export interface ExecutorParts {
  readonly memory: MachineMemory
  readonly host: CpuHost
  /** Machine address of the state. */
  readonly state: number
  readonly u32: Uint32Array
  readonly i32: Int32Array
  readonly system: System
  readonly interpreter: InterpreterExports
  readonly access: MemoryAccess
  readonly device: DeviceAccess
  readonly logged: LoggedAccess
  readonly mode: AccessMode
  readonly fetch: InstructionFetch
  readonly pass: Pass
  readonly quickPort: QuickPort
  readonly outside: OutsideEvents
  readonly numericError: NumericError
  readonly counts: ExecutionCounts
  readonly turn: Turn
}

import type { GuestWalk } from '@retrap/hvm'
import type { IoTraceRecord } from '@retrap/ioreq'

/** Time and place of an event. */
export interface TracePlace {
  /** Number of the vCPU; −1: not known. */
  readonly vcpu: number
  /** Virtual time in nanoseconds. On deterministic time it stands still during a turn: `instructions` does not. */
  readonly ns: number
  /** Host time in milliseconds, as `performance.now()` has it. */
  readonly hostMs: number
  /** Instructions that the vCPU had retired. */
  readonly instructions: number
  /** Instructions that all vCPUs had retired: the position for a replay. */
  readonly allInstructions: number
}

/** Instruction sets of Arm. */
export type InstructionSet = 'a64' | 'a32' | 't32'
/** How code is decoded: bits of an x86 code segment, or Arm's instruction set. */
export type CodeMode = 16 | 32 | 64 | InstructionSet

/** An instruction that is about to be executed. */
export interface InstructionRecord extends TracePlace {
  /** Kind of the record. */
  readonly kind: 'insn'
  /** Linear address. */
  readonly address: bigint
  /** Bytes of the instruction, perhaps followed by others. */
  readonly bytes: Uint8Array
  /** Mode for decoding the instruction. */
  readonly mode: CodeMode
  /** Current privilege level; of Arm the exception level. */
  readonly cpl: number
}

/** Consecutively executed instructions, up to a taken branch or an event. */
export interface BlockRecord extends TracePlace {
  /** Kind of the record. */
  readonly kind: 'block'
  /** Linear address of the first instruction. */
  readonly address: bigint
  /** Linear address behind the last. */
  readonly end: bigint
  /** Number of executed instructions. */
  readonly executed: number
  /** Current privilege level; of Arm the exception level. */
  readonly cpl: number
  /** Host time when the next block began, in milliseconds. */
  readonly endMs: number
}

/** A delivered interrupt. */
export interface InterruptRecord extends TracePlace {
  readonly kind: 'irq'
  /** The sort of interrupt. */
  readonly event: 'interrupt' | 'nmi' | 'smi' | 'fiq' | 'serror'
  /** Vector, of Arm the INTID; −1 of an SMI and of an SError. */
  readonly vector: number
  /**
   * The source of the interrupt: `APIC timer`, `I/O APIC input 4`, `message of 00:04.0`, `processor`, `SPI 33`; found by the
   * vector.
   */
  readonly source: string
  /** Linear address of the instruction after the event. */
  readonly address: bigint
  /** Interrupted privilege level. */
  readonly cpl: number
}

/** A delivered exception. */
export interface ExceptionRecord extends TracePlace {
  readonly kind: 'exceptions'
  /** Vector; of Arm the exception class. */
  readonly vector: number
  /** Error code; undefined: none. */
  readonly errorCode: number | undefined
  /** Linear address of a page fault. */
  readonly cr2: bigint | undefined
  /** ESR_EL1 of an Arm processor. */
  readonly syndrome?: number
  /** FAR_EL1 on Arm; undefined: none. */
  readonly far?: bigint | undefined
  /** Linear address of the instruction. */
  readonly address: bigint
  /** Interrupted privilege level. */
  readonly cpl: number
}

/** A walk of page tables. */
export interface WalkRecord extends TracePlace, GuestWalk {
  readonly kind: 'pagewalk'
  /** Fault status code of stage 1 on Arm; undefined: no fault. */
  readonly faultStatus?: number | undefined
}

/** A step of an access to a device. */
export interface AccessRecord extends TracePlace {
  readonly kind: 'ioreq'
  /** The step, with the device and the access. */
  readonly access: IoTraceRecord
  /** Linear address of the instruction that makes it; undefined: no vCPU's, or not known. */
  readonly code: bigint | undefined
  /** Host time that the vCPU has waited, in milliseconds, if its wait ends here. */
  readonly waitedMs: number | undefined
}

/** A record of a trace. */
export type TraceRecord =
  | InstructionRecord
  | BlockRecord
  | InterruptRecord
  | ExceptionRecord
  | WalkRecord
  | AccessRecord

import type { GdbTarget, StepRules, WatchpointKind } from './target.ts'

/** A breakpoint or watchpoint that the client has set. */
export interface Stopper {
  readonly kind: 'software' | 'hardware' | WatchpointKind
  readonly address: bigint
  readonly length: number
}

/** The settings of a client, which its packets change. */
export interface ClientState {
  target: GdbTarget
  /** The processor of register and memory packets, from 0. */
  cpu: number
  /** The processor that `c` and `s` resume; −1: all. */
  resumeCpu: number
  /** Addresses of memory packets are guest-physical. */
  physical: boolean
  steps: StepRules
  /** The client understands stop reasons of breakpoints. */
  readonly understands: { softwareBreakpoints: boolean; hardwareBreakpoints: boolean }
  /** The breakpoints and watchpoints that are set, by kind, address and length. */
  readonly stoppers: Map<string, Stopper>
}

/** An error reply. Clients print the number only. */
export const ERROR_ARGUMENT = 'E16'
/** The reply for inaccessible memory. */
export const ERROR_MEMORY = 'E0e'
/** The reply for an operation that is currently impossible. */
export const ERROR_STATE = 'E10'
/** The reply when no room is left. */
export const ERROR_ROOM = 'E1c'

/** The threads of the protocol are processors, from 1. */
export const threadOf = (cpu: number): string => (cpu + 1).toString(16).padStart(2, '0')

/**
 * Reads a thread's number.
 *
 * @returns the processor, from 0; −1 for all of them; undefined if invalid. Thread 0 selects `any`
 */
export function cpuOfThread(text: string, cpus: number, any: number): number | undefined {
  if (text === '-1') return -1
  if (!/^[\da-f]{1,8}$/i.test(text)) return undefined
  const thread = Number.parseInt(text, 16)
  if (thread === 0) return any
  return thread <= cpus ? thread - 1 : undefined
}

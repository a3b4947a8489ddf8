/**
 * Traces of guests, as text, in Chrome's format, or as a Value Change Dump.
 *
 * @packageDocumentation
 */
export { ChromeTrace } from './chrome.ts'
export { TraceError, type TraceErrorCode } from './spec.ts'
export type {
  AccessRecord,
  BlockRecord,
  CodeMode,
  ExceptionRecord,
  InstructionRecord,
  InstructionSet,
  InterruptRecord,
  TracePlace,
  TraceRecord,
  WalkRecord,
} from './record.ts'
export { parseTrace, TRACE_KINDS, type TraceKind, type TraceSpec } from './spec.ts'
export { formatRecord } from './text.ts'
export { Tracer, type TracerOptions } from './tracer.ts'
export { type VcdOptions, VcdTrace } from './vcd.ts'

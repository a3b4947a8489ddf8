/**
 * Traces of guests, as text or in Chrome's format.
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
export { Tracer } from './tracer.ts'

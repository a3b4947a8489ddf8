/**
 * Traces of guests, as text, in Chrome's format, or as a Value Change Dump.
 *
 * @packageDocumentation
 */
export { ChromeTrace } from './chrome.ts'
export { TraceError, parseTrace, TRACE_KINDS, type TraceSpec } from './spec.ts'
export type { BlockRecord, InstructionRecord, InstructionSet, TraceRecord } from './record.ts'
export { formatRecord } from './text.ts'
export { Tracer } from './tracer.ts'
export { type VcdOptions, VcdTrace } from './vcd.ts'

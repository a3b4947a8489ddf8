/**
 * Traces of guests, as text, in Chrome's format, or as a Value Change Dump.
 *
 * @packageDocumentation
 */
export { ChromeTrace } from './chrome.ts'
export { TraceError } from './spec.ts'
export type { BlockRecord, InstructionRecord, InstructionSet, TraceRecord } from './record.ts'
export { parseTrace, TRACE_KINDS, type TraceSpec } from './spec.ts'
export { formatRecord } from './text.ts'
export { Tracer } from './tracer.ts'
export { type VcdOptions, VcdTrace } from './vcd.ts'

/**
 * Parts for programs that debug a machine or go through a recording. A program that only runs a machine does not load them.
 *
 * @packageDocumentation
 */
export { parseMemoryPlace } from './debugger/monitor.ts'
export type { Monitor } from './debugger/monitor.ts'
export { parseGuestTime, placeIn } from './recording/guest-time.ts'
export { describeDivergence } from './recording/replay-hits.ts'
export { answerWhoWrote } from './recording/replay-monitor.ts'

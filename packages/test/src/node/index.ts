export { writeFailure } from './failure-files.ts'
export { replayFailure } from './replay-failure.ts'
export type { ReplayFailureOptions } from './replay-failure.ts'

export { deviceProgram } from './device-program.ts'
export { writeFailure, testFaults } from './failure-files.ts'
export { replayFailure } from './replay-failure.ts'

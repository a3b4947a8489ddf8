export { deviceProgram } from './device-program.ts'
export { writeFailure } from './failure-files.ts'
export { replayFailure } from './replay-failure.ts'
export { testFaults } from './test-faults.ts'

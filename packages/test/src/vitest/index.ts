export { armTest, machineTest } from './machine-test.ts'
export type { ArmTestOptions, MachineTestOptions, OutputOptions } from './machine-test.ts'

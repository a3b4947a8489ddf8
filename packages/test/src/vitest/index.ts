export { armTest, machineTest } from './machine-test.ts'

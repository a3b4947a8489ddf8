/**
 * Live migration of machines by any channel.
 *
 * @packageDocumentation
 */
export type { Channel } from './frames.ts'
export { type ArrivedMachine, receiveMigration, type ReceiveOptions } from './destination.ts'
export { MigrationError, type MigrationErrorCode } from './errors.ts'
export {
  migrate,
  type MigrateOptions,
  type MigrationReport,
  type MigrationRound,
  type MigrationSource,
} from './source.ts'
export { type RunnableMachine, StoppableRun } from './stoppable-run.ts'

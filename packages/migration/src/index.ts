/**
 * Live migration of machines by any channel.
 *
 * @packageDocumentation
 */
export type { Channel } from './frames.ts'
export { receiveMigration } from './destination.ts'
export { MigrationError } from './errors.ts'
export { migrate, type MigrateOptions, type MigrationReport } from './source.ts'
export { StoppableRun } from './stoppable-run.ts'

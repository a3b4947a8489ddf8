/**
 * A real Linux in this process that runs commands, and can be forked.
 *
 * @packageDocumentation
 */
export type { CommandEnd, CommandOptions } from './command.ts'
export { SandboxError, type SandboxErrorCode, type SandboxErrorDetails } from './errors.ts'
export type { SandboxEntry, SandboxFiles, SandboxFileStat, SandboxFileType, SandboxWriteOptions } from './files.ts'
export type { SandboxProcess, SpawnOptions } from './process.ts'
export {
  Checkpoint,
  type RunOptions,
  type RunResult,
  Sandbox,
  type SandboxOptions,
  type SandboxShare,
} from './sandbox.ts'

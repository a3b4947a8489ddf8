/**
 * The log of one instruction's accesses, which makes executing it again an exact replay.
 *
 * @packageDocumentation
 */
export { AccessLog } from './access-log.ts'
export { type AccessAccount, type AccessOutcome, accountOf, type InstructionAccount } from './account.ts'
export { ReplayError, ReplayMismatchError } from './errors.ts'
export { accessTag, AccessKind } from './kinds.ts'
export { LOG_BYTES, LOG_ENTRIES } from './layout.ts'
export { LoggedTables, type TableAccess } from './logged-tables.ts'
export {
  type AccessStatus,
  STATUS_RESTART,
  STATUS_DONE,
  STATUS_ERROR,
  STATUS_FAULT,
  STATUS_RETRY,
  STATUS_UNHANDLED,
} from './status.ts'
export type { SavedLog } from './saved.ts'

/**
 * The log of one instruction's accesses, which makes executing it again an exact replay.
 *
 * @packageDocumentation
 */
export { AccessLog } from './access-log.ts'
export { type AccessAccount, type AccessOutcome, accountOf, type InstructionAccount } from './account.ts'
export type { AccessDescription } from './errors.ts'
export { ReplayError, ReplayMismatchError, type ReplayErrorCode } from './errors.ts'
export { accessTag, AccessKind, type AccessKindName, type AccessStateName } from './kinds.ts'
export { LOG_BYTES, LOG_DATA_BYTES, LOG_ENTRIES, MAX_ACCESS_BYTES } from './layout.ts'
export { LoggedTables, type TableAccess, type TableAccessStatus } from './logged-tables.ts'
export type { HeldWriteVisitor } from './held-writes.ts'
export {
  type AccessStatus,
  STATUS_ANSWERED,
  STATUS_ASK,
  STATUS_DONE,
  STATUS_ERROR,
  STATUS_FAULT,
  STATUS_RESTART,
  STATUS_RETRY,
  STATUS_UNHANDLED,
} from './status.ts'
export type { SavedAccess, SavedLog } from './saved.ts'

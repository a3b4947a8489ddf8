import { Instant, type Timer, type Word64 } from '@retrap/device'

/** The deadline of a timer for a saved state; null: it is not armed. */
export function savedDeadline(timer: Timer | null): Word64 | null {
  const at = new Instant()
  return timer?.readDeadline(at) === true ? at.save() : null
}

/** Arms a timer for a saved deadline. */
export function restoreDeadline(timer: Timer | null, deadline: Readonly<Word64> | null): void {
  if (deadline === null) timer?.cancel()
  else timer?.armAfter(0, deadline)
}

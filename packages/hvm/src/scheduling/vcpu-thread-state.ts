import { HvmError } from '../errors.ts'

/**
 * Where a vCPU executes that may have a thread of its own. The domain's thread alone changes the state.
 *
 * | state | the vCPU executes | its thread |
 * |---|---|---|
 * | `none` | in turns, on the domain's thread | does not exist |
 * | `starting` | in turns | is being started |
 * | `parked` | in turns | stands still, and can take the vCPU |
 * | `running` | in its thread | executes it |
 * | `kicked` | in its thread | has been asked to park, between two instructions |
 */
export type VcpuThreadState = 'none' | 'starting' | 'parked' | 'running' | 'kicked'

/** The states that may follow each. A thread may end in any of them. */
const NEXT: Readonly<Record<VcpuThreadState, readonly VcpuThreadState[]>> = {
  none: ['none', 'starting'],
  starting: ['parked', 'none'],
  parked: ['running', 'none'],
  running: ['kicked', 'parked', 'none'],
  kicked: ['parked', 'none'],
}

/** Whether a vCPU is in its thread. */
export const isInThread = (state: VcpuThreadState): boolean => state === 'running' || state === 'kicked'

/** Returns the next state. @throws HvmError `ERR_STATE` for one that may not follow */
export function nextState(now: VcpuThreadState, next: VcpuThreadState): VcpuThreadState {
  if (!NEXT[now].includes(next)) throw new HvmError('ERR_STATE', `a vCPU's thread that is ${now} cannot be ${next}`)
  return next
}

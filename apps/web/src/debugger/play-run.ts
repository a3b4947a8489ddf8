import type { PageDebugger, RunHistory } from '@retrap/web'
import { axisOf } from './run-axis.ts'
import { stopText } from './stop-text.ts'

/** The guest's time of one piece of a run that is played. */
const PIECE_MS = 100

/** Plays a run that was recorded, at the guest's own pace, until a stop, the caller's end, or now. @returns where it has ended, for people */
export async function playRun(debug: PageDebugger, history: RunHistory, isOver: () => boolean): Promise<string> {
  const axis = axisOf(history)
  let { instruction, now, isLive } = await debug.position()
  for (let ms = axis.msOf(instruction); !isLive && !isOver();) {
    // oxlint-disable-next-line no-await-in-loop -- at the guest's pace
    await new Promise((resolve) => setTimeout(resolve, PIECE_MS))
    ms += PIECE_MS
    const to = ms >= axis.endMs ? now : Math.min(now, axis.instructionAt(ms))
    // The guest may have waited meanwhile.
    if (to <= instruction) continue
    // oxlint-disable-next-line no-await-in-loop
    const stop = await debug.continueTo(to)
    if (stop.reason !== 'step') return stopText(stop)
    // oxlint-disable-next-line no-await-in-loop
    ;({ instruction, now, isLive } = await debug.position())
  }
  return isLive ? stopText({ reason: 'now' }) : ''
}

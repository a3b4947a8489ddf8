// The processor time of a process by its threads.
import { readdirSync, readFileSync } from 'node:fs'

/** Ticks a second in /proc, whatever the kernel's own rate (proc(5), "USER_HZ"). */
const TICKS_PER_SECOND = 100

/**
 * Seconds of processor time, user and system, that the living threads of a process have used, by their names: threads of
 * one name add up. Empty where the host does not tell.
 */
export function threadTimes(pid: number): ReadonlyMap<string, number> {
  const times = new Map<string, number>()
  try {
    for (const task of readdirSync(`/proc/${pid}/task`)) {
      const { name, seconds } = timeOf(readFileSync(`/proc/${pid}/task/${task}/stat`, 'latin1'))
      times.set(name, (times.get(name) ?? 0) + seconds)
    }
  } catch {
    // The process, or one of its threads, has ended: what is known so far counts.
  }
  return times
}

/** The name and the processor time, in seconds, in the text of /proc/PID/task/TID/stat. */
function timeOf(text: string): { readonly name: string; readonly seconds: number } {
  // The second field, a name in parentheses, may contain anything; user and system time are fields 14 and 15 (proc(5)).
  const [, name = '', rest = ''] = /^\d+ \((.*)\) (.*)/s.exec(text) ?? []
  const fields = rest.split(' ')
  return { name, seconds: (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND }
}

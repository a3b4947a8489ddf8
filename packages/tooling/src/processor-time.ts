// Processor time of whole processes, for benches that compare a process of ours with a peer's: all threads count.
import { readdirSync, readFileSync } from 'node:fs'

/**
 * Nanoseconds of processor time that the living threads of a process have used; the time of day where the host does not
 * tell (other than Linux). Precise, for intervals in which no thread ends.
 */
export function threadsTime(pid: number = process.pid): number {
  try {
    return readdirSync(`/proc/${pid}/task`).reduce(
      (sum, task) => sum + Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'utf8').split(' ')[0]),
      0,
    )
  } catch {
    return performance.now() * 1e6
  }
}

/** Ticks a second in /proc, whatever the kernel's own rate (proc(5), "USER_HZ"). */
const TICKS_PER_SECOND = 100

/**
 * Seconds of processor time, user and system, that a process has used, ended threads included; in steps of 10 ms.
 * NaN where the host does not tell.
 */
export function processTime(pid: number): number {
  try {
    // The second field, a name in parentheses, may contain anything; user and system time are fields 14 and 15 (proc(5)).
    const fields = readFileSync(`/proc/${pid}/stat`, 'latin1')
      .replace(/^.*\) /s, '')
      .split(' ')
    return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND
  } catch {
    return NaN
  }
}

// Processor time of whole processes, and the time for which they have waited for a processor: all threads count.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'

/**
 * Nanoseconds of processor time that the living threads of a process have used; the time of day where the host does not
 * tell (other than Linux). Precise, for intervals in which no thread ends.
 */
export function threadsTime(pid: number = process.pid): number {
  const times = threadTimes(pid, 0)
  return times.size === 0 ? performance.now() * 1e6 : [...times.values()].reduce((sum, time) => sum + time)
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

/**
 * The time for which threads of this process have waited for a processor since this object was made. The main thread's
 * own wait is not enough: it may sleep until a helper thread (garbage collection, compilation) that has no processor is
 * done. Waits at the same time add up, so a limit on the rest is looser on a busy host, and exact on a quiet one.
 */
export class ProcessorDelay {
  readonly #before: ReadonlyMap<string, number> = threadTimes(process.pid, 1)

  /** Returns seconds; NaN on hosts other than Linux. Threads that have ended do not count. */
  seconds(): number {
    let sum = this.#before.size === 0 ? NaN : 0
    for (const [task, nanoseconds] of threadTimes(process.pid, 1)) sum += nanoseconds - (this.#before.get(task) ?? 0)
    return sum / 1e9
  }
}

/** The host's time, but for that in which this process has waited for a processor: on a busy host it passes no faster. */
export class OwnTime {
  readonly #begun = performance.now()
  readonly #delay = new ProcessorDelay()

  /** Milliseconds since this object was made. */
  milliseconds(): number {
    const delayed = this.#delay.seconds()
    return performance.now() - this.#begun - (Number.isNaN(delayed) ? 0 : delayed * 1000)
  }
}

/**
 * Waits for a promise, and no longer than a time in which this process had a processor or wanted none: on a busy host
 * that is longer by the clock.
 *
 * @returns whether the promise has resolved in that time; a rejection is thrown
 */
export async function resolvesWithin(seconds: number, promise: Promise<unknown>): Promise<boolean> {
  const time = new OwnTime()
  const resolved = promise.then(() => true)
  for (let left = seconds * 1000; left > 0; left = seconds * 1000 - time.milliseconds()) {
    if (await Promise.race([resolved, setTimeout(left + 1, false)])) return true
  }
  return false
}

/** Nanoseconds of each living thread of a process since it began. @param field - 0: with a processor; 1: waiting for one */
function threadTimes(pid: number, field: 0 | 1): Map<string, number> {
  const [found, folder] = [new Map<string, number>(), `/proc/${pid}/task`]
  for (const task of existsSync(folder) ? readdirSync(folder) : []) {
    try {
      found.set(task, Number(readFileSync(join(folder, task, 'schedstat'), 'utf8').split(' ')[field]))
    } catch {
      // The thread has ended since its name was read.
    }
  }
  return found
}

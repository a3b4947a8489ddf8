// The processes of a browser: what they take.
import { readdirSync, readFileSync } from 'node:fs'
import { processTime } from '@retrap/tooling/processor-time'

/** A process and all that it has started. */
export function family(pid: number): number[] {
  const parents = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      try {
        const fields = readFileSync(`/proc/${name}/stat`, 'latin1')
        return [[Number(name), Number(fields.slice(fields.lastIndexOf(')') + 2).split(' ')[1])] as const]
      } catch {
        // It has just ended.
        return []
      }
    })
  const found = [pid]
  for (const one of found) found.push(...parents.filter(([, parent]) => parent === one).map(([child]) => child))
  return found
}

/** Seconds of processor time that processes have used; those that have ended count for nothing. */
export const processorTime = (pids: readonly number[]): number =>
  pids.map(processTime).reduce((sum, seconds) => sum + (Number.isNaN(seconds) ? 0 : seconds), 0)

/** Bytes of memory that processes have for themselves, and their part of what they share; 0 where the host does not tell. */
export const memoryOf = (pids: readonly number[]): number =>
  pids
    .map((pid) => {
      try {
        return Number(/^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'latin1'))?.[1] ?? 0) * 1024
      } catch {
        return 0
      }
    })
    .reduce((sum, bytes) => sum + bytes, 0)

import { spawnSync } from 'node:child_process'

/**
 * The number that chooses which part of the long suites a run takes: that of `RETRAP_SLICE`, or the first 32 bits of the
 * commit's hash; 0 where there is no repository.
 */
export function sliceNumber(): number {
  const given = process.env['RETRAP_SLICE']
  if (given !== undefined && given !== '') return Number(given)
  const { stdout } = spawnSync('git', ['rev-parse', 'HEAD'], { cwd: import.meta.dirname, encoding: 'utf8' })
  const slice = Number.parseInt((stdout ?? '').slice(0, 8), 16)
  return Number.isNaN(slice) ? 0 : slice
}

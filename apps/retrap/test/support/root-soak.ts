import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Soak } from '@retrap/tooling/soak'
import { makeDebianRoot } from './debian-root.ts'
import { type Finished, runProgram, SOURCE_START } from './processes.ts'

const DEADLINE_MS = 1_800_000

/** A program, and what it prints where it ends well. */
export interface RootRow {
  readonly name: string
  /** Options of `exec`. */
  readonly options?: readonly string[]
  /** Program and arguments, or a text for a shell. */
  readonly run: string | readonly string[]
  readonly stdout: RegExp
  /** Exit code; 0 unless given. */
  readonly code?: number
  /** The file below the root that a recording of a failure is written to. */
  readonly record?: string
  /** Looks at more of it. @returns what is wrong */
  readonly check?: (root: string) => Promise<string | undefined> | string | undefined
}

/** A soak of programs by `retrap exec`, in a Debian that is a folder. @param prepare - adds to the folder */
export function rootSoak(
  name: string,
  packages: readonly string[],
  rows: readonly RootRow[],
  prepare: (root: string) => void = () => {},
): Soak {
  /** Undefined: there is no apt to fetch it. */
  let root: string | undefined
  return {
    name,
    count: rows.length,
    async setup() {
      const folder = mkdtempSync(join(tmpdir(), `retrap-${name}-`))
      if (!(await makeDebianRoot(folder, packages))) return rmSync(folder, { recursive: true })
      root = folder
      prepare(root)
    },
    async step(rng, index) {
      const { name: program, options = [], run, record, stdout, code = 0, check } = rows[index % rows.length]!
      rng.note('program', program)
      if (root === undefined) return undefined
      const argv = typeof run === 'string' ? ['/bin/sh', '-c', run] : run
      const kept = record === undefined ? [] : ['--record-on-failure', join(root, record)]
      const words = [
        'exec',
        ...kept,
        '--env',
        'PATH=/usr/sbin:/usr/bin:/sbin:/bin',
        ...options,
        '--root',
        root,
        '--',
        ...argv,
      ]
      const ended: Finished = await runProgram(process.execPath, [...SOURCE_START, ...words], {
        deadlineMs: DEADLINE_MS,
      })
      if (ended.code !== code || !stdout.test(ended.stdout)) return `${program}: ${JSON.stringify(ended)}`
      return check?.(root)
    },
    teardown() {
      if (root !== undefined) rmSync(root, { recursive: true, force: true })
    },
  }
}
